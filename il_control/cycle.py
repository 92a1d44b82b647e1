"""One control cycle: who drives, where to, with which torque, checked. The same code everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from il_control.arbiter import Arbiter, Change, Source
from il_control.collision import CollisionMonitor
from il_control.config import ControlConfig, load_control_config
from il_control.continuity import Continuity
from il_control.go_to import JointMotion, MotionLimits, PoseMotion
from il_control.hands import Hands
from il_control.impedance import Impedance, TorqueFade
from il_control.inputs import Context, is_joint_jump, is_pose_jump
from il_control.laws.hand_guiding import GuidingMode
from il_control.model import ArmModel
from il_control.safety import Reason, SafetyGate
from il_control.sources import PLANNERS, Sources
from il_control.tracker import Mode, Wish
from il_core.config import Setup
from il_core.errors import ConfigError
from il_core.spec import RobotSpec
from il_core.types import ActionChunk, ArmCommand, ArmState, Setpoint, Vector

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
        k_p: Tool stiffness in force, (6,) [N/m, N·m/rad]; None under the joint law and in hand guiding.
    """

    setpoint: Setpoint
    T_base_ee: Vector
    T_base_ee_des: Vector | None
    q_des: Vector | None
    source: Source
    mode: Mode
    reasons: frozenset[Reason]
    change: Change | None
    k_p: Vector | None


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
        self._hands = Hands(config, robot, model)
        self._is_taken_by_touch = False
        self._continuity = Continuity(self._v_max, config.dt, config.max_state_age_ms)
        self._excess: Vector | None = None
        self._held: Wish | None = None
        self._gripper = 1.0

    def offer_chunk(self, chunk: ActionChunk, source: Source = Source.PLAN) -> bool:
        """Take a plan if it is fresher than those so far, and of this arm's size; say whether."""
        return self._sources.offer_chunk(chunk, source)

    def offer_command(self, command: ArmCommand) -> bool:
        """Take a teleoperated target if it is newer than the last, and than the last hold; say whether."""
        return self._sources.offer_command(command)

    @property
    def claim(self) -> Source | None:
        """Who has claimed the arm, if anybody."""
        return self._arbiter.claim

    def request(self, source: Source, cause: str) -> str:
        """Claim the arm for a source; see :meth:`il_control.arbiter.Arbiter.request`.

        Raises:
            ConfigError: hand guiding, and nobody wrote the limit of the contact force down.
        """
        if source is Source.GUIDING:
            self.config.safety.demand_contact_force(source.value)
        return self._arbiter.request(source, cause)

    def release(self, source: Source, cause: str) -> bool:
        """End the claim of a source, and its driving; say whether it had a part in either."""
        return self._arbiter.release(source, cause)

    def watch_touch(self, is_taken_by_touch: bool) -> str:
        """Let a push take the arm over, or not.

        Returns:
            Why not, in words; empty if it was done.

        Raises:
            ConfigError: nobody wrote the limit of the contact force down.
        """
        if is_taken_by_touch:
            self.config.safety.demand_contact_force("takeover by touch")
            if not self._hands.can_feel:
                return "no setting 'touch' in config/control/: write what counts as one, see docs/safety.md"
        self._is_taken_by_touch = is_taken_by_touch
        return ""

    def set_guiding(self, mode: GuidingMode, direction: Vector | None = None) -> None:
        """What hand guiding leaves to the person; see :meth:`il_control.laws.hand_guiding.HandGuiding.enter`."""
        self._hands.set_mode(mode, direction)

    def set_stiffness(self, k_p: Vector, zeta: float | None = None) -> None:
        """Ask for another tool stiffness; see :meth:`il_control.impedance.Impedance.set_stiffness`."""
        self._impedance.set_stiffness(k_p, zeta)

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
        seen = self._continuity
        if seen.state is None:
            raise ConfigError("controller", "has not seen the arm yet; is its driver up?")
        return seen.state, seen.now_ns

    def hold(self) -> None:
        """Forget plans and targets, refuse those made before now, and hold where the arm then is."""
        self._arbiter.clear("asked to hold")
        self._forget(None if self._continuity.state is None else self._continuity.now_ns)

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
        reasons = self._follow_up(state, now_ns)
        model = self._model
        model.update(state.q, state.v)
        touch = self._hands.feel(state, self._continuity.elapsed_s)
        if touch is not None and self._is_taken_by_touch:
            self._arbiter.request(Source.GUIDING, touch.cause)
        is_anew = self._held is None
        if self._held is None:
            self._held = self._impedance.start()
        source, wish = self._choose(now_ns, self._held, reasons)
        if wish.gripper_des is not None:
            self._gripper = wish.gripper_des
        if source is not Source.HOLD:
            self._impedance.creep_home()
        if source is Source.GUIDING:
            tau, is_new_law = self._hands.lead(state)
            self._held = self._impedance.start()  # what is held afterwards is where the person leaves it
        else:
            is_new_law = self._hands.let_go() or is_anew or (wish.q_des is None) != (self._held.q_des is None)
            self._held = Wish(wish.q_des, wish.T_base_ee_des, np.zeros_like(wish.rate_des), None)
            tau = self._impedance.torque(state, wish, reasons)
        tau = self._without_bump(tau, is_new_law=is_new_law)
        context = Context(now_ns, None, self._hands.wrench)
        setpoint = self._gate.setpoint(state, tau, self._gripper, model.bias, reasons, context)
        if self._gate.is_stopped:  # what was wished before counts no more when an operator resumes
            self._forget(now_ns)
        is_joint = wish.q_des is not None
        is_spring = not is_joint and source is not Source.GUIDING
        return CycleReport(
            setpoint=setpoint,
            T_base_ee=model.T_base_ee.copy(),
            T_base_ee_des=None if is_joint else self._impedance.T.copy(),
            q_des=self._impedance.q.copy() if is_joint else None,
            source=source,
            mode=self._sources.mode(source if source in PLANNERS else Source.PLAN, now_ns),
            reasons=frozenset(reasons),
            change=self._arbiter.change,
            k_p=self._impedance.schedule.k_p if is_spring else None,
        )

    def _without_bump(self, tau: Vector, *, is_new_law: bool) -> Vector:
        """Let what the old law had over the new fade out."""
        if is_new_law and self._excess is not None:
            self._fade.start(self._excess - (tau - self._model.bias))
        tau = self._fade.apply(tau, self.config.dt)
        self._excess = tau - self._model.bias
        return tau

    def _follow_up(self, state: ArmState, now_ns: int) -> set[Reason]:
        """Take the state of this cycle; forget what a jump of the clock or of the arm has made worthless."""
        if self._continuity.state is None:
            self._gripper = min(1.0, max(0.0, state.gripper))
        reasons = self._continuity.check(state, now_ns)
        if Reason.CLOCK_JUMP in reasons:
            self._arbiter.clear("clock jumped")
            self._forget(now_ns)
        if Reason.STATE_JUMP in reasons:
            self._arbiter.clear("the arm is suddenly elsewhere")
            self._forget(now_ns)
            self._excess = None  # torques of another posture mean nothing here
            self._fade.stop()
            self._hands.forget()
        return reasons

    def _choose(self, now_ns: int, held: Wish, reasons: set[Reason]) -> tuple[Source, Wish]:
        """Who drives, and what is wished for."""
        before = self._arbiter.source
        active = self._sources.active(now_ns)
        source = self._arbiter.choose(active)
        wish = self._sources.wish(source, now_ns)
        if wish is not None and source is not before and self._is_far(wish):
            reasons.add(Reason.TARGET_JUMP)
            self._arbiter.release(source, "its first target is too far away")
            source, wish = self._arbiter.choose(active - {source}), None
        if source is Source.HOLD:
            is_stale = any(self._sources.mode(s, now_ns) is Mode.STALE for s in PLANNERS)
            if before is Source.TELEOP or is_stale:
                reasons.add(Reason.STALE_PLAN)
        return source, held if wish is None else wish

    def _is_far(self, wish: Wish) -> bool:
        """Whether a first target is farther from the arm than one that is meant can be."""
        if wish.q_des is not None:
            return is_joint_jump(self._model.q, wish.q_des, self.config.safety)
        T_des = wish.T_base_ee_des
        return T_des is not None and is_pose_jump(self._model.T_base_ee, T_des, self.config.safety)


def _unhurried(velocity: float | Vector, acceleration: float | Vector) -> MotionLimits:
    """Limits of the controller's own motions."""
    velocity, acceleration = GO_TO_SHARE * velocity, GO_TO_SHARE * acceleration
    return MotionLimits(velocity, acceleration, acceleration / JERK_TIME_S)


def make_cycle(setup: Setup, config: ControlConfig | None = None) -> ControlCycle:
    """Control cycle of a robot and task, with the settings of config/control/."""
    config = config or load_control_config(setup)
    collision = CollisionMonitor(setup, config.safety) if config.safety.check_collisions else None
    return ControlCycle(config, setup.robot, ArmModel(setup), collision)
