r"""Experts and a gate: every expert a network of its own, the gate says whose turn it is.

.. math:: \mathcal L = -\log \sum_k g_k(o)\,\exp\Big(-\frac{\overline{(a - f_k(o))^2}}{2 \sigma^2}\Big)

Jacobs, Jordan, Nowlan and Hinton, "Adaptive mixtures of local experts", 1991, eq. 1.3, with the mean over
the chunk's numbers in place of their sum, so that long chunks do not make the choice hard at once. The
experts compete, and so specialise on different ways or situations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.head_config import MoeConfig
from il_policy.heads.base import ChunkHead, Sizes
from il_policy.heads.chance import choose, uniforms
from il_policy.heads.loss import row_mean
from il_policy.models import make_network
from il_policy.network_config import NetworkConfig


class Experts(nn.Module):
    """K networks and the gate."""

    def __init__(self, config: NetworkConfig, sizes: Sizes, moe: MoeConfig) -> None:
        """Build all of them."""
        super().__init__()
        shape = (sizes.horizon, sizes.action_dim, sizes.cond_dim)
        self.experts = nn.ModuleList([make_network(config, *shape, layout=sizes.layout) for _ in range(moe.experts)])
        self.gate = nn.Sequential(
            nn.Linear(sizes.cond_dim, moe.gate_width), nn.Mish(), nn.Linear(moe.gate_width, moe.experts)
        )

    def forward(self, blank: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Zero chunk (B, H, D), condition (B, C) -> gate's log-weights (B, K), chunks (B, K, H, D)."""
        t = torch.zeros(len(cond), device=cond.device)
        chunks = torch.stack([expert(blank, t, cond) for expert in self.experts], dim=1)
        return self.gate(cond).log_softmax(-1), chunks


class MoeHead(ChunkHead):
    """Trains experts in competition; a plan comes from one of them."""

    def __init__(self, config: MoeConfig) -> None:
        """Take the settings."""
        self._config = config

    def build(self, config: NetworkConfig, sizes: Sizes) -> nn.Module:
        """Experts and gate."""
        return Experts(config, sizes, self._config)

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Negative log of the mixture, padding left out; ``generator`` is not needed here."""
        action = action.masked_fill(is_pad[..., None], 0.0)
        log_gate, chunks = network(torch.zeros_like(action), cond)
        error = row_mean((action[:, None] - chunks).square(), is_pad)  # (B, K)
        return -torch.logsumexp(log_gate - error / (2.0 * self._config.std**2), dim=1).mean()

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Chunk of an expert drawn by the gate."""
        log_gate, chunks = network(torch.zeros_like(noise), cond)
        k = choose(log_gate, uniforms(noise, 1)[:, 0])
        return chunks[torch.arange(len(k), device=k.device), k]
