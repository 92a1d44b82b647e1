"""description_node over real DDS: late joiners get the URDF, links follow the joints, missing tf2_msgs is said."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
import rclpy  # noqa: E402 - needs ROS
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PoseArray, TransformStamped  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402
from sensor_msgs.msg import CameraInfo, JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from il_control.description import describe_setup  # noqa: E402
from il_control.ros import description_node  # noqa: E402
from il_core import topics  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.geometry import matrix_from_quat_xyzw, pose  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_core.ros.convert import joint_state_msg, time_msg  # noqa: E402
from il_core.types import ArmState  # noqa: E402
from il_core.wire import JointMap, pose_from  # noqa: E402

pytestmark = pytest.mark.ros
HAS_TF = importlib.util.find_spec("tf2_msgs") is not None


class TFMessage:
    """Stands in for that of tf2_msgs, which the wheels of ROS lack."""

    def __init__(self, transforms):
        self.transforms = transforms


def described(sent):
    """Class of a description node that appends topic and transforms to ``sent`` instead of publishing them."""

    class Described(description_node.DescriptionNode):
        def create_publisher(self, kind, topic, profile, **more):
            if kind is not TFMessage:
                return super().create_publisher(kind, topic, profile, **more)
            return SimpleNamespace(publish=lambda msg: sent.append((topic, msg.transforms)))

    return Described


def test_the_description_reaches_who_comes_late_and_frames_follow_the_joints():  # noqa: PLR0915 - one start of the node
    setup = load_setup("pick_place")
    robot, description = setup.robot, describe_setup(setup)
    process = subprocess.Popen(
        [sys.executable, "-m", "il_control.ros.description_node"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("description_test")
    said: list[str] = []
    node.create_subscription(
        DiagnosticArray, topics.DIAGNOSTICS, lambda m: said.extend(s.message for s in m.status), qos.STREAM
    )
    texts, arrays, moving, fixed = [], [], [], []
    node.create_subscription(PoseArray, topics.LINK_POSES, arrays.append, qos.LATEST)
    if HAS_TF:
        from tf2_msgs.msg import TFMessage

        node.create_subscription(TFMessage, topics.TF, moving.append, QoSProfile(depth=100))
        node.create_subscription(TFMessage, topics.TF_STATIC, fixed.append, qos.LATCHED)
    states = node.create_publisher(JointState, topics.JOINT_STATES, qos.STREAM)
    q = np.array(robot.q_home_rad) + 0.1
    state = ArmState(1_700_000_000_123_000_000, q, np.zeros(7), np.zeros(7), 0.5)
    message = joint_state_msg(state, JointMap(robot))

    def wait(condition, what, send=None, timeout_s=20.0):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"{what}; it said {said}"
            if send is not None:
                states.publish(send)
            rclpy.spin_once(node, timeout_sec=0.02)

    try:
        wait(lambda: any("no message on 'joint_states'" in s for s in said), "silence is told")
        node.create_subscription(String, topics.ROBOT_DESCRIPTION, texts.append, qos.LATCHED)
        wait(lambda: texts and arrays, "URDF and link poses", send=message)
        assert texts[0].data == setup.urdf_path.read_text()
        shown = arrays[-1]
        assert shown.header.frame_id == "base" and shown.header.stamp == time_msg(state.stamp_ns)
        expected = description.poses(q, 0.5)
        assert len(shown.poses) == len(description.links)
        for link, msg in zip(description.links, shown.poses, strict=True):
            np.testing.assert_allclose(pose_from(msg), expected[link], atol=1e-9)
        if HAS_TF:
            wait(lambda: moving and fixed, "TF", send=message)
            T = {"base": np.eye(4)}
            edges = [*fixed[-1].transforms, *moving[-1].transforms]
            for _ in edges:
                for e in edges:
                    if e.header.frame_id in T and e.child_frame_id not in T:
                        t, r = e.transform.translation, e.transform.rotation
                        T_parent = pose([t.x, t.y, t.z], matrix_from_quat_xyzw([r.x, r.y, r.z, r.w]))
                        T[e.child_frame_id] = T[e.header.frame_id] @ T_parent
            assert set(T) == {*description.links, "camera_front_optical", "camera_wrist_optical"}
            np.testing.assert_allclose(T["fr3_tcp"], expected["fr3_tcp"], atol=1e-9)
            wait(lambda: "links and cameras are on TF" in said, "TF is told", send=message)
        else:
            wait(lambda: any("tf2_msgs is not installed: no TF" in s for s in said), "no TF is told", send=message)
        message.name[0] = "elbow"
        wait(lambda: any("'joint_states' refused" in s for s in said), "another arm is told", send=message)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=15)
        node.destroy_node()
        rclpy.try_shutdown()
    assert process.returncode == 0, output
    assert HAS_TF or "source a ROS underlay" in output


def test_frames_go_out_as_tf_where_tf2_msgs_is_installed(monkeypatch):
    """With a stand-in for its message: the wheels of ROS have no tf2_msgs."""
    sent = []

    monkeypatch.setattr(description_node, "tf_message", lambda: TFMessage)
    setup = load_setup("pick_place")
    q = np.array(setup.robot.q_home_rad) + 0.1
    state = ArmState(1_700_000_000_123_000_000, q, np.zeros(7), np.zeros(7), 0.5)
    rclpy.init(args=["--ros-args", "-p", "task:=pick_place"], signal_handler_options=SignalHandlerOptions.NO)
    node = described(sent)()
    try:
        node._on_state(serialize_message(joint_state_msg(state, JointMap(setup.robot))))
        node._show()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    (static_topic, fixed), (topic, moving) = sent
    assert (static_topic, topic) == ("/tf_static", "/tf")
    assert {t.child_frame_id for t in fixed} >= {"camera_front_optical", "camera_wrist_optical"}
    assert {t.header.stamp.sec for t in moving} == {1_700_000_000}
    T, expected = {"base": np.eye(4)}, describe_setup(setup).poses(q, 0.5)
    for _ in range(len(expected)):  # parents before children, whatever the order
        for e in (*fixed, *moving):
            if e.header.frame_id in T and e.child_frame_id not in T:
                t, r = e.transform.translation, e.transform.rotation
                T_parent = pose([t.x, t.y, t.z], matrix_from_quat_xyzw([r.x, r.y, r.z, r.w]))
                T[e.child_frame_id] = T[e.header.frame_id] @ T_parent
    for link, T_base_link in expected.items():
        np.testing.assert_allclose(T[link], T_base_link, atol=1e-9)


def test_frames_of_a_camera_driver_are_put_where_the_robots_file_has_the_camera(monkeypatch):
    """With a stand-in for TFMessage, as above; the driver tells more of its frame a moment later."""
    sent, heard = [], []

    class Listening(described(sent)):
        def create_subscription(self, kind, topic, callback, profile, **more):
            if kind is TFMessage or kind is CameraInfo:
                heard.append((topic, callback))
                return None
            return super().create_subscription(kind, topic, callback, profile, **more)

    monkeypatch.setattr(description_node, "tf_message", lambda: TFMessage)
    arguments = ["-p", "task:=pick_place", "-p", "cameras:=zed"]
    rclpy.init(args=["--ros-args", *arguments], signal_handler_options=SignalHandlerOptions.NO)
    node = Listening()
    try:
        said = dict(heard)
        assert set(said) == {topics.camera_info("front"), topics.camera_info("wrist"), topics.TF_STATIC}
        info = CameraInfo()
        info.header.frame_id = "front_left_camera_optical_frame"
        said[topics.camera_info("front")](serialize_message(info))
        node._join(node._drivers)
        (edge,) = [t for t in sent[-1][1] if t.header.frame_id == "camera_front_optical"]
        assert edge.child_frame_id == "front_left_camera_optical_frame" and edge.transform.rotation.w == 1.0
        driver = TransformStamped(child_frame_id="front_left_camera_optical_frame")
        driver.header.frame_id, driver.transform.translation.x = "front_camera_link", 0.06
        said[topics.TF_STATIC](TFMessage([driver, edge]))  # its own words come back to it
        node._join(node._drivers)
        (edge,) = [t for t in sent[-1][1] if t.header.frame_id == "camera_front_optical"]
        assert edge.child_frame_id == "front_camera_link" and edge.transform.translation.x == -0.06
        count = len(sent)
        said[topics.TF_STATIC](TFMessage(sent[-1][1]))
        node._join(node._drivers)
        assert len(sent) == count, "what is told already is not told again"
        assert "camera_wrist_optical: no CameraInfo" in node._drivers.words
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
