"""Point clouds as sets: the same small network for every point, then the largest of each feature.

Qi et al., "PointNet", CVPR 2017; sized as in Ze et al., "3D Diffusion Policy", RSS 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PointEye(nn.Module):
    """Coloured points -> features that do not depend on their order."""

    def __init__(self, features: int) -> None:
        """Build the layers."""
        super().__init__()
        self.point = nn.Sequential(
            nn.Linear(6, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 128), nn.LayerNorm(128), nn.ReLU()
        )
        self.leave = nn.Sequential(nn.Linear(128, features), nn.LayerNorm(features))
        self.dim = features

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 6): position in base [m], colour in [0, 1] -> (B, features)."""
        scaled = torch.cat([points[..., :3], points[..., 3:] * 2.0 - 1.0], dim=-1)
        return self.leave(self.point(scaled).amax(dim=1))
