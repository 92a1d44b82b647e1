"""Networks: one per file, all with the signature (chunk, noise level, condition) -> chunk."""

from __future__ import annotations

from torch import nn

from il_policy.config import NetworkConfig, NetworkKind
from il_policy.models.mlp import ChunkMlp
from il_policy.models.unet1d import ChunkUnet1d


def make_network(config: NetworkConfig, horizon: int, action_dim: int, cond_dim: int) -> nn.Module:
    """Build the network a config names."""
    if config.kind is NetworkKind.UNET1D:
        sizes = (config.channels, config.kernel, config.groups)
        return ChunkUnet1d(horizon, action_dim, cond_dim, *sizes)
    return ChunkMlp(horizon, action_dim, cond_dim, config.width, config.depth)
