"""controller_node drives arms that take positions or velocities: over ros2_control's topics, at their own rate."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from insist import insisting

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
    with driven(tmp_path, request.param) as parts:
        yield parts


@contextlib.contextmanager
def driven(tmp_path, mode, more_settings=""):
    """The arm with a controller whose settings are those of config/control and some more."""
    import rclpy
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions

    from il_core.config import load_setup
    from il_core.ros.node import spin

    interface, output, _ = mode
    text = (ROOT / "config" / "robot" / f"{ROBOT}.yaml").read_text()
    assert "interface: position" in text
    text = text.replace("interface: position", f"interface: {interface}")
    robot = tmp_path / f"{ROBOT}.yaml"
    robot.write_text(text.replace(f": {ROBOT}.", f": {ROOT}/config/robot/{ROBOT}."))
    control = tmp_path / "control.yaml"
    control.write_text((ROOT / "config" / "control" / f"{ROBOT}.yaml").read_text() + more_settings)
    parameters = ["task:=draw_symbol", f"robot:={robot}", f"control:={control}", f"output:={output}"]
    parameters = [word for parameter in parameters for word in ("-p", parameter)]
    command = [sys.executable, "-m", "il_control.ros.controller_node", "--ros-args", *parameters]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stderr=subprocess.PIPE
    )
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("arm")
    setup = load_setup("draw_symbol", str(robot))
    arm = ServoArm(node, setup, *mode)
    stop = threading.Event()
    thread = threading.Thread(target=spin, args=(node, stop.is_set))
    thread.start()
    try:
        yield arm, process, node, setup
    finally:
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

    def offset_mm():
        model.update(arm.q, np.zeros(7))
        return 1e3 * np.linalg.norm(model.T_base_ee[:3, 3] - T_des[:3, 3])

    assert offset_mm() > 50.0

    def go():
        publisher.publish(convert.pose_stamped_msg(node.get_clock().now().nanoseconds, T_des))

    wait(insisting(go, lambda: offset_mm() < 1.0, again_s=8.0), "the pose is reached")
    sent, v_max = np.array(arm.commands), np.array(setup.robot.v_max_rad_s)
    # Two in a row may be lost on the way.
    speed = np.abs(sent) if arm.is_velocity else np.abs(np.diff(sent, axis=0)) * config.rate_hz / 3.0
    assert (speed <= v_max).all()

    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LIMIT_S) == 0
    wait(lambda: np.abs(arm.v).max() < 1e-3, "the arm rests")
    np.testing.assert_allclose(arm.commands[-1], arm.commands[-20], atol=1e-2)


def test_a_push_on_the_wrist_sensor_moves_the_tool_as_its_spring_says_and_a_silent_sensor_stops_it(tmp_path):
    from diagnostic_msgs.msg import DiagnosticArray
    from geometry_msgs.msg import WrenchStamped

    from il_control.model import ArmModel
    from il_core import topics
    from il_core.ros import qos

    frame = "link_eef"
    settings = f"wrist: {{frame: {frame}, admittance: {{dead_zone_n: 0.5, dead_zone_nm: 0.05}}}}\n"
    with driven(tmp_path, MODES[0], settings) as (arm, _, node, setup):
        model, push_n, says = ArmModel(setup), np.zeros(3), []
        publisher = node.create_publisher(WrenchStamped, topics.WRIST_WRENCH, qos.STREAM)

        def feel():
            msg = WrenchStamped()
            msg.header.frame_id, msg.header.stamp = frame, node.get_clock().now().to_msg()
            f = msg.wrench.force
            f.x, f.y, f.z = (float(x) for x in push_n)
            publisher.publish(msg)

        def hear(msg):
            says.extend(status.message for status in msg.status if status.name == "controller")

        def tool():
            model.update(arm.q, np.zeros(len(arm.q)))
            return model.T_base_ee

        node.create_subscription(DiagnosticArray, "/diagnostics", hear, qos.STREAM)
        sensor = node.create_timer(0.01, feel)
        wait(lambda: len(arm.commands) > 100, "controller answers states")
        p, R = tool()[:3, 3].copy(), tool()[:3, :3]
        push_n[:] = R.T @ [0.0, 20.5, 0.0]  # measured along the sensor's axes
        wait(lambda: np.abs(tool()[:3, 3] - p - [0.0, 0.04, 0.0]).max() < 1e-3, "the tool is pushed 20 N / (500 N/m)")
        push_n[:] = 0.0
        wait(lambda: np.abs(tool()[:3, 3] - p).max() < 1e-3, "the tool comes back")
        push_n[:] = R.T @ [0.0, 20.5, 0.0]
        wait(lambda: np.abs(tool()[:3, 3] - p).max() > 5e-3, "the tool gives way again")
        node.destroy_timer(sensor)
        wait(lambda: any("wrench of the wrist sensor missing or too old" in text for text in says), "silence is told")
        wait(lambda: np.abs(arm.v).max() < 1e-3, "the arm rests")
        assert 5e-3 < np.abs(tool()[:3, 3] - p).max() < 0.04


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
