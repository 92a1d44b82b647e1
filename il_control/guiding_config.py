"""Settings of hand guiding: how the arm feels in the hand, and where it may be led."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from il_core.errors import ConfigError

_POSITIVE = (
    "stiffness_n_m",
    "damping_ns_m",
    "stiffness_nm_rad",
    "damping_nms_rad",
    "force_max_n",
    "torque_max_nm",
    "wall_stiffness_n_m",
    "joint_margin_rad",
    "joint_stiffness_nm_rad",
    "joint_torque_max_nm",
    "speed_max_m_s",
    "force_at_speed_max_n",
    "blend_s",
)
_NOT_NEGATIVE = ("wall_damping_ns_m", "joint_damping_nms_rad", "joint_cushion_damping_nms_rad")
SLOPE_MAX_NS_M = 1500.0  # steeper damping of the 1.8 kg that a tool weighs at least chatters at 1 kHz


@dataclass(frozen=True, slots=True)
class GuidingConfig:
    """How the arm feels in the hand, and where it may be led.

    Attributes:
        joint_damping_nms_rad: Damping of every joint; the base of how the arm feels [N·m·s/rad].
        stiffness_n_m: Of plane, line and locked position [N/m].
        damping_ns_m: The same, damping across plane and line [N·s/m].
        stiffness_nm_rad: Of the locked orientation [N·m/rad].
        damping_nms_rad: The same, damping [N·m·s/rad].
        force_max_n: Most the springs of constraints, and each wall, pull with [N].
        torque_max_nm: Most the spring of the locked orientation turns with [N·m].
        box_min_m: Lower corner of the workspace in base, (3,) [m]; () is none.
        box_max_m: Upper corner, (3,) [m]; () is none.
        wall_stiffness_n_m: Of the walls of that box [N/m].
        wall_damping_ns_m: Damping of motion into a wall; none on the way out [N·s/m].
        joint_margin_rad: Width of the cushion before each joint limit [rad].
        joint_stiffness_nm_rad: Stiffness of that cushion [N·m/rad].
        joint_cushion_damping_nms_rad: Damping of motion into it; none on the way out [N·m·s/rad].
        joint_torque_max_nm: Most a cushion pushes back with [N·m].
        speed_max_m_s: Speed of the tool that the braking aims at [m/s].
        speed_free_share: Share of that speed below which nothing brakes, in [0, 1) [-].
        force_at_speed_max_n: Braking force at that speed: a harder push goes over it by
            ``(push - force) / slope`` [N].
        blend_s: Time in which constraints, walls and damping come in after entering [s].
    """

    joint_damping_nms_rad: float = 2.0
    stiffness_n_m: float = 3000.0
    damping_ns_m: float = 150.0
    stiffness_nm_rad: float = 80.0
    damping_nms_rad: float = 5.0
    force_max_n: float = 100.0
    torque_max_nm: float = 12.0
    box_min_m: tuple[float, ...] = field(default=())
    box_max_m: tuple[float, ...] = field(default=())
    wall_stiffness_n_m: float = 3000.0
    wall_damping_ns_m: float = 100.0
    joint_margin_rad: float = 0.1
    joint_stiffness_nm_rad: float = 100.0
    joint_cushion_damping_nms_rad: float = 5.0
    joint_torque_max_nm: float = 20.0
    speed_max_m_s: float = 0.25
    speed_free_share: float = 0.6
    force_at_speed_max_n: float = 100.0
    blend_s: float = 0.3

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of its range, or the box is empty.
        """
        for name in _POSITIVE:
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigError("guiding", f"{name} must be positive, got {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError("guiding", f"{name} must not be negative, got {getattr(self, name)}")
        if not 0.0 <= self.speed_free_share < 1.0:
            raise ConfigError("guiding", f"speed_free_share must lie in [0, 1), got {self.speed_free_share}")
        if self.slope_ns_m > SLOPE_MAX_NS_M:
            problem = f"the braking rises by {self.slope_ns_m:.0f} N·s/m, more than {SLOPE_MAX_NS_M:.0f} chatters"
            raise ConfigError("guiding", f"{problem}; lower force_at_speed_max_n or speed_free_share")
        for name in ("box_min_m", "box_max_m"):
            if len(getattr(self, name)) not in (0, 3):
                raise ConfigError("guiding", f"{name} needs three coordinates or none, got {getattr(self, name)}")
        if self.box_min_m and self.box_max_m and not np.all(np.less(self.box_min_m, self.box_max_m)):
            raise ConfigError("guiding", f"the box from {self.box_min_m} to {self.box_max_m} is empty")

    @property
    def slope_ns_m(self) -> float:
        """How fast the braking force rises with the speed of the tool [N·s/m]."""
        return self.force_at_speed_max_n / (self.speed_max_m_s * (1.0 - self.speed_free_share))
