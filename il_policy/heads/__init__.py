"""What turns a network into chunks."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from il_policy.config import Head, TrainConfig
from il_policy.heads.diffusion import DiffusionHead
from il_policy.heads.regression import RegressionHead


class ChunkHead(Protocol):
    """Trains a network and draws chunks from it, all in normalised units."""

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Scalar loss of actions (B, H, D) with padding marks (B, H), given conditions (B, C)."""
        ...

    def sample(self, network: nn.Module, cond: Tensor, noise: Tensor) -> Tensor:
        """Chunks (B, H, D) for conditions (B, C), a function of the noise (B, H, D)."""
        ...


def make_head(config: TrainConfig) -> ChunkHead:
    """Build the head a config names."""
    if config.head is Head.DIFFUSION:
        return DiffusionHead(config.diffusion)
    return RegressionHead(config.norm)
