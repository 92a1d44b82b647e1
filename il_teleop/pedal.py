"""A foot pedal, which is a keyboard to the kernel: its keys count whichever window is in front."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from il_core.errors import ConfigError, DeviceError
from il_teleop.buttons import Panel
from il_teleop.recorder import Event
from il_teleop.retarget import Motion, MotionSource

# struct input_event of linux/input.h: struct timeval, type, code, value.
_EVENT = struct.Struct("llHHi")
_KEY, _UP, _REPEAT = 1, 0, 2
# From linux/input-event-codes.h: what pedals on sale send without being programmed, and digits.
_CODES = {
    **{f"KEY_{c}": code for c, code in zip("QWERTYUIOP", range(16, 26), strict=True)},
    **{f"KEY_{c}": code for c, code in zip("ASDFGHJKL", range(30, 39), strict=True)},
    **{f"KEY_{c}": code for c, code in zip("ZXCVBNM", range(44, 51), strict=True)},
    **{f"KEY_{c}": code for c, code in zip("1234567890", range(2, 12), strict=True)},
    **{f"KEY_F{k}": 58 + k for k in range(1, 11)},
    **{"KEY_ESC": 1, "KEY_ENTER": 28, "KEY_SPACE": 57, "KEY_PAGEUP": 104, "KEY_PAGEDOWN": 109, "KEY_TAB": 15},
    **{"BTN_LEFT": 0x110, "BTN_RIGHT": 0x111, "BTN_MIDDLE": 0x112},
}


def code_of(name: str) -> int:
    """Number of a key, given by name or number.

    Raises:
        ConfigError: unknown name.
    """
    if name in _CODES:
        return _CODES[name]
    if re.fullmatch(r"\d+", name):
        return int(name)
    raise ConfigError(
        "buttons pedal", f"unknown key '{name}'; write its number from /usr/include/linux/input-event-codes.h"
    )


class Pedal:
    """Reads key events of an input device."""

    def __init__(self, fd: int, meanings: Mapping[str, str]) -> None:
        """Begin with nothing pressed.

        Args:
            fd: Where the kernel's events come from; read without waiting, closed by :meth:`close`.
            meanings: Meaning of keys, by name or number.
        """
        self.panel = Panel({str(code_of(name)): meaning for name, meaning in meanings.items()})
        os.set_blocking(fd, False)
        self._fd, self._rest = fd, b""
        self._down: set[int] = set()
        self.fault = ""

    @classmethod
    def open(cls, path: str, meanings: Mapping[str, str]) -> Pedal:
        """Open an input device such as /dev/input/by-id/usb-PCsensor_FootSwitch-event-kbd.

        Raises:
            DeviceError: missing, or not to be read; lists the keyboards there are.
        """
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_NONBLOCK), meanings)
        except OSError as error:
            there = sorted(str(p) for p in Path("/dev/input/by-id").glob("*-event-kbd")) or ["none"]
            raise DeviceError(
                f"pedal {path}: {error.strerror}; keyboards and pedals here: {', '.join(there)}; "
                "reading one needs the group 'input': `sudo usermod -aG input $USER`, then log in again"
            ) from error

    def poll(self) -> None:
        """Take the key events that have come."""
        try:
            while data := os.read(self._fd, 64 * _EVENT.size):
                self._take(self._rest + data)
        except BlockingIOError:
            pass
        except OSError as error:
            self.fault = f"the pedal is gone ({error.strerror}); plug it in and start again"
            self._down.clear()
            self.panel.hold(())
            self.panel.open_clutch()

    def _take(self, data: bytes) -> None:
        whole = len(data) // _EVENT.size * _EVENT.size
        self._rest = data[whole:]
        for _, _, kind, code, value in _EVENT.iter_unpack(data[:whole]):
            if kind != _KEY or value == _REPEAT:
                continue
            if value == _UP:
                self._down.discard(code)
            else:
                self._down.add(code)
            self.panel.hold(map(str, self._down))

    def close(self) -> None:
        """Close the device; harmless when called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Assisted:
    """A device with further buttons beside it: a pedal, keys of the terminal.

    Any clutch engages; the newest wish for the gripper counts, whoever had it.
    """

    def __init__(self, source: MotionSource, panel: Panel) -> None:
        """Begin with the device's own wish for the gripper."""
        self._source, self._panel = source, panel
        self._last: tuple[float | None, float | None] = (None, None)
        self._is_panel_newer = False

    def motion(self, now_ns: int) -> Motion:
        """What the device says, with the buttons' clutch and gripper."""
        motion = self._source.motion(now_ns)
        wishes = (motion.gripper_des, self._panel.gripper_des)
        if wishes[1] != self._last[1]:
            self._is_panel_newer = True
        elif wishes[0] != self._last[0]:
            self._is_panel_newer = False
        self._last = wishes
        gripper = wishes[1] if self._is_panel_newer else wishes[0]
        return replace(motion, is_engaged=motion.is_engaged or self._panel.is_engaged, gripper_des=gripper)

    def take_events(self) -> list[Event]:
        """Recorder buttons pressed beside the device since the last call."""
        return self._panel.take_events()
