"""Settings of arms that take positions or velocities, and of a force sensor at the wrist."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from il_control.laws.admittance import AdmittanceConfig
from il_control.laws.compensation import PayloadConfig
from il_control.laws.pid import PidConfig
from il_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ServoConfig:
    """How an arm that takes positions or velocities follows its targets; not used by torque-controlled arms.

    Attributes:
        jerk_time_s: Time over which the reference is averaged: with the acceleration limit a the jerk is at most
            2 a over this [s]. Adds half of it to the lag. 0.05 s keeps 10 rad/s² below 400 rad/s³, a tenth of what
            makers of such arms state.
        posture_time_s: Time in which a redundant arm's posture returns home while somebody drives [s].
        posture_speed_max_rad_s: Fastest it may do so [rad/s]: the elbow never swings.
        following_error_max_rad: Distance between setpoint and arm, in any joint, beyond which the arm does not
            follow [rad]: it stands in a protective stop, or an encoder lies. A servo that lags by 0.1 s at
            1 rad/s is 0.1 rad behind.
        velocity_k_p_1_s: Velocity interface: feedback of the position error [1/s]; below a quarter of what the
            delay of the arm allows, 1 / (4 * 50 ms).
        velocity_k_i_1_s2: The same of its integral [1/s²]; none, as the arm integrates by itself.
        velocity_leash_rad: Velocity interface: farthest the reference goes ahead of an arm that is held up [rad].
    """

    jerk_time_s: float = 0.05
    posture_time_s: float = 1.0
    posture_speed_max_rad_s: float = 0.2
    following_error_max_rad: float = 0.25
    velocity_k_p_1_s: float = 5.0
    velocity_k_i_1_s2: float = 0.0
    velocity_leash_rad: float = 0.05

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of its range.
        """
        may_be_zero = ("jerk_time_s", "velocity_k_i_1_s2")
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf or (value == 0.0 and name not in may_be_zero):
                sign = "not negative" if name in may_be_zero else "positive"
                raise ConfigError("servo", f"{name} must be {sign} and finite, got {value}")

    def pid(self, v_max: tuple[float, ...]) -> PidConfig:
        """Feedback of a velocity interface; the output is bounded by the joints' speed limits, (nq,) [rad/s]."""
        n = len(v_max)
        k_p, k_i = (self.velocity_k_p_1_s,) * n, (self.velocity_k_i_1_s2,) * n
        return PidConfig(k_p, k_i, (0.0,) * n, (1.0,) * n, v_max)


@dataclass(frozen=True, slots=True)
class WristConfig:
    """A force sensor at the wrist.

    Attributes:
        frame: Frame of the URDF the sensor measures in: about its origin, along its axes.
        max_age_ms: Oldest wrench acted on [ms].
        payload: What hangs beyond the sensor and was not there when it was zeroed; its weight is taken off.
        admittance: What the tool shall feel like, on arms that take positions or velocities; null: the wrench is
            only watched.
    """

    frame: str
    max_age_ms: float = 50.0
    payload: PayloadConfig = field(default_factory=PayloadConfig)
    admittance: AdmittanceConfig | None = None

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: no frame, or an age that is not positive.
        """
        if not self.frame:
            raise ConfigError("wrist", "frame is empty; name the frame of the URDF the sensor measures in")
        if not 0.0 < self.max_age_ms < math.inf:
            raise ConfigError("wrist", f"max_age_ms must be positive, got {self.max_age_ms}")
