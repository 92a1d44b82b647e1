"""gazebo_node and gazebo_camera_node over real DDS; this test speaks as ros_gz_bridge would."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from il_cli.ros.observe import observe
from il_cli.security_policy import load_connections
from il_core import topics, wire
from il_core.config import load_setup
from il_core.graph import node_environment
from il_sim.gazebo.arm_side import ArmSide
from il_sim.gazebo.config import load_gazebo_config
from il_sim.gazebo.names import CONTROLLER
from il_sim.gazebo.ros2_control import urdf_with_control

ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0
STEP_NS = 2_000_000


@pytest.fixture(scope="module")
def setup():
    return load_setup("pick_place")


def assert_allowed(node):
    """A running node uses nothing that the SROS2 policy does not allow."""
    seen = observe([node])[node]
    assert seen.publishes and not seen - load_connections().of(node)


class Rig:
    """A node here, and the process under test."""

    def __init__(self, log):
        from rclpy.node import Node

        self.node, self.log, self.process = Node("bridge"), log, None

    def start(self, module, *parameters):
        command = [sys.executable, "-m", f"il_sim.ros.{module}", "--ros-args"]
        command += [word for p in parameters for word in ("-p", p)]
        environment = node_environment(os.environ) | {"PYTHONPATH": str(ROOT)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, condition, what):
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s; {self.log.read_text()[-1000:]}"
            time.sleep(0.01)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


@pytest.fixture
def rig(tmp_path):
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from il_core.ros.node import spin

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    rig, stop = Rig(tmp_path / "log"), threading.Event()
    thread = threading.Thread(target=spin, args=(rig.node, stop.is_set))
    thread.start()
    yield rig
    stop.set()
    thread.join()
    rig.process.kill()
    rig.process.wait()
    rig.node.destroy_node()
    rclpy.try_shutdown()


class Bridge:
    """Gazebo's side: joint states of an arm that stands at home, and the forces that come back."""

    def __init__(self, rig, setup, names):
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64

        from il_core.ros import convert, qos

        self.t_ns, self.forces = 0, dict.fromkeys(names)
        self._names, self._convert = names[::-1], convert  # Gazebo's order is its own
        self.q = np.array([*setup.robot.q_home_rad, 0.03, 0.03])
        self._type = JointState
        self._out = rig.node.create_publisher(JointState, topics.GAZEBO_JOINT_STATES, qos.STREAM)
        for name in names:
            heard = partial(self._on_force, name)
            rig.node.create_subscription(Float64, topics.gazebo_force(name), lambda msg, f=heard: f(msg), qos.STREAM)
        rig.node.create_timer(STEP_NS * 1e-9, self._step)

    def _on_force(self, name, msg):
        self.forces[name] = msg.data

    def _step(self):
        self.t_ns += STEP_NS
        msg = self._type(name=self._names, position=self.q[::-1].tolist(), velocity=[0.0] * 9)
        msg.header.stamp = self._convert.time_msg(self.t_ns)  # the bridge sends no effort for these joints
        self._out.publish(msg)

    def arm(self, names):
        return np.array([np.nan if self.forces[n] is None else self.forces[n] for n in names])


def test_torques_are_split_states_joined_and_silence_ends_in_gravity_compensation(rig, setup):
    from sensor_msgs.msg import JointState

    from il_core.ros import convert, qos

    side, joints = ArmSide(setup, load_gazebo_config()), wire.JointMap(setup.robot)
    bridge, states = Bridge(rig, setup, side.names), []
    answers, grips = [
        rig.node.create_publisher(JointState, t, qos.COMMAND) for t in (topics.EFFORT_SETPOINT, topics.GRIPPER_SETPOINT)
    ]
    tau = np.array([5.0, -20.0, 1.0, 20.0, -1.0, 2.0, 99.0])
    is_driving = True

    def on_state(msg):
        states.append(msg)
        if is_driving:  # as the controller answers
            answer = JointState(name=joints.names[::-1], effort=tau[::-1].tolist())
            answer.header.stamp = msg.header.stamp
            answers.publish(answer)
            grips.publish(convert.opening_msg(0, 0.5, joints))

    rig.node.create_subscription(JointState, topics.JOINT_STATES, on_state, qos.STREAM)
    rig.start("gazebo_node", "task:='pick_place'")
    clipped = np.array([*tau[:6], 12.0])
    rig.wait(lambda: np.array_equal(bridge.arm(joints.names), clipped), "torques on the topics of the joints")
    rig.wait(lambda: np.array_equal(wire.arm_state_from(states[-1], joints).tau, clipped), "torques in the states")
    state = wire.arm_state_from(states[-1], joints)
    np.testing.assert_allclose(state.q, setup.robot.q_home_rad)
    assert states[-1].name == joints.names_with_gripper
    assert state.gripper == pytest.approx(0.75)
    rig.wait(lambda: np.allclose(bridge.arm(side.fingers), -40.0, atol=1e-9), "fingers close from 30 to 20 mm")

    assert_allowed("gazebo")
    is_driving = False
    side.take(1, side.names, bridge.q, np.zeros(9))
    gravity = side.rest()
    assert np.abs(gravity).max() > 10.0
    rig.wait(lambda: np.allclose(bridge.arm(joints.names), gravity, atol=1e-6), "gravity compensation in silence")
    bridge.forces = dict.fromkeys(side.names)
    assert rig.stop() == 0
    rig.wait(lambda: np.allclose(bridge.arm(joints.names), gravity, atol=1e-6), "and as the last word")


