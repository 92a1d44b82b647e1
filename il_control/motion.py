"""Motion of arms that take positions or velocities: within the limits, and without a step."""

from __future__ import annotations

import numpy as np

from il_control.limits import JointLimits
from il_control.reasons import Reason
from il_core.types import Vector


class MotionLimiter:
    r"""Turns wanted joint motion into motion within the limits of position, velocity and acceleration.

    A joint with the speed :math:`v` needs at most :math:`v^2/2a + v\,\Delta t/2 + a\,\Delta t^2/8` to
    stop when its speed falls by :math:`a\,\Delta t` per cycle, so within a distance :math:`d` it may have

    .. math:: v(d) = a\left(-\tfrac{\Delta t}{2} + \sqrt{\tfrac{\Delta t^2}{4} + \tfrac{2 d'}{a}}\right),
              \qquad d' = \max(0, d - a\,\Delta t^2 / 8)

    and every later cycle can brake in time (sum of an arithmetic series, bounded from above).
    """

    def __init__(self, limits: JointLimits) -> None:
        """Take the limits."""
        self._limits = limits
        self._v_step = limits.a_max * limits.dt
        self._slack = limits.a_max * limits.dt**2 / 8

    def towards(self, q: Vector, v: Vector, q_des: Vector, v_target: Vector, reasons: set[Reason]) -> Vector:
        """Velocity of this cycle on the way to a target that itself moves, (nq,) [rad/s].

        Args:
            q: Where the last setpoint was, (nq,) [rad].
            v: Its velocity, (nq,) [rad/s].
            q_des: Wanted position, within the limits, (nq,) [rad].
            v_target: How fast that moves, (nq,) [rad/s].
            reasons: Gets what had to be limited.
        """
        limits = self._limits
        error = q_des - q
        way, side = np.abs(error), np.sign(error)
        closing = np.minimum(way / limits.dt, self._stoppable(way) + side * v_target)
        return self.within(q, v, side * closing, reasons)

    def within(self, q: Vector, v: Vector, v_des: Vector, reasons: set[Reason]) -> Vector:
        """Velocity nearest to the wanted one within all limits, (nq,) [rad/s].

        Args:
            q: Position it starts from, (nq,) [rad].
            v: Velocity of the last cycle, (nq,) [rad/s].
            v_des: Wanted velocity, (nq,) [rad/s].
            reasons: Gets what had to be limited.
        """
        limits = self._limits
        fast = self.slowed(v_des, reasons)
        down, up = self._stoppable(q - limits.q_min - self._slack), self._stoppable(limits.q_max - q - self._slack)
        stoppable = np.minimum(np.maximum(fast, -down), up)
        reachable = np.minimum(np.maximum(stoppable, v - self._v_step), v + self._v_step)
        if (stoppable != fast).any():
            reasons.add(Reason.POSITION_LIMIT)
        if (reachable != stoppable).any():
            reasons.add(Reason.ACCELERATION_LIMIT)
        return np.asarray(reachable)

    def reachable(self, q: Vector, v: Vector) -> tuple[Vector, Vector]:
        """Lowest and highest velocity of this cycle within all limits, each (nq,) [rad/s]; see :meth:`within`."""
        limits = self._limits
        down = np.minimum(self._stoppable(q - limits.q_min - self._slack), limits.v_max)
        up = np.minimum(self._stoppable(limits.q_max - q - self._slack), limits.v_max)
        low, high = v - self._v_step, v + self._v_step
        return np.minimum(np.maximum(-down, low), high), np.minimum(np.maximum(up, low), high)

    def slowed(self, v_des: Vector, reasons: set[Reason]) -> Vector:
        """The velocity, no joint faster than its limit, (nq,) [rad/s]."""
        slow = np.minimum(np.maximum(v_des, -self._limits.v_max), self._limits.v_max)
        if (slow != v_des).any():
            reasons.add(Reason.VELOCITY_LIMIT)
        return np.asarray(slow)

    def _stoppable(self, distance: Vector) -> Vector:
        """The speed v(d) of the class, (nq,) [rad/s]; the small term is the caller's."""
        limits = self._limits
        room = np.maximum(distance, 0.0)
        half = limits.dt / 2
        return np.asarray(limits.a_max * (np.sqrt(half * half + 2 * room / limits.a_max) - half))


class MotionStream:
    """The setpoints sent so far, and the next one; continuous, wherever the wish jumps.

    Attributes:
        q: Where the last setpoint was, (nq,) [rad].
        v: Its velocity, (nq,) [rad/s].
        is_begun: Whether there is one.
    """

    def __init__(self, limits: JointLimits) -> None:
        """Wait for :meth:`begin`."""
        self._limits, self.limiter = limits, MotionLimiter(limits)
        self.begin(np.zeros_like(limits.q_min))
        self.is_begun = False

    def begin(self, q: Vector) -> None:
        """Begin at rest at a posture, (nq,) [rad]."""
        self.q = self._q_des = np.array(q)
        self.v = np.zeros_like(self.q)
        self.is_begun = True

    def follow(self, q_des: Vector, reasons: set[Reason]) -> Vector:
        """Velocity towards a target, (nq,) [rad/s]; how fast that moves is taken from its last place."""
        limits = self._limits
        allowed = np.minimum(np.maximum(q_des, limits.q_min), limits.q_max)
        if (allowed != q_des).any():
            reasons.add(Reason.TARGET_LIMIT)
        moves = np.minimum(np.maximum((allowed - self._q_des) / limits.dt, -limits.v_max), limits.v_max)
        self._q_des = allowed
        return self.limiter.towards(self.q, self.v, allowed, moves, reasons)

    def advance(self, v: Vector) -> Vector:
        """Go on for one cycle; return the position then, (nq,) [rad].

        An arm that begins beyond a limit comes back, and never goes further out.
        """
        limits, q = self._limits, self.q
        low, high = np.minimum(limits.q_min, q), np.maximum(limits.q_max, q)
        self.q = np.minimum(np.maximum(q + v * limits.dt, low), high)
        self.v = v
        return self.q
