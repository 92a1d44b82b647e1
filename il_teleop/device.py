"""What a device is. Adding one is one file in il_teleop/devices/ that ends in ``DEVICE = <its class>``."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from il_core.config import Setup, config_dir, load_yaml
from il_core.errors import ConfigError, nearest
from il_teleop.buttons import Buttons
from il_teleop.recorder import Event
from il_teleop.retarget import Feel, Motion

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Input:
    """A topic that a device listens to.

    Attributes:
        topic: Name as in ``il_core/topics.py``.
        type: Message type, such as ``sensor_msgs/msg/Joy``.
        key: What the device is told the message comes from.
    """

    topic: str
    type: str
    key: str


@dataclass(frozen=True, slots=True)
class Bench:
    """What a device is made from.

    Attributes:
        setup: Robot and task.
        layout: Its file in config/teleop/, or a path; empty means the file named like the device.
        buttons: What keys and buttons mean.
        folder: Where layouts are.
    """

    setup: Setup
    layout: str = ""
    buttons: Buttons = Buttons()
    folder: Path | None = None

    def load(self, default: str, kind: type[T]) -> T:
        """Read the device's own settings.

        Raises:
            ConfigError: no such file, or impossible values.
        """
        name = self.layout or default
        folder = self.folder or config_dir() / "teleop"
        return load_yaml(Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml", kind)


class Device(ABC):
    """Something a person moves; a contract test runs on all of them.

    Clutch, scaling, dead zone, soft start and limits are none of its business: retarget.py has them.

    Attributes:
        inputs: Topics it listens to.
        feel: How its motions are felt.
        claims: Source that is claimed while the clutch is closed (see :func:`il_core.topics.claim`);
            empty for devices that send targets.
        wants_help: Whether ``help`` should be printed now.
        help: How to use it, for a person at a terminal.
        owns_terminal: Whether its messages go to the terminal rather than the log.
    """

    inputs: tuple[Input, ...] = ()
    claims: ClassVar[str] = ""
    help: ClassVar[str] = ""
    owns_terminal: ClassVar[bool] = False
    feel: Feel = Feel()
    wants_help: bool = False

    @classmethod
    @abstractmethod
    def make(cls, bench: Bench) -> Device:
        """Build it, and open its hardware.

        Raises:
            ConfigError: its file is missing or wrong.
            DeviceError: its hardware or library is missing; says how to get it.
        """

    @abstractmethod
    def motion(self, now_ns: int) -> Motion:
        """What the person does at an instant [ns]; its ``fault`` says why it cannot be trusted."""

    @abstractmethod
    def take_events(self) -> list[Event]:
        """Recorder buttons pressed since the last call."""

    def hear(self, key: str, msg: Any, now_ns: int) -> None:  # noqa: ANN401, B027 - message-shaped, optional
        """Take a message of one of the inputs.

        Raises:
            DeviceError: it cannot be read; says what to change.
        """

    def poll(self, now_ns: int) -> None:  # noqa: B027 - optional
        """Read what has come from hardware, without waiting.

        Raises:
            DeviceError: the hardware is gone.
        """

    def close(self) -> None:  # noqa: B027 - optional
        """Give the hardware back; harmless when called twice."""


def names() -> tuple[str, ...]:
    """Names of all devices: the files in il_teleop/devices/."""
    from il_teleop import devices

    return tuple(sorted(m.name for m in pkgutil.iter_modules(devices.__path__) if not m.name.startswith("_")))


def find(name: str) -> type[Device]:
    """Class of a device.

    Raises:
        ConfigError: no device of that name.
    """
    if name not in names():
        raise ConfigError("teleop", f"unknown device '{name}'; {nearest(name, list(names()))}")
    device: type[Device] = importlib.import_module(f"il_teleop.devices.{name}").DEVICE
    return device


Reader = Callable[[], bytes | None]
"""Returns one report of the hardware, or None if there is none now.

Raises:
    OSError: the hardware is gone.
"""
