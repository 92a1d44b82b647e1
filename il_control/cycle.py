"""One control cycle: who drives, where to, with which torque, checked. The same code everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from il_control.arbiter import Arbiter, Change, Source
from il_control.collision import CollisionMonitor
from il_control.config import ControlConfig, load_control_config
from il_control.go_to import JointMotion, MotionLimits, PoseMotion
from il_control.impedance import Impedance, TorqueFade
from il_control.inputs import Context
from il_control.model import ArmModel
from il_control.safety import Reason, SafetyGate
from il_control.sources import PLANNERS, Sources
from il_control.tracker import Mode, Wish
from il_core.config import Setup
from il_core.errors import ConfigError
from il_core.spec import RobotSpec
from il_core.types import ActionChunk, ArmCommand, ArmState, Setpoint, Vector

JUMP_RAD = 0.02  # beyond what the speed limit allows: encoder noise and timing stay below
CLOCK_JUMP_NS = 1_000_000_000  # 1 s separates a late cycle from a clock that was set
FADE_S = 0.2  # a change of law: shorter is felt as a jerk, longer leaves the arm between two minds
GO_TO_SHARE = 0.5  # of the speed the shaper allows: the controller's own motions are unhurried
JERK_TIME_S = 0.1  # in which such a motion reaches its full acceleration


@dataclass(frozen=True, slots=True, eq=False)
class CycleReport:
    """What one cycle did and why.

    Attributes:
        setpoint: What goes to the arm.
        T_base_ee: Measured tool pose, (4, 4) [m].
        T_base_ee_des: Shaped target of the Cartesian law, (4, 4) [m]; None under the joint law.
        q_des: Shaped target of the joint law, (nq,) [rad]; None under the Cartesian law.
        source: Who drives.
        mode: What the plan in hand is good for.
        reasons: Why the gate, or the cycle, did something else than asked.
        change: The last hand-over of the arm; None before the first.
    """

    setpoint: Setpoint
    T_base_ee: Vector
    T_base_ee_des: Vector | None
    q_des: Vector | None
    source: Source
    mode: Mode
    reasons: frozenset[Reason]
    change: Change | None


class ControlCycle:
    """All state of the controller between two cycles; no clock, no ROS.

    Without a source the arm holds where it was last asked to be (where it is, at first).
    """

    def __init__(
        self, config: ControlConfig, robot: RobotSpec, model: ArmModel, collision: CollisionMonitor | None = None
    ) -> None:
        """Combine settings, limits and model; the arm holds once it is first seen."""
        self.config, self._robot, self._model = config, robot, model
        self._v_max = np.array(robot.v_max_rad_s)
        self._k_d_rest = np.array(config.joint_damping_nms_rad)
        self._sources = Sources(robot.nq, int(config.max_plan_age_ms * 1e6), int(config.max_command_age_ms * 1e6))
        self._arbiter = Arbiter()
        self._impedance = Impedance(config, robot, model)
        self._fade = TorqueFade(FADE_S)
        self._gate = SafetyGate(robot, config, model, collision)
        self._last: tuple[ArmState, int] | None = None
        self._excess: Vector | None = None
        self._held: Wish | None = None
        self._gripper = 1.0

    def offer_chunk(self, chunk: ActionChunk, source: Source = Source.PLAN) -> bool:
        """Take a plan if it is fresher than those so far, and of this arm's size; say whether."""
        return self._sources.offer_chunk(chunk, source)

    def offer_command(self, command: ArmCommand) -> bool:
        """Take a teleoperated target if it is newer than the last, and than the last hold; say whether."""
        return self._sources.offer_command(command)

    def request(self, source: Source, cause: str) -> str:
        """Claim the arm for a source; see :meth:`il_control.arbiter.Arbiter.request`."""
        return self._arbiter.request(source, cause)

    def release(self, source: Source, cause: str) -> bool:
        """End the claim of a source, and its driving; say whether it had a part in either."""
        return self._arbiter.release(source, cause)

    def go_to_pose(self, T_base_ee_des: Vector) -> float:
        """Move the tool to a pose on a straight, jerk-limited way from where it is held.

        Returns:
            Duration of the motion [s].

        Raises:
            ConfigError: the arm was not seen yet, or the pose is not finite.
        """
        _, now_ns = self._seen()
        c = self.config
        T = self._model.T_base_ee if self._held is None or self._held.T_base_ee_des is None else self._impedance.T
        linear = _unhurried(c.speed_max_m_s, c.acceleration_max_m_s2)
        angular = _unhurried(c.speed_max_rad_s, c.acceleration_max_rad_s2)
        motion = PoseMotion(now_ns, T, T_base_ee_des, linear, angular)
        self._sources.go_to(motion)
        return (motion.end_ns - now_ns) * 1e-9

    def go_to_posture(self, q_des: Vector) -> float:
        """Move the joints to a posture, (nq,) [rad], on a straight, jerk-limited way; see :meth:`go_to_pose`."""
        state, now_ns = self._seen()
        c = self.config
        v_max = np.minimum(self._v_max, c.speed_max_rad_s)
        limits = _unhurried(v_max, np.full(self._robot.nq, c.acceleration_max_rad_s2))
        q = state.q if self._held is None or self._held.q_des is None else self._impedance.q
        motion = JointMotion(now_ns, q, q_des, limits)
        self._sources.go_to(motion)
        return (motion.end_ns - now_ns) * 1e-9

    def _seen(self) -> tuple[ArmState, int]:
        if self._last is None:
            raise ConfigError("controller", "has not seen the arm yet; is its driver up?")
        return self._last

    def hold(self) -> None:
        """Forget plans and targets, refuse those made before now, and hold where the arm then is."""
        self._arbiter.clear("asked to hold")
        self._forget(None if self._last is None else self._last[1])

    def resume(self) -> str:
        """Let the arm move again after a latched stop; see :meth:`il_control.safety.SafetyGate.resume`."""
        return self._gate.resume()

    def _forget(self, since_ns: int | None) -> None:
        self._sources.forget(since_ns)
        self._held = None

    def rest(self, state: ArmState) -> Setpoint:
        """Answer of a controller that is leaving: gravity compensation and damping, nothing else."""
        self._model.update(state.q, state.v)
        tau = self._model.gravity - self._k_d_rest * state.v
        return self._gate.setpoint(state, tau, self._gripper, self._model.bias, set())

    def step(self, state: ArmState, now_ns: int) -> CycleReport:
        """Compute the answer to one measured state.

        Args:
            state: Newest measurement.
            now_ns: Current instant on the clock of ``state.stamp_ns`` [ns].
        """
        reasons: set[Reason] = set()
        self._check_continuity(state, now_ns, reasons)
        model = self._model
        model.update(state.q, state.v)
        is_anew = self._held is None
        if self._held is None:
            self._held = self._impedance.start()
        source, wish = self._choose(now_ns, self._held, reasons)
        if wish.gripper_des is not None:
            self._gripper = wish.gripper_des
        if source is not Source.HOLD:
            self._impedance.creep_home()
        is_new_law = is_anew or (wish.q_des is None) != (self._held.q_des is None)
        self._held = Wish(wish.q_des, wish.T_base_ee_des, np.zeros_like(wish.rate_des), None)
        tau = self._impedance.torque(state, wish, reasons)
        tau = self._without_bump(tau, is_new_law=is_new_law)
        setpoint = self._gate.setpoint(state, tau, self._gripper, model.bias, reasons, Context(now_ns))
        if self._gate.is_stopped:  # what was wished before counts no more when an operator resumes
            self._forget(now_ns)
        is_joint = wish.q_des is not None
        return CycleReport(
            setpoint=setpoint,
            T_base_ee=model.T_base_ee.copy(),
            T_base_ee_des=None if is_joint else self._impedance.T.copy(),
            q_des=self._impedance.q.copy() if is_joint else None,
            source=source,
            mode=self._sources.mode(source if source in PLANNERS else Source.PLAN, now_ns),
            reasons=frozenset(reasons),
            change=self._arbiter.change,
        )

    def _without_bump(self, tau: Vector, *, is_new_law: bool) -> Vector:
        """Let what the old law had over the new fade out."""
        if is_new_law and self._excess is not None:
            self._fade.start(self._excess - (tau - self._model.bias))
        tau = self._fade.apply(tau, self.config.dt)
        self._excess = tau - self._model.bias
        return tau

    def _check_continuity(self, state: ArmState, now_ns: int, reasons: set[Reason]) -> None:
        """Notice stale states, and jumps of the clock or of the measured posture."""
        if abs(now_ns - state.stamp_ns) > self.config.max_state_age_ms * 1e6:
            reasons.add(Reason.STALE_STATE)
        if self._last is None:
            self._gripper = min(1.0, max(0.0, state.gripper))
        else:
            before, before_ns = self._last
            if not 0 <= now_ns - before_ns <= CLOCK_JUMP_NS:
                reasons.add(Reason.CLOCK_JUMP)
                self._arbiter.clear("clock jumped")
                self._forget(now_ns)
            if self._has_jumped(before, state):
                reasons.add(Reason.STATE_JUMP)
                self._arbiter.clear("the arm is suddenly elsewhere")
                self._forget(now_ns)
                self._excess = None  # torques of another posture mean nothing here
                self._fade.stop()
        self._last = (state, now_ns)

    def _has_jumped(self, before: ArmState, state: ArmState) -> bool:
        """Whether a joint moved further than its speed limit allows: a reset, or an encoder at fault."""
        way = state.q - before.q
        if float(way @ way) <= JUMP_RAD**2:  # the usual case, decided quickly
            return False
        elapsed_s = max(self.config.dt, (state.stamp_ns - before.stamp_ns) * 1e-9)
        return bool((np.abs(way) > 1.5 * self._v_max * min(elapsed_s, 1.0) + JUMP_RAD).any())

    def _choose(self, now_ns: int, held: Wish, reasons: set[Reason]) -> tuple[Source, Wish]:
        """Who drives, and what is wished for."""
        before = self._arbiter.source
        source = self._arbiter.choose(self._sources.active(now_ns))
        if source is Source.HOLD:
            is_stale = any(self._sources.mode(s, now_ns) is Mode.STALE for s in PLANNERS)
            if before is Source.TELEOP or is_stale:
                reasons.add(Reason.STALE_PLAN)
        wish = self._sources.wish(source, now_ns)
        return source, held if wish is None else wish


def _unhurried(velocity: float | Vector, acceleration: float | Vector) -> MotionLimits:
    """Limits of the controller's own motions."""
    velocity, acceleration = GO_TO_SHARE * velocity, GO_TO_SHARE * acceleration
    return MotionLimits(velocity, acceleration, acceleration / JERK_TIME_S)


def make_cycle(setup: Setup, config: ControlConfig | None = None) -> ControlCycle:
    """Control cycle of a robot and task, with the settings of config/control/."""
    config = config or load_control_config(setup)
    collision = CollisionMonitor(setup, config.safety) if config.safety.check_collisions else None
    return ControlCycle(config, setup.robot, ArmModel(setup), collision)
