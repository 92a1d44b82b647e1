"""One MLP for every row of the chunk: few weights, whatever the horizon.

A row sees itself, the mean of all rows, its place in the chunk and the condition (Zaheer et al., "Deep
Sets", 2017, plus the place).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.models.embedding import sinusoidal
from il_policy.models.mlp import TIME_DIM, ResidualBlock


class RowMlp(nn.Module):
    """Noisy (or empty) chunk, noise level and condition in; chunk out."""

    def __init__(self, horizon: int, action_dim: int, cond_dim: int, out_dim: int, width: int, depth: int) -> None:
        """Build the layers; arguments as of :class:`il_policy.models.mlp.ChunkMlp`."""
        super().__init__()
        self.row = nn.Parameter(0.1 * torch.randn(horizon, width))
        self.look = nn.Linear(cond_dim + TIME_DIM, width)
        self.enter = nn.Linear(2 * action_dim, width)
        self.blocks = nn.Sequential(*[ResidualBlock(width) for _ in range(depth)])
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out_dim))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Chunk x (B, H, D), noise level t (B,), condition (B, C) -> (B, H, out_dim)."""
        look = self.look(torch.cat([sinusoidal(t, TIME_DIM), cond], dim=-1))[:, None]  # (B, 1, W)
        rows = self.enter(torch.cat([x, x.mean(1, keepdim=True).expand_as(x)], dim=-1))  # (B, H, W)
        return self.leave(self.blocks(rows + look + self.row))
