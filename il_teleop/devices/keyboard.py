"""A terminal's keyboard: arrows and letters move the tool, letters run the recorder."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Mapping
from types import TracebackType
from typing import ClassVar

from il_core.errors import DeviceError
from il_teleop.buttons import Panel
from il_teleop.device import Bench, Device
from il_teleop.recorder import Event
from il_teleop.retarget import Motion

HOLD_NS = 300_000_000  # a terminal repeats a held key after 250 to 500 ms and tells nothing of its release
SCALES = (0.1, 0.2, 0.4, 0.7, 1.0)

HELP = """\
space      clutch: drive / let go          g       gripper: close / open
up, down   tool away / towards you (x)     r, s    recording: start, stop
left,right tool left / right (y)           y, n    label it success, failure
u, j       tool up / down (z)              k, d    keep, discard it; K keep it though rejected
1 2, 3 4, 5 6  turn about x, y, z          b       begin again (idle: replace the last one kept)
+ -        faster, slower                  f1..f5  quality, 1 poor to 5 perfect
h          this help                       enter   whichever comes next; Ctrl-C leave"""

_AXES: dict[str, tuple[int, float]] = {
    "up": (0, 1.0),
    "down": (0, -1.0),
    "left": (1, 1.0),
    "right": (1, -1.0),
    "u": (2, 1.0),
    "j": (2, -1.0),
    "1": (3, 1.0),
    "2": (3, -1.0),
    "3": (4, 1.0),
    "4": (4, -1.0),
    "5": (5, 1.0),
    "6": (5, -1.0),
}
_ARROWS = ("up", "down", "right", "left")
_SEQUENCES = {
    **{f"\x1b{bracket}{letter}": key for bracket in "[O" for letter, key in zip("ABCD", _ARROWS, strict=True)},
    **{f"\x1bO{letter}": f"f{k}" for k, letter in enumerate("PQRS", start=1)},
    "\x1b[15~": "f5",
}
_BEGINNINGS = {sequence[:n] for sequence in _SEQUENCES for n in range(1, len(sequence))}
_LONGEST = max(map(len, _SEQUENCES))


def split_keys(text: str) -> tuple[list[str], str]:
    """Cut what a terminal sent into keys.

    Returns:
        Keys (arrows, ``f1`` to ``f5`` and ``enter`` by name, others as they are) and the beginning of an
        unfinished sequence.
    """
    keys, i = [], 0
    while i < len(text):
        if text[i] != "\x1b":
            keys.append("enter" if text[i] in "\r\n" else text[i])
            i += 1
            continue
        length = next((n for n in range(1, _LONGEST + 1) if text[i : i + n] in _SEQUENCES), 0)
        if length:
            keys.append(_SEQUENCES[text[i : i + length]])
            i += length
        elif text[i:] in _BEGINNINGS:
            return keys, text[i:]
        else:
            i += 1  # Alt and a letter, or a sequence we do not know: drop the escape
    return keys, ""


class KeyboardDevice(Device):
    """Keys into motion; a key counts as held for a moment after each repetition."""

    help: ClassVar[str] = HELP
    owns_terminal: ClassVar[bool] = True

    def __init__(self, meanings: Mapping[str, str], terminal: Terminal | None = None) -> None:
        """Start with the clutch open at a moderate speed.

        Args:
            meanings: Meaning of the keys that do not move; see :class:`il_teleop.buttons.Buttons`.
            terminal: Where keys come from, already entered; None to be told by :meth:`press`.
        """
        self._held_ns: dict[int, tuple[float, int]] = {}
        self._is_engaged = False
        self._scale = 2
        self._panel = Panel(meanings)
        self._terminal = terminal
        self.wants_help = True

    @classmethod
    def make(cls, bench: Bench) -> KeyboardDevice:
        """Take this process's terminal."""
        return cls(bench.buttons.keys, Terminal().__enter__())

    def poll(self, now_ns: int) -> None:
        """Read the keys pressed since."""
        for key in self._terminal.keys() if self._terminal is not None else ():
            self.press(key, now_ns)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            terminal.__exit__(None, None, None)

    def press(self, key: str, now_ns: int) -> None:
        """Take one key, named as in :func:`split_keys`; unknown keys do nothing."""
        if key in _AXES:
            axis, sign = _AXES[key]
            self._held_ns[axis] = (sign, now_ns)
        elif key == " ":
            self._is_engaged = not self._is_engaged
            self._held_ns.clear()
        elif key in ("+", "-"):
            step = 1 if key == "+" else -1
            self._scale = min(max(self._scale + step, 0), len(SCALES) - 1)
        elif key == "h":
            self.wants_help = True
        else:
            self._panel.press(key)

    def motion(self, now_ns: int) -> Motion:
        """Deflections of the keys held now."""
        x, y, z, a, b, c = (self._deflection(axis, now_ns) for axis in range(6))
        return Motion((x, y, z), (a, b, c), self._is_engaged, self._panel.gripper_des)

    def take_events(self) -> list[Event]:
        """Recorder keys pressed since the last call."""
        return self._panel.take_events()

    def _deflection(self, axis: int, now_ns: int) -> float:
        sign, pressed_ns = self._held_ns.get(axis, (0.0, 0))
        return sign * SCALES[self._scale] if sign and now_ns - pressed_ns <= HOLD_NS else 0.0


class Terminal:
    """The terminal, read key by key without waiting; left as it was found."""

    def __init__(self, fd: int | None = None) -> None:
        """Open a terminal.

        Args:
            fd: Its file descriptor; by default the terminal of this process.

        Raises:
            DeviceError: this process has none.
        """
        self._fd = _own_terminal() if fd is None else fd
        self._rest = ""

    def __enter__(self) -> Terminal:
        """Switch to single keys without echo; Ctrl-C still interrupts."""
        self._saved = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal."""
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)

    def keys(self) -> list[str]:
        """Keys pressed since the last call."""
        if not select.select([self._fd], [], [], 0.0)[0]:
            return []
        try:
            data = os.read(self._fd, 1024)
        except OSError as error:
            raise DeviceError(f"the terminal is gone ({error}); start again in a terminal") from error
        keys, self._rest = split_keys(self._rest + data.decode(errors="ignore"))
        return keys


def _own_terminal() -> int:
    """File descriptor of this process's terminal, even if its input is redirected."""
    if sys.stdin is not None and sys.stdin.isatty():
        return sys.stdin.fileno()
    try:
        return os.open("/dev/tty", os.O_RDWR)
    except OSError:
        raise DeviceError(
            "device 'keyboard' needs a terminal and this process has none; "
            "run `il teleop` in a terminal, or use device:=joy"
        ) from None


DEVICE = KeyboardDevice
