"""The arm itself, led by the hand: the clutch claims guiding, and the gripper is worked beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from il_core import topics, wire
from il_core.errors import ConfigError, DeviceError, IlError
from il_core.wire import JointMap
from il_teleop.buttons import Panel
from il_teleop.device import Bench, Device, Input
from il_teleop.recorder import Event
from il_teleop.retarget import Motion


@dataclass(frozen=True, slots=True)
class SpringBackConfig:
    """When fingers pushed by hand count as a wish.

    Attributes:
        is_on: Whether they do; needs a gripper that yields to the hand.
        push: Opening by which the fingers are pushed at least, in [0, 1].
        rest: Opening within which they count as back, less than half of ``push``.
        still_ms: Time they rest before a push counts: the gripper's own motions do not.
        push_max_ms: A longer push is a hand that holds the gripper, not a wish.
    """

    is_on: bool = False
    push: float = 0.12
    rest: float = 0.03
    still_ms: float = 250.0
    push_max_ms: float = 1500.0

    def __post_init__(self) -> None:
        """Reject limits between which nothing can be told apart."""
        if not 0.0 < 2 * self.rest < self.push < 1.0 or min(self.still_ms, self.push_max_ms) <= 0:
            raise ConfigError("spring back", "need 0 < 2 rest < push < 1, still_ms > 0 and push_max_ms > 0")


class SpringBack:
    """Notices that somebody pushed the fingers and let them spring back.

    The opening at which the fingers rest is learned anew after every motion of the gripper, so an object
    between them does not matter.
    """

    def __init__(self, config: SpringBackConfig) -> None:
        """Nothing is known of the fingers."""
        self._config = config
        self._rest: float | None = None  # opening at which they stand
        self._near = (0.0, 0)  # candidate of it, and since when
        self._pushed_ns: int | None = None

    def moved_by_itself(self) -> None:
        """The gripper was asked to move: what it does now is no push."""
        self._rest = self._pushed_ns = None

    def observe(self, opening: float, now_ns: int) -> bool:
        """Take a measured opening, in [0, 1]; whether a push has just ended."""
        config = self._config
        if abs(opening - self._near[0]) > config.rest or now_ns < self._near[1]:
            self._near = (opening, now_ns)
        is_still = now_ns - self._near[1] >= config.still_ms * 1e6
        if self._rest is None:
            if is_still:
                self._rest = opening
            return False
        if self._pushed_ns is None:
            if abs(opening - self._rest) >= config.push:
                self._pushed_ns = now_ns
            return False
        is_too_long = now_ns - self._pushed_ns > config.push_max_ms * 1e6
        if abs(opening - self._rest) <= config.rest and not is_too_long:
            self._pushed_ns = None
            return True
        if is_too_long:
            self.moved_by_itself()
        return False


@dataclass(frozen=True, slots=True)
class HandGuidingLayout:
    """See config/teleop/hand_guiding.yaml.

    Attributes:
        spring_back: Whether and when pushed fingers work the gripper.
    """

    spring_back: SpringBackConfig = SpringBackConfig()


class HandGuidingDevice(Device):
    """Sends no target: while its clutch is closed the controller lets the hand lead."""

    inputs: tuple[Input, ...] = (Input(topics.JOY, "sensor_msgs/msg/Joy", "joy"),)
    claims: ClassVar[str] = "guiding"
    help: ClassVar[str] = "hand guiding: the clutch frees the arm; the gripper is a button, a pedal or a squeeze"

    def __init__(self, layout: HandGuidingLayout, meanings: Mapping[str, str], joints: JointMap) -> None:
        """Start with the arm held.

        Args:
            layout: How the gripper is worked.
            meanings: Meaning of a gamepad's buttons, by number.
            joints: The arm's, to read its gripper.
        """
        self._panel, self._joints = Panel(meanings), joints
        self._spring = SpringBack(layout.spring_back) if layout.spring_back.is_on else None
        if self._spring is not None:
            if not joints.robot.gripper_joint:
                raise ConfigError("hand guiding", f"arm '{joints.robot.name}' has no gripper to push; set is_on: false")
            self.inputs = (*self.inputs, Input(topics.JOINT_STATES, "sensor_msgs/msg/JointState", "state"))
        self._asked: float | None = None
        self._panel_asked: float | None = None

    @classmethod
    def make(cls, bench: Bench) -> HandGuidingDevice:
        """Read the layout."""
        meanings = {name: "gripper" if m == "close" else m for name, m in bench.buttons.joy.items()}
        return cls(bench.load("hand_guiding", HandGuidingLayout), meanings, JointMap(bench.setup.robot))

    def hear(self, key: str, msg: Any, now_ns: int) -> None:  # noqa: ANN401 - message-shaped
        """Take buttons, or the measured gripper."""
        if key == "joy":
            self._panel.hold(str(k) for k, is_down in enumerate(msg.buttons) if is_down)
            return
        try:
            self.feel_gripper(wire.arm_state_from(msg, self._joints).gripper, now_ns)
        except (IlError, ValueError) as error:
            raise DeviceError(f"the gripper cannot be read: {error}") from error

    def feel_gripper(self, opening: float, now_ns: int) -> None:
        """Take a measured opening, in [0, 1]."""
        if self._spring is not None and self._spring.observe(opening, now_ns):
            is_open = self._asked > 0.5 if self._asked is not None else opening > 0.5
            self._ask(0.0 if is_open else 1.0)

    def _ask(self, opening: float) -> None:
        self._asked = opening
        if self._spring is not None:
            self._spring.moved_by_itself()

    def motion(self, now_ns: int) -> Motion:
        """Whether the hand leads, and the wish for the gripper; never a target."""
        wish = self._panel.gripper_des
        if wish is not None and wish != self._panel_asked:
            self._panel_asked = wish
            self._ask(wish)
        return Motion(is_engaged=self._panel.is_engaged, gripper_des=self._asked)

    def take_events(self) -> list[Event]:
        """Recorder buttons pressed since the last call."""
        return self._panel.take_events()


DEVICE = HandGuidingDevice
