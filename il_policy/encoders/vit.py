"""A small vision transformer, ending in points of interest: patches of the picture are words that look at each other.

Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, as narrow as the "tiny" of Touvron et al., "Training
data-efficient image transformers", ICML 2021, half as deep, with patches of 8 pixels for small pictures. There is no
token for a class: the answer is where on the grid of patches something is.

    patches --> tokens + their places --> blocks --> a map per point --> coordinates
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.encoders.cnn import KeypointCnn
from il_policy.models.transformer import Block
from il_policy.observe_config import PATCH

WIDTH, DEPTH, HEADS = 192, 6, 3


class SmallVit(nn.Module):
    """Picture -> coordinates of K points of interest."""

    def __init__(self, in_channels: int, side: int, keypoints: int) -> None:
        """Build the layers for pictures of ``side`` pixels, a multiple of 8."""
        super().__init__()
        self.grid = side // PATCH
        self.patches = nn.Conv2d(in_channels, WIDTH, PATCH, PATCH)
        self.place = nn.Parameter(0.02 * torch.randn(self.grid**2, WIDTH))
        self.blocks = nn.Sequential(*[Block(WIDTH, HEADS, False) for _ in range(DEPTH)], nn.LayerNorm(WIDTH))
        self.leave = KeypointCnn(WIDTH, (), keypoints)  # no layer but its last: a map per point
        self.dim = self.leave.dim

    def forward(self, picture: Tensor) -> Tensor:
        """Picture (B, C, side, side) of numbers about 1 -> (B, 2 K)."""
        words = self.patches(picture).flatten(2).transpose(1, 2) + self.place  # (B, N, W)
        maps = self.blocks(words).transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return self.leave(maps)
