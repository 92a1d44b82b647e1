"""camera_node over real DDS, its RealSense a software device."""

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from il_core import topics, wire
from il_core.config import config_dir
from il_core.spec import CameraSpec, Mount

rs = pytest.importorskip("pyrealsense2")
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "il_teleop"))

from soft_realsense import COLOR_F, HZ, P_COLOR_DEPTH, H, SoftRealsense, W, plain  # noqa: E402 - needs the path

LIMIT_S = 15.0
CONFIG = """
cameras:
  - {name: front, serial: "123", depth_width: 160, depth_height: 120}
silent_ms: 300.0
"""


class Feeder:
    """Shows a numbered shade of grey at 30 Hz, stamped by the device's own counter, as long as it is plugged."""

    def __init__(self):
        self.soft, self.is_plugged, self.truth = SoftRealsense(), True, {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        k = 0
        while not self._stop.is_set():
            if self.is_plugged:
                now_ns = time.time_ns()
                self.truth[k % 200] = now_ns
                self.soft.show(k, time.monotonic() * 1e3, *plain(1500, shade=k % 200))
                k += 1
            time.sleep(1 / HZ)

    def devices(self):
        return [self.soft.device] if self.is_plugged else []

    def stop(self):
        self._stop.set()
        self._thread.join()


@pytest.fixture
def rig(tmp_path):
    """The node on a software device and a listener beside it, spun by a thread."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from geometry_msgs.msg import TransformStamped
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from sensor_msgs.msg import CameraInfo, Image

    from il_core.ros import qos
    from il_teleop.cameras.realsense import RealsenseCamera
    from il_teleop.ros.camera_node import CameraNode

    (tmp_path / "soft.yaml").write_text(CONFIG)
    config = config_dir()
    robot = (config / "robot" / "fr3.yaml").read_text()
    robot = robot.replace("width: 320", f"width: {W}").replace("height: 240", f"height: {H}")
    robot = robot.replace("fov_v_deg: 50.0", f"fov_v_deg: {2 * np.degrees(np.arctan(H / 2 / COLOR_F)):.2f}")
    (tmp_path / "robot.yaml").write_text(robot)
    (tmp_path / "fr3.urdf").write_text((config / "robot" / "fr3.urdf").read_text())
    task = (config / "task" / "pick_place.yaml").read_text()
    (tmp_path / "task.yaml").write_text(task.replace("cameras: [front, wrist]", "cameras: [front]"))
    values = {"task": "task.yaml", "robot": "robot.yaml", "devices": "soft.yaml"}
    arguments = [word for key, file in values.items() for word in ("-p", f"{key}:={tmp_path / file}")]
    feeder = Feeder()
    rclpy.init(args=["--ros-args", *arguments])
    node = CameraNode(lambda spec, config, clock: RealsenseCamera(spec, config, clock, feeder.devices))
    node.start()
    listener = Node("listener", use_global_arguments=False)
    seen = {}
    for kind, topic, profile in (
        (Image, topics.color("front"), qos.IMAGE),
        (Image, topics.depth("front"), qos.IMAGE),
        (CameraInfo, topics.camera_info("front"), qos.IMAGE),
        (TransformStamped, topics.depth_to_color("front"), qos.LATCHED),
        (DiagnosticArray, topics.DIAGNOSTICS, qos.STREAM),
    ):
        listener.create_subscription(kind, topic, seen.setdefault(topic, []).append, profile)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(listener)

    def wait(condition, what):
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s; {statuses(seen)[-2:]}"
            executor.spin_once(timeout_sec=0.05)

    yield feeder, seen, wait, node
    node.on_shutdown_safe()
    feeder.stop()
    for one in (node, listener):
        one.destroy_node()
    rclpy.shutdown()


def statuses(seen):
    return [status for msg in seen[topics.DIAGNOSTICS] for status in msg.status]


def test_pictures_come_stamped_with_their_exposure_and_come_back_after_unplugging(rig):
    feeder, seen, wait, _ = rig
    color, depth = seen[topics.color("front")], seen[topics.depth("front")]
    wait(lambda: len(color) > 30 and len(depth) > 30, "pictures")
    frame = wire.camera_frame_from("front", color[30], depth[30], seen[topics.camera_info("front")][0])
    assert frame.rgb.shape == (H, W, 3) and frame.intrinsics.fx == COLOR_F
    assert set(np.unique(np.rint(frame.depth_m * 1000))) <= {0.0, 1500.0} and (frame.depth_m > 0).mean() > 0.8
    late_ms = [(wire.stamp_ns(m.header.stamp) - feeder.truth[m.data[0]]) / 1e6 for m in color[5:31]]
    assert max(abs(late) for late in late_ms) < 5.0, late_ms  # this machine may be busy; the unit test asks for 1 ms

    wait(lambda: seen[topics.depth_to_color("front")], "extrinsics")
    transform = seen[topics.depth_to_color("front")][-1]
    assert transform.transform.translation.x == pytest.approx(P_COLOR_DEPTH[0])
    wait(lambda: any(s.level == b"\x00" for s in statuses(seen)), "a good status")
    values = {v.key: v.value for v in next(s for s in statuses(seen) if s.level == b"\x00").values}
    assert float(values["rate_hz"]) > 20 and values["temperature_c"] == "41" and "clock_offset_ms" in values

    feeder.is_plugged = False
    wait(lambda: any("not connected; found nothing" in s.message for s in statuses(seen)), "the loss")
    before = len(color)
    feeder.soft, feeder.is_plugged = SoftRealsense(), True
    wait(lambda: len(color) > before + 10, "pictures after plugging in")


def test_streams_are_off_while_it_is_inactive_and_come_back(rig):
    feeder, seen, wait, node = rig
    color = seen[topics.color("front")]
    wait(lambda: len(color) > 5, "pictures")
    node.trigger_deactivate()
    wait(lambda: any("inactive: waits to be activated" in s.message for s in statuses(seen)), "the state")
    before = len(color)
    end = time.monotonic() + 0.5
    wait(lambda: time.monotonic() > end, "half a second")
    assert len(color) == before
    for trigger in (node.trigger_cleanup, node.trigger_configure):
        feeder.soft = SoftRealsense()
        trigger()
    assert node.state == "inactive" and not node.problem
    node.trigger_activate()
    wait(lambda: len(color) > before + 5, "pictures again")


def test_a_lens_unlike_the_one_described_is_told():
    from il_core.types import Intrinsics
    from il_teleop.ros.camera_node import mismatch

    spec = CameraSpec("eye", 640, 480, 30, 50.0, Mount.BASE, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0))
    f = spec.intrinsics.fy
    assert mismatch(spec, Intrinsics(640, 480, f, f * 1.02, 320, 240)) == ""
    assert "correct fov_v_deg" in mismatch(spec, Intrinsics(640, 480, f, f * 1.2, 320, 240))
