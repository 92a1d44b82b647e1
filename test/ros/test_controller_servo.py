"""controller_node drives arms that take positions or velocities: over ros2_control's topics, at their own rate."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0
PERIOD_S = 0.002  # the arm sends twice as often as its settings say
LAG_S = 0.02
ROBOT = "xarm7"


MODES = [
    ("position", "forward", "forward_position_controller/commands"),
    ("position", "trajectory", "joint_trajectory_controller/joint_trajectory"),
    ("velocity", "forward", "forward_velocity_controller/commands"),
]


class ServoArm:
    """A joint_state_broadcaster and a controller of ros2_control in one: joints that lag behind what they are sent."""

    def __init__(self, node, setup, interface, output, topic):
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64MultiArray
        from trajectory_msgs.msg import JointTrajectory

        from il_core import topics, wire
        from il_core.ros import qos

        self.node, self.joints, self.is_velocity = node, wire.JointMap(setup.robot), interface == "velocity"
        self.q = np.array(setup.robot.q_home_rad)
        self.v, self.commands = np.zeros(len(self.q)), []
        self.wanted = self.v if self.is_velocity else self.q
        self.publisher = node.create_publisher(JointState, topics.JOINT_STATES, qos.STREAM)
        kinds = {"forward": (Float64MultiArray, self.on_numbers), "trajectory": (JointTrajectory, self.on_trajectory)}
        node.create_subscription(kinds[output][0], topic, kinds[output][1], qos.LATEST)
        node.create_timer(PERIOD_S, self.step)
        self.states = 0

    def on_numbers(self, msg):
        self.wanted = np.array(msg.data)
        self.commands.append(self.wanted)

    def on_trajectory(self, msg):
        from il_core import wire

        _, self.wanted = wire.trajectory_end_from(msg, self.joints)
        self.commands.append(self.wanted)

    def step(self):
        from il_core.ros import convert
        from il_core.types import ArmState

        share = 1.0 - np.exp(-PERIOD_S / LAG_S)
        if self.is_velocity:
            self.v = self.v + share * (self.wanted - self.v)
            self.q = self.q + PERIOD_S * self.v
        else:
            q = self.q + share * (self.wanted - self.q)
            self.v, self.q = (q - self.q) / PERIOD_S, q
        now_ns = self.node.get_clock().now().nanoseconds
        self.publisher.publish(
            convert.joint_state_msg(ArmState(now_ns, self.q, self.v, np.zeros(len(self.q)), 1.0), self.joints)
        )
        self.states += 1


@pytest.fixture(params=MODES, ids=lambda mode: "-".join(mode[:2]))
def rig(request, tmp_path):
    """The node as a process, the arm in this one; yields (arm, process, node, setup)."""
    import rclpy
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions

    from il_core.config import load_setup
    from il_core.ros.node import spin

    interface, output, topic = request.param
    text = (ROOT / "config" / "robot" / f"{ROBOT}.yaml").read_text()
    assert "interface: position" in text
    text = text.replace("interface: position", f"interface: {interface}")
    robot = tmp_path / f"{ROBOT}.yaml"
    robot.write_text(text.replace(f": {ROBOT}.", f": {ROOT}/config/robot/{ROBOT}."))
    parameters = ["-p", "task:=draw_symbol", "-p", f"robot:={robot}", "-p", f"output:={output}"]
    command = [sys.executable, "-m", "il_control.ros.controller_node", "--ros-args", *parameters]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stderr=subprocess.PIPE
    )
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("arm")
    setup = load_setup("draw_symbol", str(robot))
    arm = ServoArm(node, setup, *request.param)
    stop = threading.Event()
    thread = threading.Thread(target=spin, args=(node, stop.is_set))
    thread.start()
    yield arm, process, node, setup
    stop.set()
    thread.join()
    node.destroy_node()
    rclpy.try_shutdown()
    process.kill()
    process.wait()


def wait(condition, what):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.01)


def test_an_arm_goes_to_a_pose_at_its_own_rate_refuses_hands_and_is_left_at_rest(rig):
    from geometry_msgs.msg import PoseStamped
    from std_srvs.srv import SetBool

    from il_control.config import load_control_config
    from il_control.model import ArmModel
    from il_core import topics
    from il_core.ros import convert, qos

    arm, process, node, setup = rig
    config = load_control_config(setup)
    wait(lambda: len(arm.commands) > 100, "controller answers states")
    still = np.zeros(len(arm.q)) if arm.is_velocity else setup.robot.q_home_rad
    np.testing.assert_allclose(arm.commands[-1], still, atol=1e-6)
    states, commands = arm.states, len(arm.commands)
    wait(lambda: arm.states > states + 500, "states are sent")
    assert len(arm.commands) - commands <= 1.1 * (arm.states - states) * PERIOD_S * config.rate_hz + 5

    claim = node.create_client(SetBool, topics.claim("guiding"))
    assert claim.wait_for_service(timeout_sec=LIMIT_S)
    answer = claim.call_async(SetBool.Request(data=True))
    wait(answer.done, "the claim is answered")
    assert not answer.result().success
    assert ": it cannot be led by hand" in answer.result().message

    model = ArmModel(setup)
    model.update(np.array(setup.robot.q_home_rad) + 0.15, np.zeros(7))
    T_des = model.T_base_ee.copy()
    publisher = node.create_publisher(PoseStamped, topics.GO_TO_POSE, qos.COMMAND)
    wait(lambda: publisher.get_subscription_count() > 0, "controller listens")
    publisher.publish(convert.pose_stamped_msg(node.get_clock().now().nanoseconds, T_des))

    def offset_mm():
        model.update(arm.q, np.zeros(7))
        return 1e3 * np.linalg.norm(model.T_base_ee[:3, 3] - T_des[:3, 3])

    assert offset_mm() > 50.0
    wait(lambda: offset_mm() < 1.0, "the pose is reached")
    sent, v_max = np.array(arm.commands), np.array(setup.robot.v_max_rad_s)
    # Two in a row may be lost on the way.
    speed = np.abs(sent) if arm.is_velocity else np.abs(np.diff(sent, axis=0)) * config.rate_hz / 3.0
    assert (speed <= v_max).all()

    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LIMIT_S) == 0
    wait(lambda: np.abs(arm.v).max() < 1e-3, "the arm rests")
    np.testing.assert_allclose(arm.commands[-1], arm.commands[-20], atol=1e-2)


def test_without_an_output_that_takes_positions_the_controller_says_which_to_set():
    command = [sys.executable, "-m", "il_control.ros.controller_node", "--ros-args"]
    result = subprocess.run(
        [*command, "-p", "task:=draw_symbol", "-p", f"robot:={ROBOT}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "takes position; set the parameter output to 'forward' or 'trajectory'" in result.stderr
