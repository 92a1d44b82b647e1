"""A feedback of every joint for arms that take positions or velocities, not torques."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from il_core.errors import ConfigError, ShapeError
from il_core.types import Vector


@dataclass(frozen=True, slots=True)
class PidConfig:
    """Gains and bounds, one of each per joint; y stands for the unit of the output.

    For a velocity interface y is rad/s, the output is the velocity to send, and ``k_ff`` is 1. For a position
    interface y is rad, the output is added to the wanted position, and ``k_ff`` is the time by which the
    arm's own servo lags [s].

    Attributes:
        k_p: Proportional gain, (nq,) [y/rad].
        k_i: Integral gain, (nq,) [y/(rad·s)].
        k_d: Derivative gain, (nq,) [y/(rad/s)].
        k_ff: Gain of the target's velocity, (nq,) [y/(rad/s)].
        output_max: Largest output either way, (nq,) [y].
        filter_s: Time constant of the derivative's filter [s].
        tracking_s: Time constant with which a saturated integrator is led back [s].
    """

    k_p: tuple[float, ...]
    k_i: tuple[float, ...]
    k_d: tuple[float, ...]
    k_ff: tuple[float, ...]
    output_max: tuple[float, ...]
    filter_s: float = 0.01
    tracking_s: float = 0.1

    def __post_init__(self) -> None:
        """Reject gains that cannot be.

        Raises:
            ConfigError: lengths differ, a gain is negative, or a bound or time constant is not positive.
        """
        for field in fields(self)[:5]:
            values = getattr(self, field.name)
            if len(values) != len(self.k_p) or not values:
                raise ConfigError("pid", f"'{field.name}' has {len(values)} values, k_p has {len(self.k_p)}")
            if not all(0.0 <= value < math.inf for value in values):
                raise ConfigError("pid", f"'{field.name}' must be finite and not negative, got {values}")
        if not min(*self.output_max, self.filter_s, self.tracking_s) > 0.0:
            raise ConfigError("pid", "output_max, filter_s and tracking_s must be positive")


class Pid:
    r"""Proportional, integral and derivative feedback with feed-forward, in each joint by itself.

    .. math:: u &= k_{ff} v^{des} + k_p (q^{des} - q) + I + k_d\, d \\
              T_f \dot d &= v^{des} - \dot q - d \\
              \dot I &= k_i (q^{des} - q) + (\mathrm{sat}(u) - u) / T_t

    The derivative is that of the measurement, not of the error: a step of the target does not kick.
    The target's velocity goes through the same filter, so that a target moving steadily is not braked.
    The filter is stepped exactly for a rate that is constant between two calls.

    While the output saturates, the integrator is led back with the time constant :math:`T_t`
    (back-calculation: Åström, Hägglund, "Advanced PID Control", ISA 2006, sec. 3.5). At rest in saturation
    the output before the bound exceeds it by :math:`T_t k_i |q^{des} - q|`, however long it lasts.

    Attributes:
        integral: :math:`I`, (nq,) [y].
        output: Last output, (nq,) [y].
    """

    def __init__(self, config: PidConfig) -> None:
        """Take the gains; everything remembered is zero."""
        self.config = config
        self.nq = len(config.k_p)
        self._k_p, self._k_i, self._k_d = np.array(config.k_p), np.array(config.k_i), np.array(config.k_d)
        self._k_ff, self._max = np.array(config.k_ff), np.array(config.output_max)
        self._is_leaking = self._k_i == 0.0
        self.integral, self.output = np.zeros(self.nq), np.zeros(self.nq)
        self._rate = np.zeros(self.nq)
        self._q: Vector | None = None

    def reset(self, q: Vector, q_des: Vector, v_des: Vector, output: Vector | None = None) -> None:
        """Take over without a jump: for these inputs the next output is the given one.

        What the gains would not give by themselves is put into the integrator, which then works it off. In
        joints without integral gain it fades with the tracking time constant.

        Args:
            q: Measured positions, (nq,) [rad].
            q_des: Wanted positions, (nq,) [rad].
            v_des: Wanted velocities, (nq,) [rad/s].
            output: Output to go on from, (nq,) [y], clipped to the bounds; None is zero.

        Raises:
            ShapeError: an array is not (nq,).
            ConfigError: a number is not finite.
        """
        wanted = np.zeros(self.nq) if output is None else np.asarray(output, dtype=np.float64)
        for name, value in (("q", q), ("q_des", q_des), ("v_des", v_des), ("output", wanted)):
            if np.shape(value) != (self.nq,):
                raise ShapeError(name, expected=f"({self.nq},)", got=np.shape(value))
            if not np.isfinite(value).all():
                raise ConfigError("pid", f"cannot take over from {name} {value}: not finite")
        self.output = np.clip(wanted, -self._max, self._max)
        self._rate, self._q = np.zeros(self.nq), None  # as if the arm moved as it is wanted to
        self.integral = self.output - self._k_ff * v_des - self._k_p * (q_des - q)

    def step(self, q: Vector, q_des: Vector, v_des: Vector, dt: float) -> Vector:
        """Output of this cycle.

        A cycle with a number that is not finite, or without time passed, is not taken: the last output stays.

        Args:
            q: Measured positions, (nq,) [rad].
            q_des: Wanted positions, (nq,) [rad].
            v_des: Wanted velocities, (nq,) [rad/s].
            dt: Time since the last call, positive [s].

        Returns:
            Output within the bounds, (nq,) [y].
        """
        if not dt > 0.0:
            return self.output
        rate, error = self._rate, q_des - q
        if self._q is not None:
            rate = rate - math.expm1(-dt / self.config.filter_s) * (v_des - (q - self._q) / dt - rate)
        wanted = self._k_ff * v_des + self._k_p * error + self.integral + self._k_d * rate
        if not math.isfinite(float(wanted @ wanted)):  # one number for all: what is not finite spreads
            return self.output
        self._rate, self._q = rate, q.copy()
        self.output = np.minimum(np.maximum(wanted, -self._max), self._max)
        lead = np.where(self._is_leaking, -self.integral, self.output - wanted)
        self.integral = self.integral + dt * self._k_i * error - math.expm1(-dt / self.config.tracking_s) * lead
        return self.output
