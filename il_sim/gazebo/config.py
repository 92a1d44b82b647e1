"""What Gazebo needs to know beyond the scene: config/gazebo/default.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from il_core.config import config_dir, load_yaml
from il_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GazeboConfig:
    """Settings of the world and of the node beside it.

    Attributes:
        real_time_factor: Simulated seconds per second that Gazebo aims at.
        clip_near_m: Nearest thing a camera sees [m].
        clip_far_m: Farthest [m].
        object_rate_hz: How often poses of the task's objects are published [Hz].
        reflected_inertia: Whether ``armature_kg_m2`` of the robot becomes added mass of its links.
        homing_speed_rad_s: Joint speed on the way to the home posture [rad/s].
        homing_stiffness_s: Spring of homing: fraction of a joint's torque limit per rad of error [1/rad].
        homing_damping_s: Damper of homing: fraction of the torque limit per rad/s [s/rad].
        homing_tolerance_rad: Largest error of a joint that counts as home [rad].
        command_timeout_ms: Age of the last command after which gravity compensation takes over [ms].
    """

    real_time_factor: float
    clip_near_m: float
    clip_far_m: float
    object_rate_hz: int
    reflected_inertia: bool
    homing_speed_rad_s: float
    homing_stiffness_s: float
    homing_damping_s: float
    homing_tolerance_rad: float
    command_timeout_ms: float

    def __post_init__(self) -> None:
        """Reject settings with which nothing can move or be seen."""
        homing = (self.homing_speed_rad_s, self.homing_stiffness_s, self.homing_damping_s, self.homing_tolerance_rad)
        if min(*homing, self.real_time_factor, self.object_rate_hz, self.command_timeout_ms) <= 0:
            raise ConfigError("gazebo", "rates, speeds, gains, tolerance and timeout must be positive")
        if not 0 < self.clip_near_m < self.clip_far_m:
            raise ConfigError("gazebo", f"need 0 < clip_near_m < clip_far_m, got {self.clip_near_m}, {self.clip_far_m}")


def load_gazebo_config() -> GazeboConfig:
    """Read config/gazebo/default.yaml.

    Raises:
        ConfigError: missing or wrong.
    """
    return load_yaml(config_dir() / "gazebo" / "default.yaml", GazeboConfig)
