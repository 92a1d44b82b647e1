"""Networks: one per file, all with the signature (chunk, noise level, condition) -> chunk."""

from __future__ import annotations

from torch import nn

from il_policy.layout import Layout
from il_policy.models.mlp import ChunkMlp
from il_policy.models.rnn import ChunkRnn
from il_policy.models.row_mlp import RowMlp
from il_policy.models.transformer import ChunkTransformer
from il_policy.models.unet1d import ChunkUnet1d
from il_policy.network_config import NetworkConfig, NetworkKind

NO_LAYOUT = Layout()


def make_network(
    config: NetworkConfig,
    horizon: int,
    action_dim: int,
    cond_dim: int,
    out_dim: int = 0,
    layout: Layout = NO_LAYOUT,
) -> nn.Module:
    """Build the network a config names.

    Args:
        config: Kind and size.
        horizon: Rows H.
        action_dim: Numbers per row going in.
        cond_dim: Length of the condition.
        out_dim: Numbers per row coming out; 0 = ``action_dim``.
        layout: Which part of the condition is history.

    Raises:
        ValueError: the network cannot be built for this horizon.
    """
    sizes = (horizon, action_dim, cond_dim, out_dim or action_dim)
    if config.kind is NetworkKind.UNET1D:
        return ChunkUnet1d(*sizes, config.channels, config.kernel, config.groups)
    if config.kind is NetworkKind.TRANSFORMER:
        return ChunkTransformer(*sizes, config.width, config.depth, config.heads, layout)
    if config.kind is NetworkKind.RNN:
        return ChunkRnn(*sizes, config.width, config.depth, layout)
    if config.kind is NetworkKind.ROW_MLP:
        return RowMlp(*sizes, config.width, config.depth)
    return ChunkMlp(*sizes, config.width, config.depth)
