"""A residual MLP over the whole chunk at once: the cheapest network, enough for low-dimensional input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.models.embedding import sinusoidal

TIME_DIM = 64  # resolves 100 noise levels comfortably


class ResidualBlock(nn.Module):
    """x + W2 mish(W1 norm(x))."""

    def __init__(self, width: int) -> None:
        """Build the layers."""
        super().__init__()
        self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.Mish(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., W) -> (..., W)."""
        return x + self.body(x)


class ChunkMlp(nn.Module):
    """Noisy (or empty) chunk, noise level and condition in; chunk out."""

    def __init__(self, horizon: int, action_dim: int, cond_dim: int, out_dim: int, width: int, depth: int) -> None:
        """Build the layers.

        Args:
            horizon: Rows H.
            action_dim: Numbers per row D going in.
            cond_dim: Length C of the condition.
            out_dim: Numbers per row coming out.
            width: Hidden width.
            depth: Residual blocks.
        """
        super().__init__()
        self.shape = (horizon, out_dim)
        self.enter = nn.Linear(horizon * action_dim + TIME_DIM + cond_dim, width)
        self.blocks = nn.Sequential(*[ResidualBlock(width) for _ in range(depth)])
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, horizon * out_dim))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Chunk x (B, H, D), noise level t (B,), condition (B, C) -> (B, H, out_dim)."""
        entry = torch.cat([x.flatten(1), sinusoidal(t, TIME_DIM), cond], dim=-1)
        return self.leave(self.blocks(self.enter(entry))).unflatten(1, self.shape)
