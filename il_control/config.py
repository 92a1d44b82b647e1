"""Settings of the controller: values in config/control/, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from il_control.guiding_config import GuidingConfig
from il_control.laws.cartesian_impedance import CartesianGains
from il_control.laws.compensation import FrictionConfig, PayloadConfig
from il_control.laws.contact_adaptive import ContactConfig
from il_control.laws.energy_tank import ScheduleConfig, TankConfig
from il_control.laws.operational_space import OperationalGains
from il_control.safety_config import SafetyConfig
from il_control.servo_config import ServoConfig, WristConfig
from il_control.touch import TouchConfig
from il_core.config import Setup, config_dir, load_yaml
from il_core.errors import ConfigError
from il_core.spec import Interface, RobotSpec

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


RATE_MIN_HZ, RATE_MAX_HZ = 50, 1000
TORQUE_RATES_HZ = (500, 1000)


@dataclass(frozen=True, slots=True)
class OperationalConfig:
    """Feedback of the operational-space law.

    Attributes:
        frequency_1_s: Natural frequency of each tool axis, 3 along, 3 about the axes of base, (6,) [rad/s]; what an
            error in the model leaves is divided by its square. 20 closes 99 % of an error in a third of a second.
        damping_ratio: Damping ratio of each axis [-]; 1 is critical.
    """

    frequency_1_s: tuple[float, ...] = (20.0, 20.0, 20.0, 20.0, 20.0, 20.0)
    damping_ratio: float = 1.0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: not six frequencies, or a value that is not positive.
        """
        if len(self.frequency_1_s) != 6 or not min(*self.frequency_1_s, self.damping_ratio) > 0.0:
            raise ConfigError("operational_space", "frequency_1_s needs 6 positive values, damping_ratio one")


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """Gains, limits and timeouts of the control cycle.

    Attributes:
        rate_hz: Control rate [Hz]. Torques: 1000 is nominal, 500 accepted. Positions and velocities: the arm's
            own, 50 to 1000.
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
        target_jerk_time_s: Time over which the velocity of torque targets is averaged, so that their jerk is at most
            2 a / this for an acceleration a [s]; 0: not at all. 0.02 s is 500 m/s³ at 5 m/s², a tenth of what the
            maker of the FR3 allows, and adds 10 ms to the lag behind a target that does not say how fast it moves.
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
        servo: How an arm that takes positions or velocities follows its targets.
        wrist: The force sensor at the wrist; null: there is none.
        operational_space: Feedback of the operational-space law, which then takes the place of the impedance law;
            null: impedance.
        contact: When the tool softens in unexpected contact; null: never. Needs ``touch`` or ``wrist``.
        friction: Friction of the joints that is carried by the measured velocity, less than the true values;
            null: none.
        payload: What the tool carries and the URDF does not have: its weight and inertia become part of the
            model, in every law and in the gate's own stops.
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
    target_jerk_time_s: float = 0.02
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    stiffness_bounds: ScheduleConfig = field(default_factory=ScheduleConfig)
    energy_tank: TankConfig = field(default_factory=TankConfig)
    touch: TouchConfig | None = None
    guiding: GuidingConfig = field(default_factory=GuidingConfig)
    servo: ServoConfig = field(default_factory=ServoConfig)
    wrist: WristConfig | None = None
    operational_space: OperationalConfig | None = None
    contact: ContactConfig | None = None
    friction: FrictionConfig | None = None
    payload: PayloadConfig = field(default_factory=PayloadConfig)

    def __post_init__(self) -> None:
        """Reject settings that cannot be safe."""
        if not RATE_MIN_HZ <= self.rate_hz <= RATE_MAX_HZ:
            raise ValueError(f"rate_hz must be {RATE_MIN_HZ} to {RATE_MAX_HZ}, got {self.rate_hz}")
        if len(self.stiffness_n_m) != 3 or len(self.stiffness_nm_rad) != 3:
            raise ValueError("stiffness_n_m and stiffness_nm_rad need 3 values, along x, y, z of base")
        gains = (*self.stiffness_n_m, *self.stiffness_nm_rad, *self.joint_stiffness_nm_rad)
        if min(*gains, *self.joint_damping_nms_rad, self.null_stiffness_nm_rad, self.null_damping_nms_rad) < 0:
            raise ValueError("stiffness and damping must not be negative")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.target_time_constant_s < 2.0 * self.dt:
            least = f"at least two control periods, {2.0 * self.dt:.3g}"
            raise ValueError(f"target_time_constant_s must be {least}, got {self.target_time_constant_s}")
        if not 0.0 <= self.target_jerk_time_s < 1.0:
            raise ValueError(f"target_jerk_time_s must be within 0 and 1, got {self.target_jerk_time_s}")
        if self.contact is not None and self.operational_space is not None:
            raise ValueError("contact changes the stiffness, operational_space has none; write null for one of them")
        if self.contact is not None and self.touch is None and self.wrist is None:
            raise ValueError("contact needs an estimate of the force: write touch (effort arms) or wrist as well")

    @property
    def dt(self) -> float:
        """Control period [s]."""
        return 1.0 / self.rate_hz

    def operational_gains(self) -> OperationalGains | None:
        """Gains of the operational-space law, if it is wanted; errors are clipped as in the Cartesian law."""
        if self.operational_space is None:
            return None
        omega = np.array(self.operational_space.frequency_1_s)
        e_max = np.array([self.error_max_m] * 3 + [self.error_max_rad] * 3)
        return OperationalGains(omega**2, 2.0 * self.operational_space.damping_ratio * omega, e_max)

    def cartesian_gains(self) -> CartesianGains:
        """Gains of the Cartesian law."""
        return CartesianGains(
            k_p=np.array([*self.stiffness_n_m, *self.stiffness_nm_rad]),
            zeta=np.full(6, self.damping_ratio),
            e_max=np.array([self.error_max_m] * 3 + [self.error_max_rad] * 3),
            k_p_null=self.null_stiffness_nm_rad,
            k_d_null=self.null_damping_nms_rad,
        )


def control_file(name: str) -> Path | None:
    """File of settings by its name in config/control/ or its path; None for an empty name, which leaves the choice."""
    if not name:
        return None
    return Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "control" / f"{name}.yaml"


def load_control_config(setup: Setup, path: Path | None = None) -> ControlConfig:
    """Settings for a task on a robot: ``path``, else the first that exists in config/control/.

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
    _check_interface(config, setup.robot, str(path))
    return config


def _check_interface(config: ControlConfig, robot: RobotSpec, where: str) -> None:
    """Refuse what the arm's interface cannot do."""
    takes = robot.interface.value
    if robot.interface is Interface.EFFORT:
        if config.rate_hz not in TORQUE_RATES_HZ:
            problem = f"rate_hz must be 1000 or 500, got {config.rate_hz}: slower loops of torques chatter in contact"
            raise ConfigError(where, problem)
        if config.friction is not None and len(config.friction.coulomb_nm) != robot.nq:
            problem = f"'friction' has {len(config.friction.coulomb_nm)} values for {robot.nq} joints"
            raise ConfigError(where, problem)
        if config.wrist is not None and config.wrist.admittance is not None:
            problem = "'wrist.admittance' is for arms that take positions or velocities; this one has an impedance"
            raise ConfigError(where, problem)
        return
    for name in ("operational_space", "contact", "friction", "touch"):
        if getattr(config, name) is not None:
            raise ConfigError(where, f"'{name}' is for torques, robot '{robot.name}' takes {takes}; write null")
