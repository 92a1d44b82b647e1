"""Targets that never jump: position, speed and acceleration stay bounded whatever is asked for."""

from __future__ import annotations

import math

import numpy as np

from il_core.geometry import matrix_from_rotvec, rotvec_floats
from il_core.types import Vector

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
    """A point that follows a wanted one with bounded speed and acceleration (Euclidean norm).

    Attributes:
        velocity: Of the point, n numbers [m/s or rad/s].
        acceleration: Of the point, smoothed over the time constant, n numbers [m/s² or rad/s²].

    Plain floats throughout: arrays of three cost a control cycle more than they save.
    """

    def __init__(self, time_constant_s: float, speed_max: float, acceleration_max: float) -> None:
        """Set the limits; call :meth:`reset` before the first :meth:`step`."""
        self._time_constant_s = time_constant_s
        self._speed_max, self._acceleration_max = speed_max, acceleration_max
        self.reset(3)

    def reset(self, n: int) -> None:
        """Come to rest; ``n`` is the number of coordinates."""
        self.velocity = [0.0] * n
        self.acceleration = [0.0] * n

    def step(self, error: list[float], velocity_des: list[float], dt: float) -> list[float]:
        """Displacement of this cycle.

        Args:
            error: Wanted minus current point, n numbers.
            velocity_des: Velocity of the wanted point, n numbers.
            dt: Control period [s].

        Returns:
            What to add to the current point, n numbers.
        """
        distance = math.hypot(*error)
        scale = 0.0
        if distance > 0.0:
            speed = approach_speed(distance, 1.0 / self._time_constant_s, self._acceleration_max, self._speed_max)
            scale = speed / distance
        wanted = _shortened([b + scale * a for a, b in zip(error, velocity_des, strict=True)], self._speed_max)
        change = [a - b for a, b in zip(wanted, self.velocity, strict=True)]
        change = _shortened(change, self._acceleration_max * dt)
        self.velocity = [a + b for a, b in zip(self.velocity, change, strict=True)]
        smooth = zip(self.acceleration, change, strict=True)
        self.acceleration = [a + (b - dt * a) / self._time_constant_s for a, b in smooth]
        return [dt * a for a in self.velocity]


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

    def reset(self, T: Vector) -> None:
        """Come to rest at a pose."""
        self.T = np.array(T)
        self.twist, self.acceleration = np.zeros(6), np.zeros(6)
        self._position.reset(3)
        self._rotation.reset(3)

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
        turn = self._rotation.step([*rotvec_floats(np.dot(T_des[:3, :3], T[:3, :3].T))], rates[3:], dt)
        if any(turn):
            T[:3, :3] = matrix_from_rotvec(turn) @ T[:3, :3]
            self._turns += 1
            if self._turns % ORTHONORMAL_EVERY == 0:
                T[:3, :3] = orthonormal(T[:3, :3])
        self.twist = np.array(self._position.velocity + self._rotation.velocity)
        self.acceleration = np.array(self._position.acceleration + self._rotation.acceleration)


class JointShaper:
    """Joint positions that follow wanted ones, every joint within its own speed limit."""

    def __init__(self, time_constant_s: float, v_max: Vector, acceleration_max: float) -> None:
        """Set the limits: ``v_max`` (nq,) [rad/s], ``acceleration_max`` [rad/s²]."""
        self._rate_1_s, self._v_max, self._a_max = 1.0 / time_constant_s, v_max, acceleration_max
        self.q = np.zeros(len(v_max))
        self.v = np.zeros(len(v_max))

    def reset(self, q: Vector) -> None:
        """Come to rest at a posture."""
        self.q = np.array(q)
        self.v = np.zeros(len(q))

    def step(self, q_des: Vector, v_des: Vector, dt: float) -> None:
        """Move ``q`` and ``v`` one cycle towards the wanted posture."""
        error = q_des - self.q
        distance = np.abs(error)
        speed = np.minimum(self._rate_1_s * distance, np.sqrt(2.0 * self._a_max * distance))
        v_des = np.clip(v_des, -self._v_max, self._v_max)
        wanted = np.clip(v_des + np.sign(error) * speed, -self._v_max, self._v_max)
        self.v = self.v + np.clip(wanted - self.v, -self._a_max * dt, self._a_max * dt)
        self.q = self.q + self.v * dt


def _shortened(x: list[float], limit: float) -> list[float]:
    """A vector of at most the length ``limit``, its direction kept; zero if it has no finite length."""
    norm = math.hypot(*x)
    if not norm < math.inf:  # absurd input must not leave a NaN behind that stays for good
        return [0.0] * len(x)
    return x if norm <= limit else [a * (limit / norm) for a in x]


def orthonormal(R: Vector) -> Vector:
    """One Newton step towards the nearest rotation: undoes the rounding of repeated products."""
    return np.asarray(1.5 * R - 0.5 * R @ (R.T @ R))
