"""The last check between a wish and a motor: the only place that makes a Setpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from il_control.barrier import Border, Workspace, bounded_torque, bounded_velocity
from il_control.collision import CollisionMonitor
from il_control.config import ControlConfig
from il_control.inputs import UNKNOWN, Context, InputWatch
from il_control.limits import JointLimits, TorqueLimiter
from il_control.model import ArmModel
from il_control.motion import MotionStream
from il_control.quick_check import QuickCheck
from il_control.reasons import Behaviour, Reason, behaviour_table
from il_control.stop import StopLatch
from il_core.errors import ConfigError, ShapeError
from il_core.spec import RobotSpec
from il_core.types import ArmState, Setpoint, Vector

__all__ = ["Reason", "SafetyGate"]


class SafetyGate:
    """Clips or replaces what is wished so that what leaves is finite and inside every limit.

    Not a certified safety function: the arm's own controller and the emergency stop are. What is
    checked, and what happens then, is listed in docs/safety.md.
    """

    def __init__(
        self,
        robot: RobotSpec,
        config: ControlConfig,
        model: ArmModel | None = None,
        collision: CollisionMonitor | None = None,
    ) -> None:
        """Take limits and thresholds.

        Args:
            robot: The arm.
            config: Its settings.
            model: Model of the arm, updated by the caller before each setpoint. Without it neither
                the workspace nor the speed of the tool is checked, and no collision is avoided.
            collision: Distances to watch; None: none.

        Raises:
            ConfigError: ``collision`` without ``model``.
        """
        safety = config.safety
        if collision is not None and model is None:
            raise ConfigError("SafetyGate", "avoiding collisions needs the model of the arm; give both")
        self._model, self._collision = model, collision
        self.limits = limits = JointLimits(robot, config)
        self._torque = TorqueLimiter(limits, config.limit_stiffness_nm_rad, config.limit_damping_nms_rad)
        self._stream = MotionStream(limits)
        self._space = Workspace.of(safety) if model is not None else None
        self._quick = QuickCheck(limits, model, self._space)
        self._inputs = InputWatch(safety, config.max_state_age_ms)
        self._table = behaviour_table(safety.behaviours)
        self._latch = StopLatch(self._table)
        self._safety = safety
        self._shape = limits.q_min.shape
        self._k_hold = np.array(config.joint_stiffness_nm_rad)
        self._d_stop = np.array(config.joint_damping_nms_rad)
        self._q_hold: Vector | None = None
        self._tau_last: Vector | None = None
        self._gripper_last = 1.0

    @property
    def is_stopped(self) -> bool:
        """Whether the arm is stopped until :meth:`resume`."""
        return self._latch.is_latched

    @property
    def causes(self) -> tuple[Reason, ...]:
        """Why it is stopped."""
        return self._latch.causes

    @property
    def force_n(self) -> float:
        """Contact force of the last cycle [N]; 0 where it is not monitored."""
        return self._inputs.force_n

    def resume(self) -> str:
        """Let the arm move again after a latched stop: the operator's call, never a program's.

        Returns:
            Empty if it may move, else why not: the cause is still there.
        """
        return self._latch.resume()

    def stop(self, causes: Iterable[Reason]) -> None:
        """Stop until :meth:`resume`; see :meth:`il_control.stop.StopLatch.latch`."""
        self._latch.latch(causes)

    def reset(self) -> None:
        """Begin anew at the next measured state: for an arm that was switched on, or moved, meanwhile."""
        self._tau_last = self._q_hold = None
        self._stream.is_begun = False
        self._find_anew()

    def setpoint(
        self,
        state: ArmState,
        tau: Vector,
        gripper: float,
        bias: Vector,
        reasons: set[Reason],
        context: Context = UNKNOWN,
    ) -> Setpoint:
        """Check one cycle's torque.

        Args:
            state: Measured state.
            tau: Wanted torque, (nq,) [N·m]; anything else is replaced.
            gripper: Wanted opening in [0, 1].
            bias: Coriolis and gravity torque at the state, (nq,) [N·m].
            reasons: Gets the reason of every intervention added. Those already in it count too, except
                that who adds a reason to hold sends a torque that holds.
            context: Instants and forces of the cycle; what is not known is not checked.

        Returns:
            A torque that is finite, within the torque limits, and within the torque-rate limit of
            the last one.
        """
        tau, bias = np.asarray(tau, dtype=np.float64), np.asarray(bias, dtype=np.float64)
        is_sized = state.q.shape == self._shape
        given = frozenset(reasons)
        reasons |= self._inputs.check(state, context)
        if Reason.STATE_JUMP in reasons:
            self._find_anew()
        borders = self._collision.watch(state.q, state.v) if self._collision is not None and is_sized else []
        last = self._tau_last
        is_open = reasons or borders or self._latch.causes or self._torque.is_easing
        if last is None or is_open or not self._quick.passes(state, tau, bias, last):
            sent = self._checked_torque(state, tau, bias, borders, reasons, given)
        else:
            sent, self._q_hold = tau.copy(), None
            if self._space is not None:
                self._space.is_inside()
        self._tau_last = sent
        if is_sized:
            self._quick.observe(state.v)
        return Setpoint(state.stamp_ns, sent, self._opening(gripper, reasons))

    def position_setpoint(
        self, state: ArmState, q_des: Vector, gripper: float, reasons: set[Reason], context: Context = UNKNOWN
    ) -> Setpoint:
        """Check one cycle's joint positions; see :meth:`setpoint`.

        Args:
            state: Measured state; the first setpoint starts from it.
            q_des: Wanted positions, (nq,) [rad]; anything else stops the arm.
            gripper: Wanted opening in [0, 1].
            reasons: As in :meth:`setpoint`. Every stop brakes within the acceleration limits and stays:
                an arm that takes positions cannot be compliant.
            context: As in :meth:`setpoint`.

        Returns:
            Positions within the limits, whose first and second differences are within the limits of
            speed and acceleration.

        Raises:
            ShapeError: the very first state is of the wrong size.
        """
        given = frozenset(reasons)
        reasons |= self._inputs.check(state, context)
        self._begin(state, reasons)
        v = self._stream.follow(self._vector(q_des, self._stream.q, reasons), reasons)
        q = self._stream.advance(self._checked_velocity(state, self._stream.q, v, reasons, given))
        return Setpoint(state.stamp_ns, None, self._opening(gripper, reasons), q_des=q.copy())

    def velocity_setpoint(
        self, state: ArmState, v_des: Vector, gripper: float, reasons: set[Reason], context: Context = UNKNOWN
    ) -> Setpoint:
        """Check one cycle's joint velocities, (nq,) [rad/s]; see :meth:`position_setpoint`."""
        given = frozenset(reasons)
        reasons |= self._inputs.check(state, context)
        self._begin(state, reasons)
        stream, rest = self._stream, np.zeros(self._shape)
        stream.q = self._vector(state.q, stream.q, reasons)  # where it is counts: the arm integrates
        stream.v = self._checked_velocity(state, stream.q, self._vector(v_des, rest, reasons), reasons, given)
        return Setpoint(state.stamp_ns, None, self._opening(gripper, reasons), v_des=stream.v.copy())

    def _checked_torque(
        self,
        state: ArmState,
        tau: Vector,
        bias: Vector,
        borders: list[Border],
        reasons: set[Reason],
        given: frozenset[Reason],
    ) -> Vector:
        """Make every check that the quick one left open."""
        is_sized = state.q.shape == self._shape
        held = np.zeros(self._shape) if self._tau_last is None else self._tau_last
        bias = self._vector(bias, held, reasons)
        tau = self._vector(tau, bias, reasons)
        if not is_sized:
            reasons.add(Reason.NON_FINITE)
            self._latch.update(reasons)
            return self._torque.clip(bias, bias, self._tau_last, reasons)
        tau = self._softened(state, tau, bias, borders, reasons)
        behaviour = self._decide(reasons, given)
        if behaviour.strength >= Behaviour.COMPLIANT_STOP.strength:
            tau = self._softened(state, bias - self._d_stop * state.v, bias, borders, reasons)
        elif behaviour is Behaviour.HOLD:
            self._q_hold = state.q if self._q_hold is None else self._q_hold
            stiff = bias + self._k_hold * (self._q_hold - state.q) - self._d_stop * state.v
            tau = self._softened(state, stiff, bias, borders, reasons)
        if behaviour is not Behaviour.HOLD:
            self._q_hold = None
        tau = self._vector(tau, bias, reasons)  # a state beyond all bounds makes torques beyond all bounds
        return self._torque.clip(tau, bias, self._tau_last, reasons)

    def _decide(self, reasons: set[Reason], given: frozenset[Reason]) -> Behaviour:
        """What to do in this cycle; who gave a reason to hold sees to that itself."""
        behaviour = self._latch.update(reasons)
        if behaviour is Behaviour.HOLD:
            is_ours = any(self._table[r] is Behaviour.HOLD for r in reasons - given)
            return Behaviour.HOLD if is_ours else Behaviour.CLIP
        return behaviour

    def _softened(
        self, state: ArmState, tau: Vector, bias: Vector, borders: list[Border], reasons: set[Reason]
    ) -> Vector:
        """Torque that pushes no further out of joint limits, workspace and free space."""
        tau = self._torque.soften(state, self._quick.acceleration(state.v), tau, bias, reasons)
        if self._model is None or Reason.STALE_STATE in reasons:  # where the arm is, is not known
            return tau
        borders = borders + self._tool_borders(self._model, state.v)
        if not borders:
            return tau
        time_s = self._safety.barrier_time_s
        free, hit = bounded_torque(tau - bias, state.v, borders, self._model.mass_matrix(), time_s)
        reasons |= hit
        return bias + free

    def _checked_velocity(
        self, state: ArmState, q: Vector, v_des: Vector, reasons: set[Reason], given: frozenset[Reason]
    ) -> Vector:
        """Velocity within all limits from a position on, or towards rest, (nq,) [rad/s]."""
        limiter, last = self._stream.limiter, self._stream.v
        if self._model is not None and state.q.shape == self._shape and Reason.STALE_STATE not in reasons:
            near = self._collision.watch(state.q, state.v) if self._collision is not None else []
            v_des = limiter.slowed(v_des, reasons)
            v_des, hit = bounded_velocity(v_des, near + self._tool_borders(self._model, v_des))
            v_des = self._vector(v_des, np.zeros(self._shape), reasons)
            reasons |= hit
        v = limiter.within(q, last, v_des, reasons)
        if self._decide(reasons, given) is Behaviour.CLIP:
            return v
        return limiter.within(q, last, np.zeros(self._shape), reasons)

    def _find_anew(self) -> None:
        """Forget where the arm was."""
        self._quick.forget()
        if self._space is not None:
            self._space.reset()
        if self._collision is not None:
            self._collision.reset()

    def _tool_borders(self, model: ArmModel, v: Vector) -> list[Border]:
        space = self._space
        return [] if space is None else space.borders(model.T_base_ee[:3, 3], model.J_ee_aligned, v)

    def _begin(self, state: ArmState, reasons: set[Reason]) -> None:
        """Start the stream of positions at the first state."""
        if Reason.STATE_JUMP in reasons:
            self._find_anew()
        if self._stream.is_begun:
            return
        if state.q.shape != self._shape:
            raise ShapeError("ArmState.q", expected=str(self._shape), got=state.q.shape)
        self._stream.begin(state.q)

    def _vector(self, value: Vector, otherwise: Vector, reasons: set[Reason]) -> Vector:
        """The value if it is one finite number per joint, else the other, and a reason."""
        array = np.asarray(value, dtype=np.float64)
        if array.shape == self._shape and math.isfinite(float(np.abs(array).max())):
            return array
        reasons.add(Reason.NON_FINITE)
        return otherwise

    def _opening(self, gripper: float, reasons: set[Reason]) -> float:
        """A finite opening in [0, 1]."""
        if not math.isfinite(gripper):
            reasons.add(Reason.BAD_GRIPPER)
        else:
            self._gripper_last = min(1.0, max(0.0, float(gripper)))
        return self._gripper_last
