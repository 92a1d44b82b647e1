r"""Chunks as codes: residual vector quantisation, a network that predicts the codes, and a correction.

.. math:: \hat a = \sum_{l=1}^{L} e^{(l)}_{c_l} + \delta_\theta(o, c), \qquad
          c_l = \arg\min_k \Big\| a - \sum_{m<l} e^{(m)}_{c_m} - e^{(l)}_k \Big\|

Lee et al., "Behavior generation with latent actions" (VQ-BeT), ICML 2024: residual codes, focal loss and
an offset head. Here the codes lie in the space of chunks and are fitted by k-means before the first step,
as in its forerunner (Shafiullah et al., "Behavior transformers", 2022), so there is no autoencoder to
train first. The network is asked once per level, seeing the sum of the codes so far, and once more for the
correction.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from il_policy.head_config import VqConfig
from il_policy.heads.base import ChunkHead, Sizes
from il_policy.heads.chance import choose, uniforms
from il_policy.heads.loss import hold_padding, masked_mean
from il_policy.models import make_network
from il_policy.network_config import NetworkConfig

ROUNDS = 20  # of k-means; assignments rarely change after ten


def nearest(points: Tensor, codes: Tensor) -> Tensor:
    """Index of the nearest code (K, M) of each point (N, M), (N,)."""
    return torch.cdist(points, codes).argmin(dim=1)


def k_means(points: Tensor, count: int) -> Tensor:
    """Centres (count, M) of points (N, M): the farthest point begins each cluster, then Lloyd's rounds.

    Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985 (start); Lloyd, "Least
    squares quantization in PCM", 1982. Without chance. With fewer different points than centres, the
    centres that are left over repeat one.
    """
    codes = points.mean(0, keepdim=True)
    codes = points[torch.cdist(points, codes).argmax()][None]
    while len(codes) < count:
        distance = torch.cdist(points, codes).min(dim=1).values
        codes = torch.cat([codes, points[distance.argmax()][None]])
    for _ in range(ROUNDS):
        owner = nearest(points, codes)
        total = torch.zeros_like(codes).index_add_(0, owner, points)
        members = torch.bincount(owner, minlength=count)[:, None].to(points.dtype)
        codes = torch.where(members > 0, total / members.clamp(min=1.0), codes)
    return codes


class CodeNetwork(nn.Module):
    """Any network with D + K numbers per row (correction, votes for the next code), and the codes."""

    codes: Tensor

    def __init__(self, config: NetworkConfig, sizes: Sizes, vq: VqConfig) -> None:
        """Build the layers; the codes are zero until fitted."""
        super().__init__()
        out_dim = sizes.action_dim + vq.codes
        shape = (sizes.horizon, sizes.action_dim, sizes.cond_dim, out_dim)
        self.body = make_network(config, *shape, layout=sizes.layout)
        self.register_buffer("codes", torch.zeros(vq.levels, vq.codes, sizes.horizon, sizes.action_dim))

    def forward(self, so_far: Tensor, level: int, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of codes so far (B, H, D), level -> votes for its code (B, K), correction (B, H, D)."""
        out = self.body(so_far, torch.full((len(so_far),), float(level), device=so_far.device), cond)
        d = so_far.shape[-1]
        return out[..., d:].mean(1), out[..., :d]


class VqHead(ChunkHead):
    """Learns which codes follow an observation, and what they leave over."""

    def __init__(self, config: VqConfig) -> None:
        """Take the settings."""
        self._config = config

    def build(self, config: NetworkConfig, sizes: Sizes) -> nn.Module:
        """Network and (empty) codes."""
        return CodeNetwork(config, sizes, self._config)

    @torch.no_grad()
    def fit(self, network: nn.Module, action: Tensor) -> None:
        """Codes of all chunks (N, H, D), level by level.

        Codes that came with another checkpoint's weights stay: its votes and corrections speak of them.
        """
        if cast(CodeNetwork, network).codes.any():
            return
        codes_of, rest = cast(CodeNetwork, network).codes, action.flatten(1)
        for level in range(self._config.levels):
            codes = k_means(rest, self._config.codes)
            codes_of[level].copy_(codes.unflatten(1, codes_of.shape[2:]))
            rest = rest - codes[nearest(rest, codes)]

    def encode(self, network: nn.Module, action: Tensor) -> Tensor:
        """Codes of chunks (B, H, D), (B, levels)."""
        rest, chosen = action, []
        for codes in cast(CodeNetwork, network).codes:
            chosen.append(nearest(rest.flatten(1), codes.flatten(1)))
            rest = rest - codes[chosen[-1]]
        return torch.stack(chosen, dim=1)

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Focal loss of the codes plus L1 of the corrected chunk; ``generator`` is not needed here."""
        held = hold_padding(action, is_pad)
        chosen, so_far, codes = self.encode(network, held), torch.zeros_like(held), cast(CodeNetwork, network).codes
        total = torch.zeros((), device=action.device)
        for level in range(self._config.levels):
            votes, _ = network(so_far, level, cond)
            log_p = votes.log_softmax(-1).gather(1, chosen[:, level, None])[:, 0]
            total = total - ((1.0 - log_p.exp()) ** self._config.focus * log_p).mean()
            so_far = so_far + codes[level][chosen[:, level]]
        _, offset = network(so_far, self._config.levels, cond)
        return total + self._config.offset_weight * masked_mean((so_far + offset - held).abs(), is_pad)

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Chunks (B, H, D): codes drawn level by level, then the correction."""
        u, so_far, codes = (
            uniforms(noise, self._config.levels),
            torch.zeros_like(noise),
            cast(CodeNetwork, network).codes,
        )
        for level in range(self._config.levels):
            votes, _ = network(so_far, level, cond)
            so_far = so_far + codes[level][choose(votes, u[:, level])]
        _, offset = network(so_far, self._config.levels, cond)
        return so_far + offset
