"""One control cycle: who drives, where to, checked. The same code everywhere."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from il_control.arbiter import Arbiter, Source
from il_control.collision import CollisionMonitor
from il_control.config import ControlConfig, load_control_config
from il_control.continuity import Continuity
from il_control.cycle_report import CycleReport
from il_control.drive import Ask, Drive
from il_control.go_to import unhurried_pose, unhurried_posture
from il_control.inputs import is_joint_jump, is_pose_jump
from il_control.laws.hand_guiding import GuidingMode
from il_control.model import ArmModel
from il_control.safety import Reason, SafetyGate
from il_control.servo_drive import ServoDrive
from il_control.sources import PLANNERS, Sources
from il_control.torque_drive import TorqueDrive
from il_control.tracker import Mode, Wish
from il_control.wrist import Wrist
from il_core.config import Setup
from il_core.errors import ConfigError
from il_core.spec import Interface, RobotSpec
from il_core.types import ActionChunk, ArmCommand, ArmState, Setpoint, Vector

__all__ = ["ControlCycle", "CycleReport", "make_cycle"]


class ControlCycle:
    """All state of the controller between two cycles; no clock, no ROS.

    Without a source the arm holds where it was last asked to be (where it is, at first).
    """

    def __init__(
        self, config: ControlConfig, robot: RobotSpec, model: ArmModel, gate: SafetyGate, drive: Drive
    ) -> None:
        """Combine settings, model, gate, and the drive that uses both; the arm holds once it is first seen."""
        self.config, self._robot, self._model = config, robot, model
        self._v_max = np.array(robot.v_max_rad_s)
        self._sources = Sources(robot.nq, int(config.max_plan_age_ms * 1e6), int(config.max_command_age_ms * 1e6))
        self._arbiter = Arbiter()
        self._gate, self._drive = gate, drive
        self._wrist = None if config.wrist is None else Wrist(config.wrist, model)
        self._is_taken_by_touch = False
        self._continuity = Continuity(self._v_max, config.dt, config.max_state_age_ms)
        self._held: Wish | None = None
        self._gripper = 1.0

    def offer_chunk(self, chunk: ActionChunk, source: Source = Source.PLAN) -> bool:
        """Take a plan if it is fresher than those so far, and of this arm's size; say whether."""
        return self._sources.offer_chunk(chunk, source)

    def offer_command(self, command: ArmCommand) -> bool:
        """Take a teleoperated target if it is newer than the last, and than the last hold; say whether."""
        return self._sources.offer_command(command)

    def offer_wrench(self, stamp_ns: int, wrench: Vector) -> bool:
        """Take a measurement of the wrist's force sensor; see :meth:`il_control.wrist.Wrist.offer`.

        Raises:
            ConfigError: the settings know of no sensor.
        """
        if self._wrist is None:
            raise ConfigError("wrist", "a wrench came, and config/control/ has no setting 'wrist'; write its frame")
        return self._wrist.offer(stamp_ns, wrench)

    @property
    def stop_causes(self) -> tuple[Reason, ...]:
        """Why the arm is stopped until :meth:`resume`; empty if it is not."""
        return self._gate.causes

    @property
    def contact_force_n(self) -> float | None:
        """Contact force of the last cycle [N], not a number if it is not known; None where it is not monitored."""
        return None if self.config.safety.contact_force_limit_n is None else self._gate.force_n

    @property
    def claim(self) -> Source | None:
        """Who has claimed the arm, if anybody."""
        return self._arbiter.claim

    def request(self, source: Source, cause: str) -> str:
        """Claim the arm for a source; see :meth:`il_control.arbiter.Arbiter.request`.

        Returns:
            Why not, in words; empty if it was granted.

        Raises:
            ConfigError: hand guiding, and nobody wrote the limit of the contact force down.
        """
        if source is Source.GUIDING:
            if self._drive.hands_refusal:
                return self._drive.hands_refusal
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
            if not self._drive.hands_refusal:
                self.config.safety.demand_contact_force("takeover by touch")
            if self._drive.feel_refusal:
                return self._drive.feel_refusal
        self._is_taken_by_touch = is_taken_by_touch
        return ""

    def set_guiding(self, mode: GuidingMode, direction: Vector | None = None) -> None:
        """What hand guiding leaves to the person; see :meth:`il_control.laws.hand_guiding.HandGuiding.enter`."""
        self._drive.set_guiding(mode, direction)

    def grip(self, opening: float) -> None:
        """Opening of the gripper that a person who guides the arm by hand asks for, in [0, 1]."""
        self._gripper = min(1.0, max(0.0, opening))

    def set_stiffness(self, k_p: Vector | None, zeta: float | None = None) -> None:
        """Ask for another tool stiffness or damping; see :meth:`il_control.impedance.Impedance.set_stiffness`."""
        self._drive.set_stiffness(k_p, zeta)

    def expect_wrench(self, stamp_ns: int, wrench: Vector) -> None:
        """Say what the tool is meant to feel; see :meth:`il_control.impedance.Impedance.expect_wrench`."""
        self._drive.expect_wrench(stamp_ns, wrench)

    def go_to_pose(self, T_base_ee_des: Vector) -> float:
        """Move the tool to a pose on a straight, jerk-limited way from where it is held.

        Returns:
            Duration of the motion [s].

        Raises:
            ConfigError: the arm was not seen yet, or the pose is not finite.
        """
        _, now_ns = self._seen()
        T, _ = self._drive.begin_of_motion(self._held)
        motion = unhurried_pose(self.config, now_ns, T, T_base_ee_des)
        self._sources.go_to(motion)
        return (motion.end_ns - now_ns) * 1e-9

    def go_to_posture(self, q_des: Vector) -> float:
        """Move the joints to a posture, (nq,) [rad], on a straight, jerk-limited way; see :meth:`go_to_pose`."""
        _, now_ns = self._seen()
        _, q = self._drive.begin_of_motion(self._held)
        motion = unhurried_posture(self.config, self._v_max, now_ns, q, q_des)
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

    def stop(self, causes: Iterable[Reason] = (Reason.OPERATOR_STOP,)) -> None:
        """Stop until :meth:`resume`: forget all that was wished, and give way to a hand (a servo stands still)."""
        self._gate.stop(causes)
        self.hold()

    def resume(self) -> str:
        """Let the arm move again after a latched stop; see :meth:`il_control.safety.SafetyGate.resume`."""
        return self._gate.resume()

    def _forget(self, since_ns: int | None) -> None:
        self._sources.forget(since_ns)
        self._held = None

    def rest(self, state: ArmState) -> Setpoint:
        """Answer of a controller that is leaving: torques carry and damp the arm, a servo brakes and stands."""
        return self._drive.rest(state, self._gripper)

    def step(self, state: ArmState, now_ns: int) -> CycleReport:
        """Compute the answer to one measured state.

        Args:
            state: Newest measurement.
            now_ns: Current instant on the clock of ``state.stamp_ns`` [ns].
        """
        reasons = self._follow_up(state, now_ns)
        model, drive = self._model, self._drive
        model.update(state.q, state.v)
        touch = drive.feel(state, self._continuity.elapsed_s)
        if touch is not None and self._is_taken_by_touch:
            self._arbiter.request(Source.GUIDING, touch.cause)
        wrench = drive.wrench if self._wrist is None else self._at_wrist(self._wrist, now_ns, reasons)
        is_anew = self._held is None
        if self._held is None:
            self._held = drive.start()
        source, wish = self._choose(now_ns, self._held, reasons)
        if wish.gripper_des is not None:
            self._gripper = wish.gripper_des
        ask = Ask(now_ns, state, source, wish, self._held, is_anew, self._gripper, wrench)
        setpoint, self._held = drive.answer(ask, reasons)
        if self._gate.is_stopped:  # what was wished before counts no more when an operator resumes
            self._forget(now_ns)
        is_joint = wish.q_des is not None
        return CycleReport(
            setpoint=setpoint,
            T_base_ee=model.T_base_ee.copy(),
            T_base_ee_des=None if is_joint else drive.T.copy(),
            q_des=drive.q.copy() if is_joint else None,
            source=source,
            mode=self._sources.mode(source if source in PLANNERS else Source.PLAN, now_ns),
            reasons=frozenset(reasons),
            change=self._arbiter.change,
            k_p=drive.k_p,
            zeta=drive.zeta,
        )

    def _at_wrist(self, wrist: Wrist, now_ns: int, reasons: set[Reason]) -> Vector | None:
        """External wrench as the wrist's sensor has it; without one there is a reason to hold."""
        wrench = wrist.wrench(now_ns)
        if wrench is None:
            reasons.add(Reason.STALE_WRENCH)
        return wrench

    def _follow_up(self, state: ArmState, now_ns: int) -> set[Reason]:
        """Take the state of this cycle; forget what a jump of the clock or of the arm has made worthless."""
        if self._continuity.state is None:
            self._gripper = min(1.0, max(0.0, state.gripper))
        reasons = self._continuity.check(state, now_ns)
        self._drive.watch(state, reasons)
        if not reasons:
            return reasons
        if Reason.CLOCK_JUMP in reasons:
            self._arbiter.clear("clock jumped")
            self._forget(now_ns)
            if self._wrist is not None:
                self._wrist.forget()
        if Reason.STATE_JUMP in reasons:
            self._arbiter.clear("the arm is suddenly elsewhere")
            self._forget(now_ns)
            self._drive.forget()
        if Reason.NOT_FOLLOWING in reasons:
            self._arbiter.clear("the arm is not where it was sent")
            self._forget(now_ns)
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


def make_cycle(setup: Setup, config: ControlConfig | None = None) -> ControlCycle:
    """Control cycle of a robot and task, with the settings of config/control/ and the drive its interface asks for."""
    config = config or load_control_config(setup)
    robot, model = setup.robot, ArmModel(setup, config.payload)
    collision = CollisionMonitor(setup, config.safety) if config.safety.check_collisions else None
    gate = SafetyGate(robot, config, model, collision)
    drive: Drive
    if robot.interface is Interface.EFFORT:
        drive = TorqueDrive(config, robot, model, gate)
    else:
        drive = ServoDrive(config, robot, (model, ArmModel(setup)), gate)
    return ControlCycle(config, robot, model, gate, drive)
