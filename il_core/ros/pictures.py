"""The four topics of a depth camera."""

from __future__ import annotations

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from il_core import topics
from il_core.ros import qos


class PicturePublishers:
    """Publishes colour, depth aligned to it, and what lens both were seen through, as realsense2_camera does.

    The CameraInfo goes out twice, beside each image: viewers look for it there.
    """

    def __init__(self, node: Node, camera: str) -> None:
        """Create the publishers of one camera."""
        kinds = ((Image, topics.color), (Image, topics.depth))
        lenses = ((CameraInfo, topics.camera_info), (CameraInfo, topics.depth_camera_info))
        self._publishers = [node.create_publisher(kind, topic(camera), qos.IMAGE) for kind, topic in (*kinds, *lenses)]

    def publish(self, color: Image, depth: Image, info: CameraInfo) -> None:
        """Send one picture."""
        for publisher, msg in zip(self._publishers, (color, depth, info, info), strict=True):
            publisher.publish(msg)
