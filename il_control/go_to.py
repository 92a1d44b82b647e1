"""Motions of the controller's own, from rest to rest: straight in joints or in space, and jerk-limited."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ruckig import InputParameter, Result, Ruckig, Trajectory

from il_control.config import ControlConfig
from il_control.tracker import Wish
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_rotvec, rotvec_from_matrix
from il_core.types import Vector

SHARE = 0.5  # of the speed the targets are allowed: the controller's own motions are unhurried
JERK_TIME_S = 0.1  # in which such a motion reaches its full acceleration


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """How fast a motion may be.

    Attributes:
        velocity: [m/s, rad/s], scalar or one per coordinate.
        acceleration: [m/s², rad/s²], likewise.
        jerk: [m/s³, rad/s³], likewise.
    """

    velocity: float | Vector
    acceleration: float | Vector
    jerk: float | Vector


class TimeLaw:
    """The quickest way from 0 to 1, from rest to rest, within velocity, acceleration and jerk.

    Ruckig: Berscheid and Kröger, "Jerk-limited real-time trajectory generation with arbitrary target
    states", RSS 2021.

    Attributes:
        duration_s: Until 1 is reached [s].
    """

    def __init__(self, velocity: float, acceleration: float, jerk: float) -> None:
        """Plan.

        Raises:
            ConfigError: a limit is not a positive number.
        """
        limits = (velocity, acceleration, jerk)
        if not all(0.0 < limit < np.inf for limit in limits):
            raise ConfigError("motion", f"needs positive velocity, acceleration and jerk limits, got {limits}")
        wanted = InputParameter(1)
        wanted.current_position, wanted.target_position = [0.0], [1.0]
        wanted.max_velocity, wanted.max_acceleration, wanted.max_jerk = [velocity], [acceleration], [jerk]
        self._trajectory = Trajectory(1)
        result = Ruckig(1).calculate(wanted, self._trajectory)
        if result not in (Result.Working, Result.Finished):
            raise ConfigError("motion", f"cannot be planned within {limits}: {result}")
        self.duration_s = float(self._trajectory.duration)

    def at(self, t_s: float) -> tuple[float, float]:
        """Progress in [0, 1] and its rate [1/s]; at rest before 0 and after the end."""
        if not 0.0 < t_s < self.duration_s:
            return (0.0 if t_s <= 0.0 else 1.0), 0.0
        s, rate, _ = self._trajectory.at_time(t_s)
        return float(s[0]), float(rate[0])


def _scaled(ways: list[tuple[Vector, MotionLimits]]) -> TimeLaw:
    """Time law under which no coordinate of a straight way exceeds its limits; distances as given."""

    def limit(name: str) -> float:
        largest = max(float(np.max(np.abs(way) / getattr(limits, name))) for way, limits in ways)
        return 1.0 / max(largest, 1e-9)  # nowhere to go: any finite limit will do

    if not all(np.isfinite(way).all() for way, _ in ways):
        raise ConfigError("motion", "its start or its target is not a finite number")
    return TimeLaw(limit("velocity"), limit("acceleration"), limit("jerk"))


class JointMotion:
    """A straight line between two postures.

    Attributes:
        end_ns: Instant it arrives [ns].
    """

    def __init__(self, start_ns: int, q: Vector, q_des: Vector, limits: MotionLimits) -> None:
        """Plan.

        Args:
            start_ns: Instant it begins [ns].
            q: Posture at that instant, (nq,) [rad].
            q_des: Wanted posture, (nq,) [rad].
            limits: Per joint.

        Raises:
            ConfigError: it cannot be planned, or the postures differ in size.
        """
        if np.shape(q) != np.shape(q_des):
            raise ConfigError("motion", f"posture of {np.size(q_des)} joints for an arm of {np.size(q)}")
        self._start_ns, self._q, self._way = start_ns, np.array(q), np.asarray(q_des) - q
        self._law = _scaled([(self._way, limits)])
        self.end_ns = start_ns + int(self._law.duration_s * 1e9)

    def wish(self, now_ns: int) -> Wish:
        """What the motion asks for at one instant."""
        s, rate = self._law.at((now_ns - self._start_ns) * 1e-9)
        return Wish(self._q + s * self._way, None, rate * self._way, None)


class PoseMotion:
    r"""A straight line of the tool with a rotation about one axis of base.

    .. math:: p(t) = p_0 + s(t)\,\Delta p, \qquad R(t) = \exp(s(t)\,\omega)\,R_0,
              \qquad \omega = \log(R_{des} R_0^T)

    so that the twist in axes of base is :math:`\dot s\,(\Delta p, \omega)`.

    Attributes:
        end_ns: Instant it arrives [ns].
    """

    def __init__(
        self, start_ns: int, T_base_ee: Vector, T_base_ee_des: Vector, linear: MotionLimits, angular: MotionLimits
    ) -> None:
        """Plan.

        Args:
            start_ns: Instant it begins [ns].
            T_base_ee: Tool pose at that instant, (4, 4) [m].
            T_base_ee_des: Wanted tool pose, (4, 4) [m].
            linear: Of the tool point along its line.
            angular: Of the rotation about its axis.

        Raises:
            ConfigError: it cannot be planned.
        """
        self._start_ns, self._T = start_ns, np.array(T_base_ee)
        turn = rotvec_from_matrix(T_base_ee_des[:3, :3] @ T_base_ee[:3, :3].T)
        self._way = np.concatenate([T_base_ee_des[:3, 3] - T_base_ee[:3, 3], turn])
        line, arc = np.linalg.norm(self._way[:3]), np.linalg.norm(turn)
        self._law = _scaled([(np.array([line]), linear), (np.array([arc]), angular)])
        self.end_ns = start_ns + int(self._law.duration_s * 1e9)

    def wish(self, now_ns: int) -> Wish:
        """What the motion asks for at one instant."""
        s, rate = self._law.at((now_ns - self._start_ns) * 1e-9)
        T = self._T.copy()
        T[:3, 3] += s * self._way[:3]
        T[:3, :3] = matrix_from_rotvec(s * self._way[3:]) @ T[:3, :3]
        return Wish(None, T, rate * self._way, None)


Motion = JointMotion | PoseMotion


def unhurried_pose(config: ControlConfig, start_ns: int, T_base_ee: Vector, T_base_ee_des: Vector) -> PoseMotion:
    """A motion of the tool with half of the speed and acceleration that targets are allowed; see the class."""
    linear = _unhurried(config.speed_max_m_s, config.acceleration_max_m_s2)
    angular = _unhurried(config.speed_max_rad_s, config.acceleration_max_rad_s2)
    return PoseMotion(start_ns, T_base_ee, T_base_ee_des, linear, angular)


def unhurried_posture(config: ControlConfig, v_max: Vector, start_ns: int, q: Vector, q_des: Vector) -> JointMotion:
    """The same for the joints, with their speed limits (nq,) [rad/s]."""
    limits = _unhurried(np.minimum(v_max, config.speed_max_rad_s), np.full(len(v_max), config.acceleration_max_rad_s2))
    return JointMotion(start_ns, q, q_des, limits)


def _unhurried(velocity: float | Vector, acceleration: float | Vector) -> MotionLimits:
    velocity, acceleration = SHARE * velocity, SHARE * acceleration
    return MotionLimits(velocity, acceleration, acceleration / JERK_TIME_S)
