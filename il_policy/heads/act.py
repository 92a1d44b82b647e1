r"""Action chunking with a style variable: a conditional variational autoencoder over chunks.

.. math:: \mathcal L = \| a - D(o, z) \|_1 + \beta\,\mathrm{KL}\big(q(z \mid a, o)\,\|\,\mathcal N(0, I)\big),
          \qquad \mathrm{KL} = -\tfrac12 \sum_i (1 + \log\sigma_i^2 - \mu_i^2 - \sigma_i^2)

Zhao et al., "Learning fine-grained bimanual manipulation with low-cost hardware" (ACT), RSS 2023. The
encoder takes part in training only; plans use the prior's mean. Its temporal ensembling, which works with
every head, is in ``serving.handover``.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from il_policy.head_config import ActConfig
from il_policy.heads.base import ChunkHead, Sizes
from il_policy.heads.loss import hold_padding, masked_mean
from il_policy.models import make_network
from il_policy.models.transformer import Block
from il_policy.network_config import NetworkConfig

HEADS = 4


class StyleEncoder(nn.Module):
    """Demonstrated chunk and condition -> mean and log-variance of the style."""

    def __init__(self, sizes: Sizes, config: ActConfig) -> None:
        """Build the layers."""
        super().__init__()
        self.row = nn.Linear(sizes.action_dim, config.width)
        self.look = nn.Linear(sizes.cond_dim, config.width)
        self.place = nn.Parameter(0.02 * torch.randn(sizes.horizon + 2, config.width))
        self.summary = nn.Parameter(torch.zeros(1, config.width))
        self.blocks = nn.Sequential(*[Block(config.width, HEADS, False) for _ in range(config.depth)])
        self.leave = nn.Linear(config.width, 2 * config.latent)

    def forward(self, action: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Chunks (B, H, D), conditions (B, C) -> mean and log-variance (B, Z)."""
        summary = self.summary.expand(len(action), -1, -1)
        tokens = torch.cat([summary, self.look(cond)[:, None], self.row(action)], dim=1) + self.place
        mean, log_var = self.leave(self.blocks(tokens)[:, 0]).chunk(2, dim=-1)
        return mean, log_var.clamp(-10.0, 10.0)


class ActNetwork(nn.Module):
    """The decoder, any network with the style added to its condition, and the style encoder."""

    def __init__(self, config: NetworkConfig, sizes: Sizes, act: ActConfig) -> None:
        """Build both."""
        super().__init__()
        shape = (sizes.horizon, sizes.action_dim, sizes.cond_dim + act.latent)
        self.decoder = make_network(config, *shape, layout=sizes.layout)
        self.encoder = StyleEncoder(sizes, act)

    def forward(self, blank: Tensor, z: Tensor, cond: Tensor) -> Tensor:
        """Chunk (B, H, D) for a style z (B, Z); ``blank`` is a zero chunk of that shape."""
        t = torch.zeros(len(cond), device=cond.device)
        return self.decoder(blank, t, torch.cat([cond, z], dim=-1))


class ActHead(ChunkHead):
    """Variational training, plans from the mean style (or one drawn per rollout)."""

    def __init__(self, config: ActConfig) -> None:
        """Take the settings."""
        self._config = config

    def build(self, config: NetworkConfig, sizes: Sizes) -> nn.Module:
        """Decoder and encoder."""
        return ActNetwork(config, sizes, self._config)

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Reconstruction (L1, padding left out) plus weighted divergence."""
        action = hold_padding(action, is_pad)
        mean, log_var = cast(ActNetwork, network).encoder(action, cond)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        rebuilt = network(torch.zeros_like(action), mean + (0.5 * log_var).exp() * noise, cond)
        divergence = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(-1).mean()
        return masked_mean((rebuilt - action).abs(), is_pad) + self._config.kl_weight * divergence

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Normalised chunks (B, H, D)."""
        z = torch.zeros(len(cond), self._config.latent, device=cond.device)
        if self._config.is_drawn:
            known = noise.flatten(1)[:, : self._config.latent]
            z[:, : known.shape[1]] = known
        return network(torch.zeros_like(noise), z, cond)
