"""Camera previews, made only while somebody looks, at the rate at which they are shown."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from il_cli.console.config import ConsoleConfig
from il_cli.console.feed import Picture
from il_cli.console.preview import preview
from il_core.errors import IlError
from il_core.ros import qos
from il_core.wire_images import rgb_from

log = logging.getLogger(__name__)


class Previews:
    """A node and a thread of its own.

    A subscription that keeps one message is read ``preview_hz`` times per second: what the camera publishes in
    between is overwritten in the middleware and never reaches Python.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        cameras: Mapping[str, str],
        config: ConsoleConfig,
        on_picture: Callable[[str, Picture], None],
    ) -> None:
        """Prepare; nothing is subscribed to yet.

        Args:
            name: Of the node that reads pictures.
            namespace: Where it is; in secure mode its own service is allowed there only.
            cameras: Topic of each camera, absolute.
            config: Rate, size and quality.
            on_picture: Takes each preview, in this thread.
        """
        self._cameras, self._config, self._on_picture = dict(cameras), config, on_picture
        # The process's arguments rename every node that takes them: this one does not.
        self._node = Node(
            name,
            namespace=namespace,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._subscriptions: dict[str, Any] = {}
        self._wanted: frozenset[str] = frozenset()
        self._numbers = dict.fromkeys(cameras, 0)
        self._problems: dict[str, str] = {}
        self._wake, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="previews", daemon=True)
        self._thread.start()

    def want(self, cameras: frozenset[str]) -> None:
        """Take the cameras that somebody looks at; from any thread."""
        self._wanted = cameras
        self._wake.set()

    def close(self) -> None:
        """End the thread and leave the graph."""
        self._is_over = True
        self._wake.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()

    def _run(self) -> None:
        period = 1.0 / self._config.preview_hz
        while not self._is_over:
            self._adjust(self._wanted)
            if not self._subscriptions:
                self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            for _ in range(len(self._subscriptions)):
                self._executor.spin_once(timeout_sec=0.0)
            self._wake.wait(max(0.0, began + period - time.monotonic()))

    def _adjust(self, wanted: frozenset[str]) -> None:
        for camera in set(self._subscriptions) - wanted:
            self._node.destroy_subscription(self._subscriptions.pop(camera))
        for camera in wanted & set(self._cameras) - set(self._subscriptions):
            self._subscriptions[camera] = self._subscribe(camera)

    def _subscribe(self, camera: str) -> Any:  # noqa: ANN401 - rclpy is untyped
        def on_image(msg: Image) -> None:
            try:
                jpeg = preview(rgb_from(msg), self._config.preview_width_px, self._config.preview_quality)
            except IlError as error:
                if self._problems.get(camera) != str(error):
                    self._problems[camera] = str(error)
                    log.warning("camera '%s': %s", camera, error)
                return
            self._numbers[camera] += 1
            self._on_picture(camera, Picture(self._numbers[camera], jpeg, time.monotonic_ns()))

        return self._node.create_subscription(Image, self._cameras[camera], on_image, qos.LATEST)
