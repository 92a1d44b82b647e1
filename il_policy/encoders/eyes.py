"""All encoders of one policy, each camera and kind with its own weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from il_policy.encoders.pictures import DepthEye, RgbEye
from il_policy.encoders.pixels import blank
from il_policy.encoders.points import PointEye
from il_policy.encoders.weights import begin_with
from il_policy.observe_config import ObserveConfig


class Eyes(nn.Module):
    """Pictures by name -> one feature vector."""

    def __init__(self, config: ObserveConfig) -> None:
        """Build an encoder for every picture the config names."""
        super().__init__()
        eyes: dict[str, RgbEye | DepthEye | PointEye] = {}
        for name in config.rgb:
            eyes[f"rgb_{name}"] = RgbEye(config)
        for name in config.depth:
            eyes[f"depth_{name}"] = DepthEye(config)
        for name in config.points:
            eyes[f"points_{name}"] = PointEye(config.point_features)
        sizes = [eye.dim for eye in eyes.values()]
        self.eyes = nn.ModuleDict(eyes)  # its keys may not hold dots
        self.names = tuple(key.replace("_", ".", 1) for key in eyes)
        self.dim = int(sum(sizes))

    def forward(self, pixels: Mapping[str, Tensor]) -> Tensor:
        """Pictures (B, ...) by name -> (B, dim), in the config's order."""
        seen = [eye(pixels[name]) for name, eye in zip(self.names, self.eyes.values(), strict=True)]
        return torch.cat(seen, dim=-1)

    def begin_with(self, path: Path) -> str:
        """Fill the encoders of all pictures with the weights of a file, see :mod:`il_policy.encoders.weights`.

        Returns:
            SHA-256 of the file, hex.

        Raises:
            ConfigError: unreadable, or not the weights of such an encoder.
        """
        sha256 = ""
        for eye in self.eyes.values():
            if isinstance(eye, RgbEye | DepthEye):
                sha256 = begin_with(eye.cnn, path)
        return sha256


def make_eyes(config: ObserveConfig) -> Eyes | None:
    """Encoders for a config, or None if it looks at no pixels."""
    return Eyes(config) if config.has_pixels else None


def blank_pixels(config: ObserveConfig) -> dict[str, Tensor]:
    """Black pictures of one tick, (1, ...), to warm a policy up with."""
    return {name: torch.from_numpy(picture)[None] for name, picture in blank(config).items()}
