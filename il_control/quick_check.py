"""One comparison that tells whether a cycle is in order: the usual case must cost next to nothing."""

from __future__ import annotations

import math

import numpy as np

from il_control.barrier import SPEED_SHARE, Workspace
from il_control.limits import ACCELERATION_FILTER_S, JointLimits
from il_control.model import ArmModel
from il_core.types import ArmState, Vector

HUGE = 1e6  # N·m: no gravity torque is as large; what compares false here is no number


class QuickCheck:
    """Whether state and torque lie inside every limit, decided by one comparison of one long vector.

    Whatever is not a number compares false. True means that every check of the gate would pass; false means
    that the checks have to be made.
    """

    def __init__(self, limits: JointLimits, model: ArmModel | None, space: Workspace | None) -> None:
        """Lay out the vector: q, v, change of v, torque, change of torque, bias, the tool."""
        self._n = n = len(limits.q_min)
        self._shape = (n,)
        self._model = model if space is not None else None
        inner_min, inner_max = limits.q_min + limits.margin, limits.q_max - limits.margin
        parts = [
            ((inner_min + inner_max) / 2, (inner_max - inner_min) / 2),
            (np.zeros(n), limits.v_max),
            (np.zeros(n), limits.a_max * ACCELERATION_FILTER_S),
            (np.zeros(n), limits.tau_max),
            (np.zeros(n), limits.tau_step),
            (np.zeros(n), np.full(n, HUGE)),
        ]
        if space is not None and model is not None:
            parts += _tool_limits(space)
            self._horizon_s = space.horizon_s
        self._centre, self._half = (np.concatenate(x) for x in zip(*parts, strict=True))
        self._values = np.zeros_like(self._centre)
        self._gap = np.zeros_like(self._centre)
        self._is_in = np.zeros(len(self._centre), dtype=bool)
        self._v_slow: Vector | None = None
        self._share = limits.dt / ACCELERATION_FILTER_S

    def acceleration(self, v: Vector) -> Vector:
        """Measured acceleration of the last cycle, (nq,) [rad/s²]; zero before there are two."""
        return np.zeros(self._n) if self._v_slow is None else (v - self._v_slow) / ACCELERATION_FILTER_S

    def observe(self, v: Vector) -> None:
        r"""Take the velocities of a cycle: :math:`a \approx (v - v_f)/T` with :math:`\dot v_f = (v - v_f)/T`."""
        if self._v_slow is None:
            self._v_slow = np.array(v)
        else:
            self._v_slow += self._share * (v - self._v_slow)

    def forget(self) -> None:
        """Begin anew: the last velocity and torque belong to another moment."""
        self._v_slow = None

    def passes(self, state: ArmState, tau: Vector, bias: Vector, tau_last: Vector) -> bool:
        """Whether nothing has to be looked at; sizes may be anything."""
        shape = self._shape
        if state.q.shape != shape or tau.shape != shape or bias.shape != shape or self._v_slow is None:
            return False
        n, x = self._n, self._values
        x[:n] = state.q
        x[n : 2 * n] = state.v
        np.subtract(state.v, self._v_slow, out=x[2 * n : 3 * n])
        x[3 * n : 4 * n] = tau
        np.subtract(tau, tau_last, out=x[4 * n : 5 * n])
        x[5 * n : 6 * n] = bias
        if self._model is not None:
            p, twist = x[6 * n : 6 * n + 3], x[6 * n + 3 : 6 * n + 9]
            p[:] = self._model.T_base_ee[:3, 3]
            np.dot(self._model.J_ee_aligned, state.v, out=twist)
            np.multiply(twist[:3], self._horizon_s, out=x[6 * n + 9 :])
            x[6 * n + 9 :] += p
        np.subtract(x, self._centre, out=self._gap)
        np.abs(self._gap, out=self._gap)
        np.less_equal(self._gap, self._half, out=self._is_in)
        return bool(self._is_in.all())


def _tool_limits(space: Workspace) -> list[tuple[Vector, Vector]]:
    r"""Centre and half width for position, velocity and coming position of the tool.

    A velocity below :math:`1/\sqrt 3` of its limit along every axis is below it in all.
    """
    low, high = np.maximum(space.low, -HUGE), np.minimum(space.high, HUGE)
    centre, half = (low + high) / 2, (high - low) / 2
    speed = [min(HUGE, s * SPEED_SHARE / math.sqrt(3)) for s in space.speed_max]
    return [(centre, half - space.width_m), (np.zeros(6), np.repeat(speed, 3)), (centre, half)]
