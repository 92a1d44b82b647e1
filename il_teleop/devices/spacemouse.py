"""A 3Dconnexion SpaceMouse, read from the kernel's hidraw device: no driver or library is needed."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from il_core.errors import ConfigError, DeviceError
from il_teleop.buttons import Panel
from il_teleop.device import Bench, Device, Reader
from il_teleop.recorder import Event
from il_teleop.retarget import Feel, Motion

FULL_COUNTS = 350  # of a cap pressed all the way; the report's own limits are wider
HOLD_NS = 200_000_000  # it reports 60 times a second while deflected: an older deflection was lost on the way
REPORT_BYTES = 64
VENDOR, OLD_VENDOR = 0x256F, 0x046D  # 3Dconnexion; before 2013 it sold under Logitech's number
OLD_PRODUCTS = range(0xC603, 0xC62C)
PLAIN_MICE = range(0xC650, 0xC65A)  # CadMouse: two axes and a wheel
RECEIVER = 0xC652  # universal receiver: a SpaceMouse may be behind it
UDEV_RULE = 'KERNEL=="hidraw*", ATTRS{idVendor}=="256f", MODE="0660", TAG+="uaccess"'


@dataclass(frozen=True, slots=True)
class SpaceMouseLayout:
    """See config/teleop/spacemouse.yaml.

    Attributes:
        device: Its hidraw file; empty takes the first SpaceMouse found.
        feel: Dead zone and factors of the axes.
    """

    device: str = ""
    feel: Feel = Feel()


@dataclass(frozen=True, slots=True)
class Report:
    """What one HID report changes; None is left as it was.

    Attributes:
        linear: Counts along the cap's axes: x right, y towards the person, z down, (3,).
        angular: Counts about these axes, (3,).
        buttons: Numbers of the buttons that are down.
    """

    linear: tuple[int, int, int] | None = None
    angular: tuple[int, int, int] | None = None
    buttons: frozenset[int] | None = None


def decode(data: bytes) -> Report:
    """Read one HID report, its number first.

    Report 1: translation, three int16 little endian; models since 2016 append rotation. Report 2: rotation.
    Report 3: one bit per button. Others (battery, lights) tell nothing of the cap.

    Raises:
        DeviceError: a known report that is too short.
    """
    if not data:
        raise DeviceError("SpaceMouse sent an empty report; unplug it and plug it in again")
    number, body = data[0], data[1:]
    if number in (1, 2):
        if len(body) < 6:
            raise DeviceError(f"SpaceMouse report {number} has {len(body)} bytes, expected 6 or 12")
        first = struct.unpack_from("<3h", body)
        if number == 2:
            return Report(angular=first)
        return Report(first, struct.unpack_from("<3h", body, 6) if len(body) >= 12 else None)
    if number == 3:
        bits = int.from_bytes(body, "little")
        return Report(buttons=frozenset(k for k in range(8 * len(body)) if bits >> k & 1))
    return Report()


def find_hidraw(classes: Path = Path("/sys/class/hidraw")) -> list[Path]:
    """Device files of all SpaceMice, in the order of their numbers.

    Args:
        classes: The kernel's list of hidraw devices.
    """
    found = []
    for entry in sorted(classes.glob("hidraw*"), key=lambda p: (len(p.name), p.name)):
        with contextlib.suppress(OSError, ValueError):
            lines = (entry / "device" / "uevent").read_text().splitlines()
            numbers = next(line.split("=")[1] for line in [*lines, "HID_ID=0:0:0"] if line.startswith("HID_ID="))
            _, vendor, product = (int(n, 16) for n in numbers.split(":"))
            is_ours = vendor == VENDOR and (product not in PLAIN_MICE or product == RECEIVER)
            if is_ours or (vendor == OLD_VENDOR and product in OLD_PRODUCTS):
                found.append(Path("/dev") / entry.name)
    return found


class SpaceMouseDevice(Device):
    """Deflections of the cap; its axes are turned into those of base for a person who faces as the arm does."""

    help: ClassVar[str] = "SpaceMouse: push and turn the cap; buttons are in config/teleop/buttons.yaml"

    def __init__(self, layout: SpaceMouseLayout, meanings: Mapping[str, str], read: Reader) -> None:
        """Start centred.

        Args:
            layout: How it is felt.
            meanings: Meaning of its buttons, by number.
            read: Yields one HID report after the other.
        """
        self.feel = layout.feel
        self._panel, self._read = Panel(meanings), read
        self._linear = self._angular = (0, 0, 0)
        self._moved_ns = 0
        self._fault = ""
        self._fd = -1

    @classmethod
    def make(cls, bench: Bench) -> SpaceMouseDevice:
        """Open the first SpaceMouse, or the one the layout names."""
        layout = bench.load("spacemouse", SpaceMouseLayout)
        places = [Path(layout.device)] if layout.device else find_hidraw()
        if not places:
            raise DeviceError("no SpaceMouse is plugged in; plug one in, or take another device: il teleop --device")
        fd = _open(places)
        device = cls(layout, bench.buttons.spacemouse, lambda: _report(fd))
        device._fd = fd
        return device

    def poll(self, now_ns: int) -> None:
        """Read the reports that have come."""
        try:
            while not self._fault and (data := self._read()) is not None:
                self._take(decode(data), now_ns)
        except OSError as error:
            self._fault = f"the SpaceMouse is gone ({error.strerror or error}); plug it in and start again"

    def _take(self, report: Report, now_ns: int) -> None:
        if report.linear is not None:
            self._linear = report.linear
        if report.angular is not None:
            self._angular = report.angular
        if report.linear is not None or report.angular is not None:
            self._moved_ns = now_ns
        if report.buttons is not None:
            self._panel.hold(map(str, report.buttons))

    def motion(self, now_ns: int) -> Motion:
        """Deflections of the newest reports."""
        is_fresh = 0 <= now_ns - self._moved_ns <= HOLD_NS
        linear, angular = (_in_base(c) if is_fresh else (0.0,) * 3 for c in (self._linear, self._angular))
        panel = self._panel
        return Motion(linear, angular, panel.is_engaged, panel.gripper_des, self._fault)

    def take_events(self) -> list[Event]:
        """Recorder buttons pressed since the last call."""
        return self._panel.take_events()

    def close(self) -> None:
        """Close the device file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _in_base(counts: tuple[int, int, int]) -> tuple[float, float, float]:
    """Cap (right, towards the person, down) -> base (away from the person, left, up), in [-1, 1]."""
    right, back, down = (min(max(c / FULL_COUNTS, -1.0), 1.0) for c in counts)
    return -back, -right, -down


def _open(places: list[Path]) -> int:
    for place in places:
        try:
            return os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            problem = error
    if problem.errno == errno.EACCES:
        raise DeviceError(
            f"{places[0]} may not be read; write {UDEV_RULE!r} to /etc/udev/rules.d/70-spacemouse.rules, then "
            "`sudo udevadm control --reload && sudo udevadm trigger`"
        )
    raise ConfigError("spacemouse", f"{places[0]}: {problem.strerror}; see 'device' in config/teleop/spacemouse.yaml")


def _report(fd: int) -> bytes | None:
    """One report of a hidraw file, or None; the kernel never gives two at once."""
    try:
        return os.read(fd, REPORT_BYTES)
    except BlockingIOError:
        return None


DEVICE = SpaceMouseDevice
