"""Limits of the joints, for arms that take torques, positions or velocities."""

from __future__ import annotations

import numpy as np

from il_control.config import ControlConfig
from il_control.reasons import Reason
from il_core.spec import RobotSpec
from il_core.types import ArmState, Vector

ACCELERATION_FILTER_S = 0.01  # over which velocities are differenced: 0.02 rad/s of noise is then 3 rad/s²
EASING_S = 0.04  # in which a push is weakened: four times that filter, so that the loop does not swing


class JointLimits:
    """What the joints may do, per cycle; all arrays (nq,).

    Attributes:
        q_min: Lowest position [rad].
        q_max: Highest position [rad].
        v_max: Highest speed [rad/s].
        a_max: Highest acceleration [rad/s²]; the robot's, else the one of the targets.
        tau_max: Highest torque [N·m].
        tau_step: Largest change of the torque from one cycle to the next [N·m].
        margin: Width of the cushion before a position limit [rad].
        dt: Control period [s].
    """

    def __init__(self, robot: RobotSpec, config: ControlConfig) -> None:
        """Combine the robot's limits with the configured period."""
        self.dt = config.dt
        self.margin = config.limit_margin_rad
        self.q_min, self.q_max = np.array(robot.q_min_rad), np.array(robot.q_max_rad)
        self.v_max = np.array(robot.v_max_rad_s)
        self.a_max = np.array(robot.a_max_rad_s2 or [config.acceleration_max_rad_s2] * robot.nq)
        self.tau_max = np.array(robot.tau_max_nm)
        self.tau_step = np.array(robot.tau_rate_max_nm_s) * config.dt


class TorqueLimiter:
    """Cushions, brakes, eases and clips torques.

    Attributes:
        is_easing: Whether a push is still weakened for the acceleration it caused.
    """

    def __init__(self, limits: JointLimits, stiffness_nm_rad: float, damping_nms_rad: float) -> None:
        """Take the limits, the stiffness of the cushion, and the damping of cushion and brake."""
        self._limits = limits
        self._k, self._d = stiffness_nm_rad, damping_nms_rad
        self._ease = np.ones_like(limits.q_min)
        self.is_easing = False
        self._low, self._high = limits.q_min + limits.margin, limits.q_max - limits.margin

    def soften(self, state: ArmState, acceleration: Vector, tau: Vector, bias: Vector, reasons: set[Reason]) -> Vector:
        """Let no push go on where the joint is at a limit of position, speed or acceleration."""
        tau = self._cushioned(state, tau, bias, reasons)
        tau = self._braked(state.v, tau, bias, reasons)
        return self._eased(acceleration, tau, bias, reasons)

    def clip(self, tau: Vector, bias: Vector, last: Vector | None, reasons: set[Reason]) -> Vector:
        """Torque within the limits, and within reach of the last one, (nq,) [N·m]."""
        limits = self._limits
        if last is None:  # the arm is presumed to be held against gravity when we begin
            last = np.clip(bias, -limits.tau_max, limits.tau_max)
        low = np.maximum(-limits.tau_max, last - limits.tau_step)
        high = np.minimum(limits.tau_max, last + limits.tau_step)
        limited = np.minimum(np.maximum(tau, low), high)
        changed = limited != tau
        if changed.any():
            if (np.abs(tau) > limits.tau_max).any():
                reasons.add(Reason.TORQUE_LIMIT)
            if (changed & (np.abs(limited) < limits.tau_max)).any():
                reasons.add(Reason.TORQUE_RATE)
        return np.asarray(limited)

    def _cushioned(self, state: ArmState, tau: Vector, bias: Vector, reasons: set[Reason]) -> Vector:
        """Near a position limit: allow no push further out, add a spring and a damper inward."""
        over = state.q - np.minimum(np.maximum(state.q, self._low), self._high)
        if not over.any():
            return tau
        reasons.add(Reason.POSITION_LIMIT)
        outward = np.sign(over)
        push = (tau - bias) * outward  # positive: towards the limit
        speed = np.maximum(state.v * outward, 0.0)
        back = -outward * (self._k * np.abs(over) + self._d * speed)
        return np.where(over != 0.0, bias + outward * np.minimum(push, 0.0) + back, tau)

    def _braked(self, v: Vector, tau: Vector, bias: Vector, reasons: set[Reason]) -> Vector:
        """Above the speed limit: allow no push in that direction, add braking."""
        fast = np.abs(v) > self._limits.v_max
        if not fast.any():
            return tau
        reasons.add(Reason.VELOCITY_LIMIT)
        direction = np.sign(v)
        push = (tau - bias) * direction
        brake = self._d * (np.abs(v) - self._limits.v_max)
        return np.where(fast, bias + direction * (np.minimum(push, 0.0) - brake), tau)

    def _eased(self, acceleration: Vector, tau: Vector, bias: Vector, reasons: set[Reason]) -> Vector:
        r"""Weaken a push that accelerates its joint beyond the limit, until it no longer does.

        .. math:: \tau' = h + \frac{r}{\max(1, |a| / a_{max})} (\tau - h), \qquad
                  T_r\,\frac{d}{dt} \ln r = \ln \frac{a_{max}}{|a|}, \quad r \le 1

        with the bias :math:`h`. What is measured counts, not what the torque would do to a free arm:
        pressing on something takes torque without accelerating.
        """
        share = np.abs(acceleration) / self._limits.a_max
        push = tau - bias
        along = np.sign(push) * np.sign(acceleration) > 0.0
        if not self.is_easing and not (along & (share > 1.0)).any():
            return tau
        change = np.clip(-np.log(np.maximum(share, 1e-3)), -2.0, 1.0)
        change[~along] = 1.0
        self._ease = np.minimum(self._ease * np.exp(change * (self._limits.dt / EASING_S)), 1.0)
        self.is_easing = bool((self._ease < 1.0).any())
        if (along & (share > 1.0)).any():
            reasons.add(Reason.ACCELERATION_LIMIT)
        factor = self._ease / np.maximum(share, 1.0)
        return np.where(along, bias + factor * push, tau)
