"""A compact convolutional encoder that says where things are: group norms and a spatial softmax.

Finn et al., "Deep spatial autoencoders", ICRA 2016 (softmax); Chi et al., "Diffusion Policy", 2023, for
group norms in place of batch norms, which averaging of weights would spoil.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

GROUPS = 4
SHARPNESS = 4.0  # a pixel two deviations above the mean then weighs 3000 times an average one


def spatial_softmax(maps: Tensor) -> Tensor:
    r"""Expected coordinates of each map (B, K, H, W), in [-1, 1], (B, 2 K): all x, then all y.

    .. math:: p = \mathrm{softmax}(m), \qquad (x, y)_k = \sum_{ij} p_{kij}\,(x_j, y_i)
    """
    h, w = maps.shape[-2:]
    p = maps.flatten(2).softmax(-1).unflatten(-1, (h, w))
    x = (p.sum(2) * _places(int(w), maps.device)).sum(-1)
    y = (p.sum(3) * _places(int(h), maps.device)).sum(-1)
    return torch.cat([x, y], dim=-1)


def _places(count: int, device: torch.device) -> Tensor:
    """Coordinates of pixels in [-1, 1]; from numpy, because exporters make float64 of torch's own."""
    return torch.from_numpy(np.linspace(-1.0, 1.0, count, dtype=np.float32)).to(device)


class KeypointCnn(nn.Module):
    """Picture -> coordinates of K points of interest."""

    def __init__(self, in_channels: int, channels: Sequence[int], keypoints: int) -> None:
        """Build one strided convolution per entry of ``channels``."""
        super().__init__()
        layers: list[nn.Module] = []
        c_in = in_channels
        for c_out in channels:
            layers += [nn.Conv2d(c_in, c_out, 5, stride=2, padding=2), nn.GroupNorm(GROUPS, c_out), nn.ReLU()]
            c_in = c_out
        # Maps of unit variance, sharpened: near-uniform maps would all say "the middle" for thousands of steps.
        self.body = nn.Sequential(
            *layers, nn.Conv2d(c_in, keypoints, 1), nn.GroupNorm(keypoints, keypoints, affine=False)
        )
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.dim = 2 * keypoints

    def forward(self, picture: Tensor) -> Tensor:
        """Picture (B, C, H, W) of numbers about 1 -> (B, 2 K)."""
        return spatial_softmax(self.sharpness * self.body(picture))
