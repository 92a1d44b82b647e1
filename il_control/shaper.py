"""Targets that never jump: position, speed and acceleration stay bounded whatever is asked for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from il_core.geometry import matrix_from_rotvec, rotvec_floats
from il_core.types import Vector

Triple = tuple[float, float, float]
ORTHONORMAL_EVERY = 20  # turns: their rounding adds up to 1e-14 until then


def approach_speed(distance: float, rate_1_s: float, acceleration_max: float, speed_max: float) -> float:
    r"""Speed at which to close a distance so that it can still be braked away.

    .. math:: s(e) = \min(k\,e,\ \sqrt{2 a\,e},\ s_{max})

    Args:
        distance: Distance to go, not negative [m or rad].
        rate_1_s: Gain k near the goal [1/s].
        acceleration_max: Braking available, a [m/s² or rad/s²].
        speed_max: [m/s or rad/s].
    """
    return min(rate_1_s * distance, math.sqrt(2.0 * acceleration_max * distance), speed_max)


class VectorShaper:
    r"""A point that follows a wanted one with bounded speed, acceleration and jerk (Euclidean norm).

    An inner point is closed in on the wanted one with bounded speed and acceleration a. What leaves is the mean of
    its last n velocities, n\ :math:`\Delta t` = T: as far inside both bounds, with a jerk of at most 2a / T, see
    :class:`il_control.smoothing.MovingMean`. How far the mean is behind, :math:`\sum (v_{in} - v)\,\Delta t`, is kept
    in mind, so that it arrives exactly; for a rotation that is exact where it matters, near the end. A target that
    says how fast it moves is led by (T - \ :math:`\Delta t`) / 2, the lag of the mean: it is followed without any.

    Attributes:
        velocity: Of the point, three numbers [m/s or rad/s].
        acceleration: Of the point, likewise [m/s² or rad/s²]; where the mean is of one, smoothed over the time
            constant.

    Written out for three floats: arrays and loops of three cost a control cycle more than all the rest.
    """

    def __init__(self, time_constant_s: float, speed_max: float, acceleration_max: float, mean_of: int = 1) -> None:
        """Set the limits, and of how many cycles the mean is; call :meth:`reset` before the first :meth:`step`."""
        self._time_constant_s, self._n = time_constant_s, mean_of
        self._speed_max, self._acceleration_max = speed_max, acceleration_max
        self.reset((0.0, 0.0, 0.0))

    def reset(self, velocity: Triple) -> None:
        """Go on from a velocity, as if it had been the same for long."""
        n, (x, y, z) = self._n, velocity
        self.velocity = self._inner = velocity
        self.acceleration: Triple = (0.0, 0.0, 0.0)
        self._past = deque([velocity] * n, maxlen=n)
        self._sum: Triple = (n * x, n * y, n * z)
        cycles = 0.5 * (n - 1)
        self._behind: Triple = (cycles * x, cycles * y, cycles * z)  # in cycles

    def step(self, error: Sequence[float], velocity_des: Sequence[float], dt: float) -> Triple:
        """Displacement of this cycle.

        Args:
            error: Wanted minus current point, three numbers.
            velocity_des: Velocity of the wanted point, three numbers.
            dt: Control period [s].

        Returns:
            What to add to the current point, three numbers.
        """
        (ex, ey, ez), (wx, wy, wz), n = error, velocity_des, self._n
        if n > 1:
            lead, (bx, by, bz) = 0.5 * (n - 1), self._behind
            ex, ey, ez = ex + dt * (lead * wx - bx), ey + dt * (lead * wy - by), ez + dt * (lead * wz - bz)
        distance = math.hypot(ex, ey, ez)
        if distance > 0.0:
            speed = approach_speed(distance, 1.0 / self._time_constant_s, self._acceleration_max, self._speed_max)
            scale = speed / distance
            wx, wy, wz = wx + scale * ex, wy + scale * ey, wz + scale * ez
        share = _share(math.hypot(wx, wy, wz), self._speed_max)
        if share == 0.0:
            wx = wy = wz = 0.0
        vx, vy, vz = self._inner
        cx, cy, cz = share * wx - vx, share * wy - vy, share * wz - vz
        share = _share(math.hypot(cx, cy, cz), self._acceleration_max * dt)
        cx, cy, cz = share * cx, share * cy, share * cz
        self._inner = inner = (vx + cx, vy + cy, vz + cz)
        if n > 1:
            vx, vy, vz = self._average(inner, n, dt)
        else:
            vx, vy, vz = self.velocity = inner
            (ax, ay, az), rate = self.acceleration, 1.0 / self._time_constant_s
            self.acceleration = (ax + rate * (cx - dt * ax), ay + rate * (cy - dt * ay), az + rate * (cz - dt * az))
        return dt * vx, dt * vy, dt * vz

    def _average(self, inner: Triple, n: int, dt: float) -> Triple:
        """Take the newest velocity of the inner point into the mean, and return that."""
        (x, y, z), (ox, oy, oz), (sx, sy, sz) = inner, self._past[0], self._sum
        self._past.append(inner)
        cx, cy, cz = x - ox, y - oy, z - oz
        sx, sy, sz = self._sum = (sx + cx, sy + cy, sz + cz)
        vx, vy, vz = self.velocity = (sx / n, sy / n, sz / n)
        bx, by, bz = self._behind
        self._behind = (bx + x - vx, by + y - vy, bz + z - vz)
        rate = 1.0 / (n * dt)
        self.acceleration = (rate * cx, rate * cy, rate * cz)
        return self.velocity


class PoseShaper:
    """A pose that follows a wanted one: position and rotation each with bounded speed and acceleration.

    Attributes:
        T: The pose, (4, 4) [m].
        twist: Its velocity, axes of base, linear first, (6,) [m/s, rad/s].
        acceleration: Its smoothed acceleration, axes of base, linear first, (6,) [m/s², rad/s²].
    """

    def __init__(self, position: VectorShaper, rotation: VectorShaper) -> None:
        """Combine a shaper of positions [m] and one of rotation vectors [rad]."""
        self._position, self._rotation = position, rotation
        self._turns = 0
        self.reset(np.eye(4))

    def reset(self, T: Vector, twist: Vector | None = None) -> None:
        """Begin at a pose, at rest or with a twist in axes of base, linear first, (6,) [m/s, rad/s]."""
        self.T = np.array(T)
        self.twist, self.acceleration = np.zeros(6), np.zeros(6)
        if twist is not None:
            self.twist = np.array(twist)
        x, y, z, rx, ry, rz = self.twist.tolist()
        self._position.reset((x, y, z))
        self._rotation.reset((rx, ry, rz))

    def step(self, T_des: Vector, twist_des: Vector, dt: float) -> None:
        """Move one cycle towards the wanted pose.

        Args:
            T_des: Wanted pose, (4, 4) [m].
            twist_des: Velocity of the wanted pose, axes of base, linear first, (6,) [m/s, rad/s].
            dt: Control period [s].
        """
        T, rates = self.T, twist_des.tolist()
        error = (T_des[:3, 3] - T[:3, 3]).tolist()
        T[:3, 3] += self._position.step(error, rates[:3], dt)
        turn = self._rotation.step(rotvec_floats(np.dot(T_des[:3, :3], T[:3, :3].T)), rates[3:], dt)
        if any(turn):
            T[:3, :3] = matrix_from_rotvec(turn) @ T[:3, :3]
            self._turns += 1
            if self._turns % ORTHONORMAL_EVERY == 0:
                T[:3, :3] = orthonormal(T[:3, :3])
        self.twist = np.array(self._position.velocity + self._rotation.velocity)
        self.acceleration = np.array(self._position.acceleration + self._rotation.acceleration)


class JointShaper:
    """Joint positions that follow wanted ones, every joint within its own speed limit; see :class:`VectorShaper`.

    Attributes:
        q: Positions, (nq,) [rad].
        v: Their velocity, (nq,) [rad/s].
    """

    def __init__(self, time_constant_s: float, v_max: Vector, acceleration_max: float, mean_of: int = 1) -> None:
        """Set the limits: ``v_max`` (nq,) [rad/s], ``acceleration_max`` [rad/s²], and the cycles of the mean."""
        self._rate_1_s, self._v_max, self._a_max = 1.0 / time_constant_s, v_max, acceleration_max
        self._n = mean_of
        self.reset(np.zeros(len(v_max)))

    def reset(self, q: Vector) -> None:
        """Come to rest at a posture."""
        self.q = np.array(q)
        self.v = self._v_inner = self._behind = self._sum = np.zeros(len(q))
        self._past = deque([self.v] * self._n, maxlen=self._n)

    def step(self, q_des: Vector, v_des: Vector, dt: float) -> None:
        """Move ``q`` and ``v`` one cycle towards the wanted posture."""
        n = self._n
        v_des = np.minimum(np.maximum(v_des, -self._v_max), self._v_max)
        error = q_des - self.q + dt * (0.5 * (n - 1) * v_des - self._behind)
        distance = np.abs(error)
        speed = np.minimum(self._rate_1_s * distance, np.sqrt(2.0 * self._a_max * distance))
        wanted = np.minimum(np.maximum(v_des + np.sign(error) * speed, -self._v_max), self._v_max)
        most = self._a_max * dt
        self._v_inner = inner = self._v_inner + np.minimum(np.maximum(wanted - self._v_inner, -most), most)
        self._sum = self._sum + inner - self._past[0]
        self._past.append(inner)
        self.v = self._sum / n
        self._behind = self._behind + inner - self.v
        self.q = self.q + self.v * dt


def _share(length: float, limit: float) -> float:
    """What a vector is to be multiplied by to be no longer than the limit; zero if it has no finite length."""
    if not length < math.inf:  # absurd input must not leave a NaN behind that stays for good
        return 0.0
    return 1.0 if length <= limit else limit / length


def orthonormal(R: Vector) -> Vector:
    """One Newton step towards the nearest rotation: undoes the rounding of repeated products."""
    return np.asarray(1.5 * R - 0.5 * R @ (R.T @ R))
