"""What keys, pedals and buttons mean: read from config/teleop/buttons.yaml, the same for every device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from il_core.errors import ConfigError, nearest
from il_teleop.recorder import OWN_EVENTS, Event


class Grip(str, Enum):
    """What a button can do besides running the recorder."""

    CLUTCH = "clutch"  # held to drive
    CLUTCH_TOGGLE = "clutch_toggle"  # pressed to drive, pressed again to stop
    CLOSE = "close"  # the gripper is closed while it is held
    GRIPPER = "gripper"  # pressed to close, pressed again to open


_MEANINGS: dict[str, Event | Grip] = {
    **{e.value: e for e in Event if e not in OWN_EVENTS},
    **{g.value: g for g in Grip},
}


@dataclass(frozen=True, slots=True)
class Buttons:
    """Meaning of every button, by its name on the device.

    Attributes:
        keys: Keys of the terminal, as ``il teleop --device keyboard`` and ``il record`` read them.
        pedal: Key codes that a foot pedal sends, such as ``KEY_B`` or ``48``.
        joy: Numbers of a gamepad's buttons.
        spacemouse: Numbers of a SpaceMouse's buttons.
    """

    keys: dict[str, str] = field(default_factory=dict)
    pedal: dict[str, str] = field(default_factory=dict)
    joy: dict[str, str] = field(default_factory=dict)
    spacemouse: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject meanings nobody knows."""
        for group in ("keys", "pedal", "joy", "spacemouse"):
            for name, meaning in getattr(self, group).items():
                if meaning not in _MEANINGS:
                    problem = f"'{group}: {name}' means unknown '{meaning}'; {nearest(meaning, list(_MEANINGS))}"
                    raise ConfigError("buttons", problem)

    @property
    def recorder_keys(self) -> dict[str, Event]:
        """Keys of the terminal that run the recorder."""
        meanings = {key: _MEANINGS[meaning] for key, meaning in self.keys.items()}
        return {key: m for key, m in meanings.items() if isinstance(m, Event)}


class Panel:
    """Buttons of one device: presses become recorder events once, holds become clutch and gripper."""

    def __init__(self, meanings: Mapping[str, str]) -> None:
        """Begin with nothing pressed.

        Args:
            meanings: Meaning by name; see :class:`Buttons`.
        """
        self._meanings = {name: _MEANINGS[m] for name, m in meanings.items()}
        self._down: set[str] = set()
        self._events: list[Event] = []
        self._is_toggled = False
        self._is_closed: bool | None = None
        self._has_close = Grip.CLOSE in self._meanings.values()

    def press(self, name: str) -> None:
        """One press, without a length: keys of a terminal."""
        self._act(self._meanings.get(name))

    def hold(self, down: Iterable[str]) -> None:
        """The buttons that are down now; all others are up."""
        now = set(down)
        for name in sorted(now - self._down):
            self._act(self._meanings.get(name))
        self._down = now

    def _act(self, meaning: Event | Grip | None) -> None:
        if isinstance(meaning, Event):
            self._events.append(meaning)
        elif meaning is Grip.CLUTCH_TOGGLE:
            self._is_toggled = not self._is_toggled
        elif meaning is Grip.GRIPPER:
            self._is_closed = not self._is_closed

    def open_clutch(self) -> None:
        """Forget a toggled clutch: the device fell silent, and driving on needs a deliberate act."""
        self._is_toggled = False

    @property
    def is_engaged(self) -> bool:
        """Whether the clutch is held or toggled."""
        return self._is_toggled or Grip.CLUTCH in self._held

    @property
    def gripper_des(self) -> float | None:
        """Wanted opening in [0, 1]; None as long as nothing was asked for."""
        if Grip.CLOSE in self._held:
            return 0.0
        if self._is_closed is not None:
            return 0.0 if self._is_closed else 1.0
        return 1.0 if self._has_close else None

    @property
    def _held(self) -> set[Event | Grip]:
        return {self._meanings[name] for name in self._down if name in self._meanings}

    def take_events(self) -> list[Event]:
        """Recorder events since the last call."""
        events, self._events = self._events, []
        return events
