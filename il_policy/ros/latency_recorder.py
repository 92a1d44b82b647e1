"""Listens for a while and keeps, of every stream, when something moved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from il_core import topics, wire
from il_core.ros import qos
from il_policy.serving.latency import small

Array = NDArray[np.float64]
EE, TARGET, STATE = "ee_pose", "target_pose", "joint_states"


class LatencyRecorder:
    """Stamps and values of tool pose, wanted pose and pictures, and how late joint states arrive."""

    def __init__(self, node: Node, cameras: tuple[str, ...], now_ns: Callable[[], int]) -> None:
        """Subscribe."""
        self._now_ns = now_ns
        self._rows: dict[str, list[tuple[float, Array]]] = {EE: [], TARGET: [], **{c: [] for c in cameras}}
        self.state_ms: list[float] = []
        node.create_subscription(PoseStamped, topics.EE_POSE, partial(self._on_pose, EE), qos.STREAM)
        node.create_subscription(PoseStamped, topics.TARGET_POSE, partial(self._on_pose, TARGET), qos.STREAM)
        node.create_subscription(JointState, topics.JOINT_STATES, self._on_state, qos.LATEST)
        for camera in cameras:
            node.create_subscription(Image, topics.color(camera), partial(self._on_image, camera), qos.IMAGE)

    def _on_pose(self, stream: str, msg: PoseStamped) -> None:
        p = msg.pose.position
        self._rows[stream].append((wire.stamp_ns(msg.header.stamp) * 1e-9, np.array([p.x, p.y, p.z])))

    def _on_state(self, msg: JointState) -> None:
        self.state_ms.append((self._now_ns() - wire.stamp_ns(msg.header.stamp)) / 1e6)

    def _on_image(self, camera: str, msg: Image) -> None:
        if msg.encoding == "rgb8" and len(msg.data) == msg.height * msg.width * 3:
            rgb = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, 3)
            self._rows[camera].append((wire.stamp_ns(msg.header.stamp) * 1e-9, small(rgb)))

    def stream(self, name: str) -> tuple[Array, Array]:
        """Times (N,) [s] and values (N, D) of a stream, in rising time, each instant once."""
        by_time = dict(self._rows[name])
        times = np.array(sorted(by_time))
        return times, np.array([by_time[t] for t in times]).reshape(len(times), -1)
