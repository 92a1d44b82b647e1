"""A 1-D U-Net along the chunk, conditioned by feature-wise modulation.

Chi et al., "Diffusion Policy", RSS 2023, section III-A; Perez et al., "FiLM", AAAI 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from il_policy.models.embedding import sinusoidal

TIME_DIM = 64


class _ConvBlock(nn.Sequential):
    """Convolution, group norm, Mish; length kept."""

    def __init__(self, c_in: int, c_out: int, kernel: int, groups: int) -> None:
        super().__init__(nn.Conv1d(c_in, c_out, kernel, padding=kernel // 2), nn.GroupNorm(groups, c_out), nn.Mish())


class _ResidualBlock(nn.Module):
    """Two convolutions with a skip; the condition scales and shifts the channels in between."""

    def __init__(self, c_in: int, c_out: int, cond_dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.first = _ConvBlock(c_in, c_out, kernel, groups)
        self.second = _ConvBlock(c_out, c_out, kernel, groups)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(cond_dim, 2 * c_out))
        self.skip = nn.Conv1d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        scale, shift = self.film(cond)[..., None].chunk(2, dim=1)  # (B, c_out, 1) each
        return self.second(self.first(x) * (1.0 + scale) + shift) + self.skip(x)


class ChunkUnet1d(nn.Module):
    """Noisy (or empty) chunk, noise level and condition in; chunk out."""

    def __init__(
        self,
        horizon: int,
        action_dim: int,
        cond_dim: int,
        out_dim: int,
        channels: Sequence[int],
        kernel: int,
        groups: int,
    ) -> None:
        """Build the layers.

        Args:
            horizon: Rows H, a multiple of ``2 ** (len(channels) - 1)``.
            action_dim: Numbers per row D going in.
            cond_dim: Length C of the condition.
            out_dim: Numbers per row coming out.
            channels: Channels per resolution.
            kernel: Kernel length, odd.
            groups: Groups of the group norms; divides every channel count.

        Raises:
            ValueError: the horizon cannot be halved that often.
        """
        super().__init__()
        factor = 2 ** (len(channels) - 1)
        if horizon % factor:
            raise ValueError(f"horizon {horizon} must be a multiple of {factor}: {len(channels)} resolutions")
        c = TIME_DIM + cond_dim
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        c_in = action_dim
        for i, c_out in enumerate(channels):
            self.down.append(_ResidualBlock(c_in, c_out, c, kernel, groups))
            if i < len(channels) - 1:
                self.shrink.append(nn.Conv1d(c_out, c_out, 3, stride=2, padding=1))
            c_in = c_out
        self.middle = _ResidualBlock(c_in, c_in, c, kernel, groups)
        for c_out in reversed(channels[:-1]):
            self.grow.append(nn.ConvTranspose1d(c_in, c_out, 4, stride=2, padding=1))
            self.up.append(_ResidualBlock(2 * c_out, c_out, c, kernel, groups))
            c_in = c_out
        self.leave = nn.Sequential(_ConvBlock(c_in, c_in, kernel, groups), nn.Conv1d(c_in, out_dim, 1))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Chunk x (B, H, D), noise level t (B,), condition (B, C) -> (B, H, out_dim)."""
        cond = torch.cat([sinusoidal(t, TIME_DIM), cond], dim=-1)
        x = x.transpose(1, 2)  # (B, D, H)
        skips: list[Tensor] = []
        for i, block in enumerate(self.down):
            x = block(x, cond)
            if i < len(self.shrink):
                skips.append(x)
                x = self.shrink[i](x)
        x = self.middle(x, cond)
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(torch.cat([grow(x), skips.pop()], dim=1), cond)
        return self.leave(x).transpose(1, 2)
