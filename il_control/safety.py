"""The last check between a wish and a motor: the only place that makes a Setpoint."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from il_control.config import ControlConfig
from il_core.spec import RobotSpec
from il_core.types import ArmState, Setpoint, Vector


class Reason(str, Enum):
    """Why a cycle sent something else than was asked for."""

    NON_FINITE = "non-finite or wrongly sized torque: gravity compensation and damping instead"
    POSITION_LIMIT = "joint near its position limit: pushed back"
    TARGET_LIMIT = "joint target beyond the position limits: taken to the limit"
    VELOCITY_LIMIT = "joint above its speed limit: braked"
    TORQUE_LIMIT = "torque clipped to the joint's limit"
    TORQUE_RATE = "torque change clipped to the joint's limit"
    STALE_STATE = "joint state too old: gravity compensation and damping instead"
    STALE_PLAN = "plan or teleoperation too old: holding"
    STATE_JUMP = "measured posture jumped: holding at the new one"
    CLOCK_JUMP = "clock jumped: plans forgotten, holding"
    BAD_GRIPPER = "gripper target is not a number: left where it was"


class SafetyGate:
    """Clips or replaces torques so that what leaves is finite and inside every joint's limits.

    Not a certified safety function: the arm's own controller and the emergency stop are.
    """

    def __init__(self, robot: RobotSpec, config: ControlConfig) -> None:
        """Take the limits from the robot, cushion and braking from the configuration."""
        self._q_min = np.array(robot.q_min_rad) + config.limit_margin_rad
        self._q_max = np.array(robot.q_max_rad) - config.limit_margin_rad
        self._v_max = np.array(robot.v_max_rad_s)
        self._tau_max = np.array(robot.tau_max_nm)
        self._tau_step = np.array(robot.tau_rate_max_nm_s) * config.dt
        self._k_limit, self._d_limit = config.limit_stiffness_nm_rad, config.limit_damping_nms_rad
        self._d_fallback = np.array(config.joint_damping_nms_rad)
        self._tau_last: Vector | None = None
        self._gripper_last = 1.0

    def setpoint(self, state: ArmState, tau: Vector, gripper: float, bias: Vector, reasons: set[Reason]) -> Setpoint:
        """Check one cycle's torque.

        Args:
            state: Measured state.
            tau: Wanted torque, (nq,) [N·m]; anything else is replaced.
            gripper: Wanted opening in [0, 1].
            bias: Coriolis and gravity torque at the state, (nq,) [N·m].
            reasons: Gets the reason of every intervention added; NON_FINITE or STALE_STATE already
                in it ask for the fallback.

        Returns:
            A torque that is finite, within the torque limits, and within the torque-rate limit of
            the last one.
        """
        tau = np.asarray(tau, dtype=np.float64)
        if tau.shape != self._tau_max.shape or not _is_finite(tau):
            reasons.add(Reason.NON_FINITE)
        if np.shape(bias) != self._tau_max.shape or not _is_finite(bias):
            reasons.add(Reason.NON_FINITE)
            bias = np.zeros_like(self._tau_max) if self._tau_last is None else self._tau_last
        if reasons & {Reason.NON_FINITE, Reason.STALE_STATE}:
            tau = bias - self._d_fallback * state.v
        tau = self._braked(state.v, self._cushioned(state, tau, bias, reasons), bias, reasons)
        limited = self._limited(tau, bias, reasons)
        self._tau_last = limited
        return Setpoint(state.stamp_ns, limited, self._opening(gripper, reasons))

    def _limited(self, tau: Vector, bias: Vector, reasons: set[Reason]) -> Vector:
        """Torque within the limits, and within reach of the last one."""
        last = self._tau_last
        if last is None:  # the arm is presumed to be held against gravity when we begin
            last = np.clip(bias, -self._tau_max, self._tau_max)
        low = np.maximum(-self._tau_max, last - self._tau_step)
        high = np.minimum(self._tau_max, last + self._tau_step)
        limited = np.minimum(np.maximum(tau, low), high)
        changed = limited != tau
        if changed.any():
            is_beyond = np.abs(tau) > self._tau_max
            if is_beyond.any():
                reasons.add(Reason.TORQUE_LIMIT)
            if (changed & (np.abs(limited) < self._tau_max)).any():
                reasons.add(Reason.TORQUE_RATE)
        return np.asarray(limited)

    def _cushioned(self, state: ArmState, tau: Vector, bias: Vector, reasons: set[Reason]) -> Vector:
        """Near a position limit: allow no push further out, add a spring and a damper inward."""
        over = state.q - np.minimum(np.maximum(state.q, self._q_min), self._q_max)
        if not over.any():
            return tau
        reasons.add(Reason.POSITION_LIMIT)
        outward = np.sign(over)
        push = (tau - bias) * outward  # positive: towards the limit
        speed = np.maximum(state.v * outward, 0.0)
        back = -outward * (self._k_limit * np.abs(over) + self._d_limit * speed)
        return np.where(over != 0.0, bias + outward * np.minimum(push, 0.0) + back, tau)

    def _braked(self, v: Vector, tau: Vector, bias: Vector, reasons: set[Reason]) -> Vector:
        """Above the speed limit: allow no push in that direction, add braking."""
        fast = np.abs(v) > self._v_max
        if not fast.any():
            return tau
        reasons.add(Reason.VELOCITY_LIMIT)
        direction = np.sign(v)
        push = (tau - bias) * direction
        brake = self._d_limit * (np.abs(v) - self._v_max)
        return np.where(fast, bias + direction * (np.minimum(push, 0.0) - brake), tau)

    def _opening(self, gripper: float, reasons: set[Reason]) -> float:
        """A finite opening in [0, 1]."""
        if gripper != gripper or abs(gripper) == float("inf"):
            reasons.add(Reason.BAD_GRIPPER)
        else:
            self._gripper_last = min(1.0, max(0.0, float(gripper)))
        return self._gripper_last


def _is_finite(x: Vector) -> bool:
    """Whether every element is a finite number; the maximum of anything with NaN is NaN."""
    return math.isfinite(float(np.abs(x).max()))
