"""One control cycle: who drives, where to, with which torque, checked. The same code everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from il_control.arbiter import Arbiter, Source
from il_control.config import ControlConfig, load_control_config
from il_control.laws.cartesian_impedance import (
    cartesian_impedance,
    feed_forward,
    pose_error,
    task_damping,
    task_mobility,
)
from il_control.laws.joint_impedance import joint_impedance
from il_control.model import ArmModel
from il_control.safety import Reason, SafetyGate
from il_control.shaper import JointShaper, PoseShaper, VectorShaper
from il_control.tracker import MAX_AHEAD_NS, Mode, PlanTracker, Wish
from il_core.config import Setup
from il_core.spec import RobotSpec
from il_core.types import ActionChunk, ArmCommand, ArmState, Setpoint, Vector

MOBILITY_PERIOD = 10  # cycles between two evaluations of the task mobility: it changes slowly
ELBOW_SPEED_RAD_S = 0.2  # at which the null-space posture creeps home while a source drives
TAU_POSTURE_MAX_NM = 5.0  # the elbow's spring is a preference, never a force to reckon with
JUMP_RAD = 0.02  # beyond what the speed limit allows: encoder noise and timing stay below
CLOCK_JUMP_NS = 1_000_000_000  # 1 s separates a late cycle from a clock that was set


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
    """

    setpoint: Setpoint
    T_base_ee: Vector
    T_base_ee_des: Vector | None
    q_des: Vector | None
    source: Source
    mode: Mode
    reasons: frozenset[Reason]


