r"""A mixture of Gaussians over chunks: one mode per way of doing the task.

.. math:: p(a \mid o) = \sum_k \pi_k(o)\,\mathcal N\big(a;\ \mu_k(o),\ \mathrm{diag}\,\sigma_k^2(o)\big)

Bishop, "Mixture density networks", 1994; as a policy with means drawn without noise at evaluation:
Mandlekar et al., "What matters in learning from offline human demonstrations", CoRL 2021. A component
spans the whole chunk, so that one plan does not mix two ways. Spreads are bounded on both sides,
without the upper one a wide component takes both ways, and its mean leads between them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from il_policy.head_config import GmmConfig
from il_policy.heads.base import ChunkHead, Sizes
from il_policy.heads.chance import choose, uniforms
from il_policy.models import make_network
from il_policy.network_config import NetworkConfig

HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class GmmHead(ChunkHead):
    """The network gives, per row, K means, K spreads and K votes for the component's weight."""

    def __init__(self, config: GmmConfig) -> None:
        """Take the settings."""
        self._config = config

    def build(self, config: NetworkConfig, sizes: Sizes) -> nn.Module:
        """Network with K (2 D + 1) numbers per row."""
        out_dim = self._config.modes * (2 * sizes.action_dim + 1)
        return make_network(config, sizes.horizon, sizes.action_dim, sizes.cond_dim, out_dim, sizes.layout)

    def components(self, network: nn.Module, cond: Tensor, blank: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights (B, K), means and deviations (B, K, H, D); ``blank`` is a zero chunk (B, H, D)."""
        out = network(blank, torch.zeros(len(cond), device=cond.device), cond)
        out = out.unflatten(-1, (self._config.modes, -1)).transpose(1, 2)  # (B, K, H, 2 D + 1)
        mean, spread = out[..., :-1].chunk(2, dim=-1)
        c = self._config
        return out[..., -1].mean(-1).log_softmax(-1), mean, c.min_std + (c.max_std - c.min_std) * spread.sigmoid()

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Negative log-likelihood per number, padding left out; ``generator`` is not needed here.

        The rows of a chunk are one motion, so all of them together vote for a component as one row: as independent
        witnesses they would make every choice certain, and the weights would hardly be learned.
        """
        log_weight, mean, std = self.components(network, cond, torch.zeros_like(action))
        action = action.masked_fill(is_pad[..., None], 0.0)
        log_p = -0.5 * ((action[:, None] - mean) / std).square() - std.log() - HALF_LOG_TAU
        rows = (~is_pad).sum(1).clamp(min=1)
        log_p = log_p.masked_fill(is_pad[:, None, :, None], 0.0).sum((-2, -1)) / rows[:, None]  # (B, K)
        numbers = (~is_pad).sum() * action.shape[-1]
        return -(torch.logsumexp(log_weight + log_p, dim=1) * rows).sum() / numbers

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Mean of a component drawn by its weight, plus its spread unless ``low_noise``."""
        log_weight, mean, std = self.components(network, cond, torch.zeros_like(noise))
        k = choose(log_weight, uniforms(noise, 1)[:, 0])
        rows = torch.arange(len(k), device=k.device)
        chunk = mean[rows, k]
        return chunk if self._config.low_noise else chunk + std[rows, k] * noise
