"""Anything that streams its own pose: a phone, a VR controller, a tracked tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from il_core import topics, wire
from il_core.errors import ConfigError, DeviceError, IlError
from il_core.geometry import Array, matrix_from_quat_xyzw, matrix_from_rotvec, pose
from il_teleop.buttons import Panel
from il_teleop.device import Bench, Device, Input
from il_teleop.recorder import Event
from il_teleop.retarget import Feel, Motion
from il_teleop.watch import Watch

LEVEL_MIN = 0.3  # length of the pointing direction seen from above below which it points up or down


@dataclass(frozen=True, slots=True)
class PoseStreamLayout:
    """See config/teleop/pose_stream.yaml.

    Attributes:
        quat_xyzw_level_device: Turns the axes in which the device tells its pose into axes with z up.
        forward_axis: Direction in which the device itself points, in its own axes, (3,). When the clutch
            closes, this direction, seen from above, becomes x of base: hold the device towards the arm
            and the arm moves as the hand does, wherever one stands. Empty keeps the axes as they are.
        jump_max_m: A longer way between two messages is lost tracking, not a hand [m].
        timeout_ms: Silence after which it counts as gone.
        rate_min_hz: Rate below which it is not to be trusted.
        feel: Factors and soft start.
    """

    quat_xyzw_level_device: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)
    forward_axis: tuple[float, ...] = ()
    jump_max_m: float = 0.1
    timeout_ms: float = 200.0
    rate_min_hz: float = 20.0
    feel: Feel = Feel()

    def __post_init__(self) -> None:
        """Reject axes that are none."""
        if len(self.quat_xyzw_level_device) != 4:
            raise ConfigError(
                "pose stream", f"quat_xyzw_level_device needs 4 values, got {self.quat_xyzw_level_device}"
            )
        matrix_from_quat_xyzw(self.quat_xyzw_level_device)
        axis = np.array(self.forward_axis)
        if len(axis) not in (0, 3) or (len(axis) and not abs(np.linalg.norm(axis) - 1.0) < 1e-3):
            raise ConfigError("pose stream", f"forward_axis needs a unit vector or nothing, got {self.forward_axis}")
        if self.jump_max_m <= 0:
            raise ConfigError("pose stream", "jump_max_m must be positive")
        if self.feel.is_absolute:
            raise ConfigError("pose stream", "its origin is not the arm's: is_absolute must be false")


class PoseStreamDevice(Device):
    """The tool moves as the device does while the clutch is closed."""

    inputs: tuple[Input, ...] = (
        Input(topics.DEVICE_POSE, "geometry_msgs/msg/PoseStamped", "pose"),
        Input(topics.JOY, "sensor_msgs/msg/Joy", "joy"),
    )
    help: ClassVar[str] = "phone or VR controller: point it towards the arm's front, close the clutch, and move"

    def __init__(self, layout: PoseStreamLayout, meanings: Mapping[str, str]) -> None:
        """Start with the clutch open.

        Args:
            layout: Axes and limits.
            meanings: Meaning of its buttons, by number in sensor_msgs/Joy.
        """
        self.feel = layout.feel
        self._layout, self._panel = layout, Panel(meanings)
        self._R_level = matrix_from_quat_xyzw(layout.quat_xyzw_level_device)
        self._R_base_level: Array | None = None
        hint = f"does the app publish '{topics.DEVICE_POSE}'?"
        self._watch = Watch("device pose", layout.timeout_ms, layout.rate_min_hz, hint)
        self._T: Array | None = None
        self._jump = ""

    @classmethod
    def make(cls, bench: Bench) -> PoseStreamDevice:
        """Read the layout."""
        return cls(bench.load("pose_stream", PoseStreamLayout), bench.buttons.joy)

    def hear(self, key: str, msg: Any, now_ns: int) -> None:  # noqa: ANN401 - message-shaped
        """Take a pose, or buttons."""
        if key == "joy":
            self._panel.hold(str(k) for k, is_down in enumerate(msg.buttons) if is_down)
            return
        try:
            T = wire.ee_pose_from(msg).T_base_ee
        except (IlError, ValueError) as error:
            raise DeviceError(f"device pose cannot be used: {error}") from error
        self.receive(T, now_ns)

    def receive(self, T_device: Array, now_ns: int) -> None:
        """Take a pose in the device's own axes, (4, 4) [m]."""
        T = pose(self._R_level @ T_device[:3, 3], self._R_level @ T_device[:3, :3])
        if self._T is not None:
            way_m = float(np.linalg.norm(T[:3, 3] - self._T[:3, 3]))
            if way_m > self._layout.jump_max_m:
                self._jump = f"tracking jumped by {way_m:.2f} m"
        self._T = T
        self._watch.beat(now_ns)

    def motion(self, now_ns: int) -> Motion:
        """The device's pose in axes of base; the axes are found anew each time the clutch closes."""
        fault, self._jump = self._watch.fault(now_ns) or self._jump, ""
        if fault:
            self._panel.open_clutch()
        is_engaged = self._panel.is_engaged
        if not is_engaged or fault:
            self._R_base_level = None
        elif self._R_base_level is None:
            self._R_base_level, fault = self._align()
        R, T = self._R_base_level, self._T
        T_base_device = None if R is None or T is None else pose(R @ T[:3, 3], R @ T[:3, :3])
        return Motion(
            is_engaged=is_engaged, gripper_des=self._panel.gripper_des, fault=fault, T_base_device=T_base_device
        )

    def _align(self) -> tuple[Array | None, str]:
        """Rotation from level axes to base, or why it cannot be told."""
        if not self._layout.forward_axis or self._T is None:
            return np.eye(3), ""
        forward = self._T[:3, :3] @ np.array(self._layout.forward_axis)
        if np.hypot(forward[0], forward[1]) < LEVEL_MIN:
            return None, "the device points up or down; hold it level, towards the arm's front, and close the clutch"
        return matrix_from_rotvec([0.0, 0.0, -np.arctan2(forward[1], forward[0])]), ""

    def take_events(self) -> list[Event]:
        """Recorder buttons pressed since the last call."""
        return self._panel.take_events()


DEVICE = PoseStreamDevice
