"""What a policy observes beyond the task's own state and located objects, and with which encoders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_SIDE = 512  # px; a robot's processor encodes no more in a tick


class Language(str, Enum):
    """How an instruction becomes numbers; names of ``encoders.text``."""

    NONE = "none"
    NGRAM = "ngram"  # hashed character n-grams: no model, no download


@dataclass(frozen=True, slots=True)
class ObserveConfig:
    """Inputs beside the task's; any mix of them.

    Attributes:
        rgb: Cameras whose colour pixels are encoded.
        depth: Cameras whose depth pixels are encoded, missing measurements masked.
        points: Cameras whose depth becomes a coloured point cloud in base.
        side: Pictures are averaged down to this many pixels square.
        keypoints: Points of interest per picture; each gives two coordinates.
        channels: Channels of the convolutions; each halves the picture.
        point_count: Points per cloud.
        point_features: Numbers per cloud.
        depth_max_m: Farther measurements count as missing [m].
        torque: Whether the measured joint torques are an input [N·m].
        wrench: Whether force and torque on the tool are, in base [N, N·m].
        language: How the instruction is encoded.
        language_dim: Numbers per instruction.
    """

    rgb: tuple[str, ...] = ()
    depth: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    side: int = 64
    keypoints: int = 16
    channels: tuple[int, ...] = (16, 32, 32)
    point_count: int = 256
    point_features: int = 64
    depth_max_m: float = 2.0
    torque: bool = False
    wrench: bool = False
    language: Language = Language.NONE
    language_dim: int = 32

    def __post_init__(self) -> None:
        """Reject sizes that cannot be built."""
        if not 1 <= len(self.channels) <= 6 or not all(0 < c <= 1024 and c % 4 == 0 for c in self.channels):
            raise ValueError(f"channels must be one to six multiples of 4 up to 1024, got {self.channels}")
        if not 2 ** len(self.channels) <= self.side <= MAX_SIDE:
            raise ValueError(f"side must be in {2 ** len(self.channels)}..{MAX_SIDE} for {len(self.channels)} channels")
        if not all(0 < n <= 4096 for n in (self.keypoints, self.point_count, self.point_features, self.language_dim)):
            raise ValueError("keypoints, point_count, point_features and language_dim must be in 1..4096")
        if self.depth_max_m <= 0:
            raise ValueError("depth_max_m must be positive")

    @property
    def has_pixels(self) -> bool:
        """Whether any encoder looks at pictures."""
        return bool(self.rgb or self.depth or self.points)

    @property
    def eye_names(self) -> tuple[str, ...]:
        """A name for every number that encoders of pictures give, in the order they give them."""
        pictures = [*(f"rgb.{n}" for n in self.rgb), *(f"depth.{n}" for n in self.depth)]
        names = [f"eye.{p}.{i}" for p in pictures for i in range(2 * self.keypoints)]
        return (*names, *(f"eye.points.{n}.{i}" for n in self.points for i in range(self.point_features)))
