"""What a policy observes beyond the task's own state and located objects, and with which encoders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_SIDE = 512  # px; a robot's processor encodes no more in a tick
PATCH = 8  # px a side of a patch that the vision transformer reads


class PictureEncoder(str, Enum):
    """Encoders of pictures, each in a file of ``il_policy.encoders``."""

    KEYPOINTS = "keypoints"  # compact convolutions: 0.04 million parameters
    RESNET18 = "resnet18"  # 11 million
    VIT = "vit"  # a small vision transformer: 2.7 million


class Language:
    """Names of our text encoders; packages may bring others, see :mod:`il_policy.encoders.text`."""

    NONE = "none"
    NGRAM = "ngram"  # hashed character n-grams: no model, no download
    MINILM = "minilm"  # a sentence model of 23 million parameters, from a package of its own


@dataclass(frozen=True, slots=True)
class ObserveConfig:
    """Inputs beside the task's; any mix of them.

    Attributes:
        rgb: Cameras whose colour pixels are encoded.
        depth: Cameras whose depth pixels are encoded, missing measurements masked.
        points: Cameras whose depth becomes a coloured point cloud in base.
        side: Pictures are averaged down to this many pixels square: at least 32 for ``resnet18``, a multiple of 8
            for ``vit``.
        keypoints: Points of interest per picture; each gives two coordinates.
        channels: Channels of the convolutions of encoder ``keypoints``; each halves the picture.
        point_count: Points per cloud.
        point_features: Numbers per cloud.
        depth_max_m: Farther measurements count as missing [m].
        torque: Whether the measured joint torques are an input [N·m].
        wrench: Whether force and torque on the tool are, in base [N, N·m].
        language: Name of the text encoder that reads the instruction: ``none``, ``ngram``, ``minilm``, or one that an
            installed package brings.
        language_dim: Numbers per instruction.
        encoder: What looks at the pictures of ``rgb`` and ``depth``; each camera and kind has its own.
        weights: Safetensors file with weights that these encoders begin a training with: the state of one of them, or
            for ``resnet18`` torchvision's, whose convolutions are taken. Empty = random ones.
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
    language: str = Language.NONE
    language_dim: int = 32
    encoder: PictureEncoder = PictureEncoder.KEYPOINTS
    weights: str = ""

    def __post_init__(self) -> None:
        """Reject sizes that cannot be built."""
        if not 1 <= len(self.channels) <= 6 or not all(0 < c <= 1024 and c % 4 == 0 for c in self.channels):
            raise ValueError(f"channels must be one to six multiples of 4 up to 1024, got {self.channels}")
        self._check_side()
        if not all(0 < n <= 4096 for n in (self.keypoints, self.point_count, self.point_features, self.language_dim)):
            raise ValueError("keypoints, point_count, point_features and language_dim must be in 1..4096")
        if self.depth_max_m <= 0:
            raise ValueError("depth_max_m must be positive")
        if self.weights and not (self.rgb or self.depth):
            raise ValueError("weights are for encoders of pictures; name cameras in rgb or depth, or leave it empty")

    def _check_side(self) -> None:
        """Refuse pictures that an encoder would shrink to nothing, or cannot cut into patches."""
        halvings = f"{len(self.channels)} channels"
        smallest, what = {
            PictureEncoder.KEYPOINTS: (2 ** len(self.channels), halvings),
            PictureEncoder.RESNET18: (32, "resnet18"),
            PictureEncoder.VIT: (2 * PATCH, "vit"),
        }[self.encoder]
        if not smallest <= self.side <= MAX_SIDE:
            raise ValueError(f"side must be in {smallest}..{MAX_SIDE} for {what}, got {self.side}")
        if self.encoder is PictureEncoder.VIT and self.side % PATCH:
            raise ValueError(f"side must be a multiple of {PATCH} for vit, got {self.side}")

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
