"""A live calibration: tool poses and pictures of one camera from the graph into a Collector."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from il_core import topics
from il_core.errors import IlError
from il_core.ros import qos
from il_core.wire import ee_pose_from, stamp_ns
from il_teleop.calibration.collect import Collector, Verdict
from il_teleop.calibration.from_recording import picture_from


class LiveViews:
    """Offers the newest picture whose time the tool poses cover; all callbacks on one thread.

    Attributes:
        verdict: What became of the last picture, or None before the first.
        problem: Why the last picture could not be used; empty if it could.
    """

    def __init__(self, node: Node, camera: str, collector: Collector) -> None:
        """Subscribe."""
        self.verdict: Verdict | None = None
        self.problem = ""
        self._collector, self._lens = collector, None
        self._waiting: Any = None
        self._lock, self._is_closed = threading.Lock(), False
        self._heard: set[str] = set()
        self._topics = (topics.EE_POSE, topics.color(camera), topics.camera_info(camera))
        node.create_subscription(PoseStamped, topics.EE_POSE, self._on_pose, qos.STREAM)
        node.create_subscription(Image, topics.color(camera), self._on_picture, qos.LATEST)
        node.create_subscription(CameraInfo, topics.camera_info(camera), self._on_lens, qos.LATEST)

    @property
    def silent(self) -> list[str]:
        """Topics that carried nothing yet."""
        return [topic for topic in self._topics if topic not in self._heard]

    def _on_lens(self, msg: CameraInfo) -> None:
        self._heard.add(self._topics[2])
        self._lens = msg

    def _on_picture(self, msg: Image) -> None:
        self._heard.add(self._topics[1])
        if self._waiting is None:  # one at a time: the next is as good, and the board is looked for in few
            self._waiting = msg

    def _on_pose(self, msg: PoseStamped) -> None:
        self._heard.add(self._topics[0])
        with self._lock:
            if self._is_closed or self._collector.is_full:
                return
            self._collector.pose(ee_pose_from(msg))
            if self._waiting is None or self._lens is None:
                return
            if not self._collector.knows(at := stamp_ns(self._waiting.header.stamp)):
                return
            picture, self._waiting = self._waiting, None
            try:
                self.verdict = self._collector.offer(at, partial(picture_from, picture, self._lens))
                self.problem = ""
            except IlError as error:
                self.problem = str(error)

    def close(self) -> None:
        """Take nothing more; the collector's views are the caller's from now on."""
        with self._lock:
            self._is_closed = True
