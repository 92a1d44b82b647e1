"""Two LSTMs: one reads the observed ticks, one writes the rows of the chunk.

Hochreiter and Schmidhuber, "Long short-term memory", 1997; as a policy body: Mandlekar et al., "What
matters in learning from offline human demonstrations", CoRL 2021 (BC-RNN). The rows of a plan are all
known at once, so the writer runs in both directions, and each row is told its number: recurrence alone
learns to count only slowly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.layout import Layout
from il_policy.models.embedding import sinusoidal
from il_policy.models.mlp import TIME_DIM


class ChunkRnn(nn.Module):
    """Noisy (or empty) chunk, noise level and condition in; chunk out."""

    def __init__(
        self, horizon: int, action_dim: int, cond_dim: int, out_dim: int, width: int, depth: int, layout: Layout
    ) -> None:
        """Build the layers.

        Args:
            horizon: Rows H; tells nothing to the recurrence, kept for one signature.
            action_dim: Numbers per row D going in.
            cond_dim: Length C of the condition.
            out_dim: Numbers per row coming out.
            width: Hidden width.
            depth: Stacked layers.
            layout: Which part of the condition is history.
        """
        super().__init__()
        self.layout = layout
        rest = cond_dim - layout.history_dim
        self.read = nn.LSTM(layout.state_dim, width, depth, batch_first=True) if layout.history_dim else None
        context = rest + TIME_DIM + (width if self.read is not None else 0)
        self.enter = nn.Sequential(nn.Linear(context, width), nn.Mish())
        self.write = nn.LSTM(action_dim + width + TIME_DIM, width, depth, batch_first=True, bidirectional=True)
        self.leave = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, out_dim))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Chunk x (B, H, D), noise level t (B,), condition (B, C) -> (B, H, out_dim)."""
        history, rest = self.layout.split(cond)
        parts = [sinusoidal(t, TIME_DIM), rest]
        if self.read is not None:
            parts.append(self.read(history)[0][:, -1])  # what is remembered after the newest tick
        context = self.enter(torch.cat(parts, dim=-1))[:, None].expand(-1, x.shape[1], -1)
        rows = sinusoidal(torch.arange(x.shape[1], device=x.device), TIME_DIM).expand(len(x), -1, -1)
        return self.leave(self.write(torch.cat([x, context, rows], dim=-1))[0])
