"""Hears in which frames a camera driver's pictures come, and what the driver says of those frames."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from il_control.camera_frames import joined
from il_control.description import Placed, optical_frame
from il_core import topics
from il_core.geometry import matrix_from_quat_xyzw, pose
from il_core.ros import qos

# What every driver latched, not only the last one's.
FIXED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class DriverFrames:
    """Frames of somebody else's camera driver, to be put into the robot's."""

    def __init__(self, node: Node, tf_message: Any, cameras: tuple[str, ...], own: Collection[str]) -> None:  # noqa: ANN401
        """Listen.

        Args:
            node: Whose subscriptions these are.
            tf_message: Class of tf2_msgs/TFMessage.
            cameras: The robot's cameras.
            own: Frames of the robot, its cameras' included.
        """
        self._node, self._own = node, frozenset(own)
        self._ours = {optical_frame(camera) for camera in cameras}
        self._theirs: dict[str, str] = {}
        self._others: dict[str, Placed] = {}
        self._joined: dict[str, Placed] = {}
        for camera in cameras:
            take = self._taker(optical_frame(camera))
            node.create_subscription(CameraInfo, topics.camera_info(camera), take, qos.LATEST, raw=True)
        node.create_subscription(tf_message, topics.TF_STATIC, self._on_fixed, FIXED)

    @property
    def words(self) -> str:
        """Which frames of drivers are put where."""
        waiting = [f"{frame}: no CameraInfo" for frame in sorted(self._ours - set(self._theirs))]
        return ", ".join([*(f"{p.child} in {p.parent}" for p in self._joined.values()), *waiting]) or "in place already"

    def changes(self) -> list[tuple[str, Placed]]:
        """What to publish anew: the frame that is not to be told any more, empty if none is, and the one instead."""
        found = []
        for ours, theirs in self._theirs.items():
            placed, before = joined(ours, theirs, self._others, self._own), self._joined.get(ours)
            if placed is not None and (before is None or before.child != placed.child):
                found.append(("" if before is None else before.child, placed))
                self._joined[ours] = placed
        return found

    def _taker(self, ours: str) -> Callable[[bytes], None]:
        def take(data: bytes) -> None:
            if ours not in self._theirs:  # raw: of a stream one message is looked at
                self._theirs[ours] = str(deserialize_message(data, CameraInfo).header.frame_id).lstrip("/")

        return take

    def _on_fixed(self, msg: Any) -> None:  # noqa: ANN401 - TFMessage
        """Keep what others say of frames that are not the robot's."""
        for transform in msg.transforms:
            is_own = transform.child_frame_id in self._own or transform.header.frame_id in self._ours
            if not is_own:  # what we publish comes back
                try:
                    self._others[transform.child_frame_id] = placed_from(transform)
                except ValueError as error:
                    said = f"'{transform.child_frame_id}' on '{topics.TF_STATIC}' is left out: {error}"
                    self._node.get_logger().warning(said)


def placed_from(msg: TransformStamped) -> Placed:
    """TransformStamped -> one frame in another.

    Raises:
        ValueError: its quaternion is not of unit length.
    """
    t, r = msg.transform.translation, msg.transform.rotation
    T = pose([t.x, t.y, t.z], matrix_from_quat_xyzw([r.x, r.y, r.z, r.w]))
    return Placed(msg.header.frame_id.lstrip("/"), msg.child_frame_id.lstrip("/"), T)
