"""A gamepad, or anything else that publishes sensor_msgs/Joy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from il_core import topics
from il_core.errors import ConfigError, DeviceError
from il_teleop.buttons import Panel
from il_teleop.device import Bench, Device, Input
from il_teleop.recorder import Event
from il_teleop.retarget import Feel, Motion
from il_teleop.watch import Watch


@dataclass(frozen=True, slots=True)
class JoyLayout:
    """Which axis means what; see config/teleop/joy.yaml. Buttons are in config/teleop/buttons.yaml.

    Attributes:
        linear_axes: Axes for x, y, z of base.
        angular_axes: Axes for rotation about x, y, z of base.
        timeout_ms: Silence after which the gamepad counts as gone.
        rate_min_hz: Rate below which it is not to be trusted; 0 = any.
        feel: Dead zone and factors of the axes.
    """

    linear_axes: tuple[int, ...]
    angular_axes: tuple[int, ...]
    timeout_ms: float
    rate_min_hz: float = 0.0
    feel: Feel = Feel()

    def __post_init__(self) -> None:
        """Reject layouts that cannot be read."""
        for key in ("linear_axes", "angular_axes"):
            if len(getattr(self, key)) != 3:
                raise ConfigError("joy layout", f"'{key}' needs three values, got {getattr(self, key)}")


class JoyDevice(Device):
    """Reads Joy messages; the last one counts until it is too old."""

    inputs: tuple[Input, ...] = (Input(topics.JOY, "sensor_msgs/msg/Joy", "joy"),)

    def __init__(self, layout: JoyLayout, meanings: Mapping[str, str]) -> None:
        """Start centred, clutch open.

        Args:
            layout: Meaning of the axes.
            meanings: Meaning of the buttons, by number; see :class:`il_teleop.buttons.Buttons`.
        """
        self.feel = layout.feel
        self._layout, self._panel = layout, Panel(meanings)
        self._axes: Sequence[float] = (0.0, 0.0, 0.0)
        hint = "is the gamepad's node running?"
        self._watch = Watch("Joy message", layout.timeout_ms, layout.rate_min_hz, hint)

    @classmethod
    def make(cls, bench: Bench) -> JoyDevice:
        """Read the layout."""
        return cls(bench.load("joy", JoyLayout), bench.buttons.joy)

    def hear(self, key: str, msg: Any, now_ns: int) -> None:  # noqa: ANN401 - message-shaped
        """Take one Joy message."""
        self.receive(msg.axes, msg.buttons, now_ns)

    def receive(self, axes: Sequence[float], buttons: Sequence[int], now_ns: int) -> None:
        """Take what one message says.

        Raises:
            DeviceError: it lacks an axis for translation.
        """
        needed = max(self._layout.linear_axes)
        if len(axes) <= needed:
            raise DeviceError(
                f"Joy message has {len(axes)} axes, config/teleop/joy.yaml needs axis {needed}; adapt linear_axes"
            )
        self._panel.hold(str(k) for k, is_down in enumerate(buttons) if is_down)
        self._axes = tuple(axes)
        self._watch.beat(now_ns)

    def motion(self, now_ns: int) -> Motion:
        """Deflections of the last message."""
        fault = self._watch.fault(now_ns)
        if fault:
            self._panel.open_clutch()
        return Motion(
            linear=self._deflection(self._layout.linear_axes),
            angular=self._deflection(self._layout.angular_axes),
            is_engaged=self._panel.is_engaged,
            gripper_des=self._panel.gripper_des,
            fault=fault,
        )

    def take_events(self) -> list[Event]:
        """Recorder buttons pressed since the last call."""
        return self._panel.take_events()

    def _deflection(self, axes: Sequence[int]) -> tuple[float, float, float]:
        """Deflections of three axes; 0 for axes the device does not have."""
        values = [self._axes[i] if 0 <= i < len(self._axes) else 0.0 for i in axes]
        x, y, z = (min(max(v, -1.0), 1.0) if v == v else 0.0 for v in values)
        return x, y, z


DEVICE = JoyDevice
