"""controller_node over real DDS against a small arm that integrates its own dynamics."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from insist import insisting

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0


class Arm:
    """A free-floating joint-space arm: unit inertia, gravity already compensated by what it gets.

    It obeys torque minus the gravity torque at home (the controller's first answer), so holding
    still, following and stopping show as they would on a real one.
    """

    def __init__(self, node, setup):
        from sensor_msgs.msg import JointState

        from il_core import topics, wire
        from il_core.ros import qos

        self.node, self.joints = node, wire.JointMap(setup.robot)
        self.q, self.v = np.array(setup.robot.q_home_rad), np.zeros(7)
        self.tau, self.tau_home, self.answers = None, None, 0
        self.is_publishing = True
        self.publisher = node.create_publisher(JointState, topics.JOINT_STATES, qos.STREAM)
        node.create_subscription(JointState, topics.EFFORT_SETPOINT, self.on_effort, qos.LATEST)
        node.create_timer(0.002, self.step)

    def on_effort(self, msg):
        from il_core import wire

        _, self.tau = wire.effort_from(msg, self.joints)
        self.answers += 1
        if self.tau_home is None:
            self.tau_home = self.tau

    def step(self):
        from il_core.ros import convert
        from il_core.types import ArmState

        if not self.is_publishing:
            return
        if self.tau is not None:
            self.v = self.v + 0.002 * (self.tau - self.tau_home - 0.1 * self.v)
            self.q = self.q + 0.002 * self.v
        now_ns = self.node.get_clock().now().nanoseconds
        state = ArmState(now_ns, self.q, self.v, np.zeros(7), 1.0)
        self.publisher.publish(convert.joint_state_msg(state, self.joints))


@pytest.fixture
def rig():
    """The node as a process, the arm in this one; yields (arm, process, node)."""
    import rclpy
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions

    from il_core.config import load_setup
    from il_core.ros.node import spin

    command = [sys.executable, "-m", "il_control.ros.controller_node", "--ros-args", "-p", "task:=pick_place"]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stderr=subprocess.PIPE
    )
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("arm")
    arm = Arm(node, load_setup("pick_place"))
    stop = threading.Event()
    thread = threading.Thread(target=spin, args=(node, stop.is_set))
    thread.start()
    yield arm, process, node
    stop.set()
    thread.join()
    node.destroy_node()
    rclpy.try_shutdown()
    process.kill()
    process.wait()


def gravity(q):
    from il_control.model import ArmModel
    from il_core.config import load_setup

    model = ArmModel(load_setup("pick_place"))
    model.update(q, np.zeros(7))
    return model.gravity


def wait(condition, what):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.01)


def diagnostics_of(node):
    from diagnostic_msgs.msg import DiagnosticArray

    from il_core import topics
    from il_core.ros import qos

    seen = {}

    def take(msg):
        for status in msg.status:
            seen.update({kv.key: kv.value for kv in status.values}, message=status.message)

    node.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, take, qos.STREAM)
    return seen


def test_holds_then_follows_a_joint_chunk_then_leaves_with_a_safe_last_command(rig):
    from trajectory_msgs.msg import JointTrajectory

    from il_core import topics
    from il_core.ros import convert, qos
    from il_core.types import ActionChunk

    arm, process, node = rig
    wait(lambda: arm.answers > 100, "controller answers states")
    q_start = arm.q.copy()
    np.testing.assert_allclose(q_start, arm.joints.robot.q_home_rad, atol=0.02)

    publisher = node.create_publisher(JointTrajectory, topics.JOINT_CHUNK, qos.COMMAND)
    q_goal = q_start + np.array([0.1, 0, 0, 0, 0, 0, -0.1])

    def plan():
        now_ns = node.get_clock().now().nanoseconds
        rows = np.linspace(arm.q, q_goal, 11)
        chunk = ActionChunk(start_ns=now_ns + 50_000_000, dt_ns=100_000_000, obs_ns=now_ns, q_des=rows)
        publisher.publish(convert.joint_chunk_msg(chunk, arm.joints))

    is_there = insisting(plan, lambda: np.abs(arm.q - q_goal).max() < 0.02, again_s=5.0)
    wait(is_there, "arm reaches the end of the chunk")
    arm.v = np.full(7, 0.3)  # stopped in the middle of a motion

    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    # The last word is gravity compensation and damping: no spring pulls any more. Braked for 0.3 s, a joint of unit
    # inertia keeps a sixth of its speed where it is damped least.
    np.testing.assert_allclose(arm.v, 0.0, atol=0.1)
    np.testing.assert_allclose(arm.tau, gravity(arm.q), atol=1.5)
    answers = arm.answers
    time.sleep(0.1)
    assert arm.answers == answers


def test_a_plan_with_nan_or_foreign_joints_is_refused_and_the_arm_holds(rig):
    from sensor_msgs.msg import JointState
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    from il_core import topics
    from il_core.ros import convert, qos

    arm, process, node = rig
    seen = diagnostics_of(node)
    wait(lambda: arm.answers > 100, "controller answers states")
    publisher = node.create_publisher(JointTrajectory, topics.JOINT_CHUNK, qos.COMMAND)
    msg = JointTrajectory(joint_names=arm.joints.names)
    msg.header.stamp = convert.time_msg(node.get_clock().now().nanoseconds)
    for k in range(2):
        point = JointTrajectoryPoint(positions=[float("nan")] * 7)
        point.time_from_start.nanosec = 100_000_000 * (k + 1)
        msg.points.append(point)
    is_told = insisting(partial(publisher.publish, msg), lambda: f"refused_{topics.JOINT_CHUNK}" in seen)
    wait(is_told, "NaN plan is refused")

    strangers = node.create_publisher(JointState, topics.JOINT_STATES, qos.STREAM)
    msg = JointState(name=["elbow"], position=[0.0], velocity=[0.0], effort=[0.0])
    is_told = insisting(partial(strangers.publish, msg), lambda: f"refused_{topics.JOINT_STATES}" in seen, again_s=0.0)
    wait(is_told, "foreign joints are refused")
    np.testing.assert_allclose(arm.q, arm.joints.robot.q_home_rad, atol=0.02)
    assert seen["source"] == "hold"


def test_silence_of_the_arm_is_reported_and_its_last_known_speed_is_not_damped_for_ever(rig):
    arm, process, node = rig
    seen = diagnostics_of(node)
    wait(lambda: arm.answers > 100, "controller answers states")
    arm.v = np.full(7, 0.3)
    wait(lambda: np.abs(arm.tau - gravity(arm.q)).max() > 1.0, "the motion is damped")
    arm.is_publishing = False
    wait(lambda: "no message on 'joint_states'" in seen.get("message", ""), "silence is reported")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    wait(lambda: np.abs(arm.tau - gravity(arm.q)).max() < 0.05, "the last word only carries the arm")


def test_a_task_that_does_not_exist_is_one_line_and_exit_1():
    command = [sys.executable, "-m", "il_control.ros.controller_node", "--ros-args", "-p", "task:=pick_plaice"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "did you mean 'pick_place'?" in result.stderr
    assert "Traceback" not in result.stderr
