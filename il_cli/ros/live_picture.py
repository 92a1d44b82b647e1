"""The newest colour picture of a camera of the running graph."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from il_core import topics
from il_core.ros import qos
from il_core.wire_images import rgb_from


class LivePicture:
    """Watches a camera while it is entered."""

    def __init__(self, node: Node, camera: str) -> None:
        """Take the node to watch with."""
        self._node, self._topic = node, topics.color(camera)
        self._newest: Image | None = None

    def __enter__(self) -> LivePicture:
        """Begin to watch."""
        self._subscription = self._node.create_subscription(Image, self._topic, self._on_image, qos.STREAM)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self._node.destroy_subscription(self._subscription)

    def _on_image(self, msg: Image) -> None:
        self._newest = msg

    def newest(self) -> NDArray[np.uint8] | None:
        """Picture (H, W, 3), or None before the first."""
        return None if self._newest is None else rgb_from(self._newest)
