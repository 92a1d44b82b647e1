"""Settings of what happens to the data: encoding, noise, order, and blending of plans."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import Enum


class ActionEncoding(str, Enum):
    """How targets become numbers for the network; a changed meaning gets a new name.

    ``relative_v1``: position minus the tool position at the observation, axes of base.
    ``absolute_v1``: position in base. Rotation (6-D, in base) and gripper are absolute in both.
    ``joint_absolute_v1``: the joint posture measured at the instant a row is wanted for [rad].
    ``joint_relative_v1``: that posture minus the one at the observation.
    """

    RELATIVE_V1 = "relative_v1"
    ABSOLUTE_V1 = "absolute_v1"
    JOINT_ABSOLUTE_V1 = "joint_absolute_v1"
    JOINT_RELATIVE_V1 = "joint_relative_v1"

    @property
    def is_joint(self) -> bool:
        """Whether rows are joint postures instead of tool poses."""
        return self in (ActionEncoding.JOINT_ABSOLUTE_V1, ActionEncoding.JOINT_RELATIVE_V1)


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Noise on inputs, consistent with the geometry: see ``dataset.augment``.

    Attributes:
        tool_m: Standard deviation of a common displacement of the tool over the window [m]; the
            targets stay where they are, so the policy learns the way back.
        jitter_m: Standard deviation of independent noise on each position read [m].
        gripper: Standard deviation of noise on the opening.
        state: Standard deviation of noise on joint positions, rotation, torques and wrench, and without an arm on
            all columns, each in units of its own spread in the training data.
        action: Standard deviation of noise on the targets, in the action's own units; 0 = none.
        shift_px: Largest shift of pictures, in pixels of the small picture.
        colour: Largest relative change of brightness, contrast and saturation.
        depth_m: Standard deviation of depth at 1 m, growing with its square [m]; in pictures and clouds.
        depth_dropout: Part of the depth pixels, or of a cloud's points, that go missing.
        camera_rad: Standard deviation of a camera's rotation: in the picture, or of its cloud about base.
        camera_m: Standard deviation of a camera's shift, for clouds [m].
    """

    tool_m: float = 0.005
    jitter_m: float = 0.0005
    gripper: float = 0.01
    action: float = 0.0
    shift_px: float = 0.0
    colour: float = 0.0
    depth_m: float = 0.0
    depth_dropout: float = 0.0
    camera_rad: float = 0.0
    camera_m: float = 0.0
    state: float = 0.0

    def __post_init__(self) -> None:
        """Reject negative noise."""
        if min(astuple(self)) < 0:
            raise ValueError("noise levels must not be negative")
        if self.colour > 1 or self.depth_dropout > 1:
            raise ValueError("colour and depth_dropout must be at most 1")


class Difficulty(str, Enum):
    """What makes an episode hard."""

    LENGTH = "length"  # many ticks
    PATH = "path"  # a long way of the tool
    NOTE = "note"  # what its note ``difficulty`` says


@dataclass(frozen=True, slots=True)
class CurriculumConfig:
    """Easy episodes first.

    Attributes:
        start: Part of the episodes, easiest first, that the training begins with; 1 = all.
        until: Fraction of the training after which all take part.
        measure: What makes an episode hard.
    """

    start: float = 1.0
    until: float = 0.5
    measure: Difficulty = Difficulty.LENGTH

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 < self.start <= 1 or not 0 <= self.until <= 1:
            raise ValueError("need 0 < start <= 1 and 0 <= until <= 1")


@dataclass(frozen=True, slots=True)
class EnsembleConfig:
    """Blending of a plan with the ones before it: see ``serving.handover.Ensemble``.

    Attributes:
        plans: Earlier plans that take part; 0 = none, plans stay as predicted.
        decay: Weight of a plan falls as exp(-decay i), i = 0 for the oldest.
    """

    plans: int = 0
    decay: float = 0.01

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.plans <= 1000:
            raise ValueError("plans must be in 0..1000")
