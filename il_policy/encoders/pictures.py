"""Colour and depth pictures, made ready for the encoder that the settings name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.encoders.cnn import KeypointCnn
from il_policy.encoders.resnet import ResNet18
from il_policy.encoders.vit import SmallVit
from il_policy.observe_config import ObserveConfig, PictureEncoder


def make_encoder(config: ObserveConfig, in_channels: int) -> KeypointCnn | ResNet18 | SmallVit:
    """The encoder that a config names; each gives two coordinates per point of interest."""
    if config.encoder is PictureEncoder.RESNET18:
        return ResNet18(in_channels, config.keypoints)
    if config.encoder is PictureEncoder.VIT:
        return SmallVit(in_channels, config.side, config.keypoints)
    return KeypointCnn(in_channels, config.channels, config.keypoints)


class RgbEye(nn.Module):
    """Colour bytes -> features."""

    def __init__(self, config: ObserveConfig) -> None:
        """Build the encoder."""
        super().__init__()
        self.cnn = make_encoder(config, 3)  # checkpoints call it so, whatever it is
        self.dim = self.cnn.dim

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..255 -> (B, dim)."""
        return self.cnn(rgb.float() / 127.5 - 1.0)


class DepthEye(nn.Module):
    """Depth with holes -> features; the encoder is told which pixels were measured."""

    def __init__(self, config: ObserveConfig) -> None:
        """Build the encoder, for depths up to ``depth_max_m``."""
        super().__init__()
        self.cnn = make_encoder(config, 2)
        self.dim, self._max_m = self.cnn.dim, config.depth_max_m

    def forward(self, depth_m: Tensor) -> Tensor:
        """(B, 1, H, W) [m], what is not in (0, max_m] is missing -> (B, dim)."""
        depth = depth_m.float()
        is_valid = (depth > 0) & (depth <= self._max_m)
        near = torch.where(is_valid, 1.0 - 2.0 * depth / self._max_m, 0.0)  # 1 at the lens, -1 at the limit
        return self.cnn(torch.cat([near, is_valid.float()], dim=1))
