"""A transformer: tokens of the condition are encoded, rows of the chunk decode them.

Vaswani et al., "Attention is all you need", 2017, with the norms first; as a denoiser it is the
transformer of Chi et al., "Diffusion Policy", 2023, as a regressor the decoder of Zhao et al., "ACT", 2023.

    time, tick 1..n, rest --> encoder --> memory
                                            |
    rows + their places  --> decoder (rows look at rows, then at the memory) --> rows
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from il_policy.layout import Layout
from il_policy.models.embedding import sinusoidal
from il_policy.models.mlp import TIME_DIM


class Attention(nn.Module):
    r"""Several heads of :math:`\mathrm{softmax}(Q K^T / \sqrt{d})\,V`, Vaswani et al., eq. 1."""

    def __init__(self, width: int, heads: int) -> None:
        """``heads`` divides ``width``."""
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Queries from x (B, N, W), keys and values from memory (B, M, W) -> (B, N, W)."""
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, d)
        k, v = self.kv(memory).unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, dim=1)
        return self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Self-attention, cross-attention where there is a memory, and an MLP, each beside a skip."""

    def __init__(self, width: int, heads: int, has_memory: bool) -> None:
        """Build the layers."""
        super().__init__()
        self.norm_self, self.attend = nn.LayerNorm(width), Attention(width, heads)
        self.norm_cross = nn.LayerNorm(width) if has_memory else None
        self.look = Attention(width, heads) if has_memory else None
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """(B, N, W) -> (B, N, W), looking at memory (B, M, W)."""
        normed = self.norm_self(x)
        x = x + self.attend(normed, normed)
        if self.look is not None and self.norm_cross is not None and memory is not None:
            x = x + self.look(self.norm_cross(x), memory)
        return x + self.mlp(x)


class ChunkTransformer(nn.Module):
    """Noisy (or empty) chunk, noise level and condition in; chunk out."""

    def __init__(
        self,
        horizon: int,
        action_dim: int,
        cond_dim: int,
        out_dim: int,
        width: int,
        depth: int,
        heads: int,
        layout: Layout,
    ) -> None:
        """Build the layers.

        Args:
            horizon: Rows H.
            action_dim: Numbers per row D going in.
            cond_dim: Length C of the condition.
            out_dim: Numbers per row coming out.
            width: Width of tokens.
            depth: Decoder blocks; the encoder has half as many, at least one.
            heads: Attention heads.
            layout: Which part of the condition is history.
        """
        super().__init__()
        self.layout = layout
        self.time = nn.Linear(TIME_DIM, width)
        self.tick = nn.Linear(layout.state_dim, width) if layout.history_dim else None
        rest = cond_dim - layout.history_dim
        self.rest = nn.Linear(rest, width) if rest else None
        self.row = nn.Linear(action_dim, width)
        self.token_place = nn.Parameter(0.02 * torch.randn(1 + layout.ticks + bool(rest), width))
        self.row_place = nn.Parameter(0.02 * torch.randn(horizon, width))
        self.encoder = nn.Sequential(*[Block(width, heads, False) for _ in range(max(1, depth // 2))])
        self.decoder = nn.ModuleList([Block(width, heads, True) for _ in range(depth)])
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out_dim))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Chunk x (B, H, D), noise level t (B,), condition (B, C) -> (B, H, out_dim)."""
        history, rest = self.layout.split(cond)
        tokens = [self.time(sinusoidal(t, TIME_DIM))[:, None]]
        if self.tick is not None:
            tokens.append(self.tick(history))
        if self.rest is not None:
            tokens.append(self.rest(rest)[:, None])
        memory = self.encoder(torch.cat(tokens, dim=1) + self.token_place)
        rows = self.row(x) + self.row_place
        for block in self.decoder:
            rows = block(rows, memory)
        return self.leave(rows)
