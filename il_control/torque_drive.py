"""The drive of torque-controlled arms: impedance, hand guiding, and changes between them without a bump."""

from __future__ import annotations

import numpy as np

from il_control.arbiter import Source
from il_control.config import ControlConfig
from il_control.drive import Ask
from il_control.hands import Hands
from il_control.impedance import Impedance, TorqueFade
from il_control.inputs import Context
from il_control.laws.compensation import friction_torque
from il_control.laws.hand_guiding import GuidingMode
from il_control.model import ArmModel
from il_control.reasons import Reason
from il_control.safety import SafetyGate
from il_control.touch import Touch
from il_control.tracker import Wish
from il_core.spec import RobotSpec
from il_core.types import ArmState, Setpoint, Vector

FADE_S = 0.2  # a change of law: shorter is felt as a jerk, longer leaves the arm between two minds


class TorqueDrive:
    """Fills :class:`il_control.drive.Drive`."""

    hands_refusal = ""

    def __init__(self, config: ControlConfig, robot: RobotSpec, model: ArmModel, gate: SafetyGate) -> None:
        """Combine laws and gate; ``model`` is updated by the caller before each cycle."""
        self._model, self._gate, self._dt = model, gate, config.dt
        self._impedance = Impedance(config, robot, model)
        self._hands = Hands(config, robot, model)
        self._fade = TorqueFade(FADE_S)
        self._friction = config.friction
        self._k_d_rest = np.array(config.joint_damping_nms_rad)
        self._excess: Vector | None = None
        self._is_spring = False
        missing = "no setting 'touch' in config/control/: write what counts as one, see docs/safety.md"
        self.feel_refusal = "" if self._hands.can_feel else missing

    @property
    def wrench(self) -> Vector | None:
        """External wrench at the tool, as the touch detection estimates it."""
        return self._hands.wrench

    @property
    def T(self) -> Vector:
        """Shaped target of the Cartesian law, (4, 4) [m]."""
        return self._impedance.T

    @property
    def q(self) -> Vector:
        """Shaped target of the joint law, (nq,) [rad]."""
        return self._impedance.q

    @property
    def k_p(self) -> Vector | None:
        """Tool stiffness in force; None under the joint law and in hand guiding."""
        return self._impedance.k_p if self._is_spring else None

    @property
    def zeta(self) -> float | None:
        """Damping ratio in force; None where :attr:`k_p` is."""
        return self._impedance.zeta if self._is_spring else None

    def begin_of_motion(self, held: Wish | None) -> tuple[Vector, Vector]:
        """Where the law in force holds the arm; where it is measured to be under another law."""
        model, law = self._model, self._impedance
        T = model.T_base_ee if held is None or held.T_base_ee_des is None else law.T
        q = model.q if held is None or held.q_des is None else law.q
        return T, q

    def start(self) -> Wish:
        """Begin with the Cartesian law where the arm is."""
        return self._impedance.start()

    def feel(self, state: ArmState, elapsed_s: float) -> Touch | None:
        """See :meth:`il_control.hands.Hands.feel`."""
        return self._hands.feel(state, elapsed_s)

    def watch(self, state: ArmState, reasons: set[Reason]) -> None:
        """Nothing: torques act from wherever the arm is."""

    def answer(self, ask: Ask, reasons: set[Reason]) -> tuple[Setpoint, Wish]:
        """Torque of the law that is in charge, faded over where it is a new one, through the gate."""
        now_ns, state, source, wish, held, is_anew, gripper, wrench = ask
        law = self._impedance
        if source is not Source.HOLD:
            law.creep_home()
        if source is Source.GUIDING:
            tau, is_new_law = self._hands.lead(state)
            held = law.start()  # what is held afterwards is where the person leaves it
            self._is_spring = False
        else:
            is_new_law = self._hands.let_go() or is_anew or (wish.q_des is None) != (held.q_des is None)
            held = Wish(wish.q_des, wish.T_base_ee_des, np.zeros_like(wish.rate_des), None, wish.k_p_des)
            tau = law.torque(state, wish, reasons, wrench)
            self._is_spring = True
        if self._friction is not None:
            tau = tau + friction_torque(state.v, self._friction)
        tau = self._without_bump(tau, is_new_law=is_new_law)
        context = Context(now_ns, None, wrench)
        return self._gate.setpoint(state, tau, gripper, self._model.bias, reasons, context), held

    def rest(self, state: ArmState, gripper: float) -> Setpoint:
        """Gravity compensation and damping, nothing else."""
        self._model.update(state.q, state.v)
        tau = self._model.gravity - self._k_d_rest * state.v
        return self._gate.setpoint(state, tau, gripper, self._model.bias, set())

    def forget(self) -> None:
        """Torques of another posture mean nothing here."""
        self._excess = None
        self._fade.stop()
        self._hands.forget()

    def set_guiding(self, mode: GuidingMode, direction: Vector | None) -> None:
        """See :meth:`il_control.hands.Hands.set_mode`."""
        self._hands.set_mode(mode, direction)

    def set_stiffness(self, k_p: Vector | None, zeta: float | None) -> None:
        """See :meth:`il_control.impedance.Impedance.set_stiffness`."""
        self._impedance.set_stiffness(k_p, zeta)

    def expect_wrench(self, stamp_ns: int, wrench: Vector) -> None:
        """See :meth:`il_control.impedance.Impedance.expect_wrench`."""
        self._impedance.expect_wrench(stamp_ns, wrench)

    def _without_bump(self, tau: Vector, *, is_new_law: bool) -> Vector:
        """Let what the old law had over the new fade out."""
        if is_new_law and self._excess is not None:
            self._fade.start(self._excess - (tau - self._model.bias))
        tau = self._fade.apply(tau, self._dt)
        self._excess = tau - self._model.bias
        return tau
