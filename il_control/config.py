"""Settings of the controller: values in config/control/, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from il_control.guiding_config import GuidingConfig
from il_control.laws.cartesian_impedance import CartesianGains
from il_control.laws.energy_tank import ScheduleConfig, TankConfig
from il_control.safety_config import SafetyConfig
from il_control.touch import TouchConfig
from il_core.config import Setup, config_dir, load_yaml
from il_core.errors import ConfigError

_POSITIVE = (
    "damping_ratio",
    "error_max_m",
    "error_max_rad",
    "speed_max_m_s",
    "speed_max_rad_s",
    "acceleration_max_m_s2",
    "acceleration_max_rad_s2",
    "target_time_constant_s",
    "max_state_age_ms",
    "max_plan_age_ms",
    "max_command_age_ms",
    "limit_margin_rad",
    "limit_stiffness_nm_rad",
    "limit_damping_nms_rad",
)


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """Gains, limits and timeouts of the control cycle.

    Attributes:
        rate_hz: Control rate; 1000 is nominal, 500 accepted [Hz].
        stiffness_n_m: Translational stiffness along x, y, z of base, (3,) [N/m].
        stiffness_nm_rad: Rotational stiffness about x, y, z of base, (3,) [N·m/rad].
        damping_ratio: Damping ratio of the tool [-].
        error_max_m: Position error beyond which the spring pulls no harder [m].
        error_max_rad: Rotation error beyond which the spring turns no harder [rad].
        null_stiffness_nm_rad: Stiffness towards the null-space posture [N·m/rad].
        null_damping_nms_rad: Damping in the null space [N·m·s/rad].
        joint_stiffness_nm_rad: Stiffness of the joint law, (nq,) [N·m/rad].
        joint_damping_nms_rad: Damping of the joint law, (nq,) [N·m·s/rad].
        speed_max_m_s: Fastest the target may move [m/s].
        speed_max_rad_s: Fastest the target may turn [rad/s].
        acceleration_max_m_s2: Hardest the target may speed up or brake [m/s²].
        acceleration_max_rad_s2: The same for its rotation, and for joint targets [rad/s²].
        target_time_constant_s: How fast the shaped target closes in on the wanted one [s].
        max_state_age_ms: Oldest joint state acted on [ms].
        max_plan_age_ms: Oldest observation a plan may rest on when its turn comes [ms].
        max_command_age_ms: Silence of teleoperation after which the arm holds [ms].
        limit_margin_rad: Width of the cushion inside the joint limits [rad].
        limit_stiffness_nm_rad: Stiffness of that cushion [N·m/rad].
        limit_damping_nms_rad: Braking above the joint speed limit [N·m·s/rad].
        safety: Settings of the safety gate.
        stiffness_bounds: What stiffness may be asked for at run time, and how fast it may change.
        energy_tank: What raising it is paid from.
        touch: When a push counts as a touch that takes the arm over; null: never.
        guiding: Settings of hand guiding.
    """

    rate_hz: int
    stiffness_n_m: tuple[float, ...]
    stiffness_nm_rad: tuple[float, ...]
    damping_ratio: float
    error_max_m: float
    error_max_rad: float
    null_stiffness_nm_rad: float
    null_damping_nms_rad: float
    joint_stiffness_nm_rad: tuple[float, ...]
    joint_damping_nms_rad: tuple[float, ...]
    speed_max_m_s: float
    speed_max_rad_s: float
    acceleration_max_m_s2: float
    acceleration_max_rad_s2: float
    target_time_constant_s: float
    max_state_age_ms: float
    max_plan_age_ms: float
    max_command_age_ms: float
    limit_margin_rad: float
    limit_stiffness_nm_rad: float
    limit_damping_nms_rad: float
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    stiffness_bounds: ScheduleConfig = field(default_factory=ScheduleConfig)
    energy_tank: TankConfig = field(default_factory=TankConfig)
    touch: TouchConfig | None = None
    guiding: GuidingConfig = field(default_factory=GuidingConfig)

    def __post_init__(self) -> None:
        """Reject settings that cannot be safe."""
        if self.rate_hz not in (500, 1000):
            raise ValueError(f"rate_hz must be 1000 or 500, got {self.rate_hz}: slower loops chatter in contact")
        if len(self.stiffness_n_m) != 3 or len(self.stiffness_nm_rad) != 3:
            raise ValueError("stiffness_n_m and stiffness_nm_rad need 3 values, along x, y, z of base")
        gains = (*self.stiffness_n_m, *self.stiffness_nm_rad, *self.joint_stiffness_nm_rad)
        if min(*gains, *self.joint_damping_nms_rad, self.null_stiffness_nm_rad, self.null_damping_nms_rad) < 0:
            raise ValueError("stiffness and damping must not be negative")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def dt(self) -> float:
        """Control period [s]."""
        return 1.0 / self.rate_hz

    def cartesian_gains(self) -> CartesianGains:
        """Gains of the Cartesian law."""
        return CartesianGains(
            k_p=np.array([*self.stiffness_n_m, *self.stiffness_nm_rad]),
            zeta=np.full(6, self.damping_ratio),
            e_max=np.array([self.error_max_m] * 3 + [self.error_max_rad] * 3),
            k_p_null=self.null_stiffness_nm_rad,
            k_d_null=self.null_damping_nms_rad,
        )


def load_control_config(setup: Setup, path: Path | None = None) -> ControlConfig:
    """Settings for a task on a robot: the first that exists in config/control/.

    ``<task>.yaml`` if the robot is the task's own, for which it was made; else ``<robot>.yaml``; else
    ``default.yaml``, whose joint gains must be as many as the robot has joints.

    Raises:
        ConfigError: a value is missing or wrong, or the joint gains are not one per joint.
    """
    if path is None:
        is_own = setup.robot.name == setup.task.robot
        names = [*([setup.task.name] if is_own else []), setup.robot.name, "default"]
        paths = [config_dir() / "control" / f"{name}.yaml" for name in names]
        path = next((p for p in paths if p.exists()), paths[-1])
    config = load_yaml(path, ControlConfig)
    for name in ("joint_stiffness_nm_rad", "joint_damping_nms_rad"):
        if len(getattr(config, name)) != setup.robot.nq:
            problem = f"'{name}' has {len(getattr(config, name))} values for {setup.robot.nq} joints"
            raise ConfigError(str(path), problem)
    return config
