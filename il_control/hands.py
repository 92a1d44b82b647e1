"""A person's hands on the arm: a push is noticed, and leads it where hand guiding is in charge."""

from __future__ import annotations

from il_control.config import ControlConfig
from il_control.laws.hand_guiding import GuidingMode, HandGuiding
from il_control.model import ArmModel
from il_control.observer import tool_wrench
from il_control.touch import Touch, TouchDetector
from il_core.spec import RobotSpec
from il_core.types import ArmState, Vector


class Hands:
    """Touch detection, if it is configured, and hand guiding.

    Attributes:
        wrench: External wrench at the tool, axes of base, (6,) [N, N·m]; None without touch detection.
    """

    def __init__(self, config: ControlConfig, robot: RobotSpec, model: ArmModel) -> None:
        """Take the settings; ``model`` is updated by the caller before each cycle."""
        self._model, self._dt = model, config.dt
        self._detector = TouchDetector(model, config.touch) if config.touch is not None else None
        self._guiding = HandGuiding(config.guiding, robot)
        self._mode, self._direction = GuidingMode.FREE, None  # type: GuidingMode, Vector | None
        self.wrench: Vector | None = None

    @property
    def can_feel(self) -> bool:
        """Whether touches are noticed."""
        return self._detector is not None

    @property
    def is_guiding(self) -> bool:
        """Whether the law of hand guiding was in force in the last cycle."""
        return self._guiding.is_active

    def feel(self, state: ArmState, elapsed_s: float) -> Touch | None:
        """Take a measurement; return the touch in the cycle in which it is noticed."""
        if self._detector is None:
            return None
        J_ee_aligned = self._model.J_ee_aligned
        touch = self._detector.update(state.q, state.v, state.tau, J_ee_aligned, elapsed_s)
        self.wrench = tool_wrench(self._detector.tau_ext, J_ee_aligned)
        return touch

    def forget(self) -> None:
        """The arm is suddenly elsewhere: what was felt means nothing here."""
        self._guiding.leave()
        if self._detector is not None:
            self._detector.reset()

    def set_mode(self, mode: GuidingMode, direction: Vector | None = None) -> None:
        """What is left to the person, from now on; see :meth:`HandGuiding.enter`.

        Raises:
            ShapeError: the direction does not have three components.
            ConfigError: the direction has no length.
        """
        if self._guiding.is_active:
            self._guiding.enter(self._model.T_base_ee, mode, direction)
        else:
            HandGuiding.direction(direction)  # refused now, not when somebody takes hold of the arm
        self._mode, self._direction = mode, direction

    def lead(self, state: ArmState) -> tuple[Vector, bool]:
        """Torque of one cycle of hand guiding, (nq,) [N·m], and whether it has just begun."""
        is_new = not self._guiding.is_active
        model = self._model
        if is_new:
            self._guiding.enter(model.T_base_ee, self._mode, self._direction)
        dt = 0.0 if is_new else self._dt
        return self._guiding.torque(state.v, model.T_base_ee, model.J_ee_aligned, state.q, model.bias, dt), is_new

    def let_go(self) -> bool:
        """Another law takes over; say whether hand guiding was in force."""
        was_guiding = self._guiding.is_active
        if was_guiding:
            self._guiding.leave()
        return was_guiding