def test_ros2_control_is_given_its_description_and_waits_for_the_first_command(rig, setup):
    from std_msgs.msg import Float64MultiArray, String

    from il_core.ros import qos

    texts = []
    rig.node.create_subscription(String, topics.GAZEBO_DESCRIPTION, texts.append, qos.LATCHED)
    rig.start("gazebo_node", "task:='pick_place'", "drive:='ros2_control'")
    rig.wait(lambda: texts, "a description")
    assert texts[0].data == urdf_with_control(setup)
    assert rig.stop() == 0
    rig.start("first_command_node")
    numbers = rig.node.create_publisher(Float64MultiArray, f"{CONTROLLER}/commands", qos.STREAM)
    rig.wait(numbers.get_subscription_count, "somebody who listens")
    assert rig.process.poll() is None

    def has_ended():  # the first may be lost: who listens best-effort is known here before it knows us
        numbers.publish(Float64MultiArray(data=[0.0] * 7))
        return rig.process.poll() is not None

    rig.wait(has_ended, "its end")
    assert rig.process.returncode == 0
    rig.start("first_command_node")
    rig.wait(numbers.get_subscription_count, "somebody who listens")
    assert rig.stop() == 1, "ended before a command came"


def test_pictures_become_ours(rig, setup):  # noqa: PLR0915 - one start of the node
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import CameraInfo, Image

    from il_core.ros import convert, qos

    spec = setup.robot.camera("wrist")
    shape = (spec.height, spec.width)
    rgb = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    metres = np.full(shape, 0.4567, np.float32)
    metres[0, :4] = np.inf, -np.inf, np.nan, 5.0
    outs = [
        rig.node.create_publisher(kind, topic("wrist"), qos.IMAGE)
        for kind, topic in (
            (Image, topics.gazebo_color),
            (Image, topics.gazebo_depth),
            (CameraInfo, topics.gazebo_camera_info),
        )
    ]
    names = (topics.color, topics.depth, topics.camera_info, topics.depth_camera_info)
    heard = {f("wrist"): [] for f in names}
    for topic, messages in heard.items():
        kind = CameraInfo if topic.endswith("info") else Image
        rig.node.create_subscription(kind, topic, messages.append, qos.IMAGE)
    count, encoding, lens = 0, "rgb8", spec.intrinsics

    def shoot():
        nonlocal count
        count += 1
        stamp = convert.time_msg(count * 33_333_333)
        images = [
            Image(height=spec.height, width=spec.width, encoding=encoding, step=3 * spec.width, data=rgb.tobytes()),
            Image(height=spec.height, width=spec.width, encoding="32FC1", step=4 * spec.width, data=metres.tobytes()),
            convert.camera_info_msg(0, "x", lens),
        ]
        for publisher, msg in zip(outs, images, strict=True):
            msg.header.stamp = stamp
            publisher.publish(msg)

    rig.node.create_timer(0.05, shoot)
    rig.start("gazebo_camera_node", "task:='pick_place'")
    rig.wait(lambda: all(len(m) > 5 for m in heard.values()), "pictures")
    assert_allowed("gazebo_camera")
    color, depth, info, again = (messages[3] for messages in heard.values())
    assert again.k.tolist() == info.k.tolist() and again.header.frame_id == depth.header.frame_id
    assert (color.encoding, depth.encoding) == ("rgb8", "16UC1")
    assert color.header.stamp == depth.header.stamp == info.header.stamp
    assert color.header.frame_id == "camera_wrist_optical"
    frame = wire.camera_frame_from("wrist", color, depth, info)
    np.testing.assert_array_equal(frame.rgb, rgb)
    np.testing.assert_array_equal(frame.depth_m[0, :4], 0.0)
    np.testing.assert_allclose(frame.depth_m[1:], 0.457, atol=1e-6)
    assert frame.intrinsics.cx == spec.intrinsics.cx

    said, colors = [], heard[topics.color("wrist")]
    rig.node.create_subscription(
        DiagnosticArray, topics.DIAGNOSTICS, lambda m: said.extend(s.message for s in m.status), qos.STREAM
    )
    encoding = "no_such_encoding"
    rig.wait(lambda: any(encoding in s for s in said), "a word on an image that cannot be read")
    encoding = "rgb8"
    colors.clear()
    rig.wait(lambda: len(colors) > 2, "pictures after the bad one")
    lens = replace(lens, fx=2 * lens.fx)
    rig.wait(lambda: any("focal length of" in s for s in said), "a word on a camera that is another one")
    count_then = len(colors)
    time.sleep(0.3)
    assert len(colors) <= count_then + 1, "pictures of another camera pass"
    lens = spec.intrinsics
    colors.clear()
    rig.wait(lambda: len(colors) > 2, "pictures once the camera is right again")
    said.clear()
    rig.wait(lambda: said and "focal length" not in said[-1] and "encoding" not in said[-1], "a status without it")
    assert rig.stop() == 0