class ControlCycle:
    """All state of the controller between two cycles; no clock, no ROS.

    Without a source the arm holds where it was last asked to be (where it is, at first).
    """

    def __init__(self, config: ControlConfig, robot: RobotSpec, model: ArmModel) -> None:
        """Combine settings, limits and model; the arm holds once it is first seen."""
        self.config, self._robot, self._model = config, robot, model
        self._gains = config.cartesian_gains()
        tau, a_rad = config.target_time_constant_s, config.acceleration_max_rad_s2
        self._pose = PoseShaper(
            VectorShaper(tau, config.speed_max_m_s, config.acceleration_max_m_s2),
            VectorShaper(tau, config.speed_max_rad_s, a_rad),
        )
        v_max = np.minimum(np.array(robot.v_max_rad_s), config.speed_max_rad_s)
        self._joints = JointShaper(tau, v_max, a_rad)
        self._k_p = np.array(config.joint_stiffness_nm_rad)
        self._k_d = np.array(config.joint_damping_nms_rad)
        self._q_home = self._q_posture = np.array(robot.q_home_rad)
        self._q_min = np.array(robot.q_min_rad) + config.limit_margin_rad
        self._q_max = np.array(robot.q_max_rad) - config.limit_margin_rad
        self._v_max = np.array(robot.v_max_rad_s)
        self._tracker = PlanTracker(int(config.max_plan_age_ms * 1e6))
        self._arbiter = Arbiter()
        self._gate = SafetyGate(robot, config)
        self._command: ArmCommand | None = None
        self._last: tuple[ArmState, int] | None = None
        self._since_ns: int | None = None
        self._held: Wish | None = None
        self._gripper = 1.0
        self._task_k_d, self._mobility = np.zeros(6), np.eye(6)
        self._mobility_age = 0

    def offer_chunk(self, chunk: ActionChunk) -> bool:
        """Take a plan if it is fresher than those so far, and of this arm's size; say whether."""
        if chunk.q_des is not None and chunk.q_des.shape[1] != self._robot.nq:
            return False
        return self._tracker.offer(chunk)

    def offer_command(self, command: ArmCommand) -> bool:
        """Take a teleoperated target if it is newer than the last, and than the last hold; say whether."""
        if self._command is not None and command.stamp_ns <= self._command.stamp_ns:
            return False
        if self._since_ns is not None and command.stamp_ns < self._since_ns:
            return False
        self._command = command
        return True

    def hold(self) -> None:
        """Forget plans and targets, refuse those made before now, and hold where the arm then is."""
        self._forget(None if self._last is None else self._last[1])

    def _forget(self, since_ns: int | None) -> None:
        self._tracker.reset(since_ns)
        self._since_ns = since_ns
        self._command = None
        self._held = None

    def rest(self, state: ArmState) -> Setpoint:
        """Answer of a controller that is leaving: gravity compensation and damping, nothing else."""
        self._model.update(state.q, state.v)
        tau = self._model.gravity - self._k_d * state.v
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
        if self._held is None:
            self._held = self._reference()
        source, wish = self._choose(now_ns, self._held, reasons)
        if wish.gripper_des is not None:
            self._gripper = wish.gripper_des
        if source is not Source.HOLD:
            self._creep_home()
        tau = self._torque(state, wish, reasons)
        setpoint = self._gate.setpoint(state, tau, self._gripper, model.bias, reasons)
        is_joint = wish.q_des is not None
        return CycleReport(
            setpoint=setpoint,
            T_base_ee=model.T_base_ee.copy(),
            T_base_ee_des=None if is_joint else self._pose.T.copy(),
            q_des=self._joints.q.copy() if is_joint else None,
            source=source,
            mode=self._tracker.mode(now_ns),
            reasons=frozenset(reasons),
        )

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
                self._forget(now_ns)
            if self._has_jumped(before, state):
                reasons.add(Reason.STATE_JUMP)
                self._forget(now_ns)
        self._last = (state, now_ns)

    def _has_jumped(self, before: ArmState, state: ArmState) -> bool:
        """Whether a joint moved further than its speed limit allows: a reset, or an encoder at fault."""
        way = state.q - before.q
        if float(way @ way) <= JUMP_RAD**2:  # the usual case, decided quickly
            return False
        elapsed_s = max(self.config.dt, (state.stamp_ns - before.stamp_ns) * 1e-9)
        return bool((np.abs(way) > 1.5 * self._v_max * min(elapsed_s, 1.0) + JUMP_RAD).any())

    def _reference(self) -> Wish:
        """Start holding, by the Cartesian law, exactly where the arm is, its elbow included."""
        T = self._model.T_base_ee.copy()
        self._start_cartesian()
        return Wish(None, T, np.zeros(6), None)

    def _choose(self, now_ns: int, held: Wish, reasons: set[Reason]) -> tuple[Source, Wish]:
        """Who drives, and what is wished for; changes of law start from the measured state."""
        max_age_ns = self.config.max_command_age_ms * 1e6
        if self._command is not None and self._command.stamp_ns > now_ns + MAX_AHEAD_NS:
            self._command = None  # from the future: kept, it would pass for newer than every honest one
        command, before = self._command, self._arbiter.source
        has_teleop = command is not None and now_ns - command.stamp_ns <= max_age_ns
        plan = self._tracker.wish(now_ns)
        active = {s for s, talks in ((Source.TELEOP, has_teleop), (Source.PLAN, plan is not None)) if talks}
        source = self._arbiter.choose(active)
        if source is Source.HOLD and before is Source.TELEOP:
            reasons.add(Reason.STALE_PLAN)
        if self._tracker.mode(now_ns) is Mode.STALE and source is Source.HOLD:
            reasons.add(Reason.STALE_PLAN)
        wish = held
        if source is Source.TELEOP and command is not None:
            wish = Wish(None, command.T_base_ee_des, np.zeros(6), command.gripper_des)
        elif source is Source.PLAN and plan is not None:
            wish = plan
        self._switch_law(held, wish)
        nothing = np.zeros_like(wish.rate_des)
        self._held = Wish(wish.q_des, wish.T_base_ee_des, nothing, None)
        return source, wish

    def _switch_law(self, before: Wish, now: Wish) -> None:
        """Start the shaper of a law that was not in force, at the measured state."""
        if now.q_des is not None and before.q_des is None:
            self._joints.reset(self._model.q)
        elif now.T_base_ee_des is not None and before.T_base_ee_des is None:
            self._start_cartesian()

    def _start_cartesian(self) -> None:
        """Let nothing pull at first: target and elbow posture are where the arm is."""
        self._pose.reset(self._model.T_base_ee)
        self._q_posture = self._model.q
        self._mobility_age = 0

    def _creep_home(self) -> None:
        """Move the null-space posture towards home so slowly that the elbow never swings."""
        step = ELBOW_SPEED_RAD_S * self.config.dt
        way = self._q_home - self._q_posture
        self._q_posture = self._q_posture + np.minimum(np.maximum(way, -step), step)

    def _torque(self, state: ArmState, wish: Wish, reasons: set[Reason]) -> Vector:
        """Torque of the law the wish is for, before the gate."""
        dt, model = self.config.dt, self._model
        if wish.q_des is not None:
            q_des = np.minimum(np.maximum(wish.q_des, self._q_min), self._q_max)
            if (q_des != wish.q_des).any():
                reasons.add(Reason.TARGET_LIMIT)
            self._joints.step(q_des, wish.rate_des, dt)
            target = (self._joints.q, self._joints.v)
            return joint_impedance(state.q, state.v, *target, self._k_p, self._k_d, model.bias)
        T_des = self._pose.T if wish.T_base_ee_des is None else wish.T_base_ee_des
        self._pose.step(T_des, wish.rate_des, dt)
        if self._mobility_age % MOBILITY_PERIOD == 0:
            self._mobility = task_mobility(model.J_ee_aligned, model.mass_matrix())
            self._task_k_d = task_damping(self._mobility, self._gains.k_p, self._gains.zeta)
        self._mobility_age += 1
        posture = self._gains.k_p_null * (self._q_posture - state.q)
        posture = np.minimum(np.maximum(posture, -TAU_POSTURE_MAX_NM), TAU_POSTURE_MAX_NM)
        posture -= self._gains.k_d_null * state.v
        error = pose_error(model.T_base_ee, self._pose.T)
        force_ff = feed_forward(self._mobility, self._pose.acceleration, self._gains)
        return cartesian_impedance(
            state.v,
            error,
            self._pose.twist,
            force_ff,
            self._task_k_d,
            posture,
            self._gains,
            model.J_ee_aligned,
            model.bias,
        )


def make_cycle(setup: Setup, config: ControlConfig | None = None) -> ControlCycle:
    """Control cycle of a robot and task, with the settings of config/control/."""
    return ControlCycle(config or load_control_config(setup), setup.robot, ArmModel(setup))
