"""A gamepad, or anything else that publishes sensor_msgs/Joy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from il_core.errors import ConfigError, DeviceError
from il_teleop.recorder import Event
from il_teleop.retarget import Motion


@dataclass(frozen=True, slots=True)
class JoyLayout:
    """Which axis and button means what; see config/teleop/joy.yaml.

    Attributes:
        linear_axes: Axes for x, y, z of base.
        angular_axes: Axes for rotation about x, y, z of base.
        linear_signs: Factors of those axes, each in [-1, 1].
        angular_signs: Factors of those axes, each in [-1, 1].
        deadband: Deflection below which an axis counts as centred.
        clutch_button: Held to drive.
        close_button: Held to close the gripper.
        start_button: Start recording.
        stop_button: Stop recording.
        keep_button: Keep the recording in review.
        discard_button: Discard it.
        success_button: Label it a success.
        failure_button: Label it a failure.
        timeout_ms: Silence after which the gamepad counts as gone.
    """

    linear_axes: tuple[int, ...]
    angular_axes: tuple[int, ...]
    linear_signs: tuple[float, ...]
    angular_signs: tuple[float, ...]
    deadband: float
    clutch_button: int
    close_button: int
    start_button: int
    stop_button: int
    keep_button: int
    discard_button: int
    success_button: int
    failure_button: int
    timeout_ms: float

    def __post_init__(self) -> None:
        """Reject layouts that cannot be read."""
        for key in ("linear_axes", "angular_axes", "linear_signs", "angular_signs"):
            if len(getattr(self, key)) != 3:
                raise ConfigError("joy layout", f"'{key}' needs three values, got {getattr(self, key)}")
        if not 0.0 <= self.deadband < 1.0 or self.timeout_ms <= 0:
            raise ConfigError("joy layout", "need 0 <= deadband < 1 and timeout_ms > 0")

    @property
    def events(self) -> dict[int, Event]:
        """Recorder event per button."""
        return {
            self.start_button: Event.START,
            self.stop_button: Event.STOP,
            self.keep_button: Event.KEEP,
            self.discard_button: Event.DISCARD,
            self.success_button: Event.SUCCESS,
            self.failure_button: Event.FAILURE,
        }


class JoyDevice:
    """Reads Joy messages; the last one counts until it is too old."""

    def __init__(self, layout: JoyLayout) -> None:
        """Start centred, clutch open."""
        self._layout = layout
        self._axes: Sequence[float] = (0.0, 0.0, 0.0)
        self._buttons: Sequence[int] = ()
        self._seen_ns: int | None = None
        self._events: list[Event] = []

    def receive(self, axes: Sequence[float], buttons: Sequence[int], now_ns: int) -> None:
        """Take one message.

        Raises:
            DeviceError: it lacks an axis for translation.
        """
        needed = max(self._layout.linear_axes)
        if len(axes) <= needed:
            raise DeviceError(
                f"Joy message has {len(axes)} axes, config/teleop/joy.yaml needs axis {needed}; adapt linear_axes"
            )
        before = self._buttons
        for button, event in self._layout.events.items():
            if _pressed(buttons, button) and not _pressed(before, button):
                self._events.append(event)
        self._axes, self._buttons, self._seen_ns = tuple(axes), tuple(buttons), now_ns

    def motion(self, now_ns: int) -> Motion:
        """Deflections of the last message."""
        layout = self._layout
        is_engaged = _pressed(self._buttons, layout.clutch_button)
        fault = ""
        if self._seen_ns is None:
            fault = "no Joy message yet: is the gamepad's node running?"
        elif now_ns - self._seen_ns > layout.timeout_ms * 1e6:
            fault = f"no Joy message for {(now_ns - self._seen_ns) / 1e9:.1f} s"
        return Motion(
            linear=self._deflection(layout.linear_axes, layout.linear_signs),
            angular=self._deflection(layout.angular_axes, layout.angular_signs),
            is_engaged=is_engaged,
            gripper_des=0.0 if _pressed(self._buttons, layout.close_button) else 1.0,
            fault=fault,
        )

    def take_events(self) -> list[Event]:
        """Recorder buttons pressed since the last call."""
        events, self._events = self._events, []
        return events

    def _deflection(self, axes: Sequence[int], signs: Sequence[float]) -> tuple[float, float, float]:
        """Deflections of three axes; 0 inside the dead band and for axes the device does not have."""
        values = [self._axes[i] if 0 <= i < len(self._axes) else 0.0 for i in axes]
        x, y, z = (
            sign * min(max(v, -1.0), 1.0) if abs(v) > self._layout.deadband else 0.0
            for v, sign in zip(values, signs, strict=True)
        )
        return x, y, z


def _pressed(buttons: Sequence[int], index: int) -> bool:
    return 0 <= index < len(buttons) and bool(buttons[index])
