"""Live calibration over real DDS: rests in front of the board become views, silence and broken pictures are told."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
import rclpy  # noqa: E402 - needs ROS
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from il_core import topics  # noqa: E402
from il_core.geometry import matrix_from_rotvec, pose  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_core.ros.convert import camera_info_msg, pose_stamped_msg, time_msg  # noqa: E402
from il_core.types import Intrinsics  # noqa: E402
from il_teleop.calibration.board import Board  # noqa: E402
from il_teleop.calibration.collect import Collector, Verdict  # noqa: E402
from il_teleop.calibration.config import BoardConfig, CollectConfig  # noqa: E402
from il_teleop.ros.calibration import LiveViews  # noqa: E402

pytestmark = pytest.mark.ros
LENS = Intrinsics(640, 480, 500.0, 500.0, 319.5, 239.5)
MS = 1_000_000


def test_each_rest_in_front_of_the_board_becomes_a_view():
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("live_calibration_test")
    board = Board(BoardConfig())
    sheet = np.full((480, 640), 255, np.uint8)
    drawn = board.image(70)
    sheet[: drawn.shape[0], : drawn.shape[1]] = drawn
    collector = Collector(board, CollectConfig(views=3))
    live = LiveViews(node, "wrist", collector)
    assert live.silent == [topics.EE_POSE, topics.color("wrist"), topics.camera_info("wrist")]
    poses = node.create_publisher(PoseStamped, topics.EE_POSE, qos.STREAM)
    pictures = node.create_publisher(Image, topics.color("wrist"), qos.IMAGE)
    lenses = node.create_publisher(CameraInfo, topics.camera_info("wrist"), qos.IMAGE)
    now_ns = 1_700_000_000_000_000_000

    def rest(T, encoding, until, what):
        """Stay at a pose, with pictures, until something is the case."""
        nonlocal now_ns
        end = time.monotonic() + 20.0
        data = np.repeat(sheet[..., None], 3, axis=2).tobytes()
        while not until():
            assert time.monotonic() < end, f"{what}: {live.verdict}, {live.problem}, {collector.told()}"
            for step in range(20):
                now_ns += 10 * MS
                poses.publish(pose_stamped_msg(now_ns, T))
                if step == 0:
                    image = Image(height=480, width=640, encoding=encoding, step=1920, data=data)
                    image.header.stamp = time_msg(now_ns)
                    pictures.publish(image)
                    lenses.publish(camera_info_msg(now_ns, "camera_wrist_optical", LENS))
                rclpy.spin_once(node, timeout_sec=0.002)
        now_ns += 1000 * MS

    T = pose([0.4, 0.0, 0.3], matrix_from_rotvec([np.pi, 0.0, 0.0]))
    try:
        rest(T, "mono16", lambda: "encoding 'mono16'" in live.problem, "a picture nobody can read is told")
        assert live.silent == [] and collector.views == []
        rest(T, "rgb8", lambda: len(collector.views) == 1, "the first view")
        assert live.problem == ""
        rest(T, "rgb8", lambda: live.verdict is Verdict.KNOWN, "the same view again says nothing new")
        rest(T @ pose([0.05, 0.0, 0.0]), "rgb8", lambda: len(collector.views) == 2, "the second view")
        rest(T @ pose([0.0, 0.05, 0.0]), "rgb8", lambda: len(collector.views) == 3, "the third view")
        assert collector.is_full
        live.close()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
