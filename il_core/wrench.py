"""From what a force sensor at the wrist measures to force and torque on the tool, in base; the one home of this."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from il_core.errors import ConfigError, ShapeError
from il_core.frozen import Vector, frozen
from il_core.geometry import Array, matrix_from_quat_xyzw, pose


@dataclass(frozen=True, slots=True)
class WrenchSensor:
    """A force sensor at the wrist, which moves with the tool.

    Attributes:
        frame: Frame it measures in, as its messages name it: about its origin, along its axes.
        p_ee_sensor_m: Position of that origin in the frame of the tool, (3,) [m].
        quat_xyzw_ee_sensor: Orientation of that frame in the frame of the tool.
    """

    frame: str
    p_ee_sensor_m: tuple[float, ...]
    quat_xyzw_ee_sensor: tuple[float, ...]

    def __post_init__(self) -> None:
        """Reject a sensor without a place.

        Raises:
            ConfigError: no frame, or the position is not three finite numbers.
            ShapeError: the quaternion has not four numbers.
            ValueError: the quaternion is not of unit length.
        """
        if not self.frame:
            raise ConfigError("wrench_sensor", "frame is empty; write the frame_id of its messages")
        if len(self.p_ee_sensor_m) != 3 or not all(math.isfinite(x) for x in self.p_ee_sensor_m):
            raise ConfigError("wrench_sensor", f"p_ee_sensor_m needs 3 finite values, got {self.p_ee_sensor_m}")
        matrix_from_quat_xyzw(self.quat_xyzw_ee_sensor)

    @property
    def T_ee_sensor(self) -> Array:
        """Pose of the sensor's frame in the frame of the tool, (4, 4) [m]."""
        return pose(self.p_ee_sensor_m, matrix_from_quat_xyzw(self.quat_xyzw_ee_sensor))


def wrench_about(p_a: Array, T_a_b: Array, wrench_b: Array) -> Vector:
    r"""The same wrench about another point, along other axes.

    .. math:: f_a = R_{ab} f_b, \qquad \tau_a = R_{ab} \tau_b + (p_{ab} - p_a) \times f_a

    Lynch, Park, "Modern Robotics", Cambridge 2017, sec. 3.4.

    Args:
        p_a: Point the result is about, in a, (3,) [m].
        T_a_b: Pose of b in a, (4, 4) [m].
        wrench_b: Force and torque about the origin of b, along the axes of b, (6,) [N, N·m].

    Returns:
        Force and torque about ``p_a``, along the axes of a, (6,) [N, N·m].
    """
    R_a_b = T_a_b[:3, :3]
    force = R_a_b @ wrench_b[:3]
    return np.concatenate([force, R_a_b @ wrench_b[3:] + np.cross(T_a_b[:3, 3] - p_a, force)])


@dataclass(frozen=True, slots=True, eq=False)
class ToolWrench:
    """Force and torque on the tool at one instant, seen from the tool.

    Seen from there it does not depend on where the tool is: an aligner turns it with the pose of its tick.

    Attributes:
        stamp_ns: Instant of the measurement [ns].
        wrench: About the tool point, along the axes of the tool, (6,) [N, N·m].
    """

    stamp_ns: int
    wrench: Vector

    def __post_init__(self) -> None:
        """Freeze and check."""
        object.__setattr__(self, "wrench", _checked("ToolWrench.wrench", self.wrench))

    @classmethod
    def measured(cls, stamp_ns: int, wrench_sensor: ArrayLike, sensor: WrenchSensor) -> ToolWrench:
        """What a sensor measured, moved to the tool point.

        Args:
            stamp_ns: Instant of the measurement [ns].
            wrench_sensor: On the tool, about the origin and along the axes of the sensor's frame, (6,) [N, N·m].
            sensor: Where the sensor sits.

        Raises:
            ShapeError: not six values.
            NonFiniteError: a value is not finite.
        """
        values = _checked("wrist wrench", wrench_sensor)
        return cls(stamp_ns, wrench_about(np.zeros(3), sensor.T_ee_sensor, values))

    def in_base(self, T_base_ee: Array) -> Vector:
        """The wrench about the tool point, along the axes of base, (6,) [N, N·m].

        Args:
            T_base_ee: Pose of the tool, (4, 4) [m].
        """
        return frozen("wrench", (T_base_ee[:3, :3] @ self.wrench.reshape(2, 3).T).T.ravel(), ndim=1)


def _checked(name: str, values: ArrayLike) -> Vector:
    wrench = frozen(name, values, ndim=1)
    if wrench.shape != (6,):
        raise ShapeError(name, expected="(6,)", got=wrench.shape)
    return wrench
