"""What the control cycle asks of whatever turns wishes into setpoints: torques, or a servo's positions."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from il_control.arbiter import Source
from il_control.laws.hand_guiding import GuidingMode
from il_control.reasons import Reason
from il_control.touch import Touch
from il_control.tracker import Wish
from il_core.types import ArmState, Setpoint, Vector


class Ask(NamedTuple):
    """One cycle's question.

    Attributes:
        now_ns: Current instant [ns].
        state: Newest measurement.
        source: Who drives.
        wish: What it asks for.
        held: What was in force in the cycle before.
        is_anew: Whether that was only just made up: the arm was forgotten, or never seen.
        gripper: Wanted opening in [0, 1].
        wrench: External wrench at the tool, axes of base, (6,) [N, N·m]; None: not known.
    """

    now_ns: int
    state: ArmState
    source: Source
    wish: Wish
    held: Wish
    is_anew: bool
    gripper: float
    wrench: Vector | None


class Drive(Protocol):
    """Laws and gate of one kind of arm, with all they remember between two cycles.

    Attributes:
        hands_refusal: Why hands on the arm cannot lead it, in words; empty if they can.
        feel_refusal: Why a touch is not noticed, in words; empty if it is.
    """

    hands_refusal: str
    feel_refusal: str

    @property
    def wrench(self) -> Vector | None:
        """External wrench at the tool as estimated from the joints, axes of base, (6,); None: no estimate."""
        ...

    @property
    def T(self) -> Vector:
        """Shaped target of the tool, (4, 4) [m]."""
        ...

    @property
    def q(self) -> Vector:
        """Shaped target of the joints, (nq,) [rad]."""
        ...

    @property
    def k_p(self) -> Vector | None:
        """Tool stiffness in force, (6,) [N/m, N·m/rad]; None where there is none."""
        ...

    @property
    def zeta(self) -> float | None:
        """Damping ratio in force [-]; None where :attr:`k_p` is."""
        ...

    def begin_of_motion(self, held: Wish | None) -> tuple[Vector, Vector]:
        """Tool pose (4, 4) and posture (nq,) at which a motion of the controller's own begins."""
        ...

    def start(self) -> Wish:
        """Begin where the arm is; return the wish to stay there."""
        ...

    def feel(self, state: ArmState, elapsed_s: float) -> Touch | None:
        """Take a measurement; return the touch in the cycle in which it is noticed."""
        ...

    def watch(self, state: ArmState, reasons: set[Reason]) -> None:
        """Look at a state before anything else; add what makes all plans worthless."""
        ...

    def answer(self, ask: Ask, reasons: set[Reason]) -> tuple[Setpoint, Wish]:
        """Setpoint of this cycle, through the gate, and what is held from now on."""
        ...

    def rest(self, state: ArmState, gripper: float) -> Setpoint:
        """Answer of a controller that is leaving."""
        ...

    def forget(self) -> None:
        """The arm is suddenly elsewhere."""
        ...

    def set_guiding(self, mode: GuidingMode, direction: Vector | None) -> None:
        """What hand guiding leaves to the person."""
        ...

    def set_stiffness(self, k_p: Vector | None, zeta: float | None) -> None:
        """Ask for another tool stiffness or damping ratio."""
        ...

    def expect_wrench(self, stamp_ns: int, wrench: Vector) -> None:
        """Say what the tool is meant to feel."""
        ...
