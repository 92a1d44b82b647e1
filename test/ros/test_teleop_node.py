"""teleop_node over real DDS: nothing without the clutch, no jump with it, silence when the pose is stale."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")
import rclpy  # noqa: E402 - needs ROS
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402
from sensor_msgs.msg import JointState, Joy  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from il_core import topics  # noqa: E402
from il_core.geometry import matrix_from_rotvec, pose  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_core.ros.convert import pose_stamped_msg  # noqa: E402
from il_core.ros.node import spin  # noqa: E402
from il_core.wire import pose_from  # noqa: E402

pytestmark = pytest.mark.ros
T_BASE_EE = pose([0.4, 0.0, 0.3], matrix_from_rotvec([np.pi, 0.0, 0.0]))
PERIOD_S = 0.02


class Arm:
    """Publishes a tool pose and a gamepad, hears what teleop_node says."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("teleop_test")
        self.targets: list[PoseStamped] = []
        self.openings: list[float] = []
        self.started = threading.Event()
        self.sends_pose = True
        self.axes, self.buttons = [0.0] * 6, [0] * 8
        self._pose = self.node.create_publisher(PoseStamped, topics.EE_POSE, qos.STREAM)
        self._joy = self.node.create_publisher(Joy, topics.JOY, qos.STREAM)
        self.node.create_subscription(PoseStamped, topics.TELEOP_POSE, self.targets.append, qos.STREAM)
        self.node.create_subscription(JointState, topics.TELEOP_GRIPPER, self._on_gripper, qos.STREAM)
        self.node.create_service(Trigger, topics.RECORDER_START, self._on_start)
        self.node.create_timer(PERIOD_S, self._send)

    def _on_gripper(self, msg: JointState) -> None:
        self.openings.append(msg.position[0])

    def presses_start(self) -> bool:
        """Press and let go, as a person who was told that there is no recorder yet; whether it was heard."""
        for pressed in (1, 0):
            self.buttons = [0] * 7 + [pressed]
            time.sleep(0.1)
        return self.started.is_set()

    def _on_start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.started.set()
        response.success, response.message = True, "recording"
        return response

    def _send(self) -> None:
        if self.sends_pose:
            self._pose.publish(pose_stamped_msg(time.time_ns(), T_BASE_EE))
        self._joy.publish(Joy(axes=self.axes, buttons=self.buttons))


@pytest.fixture
def arm() -> Iterator[Arm]:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    arm, stop = Arm(), threading.Event()
    thread = threading.Thread(target=spin, args=(arm.node, stop.is_set))
    thread.start()
    command = [sys.executable, "-m", "il_teleop.ros.teleop_node"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield arm
    process.terminate()
    output, _ = process.communicate(timeout=15)
    stop.set()
    thread.join()
    arm.node.destroy_node()
    rclpy.try_shutdown()
    assert process.returncode == 0, output


def wait(condition, what: str, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def test_the_clutch_rules_over_everything_that_is_sent(arm: Arm):
    arm.axes = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    wait(arm.presses_start, "the recorder button reaches the recorder")
    assert arm.targets == []  # deflected, but the clutch is open

    arm.buttons = [1, 1, 0, 0, 0, 0, 0, 0]
    wait(lambda: len(arm.targets) >= 20, "targets while the clutch is held")
    np.testing.assert_allclose(pose_from(arm.targets[0].pose), T_BASE_EE, atol=1e-9)
    y = [t.pose.position.y for t in arm.targets]
    assert all(0 <= b - a <= 0.35 * 0.1 for a, b in zip(y, y[1:], strict=False))
    wait(
        lambda: arm.targets[-1].pose.position.y == pytest.approx(0.05),
        "the lead over a resting tool ends at 5 cm",
    )
    assert set(arm.openings) == {0.0}

    arm.sends_pose = False
    wait(lambda: time.time() - stamp_s(arm.targets[-1]) > 0.4, "silence after the pose went stale")
    sent = len(arm.targets)
    arm.sends_pose = True
    time.sleep(0.3)
    assert len(arm.targets) == sent  # the clutch is still held: driving on needs a deliberate act
    arm.buttons = [0] * 8
    time.sleep(0.1)
    arm.buttons = [1] + [0] * 7
    wait(lambda: len(arm.targets) > sent, "driving again")
    np.testing.assert_allclose(pose_from(arm.targets[sent].pose), T_BASE_EE, atol=1e-9)
    wait(lambda: arm.openings[-1] == pytest.approx(0.04), "the gripper opens with the button")


def stamp_s(msg: PoseStamped) -> float:
    return msg.header.stamp.sec + msg.header.stamp.nanosec / 1e9
