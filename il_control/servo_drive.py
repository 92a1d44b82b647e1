"""The drive of arms that take positions or velocities: a reference that is followed, soft only through its sensor."""

from __future__ import annotations

import numpy as np

from il_control.arbiter import Source
from il_control.config import ControlConfig
from il_control.drive import Ask
from il_control.inputs import Context
from il_control.laws.admittance import Admittance
from il_control.laws.hand_guiding import GuidingMode
from il_control.laws.pid import Pid
from il_control.model import ArmModel
from il_control.reasons import Reason
from il_control.reference import Reference
from il_control.safety import SafetyGate
from il_control.touch import Touch
from il_control.tracker import Wish
from il_core.errors import ConfigError
from il_core.spec import Interface, RobotSpec
from il_core.types import ArmState, Setpoint, Vector

BELIEVED = 3  # states in a row: a posture seen once may be a fault of an encoder, and is not moved to
IGNORED_S = 0.3  # for so long a joint may stay slower than this share of the velocity it is sent, if that is not slow
OBEYED_SHARE, SLOW_RAD_S = 0.2, 0.05
SAME_RAD_S = 0.02  # difference of speed that is no intervention: noise of the measured position makes as much
SAME_RAD = 1e-9  # rounding between what was asked of the gate and what it sends


class ServoDrive:
    """Fills :class:`il_control.drive.Drive`.

    Where the gate sends something else than asked, the reference goes on from what was sent: nothing winds up
    behind a border. An arm that is not where it was sent is asked, as soon as the same place was measured
    ``BELIEVED`` times, to stay where it is: one that was let out of a protective stop does not leap.
    """

    def __init__(
        self, config: ControlConfig, robot: RobotSpec, models: tuple[ArmModel, ArmModel], gate: SafetyGate
    ) -> None:
        """Combine reference and gate.

        Args:
            config: Settings.
            robot: The arm.
            models: The measured arm's, updated by the caller before each cycle, and the reference's own.
            gate: The gate.
        """
        self._model, self._gate, self._servo = models[0], gate, config.servo
        self._reference = Reference(config, robot, models[1])
        wanted = config.wrist.admittance if config.wrist is not None else None
        self._admittance = None if wanted is None else Admittance(wanted, config.dt)
        is_velocity = robot.interface is Interface.VELOCITY
        self._pid = Pid(config.servo.pid(robot.v_max_rad_s)) if is_velocity else None
        self._is_begun, self._doubt, self._ignored_s = False, 0, 0.0
        self._seen = self._sent = np.zeros(robot.nq)
        takes = {Interface.VELOCITY: "velocities"}.get(robot.interface, "positions")
        self._takes = f"robot '{robot.name}' takes {takes}"
        self.hands_refusal = f"{self._takes}: it cannot be led by hand; use teleoperation, or an effort interface"
        self.feel_refusal = self.hands_refusal

    @property
    def wrench(self) -> Vector | None:
        """None: positions say nothing about forces."""
        return None

    @property
    def k_p(self) -> Vector | None:
        """None: what holds the tool is the arm's own servo."""
        return None

    @property
    def zeta(self) -> float | None:
        """None, as :attr:`k_p`."""
        return None

    @property
    def T(self) -> Vector:
        """Pose that is followed, or that of the reference if it is a posture, (4, 4) [m]."""
        return self._reference.T

    @property
    def q(self) -> Vector:
        """What the joints follow, (nq,) [rad]."""
        return self._reference.q

    def begin_of_motion(self, held: Wish | None) -> tuple[Vector, Vector]:
        """Where the reference is: the arm is on its way there."""
        reference = self._reference
        return (reference.T, reference.stop()) if self._is_begun else (self._model.T_base_ee, self._model.q)

    def start(self) -> Wish:
        """Stay: where the arm is measured at first, later where the reference comes to rest."""
        if not self._is_begun:
            self._begin(self._model.q)
        reference = self._reference
        if self._admittance is None:
            return Wish(reference.stop(), None, np.zeros(len(reference.q)), None)
        reference.enter_pose()
        self._admittance.reset()
        return Wish(None, reference.T.copy(), np.zeros(6), None)

    def feel(self, state: ArmState, elapsed_s: float) -> Touch | None:
        """Nothing is felt."""
        return None

    def watch(self, state: ArmState, reasons: set[Reason]) -> None:
        """Whether the arm is where it was sent; if it stays elsewhere, begin anew there."""
        if not self._is_begun or state.q.shape != self._seen.shape:
            return
        limit = self._servo.following_error_max_rad
        if not float(np.abs(state.q - self._reference.q).max()) <= limit:
            is_same = self._doubt > 0 and bool((np.abs(state.q - self._seen) <= 0.1 * limit).all())
            self._doubt = self._doubt + 1 if is_same else 1
        else:
            self._doubt = 0
        if self._doubt > 0 or self._ignored_s > IGNORED_S:
            reasons.add(Reason.NOT_FOLLOWING)
        if self._doubt >= BELIEVED or self._ignored_s > IGNORED_S:
            self._gate.reset()
            self._begin(state.q)
        self._seen = state.q

    def answer(self, ask: Ask, reasons: set[Reason]) -> tuple[Setpoint, Wish]:
        """Move the reference one cycle towards the wish, and send it through the gate."""
        wish, reference = ask.wish, self._reference
        held = Wish(wish.q_des, wish.T_base_ee_des, np.zeros_like(wish.rate_des), None)
        if Reason.STALE_WRENCH in reasons or Reason.NOT_FOLLOWING in reasons:
            reference.brake()
        elif wish.q_des is not None:
            reference.follow_posture(wish.q_des, wish.rate_des, reasons)
        elif wish.T_base_ee_des is not None:
            if self._admittance is not None and ask.wrench is not None:
                self._admittance.step(ask.wrench)
            is_moving = ask.source is not Source.HOLD
            reference.follow_pose(wish.T_base_ee_des, wish.rate_des, admittance=self._admittance, is_moving=is_moving)
        return self._send(ask.state, ask.gripper, reasons, Context(ask.now_ns, None, ask.wrench)), held

    def rest(self, state: ArmState, gripper: float) -> Setpoint:
        """Brake within the limits, and stand still."""
        if not self._is_begun:
            self._begin(state.q)
        if self._pid is not None:
            return self._gate.velocity_setpoint(state, np.zeros(len(state.q)), gripper, set())
        self._reference.brake()
        return self._send(state, gripper, set(), Context())

    def forget(self) -> None:
        """Nothing: :meth:`watch` believes a jump when it lasts."""

    def set_guiding(self, mode: GuidingMode, direction: Vector | None) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("guiding mode", self.hands_refusal)

    def set_stiffness(self, k_p: Vector | None, zeta: float | None) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        has = "has no stiffness; write wrist.admittance in config/control/ if it has a force sensor"
        raise ConfigError("stiffness", f"{self._takes}: it {has}")

    def expect_wrench(self, stamp_ns: int, wrench: Vector) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("expected wrench", f"{self._takes}: it has no stiffness that contact could soften")

    def _begin(self, q: Vector) -> None:
        self._reference.begin(q)
        self._sent = np.array(q)
        self._is_begun, self._doubt, self._ignored_s, self._seen = True, 0, 0.0, q
        if self._pid is not None:
            self._pid.reset(q, q, np.zeros(len(q)))
        if self._admittance is not None:
            self._admittance.reset()

    def _send(self, state: ArmState, gripper: float, reasons: set[Reason], context: Context) -> Setpoint:
        reference = self._reference
        if self._pid is None:
            asked = reference.q
            setpoint = self._gate.position_setpoint(state, asked, gripper, reasons, context)
            sent = self._sent if setpoint.q_des is None else setpoint.q_des
            if not float(np.abs(sent - asked).max()) <= SAME_RAD:
                reference.begin(sent, _left_of(asked - self._sent, sent - self._sent) / reference.dt)
            self._sent = sent
            return setpoint
        v = self._pid.step(state.q, reference.q, reference.v, reference.dt)
        setpoint = self._gate.velocity_setpoint(state, v, gripper, reasons, context)
        leash = self._servo.velocity_leash_rad
        ahead = reference.q - state.q
        is_free = setpoint.v_des is not None and bool((np.abs(setpoint.v_des - v) <= SAME_RAD_S).all())
        sent = v if setpoint.v_des is None else setpoint.v_des
        is_obeyed = (np.abs(state.v) >= OBEYED_SHARE * np.abs(sent)) | (np.abs(sent) < SLOW_RAD_S)
        self._ignored_s = 0.0 if is_obeyed.all() else self._ignored_s + reference.dt
        if not is_free or not float(np.abs(ahead).max()) <= leash:
            here = state.q + np.clip(ahead, -leash, leash) if is_free else state.q
            reference.begin(here, _left_of(v, sent))
        return setpoint


def _left_of(asked: Vector, sent: Vector) -> Vector:
    """What is left of a wanted motion, its direction kept: going on aside, as sent, would slide along a border."""
    square = float(asked @ asked)
    return asked * min(max(float(asked @ sent) / square, 0.0), 1.0) if square > 0.0 else np.zeros_like(asked)
