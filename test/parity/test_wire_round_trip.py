"""Types -> messages -> bytes -> types is the identity, with rclpy's deserialiser and without ROS."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PointStamped  # noqa: E402 - needs ROS
from mcap.records import Schema  # noqa: E402
from mcap_ros2.decoder import DecoderFactory  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from il_control.ros.controller_node import _decode  # noqa: E402
from il_core import wire  # noqa: E402
from il_core.arm_state_reader import ArmStateReader  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.errors import DeviceError, JointSetError, NonFiniteError, ShapeError  # noqa: E402
from il_core.geometry import matrix_from_rotvec, pose  # noqa: E402
from il_core.ros import convert  # noqa: E402
from il_core.store.msgdefs import definition, encoder  # noqa: E402
from il_core.types import ActionChunk, ArmState, CameraFrame, Intrinsics  # noqa: E402
from il_core.wrench import WrenchSensor  # noqa: E402

pytestmark = pytest.mark.ros
T0 = 1_700_000_000_123_456_789


def type_name(msg) -> str:
    package, folder, _ = type(msg).__module__.split(".", 2)
    return f"{package}/{folder}/{type(msg).__name__}"


def through_rclpy(msg):
    return deserialize_message(serialize_message(msg), type(msg))


def through_recording(msg):
    """Decode as a reader of recordings does, without ROS."""
    name = type_name(msg)
    schema = Schema(id=1, name=name, encoding="ros2msg", data=definition(name).encode())
    return DecoderFactory().decoder_for("cdr", schema)(serialize_message(msg))


@pytest.fixture(params=[through_rclpy, through_recording])
def send(request):
    return request.param


@pytest.fixture
def joints(tiny_setup):
    return wire.JointMap(tiny_setup.robot)


def random_pose(rng):
    return pose(rng.normal(size=3), matrix_from_rotvec(rng.normal(size=3)))


def reader(joints):
    return ArmStateReader(joints, _decode)


def message(joints, rng, names=None, frame=""):
    """Numbers of a joint state under some names, a fresh stamp."""
    names = list(names or joints.names_with_gripper)
    msg = JointState(
        name=names, **{k: rng.normal(size=len(names)).tolist() for k in ("position", "velocity", "effort")}
    )
    msg.header.stamp, msg.header.frame_id = convert.time_msg(T0 + int(rng.integers(10**9))), frame
    return msg


def assert_read(of, msg, joints):
    """What the reader makes of bytes is what decoding them makes."""
    got, wanted = of.read(serialize_message(msg)), wire.arm_state_from(msg, joints)
    assert (got.stamp_ns, got.gripper) == (wanted.stamp_ns, wanted.gripper)
    np.testing.assert_array_equal([got.q, got.v, got.tau], [wanted.q, wanted.v, wanted.tau])


@pytest.mark.parametrize("task", ["tiny", "pick_place"])
def test_states_read_in_place_are_those_decoded(task, joints, rng):
    joints = joints if task == "tiny" else wire.JointMap(load_setup(task).robot)
    of = reader(joints)
    for names in (joints.names_with_gripper, joints.names_with_gripper[::-1], joints.names_with_gripper):
        for frame in ("", "a", "base", "world"):  # other lengths of what comes before
            for _ in range(3):
                assert_read(of, message(joints, rng, names, frame), joints)


def test_only_the_first_of_equal_messages_is_decoded(joints, rng):
    decoded = []
    of = ArmStateReader(joints, lambda data: decoded.append(1) or deserialize_message(data, JointState))
    for _ in range(5):
        assert_read(of, message(joints, rng), joints)
    assert len(decoded) == 1


def test_what_cannot_be_used_is_refused_in_place_as_well(joints, rng):
    of = reader(joints)
    assert_read(of, message(joints, rng), joints)
    foreign, short, nan = (message(joints, rng) for _ in range(3))
    foreign.name = [f"x{name[1:]}" for name in foreign.name]
    short.effort = short.effort[:-1]
    nan.velocity[0] = float("nan")
    for msg, error in ((foreign, JointSetError), (short, ShapeError), (nan, NonFiniteError)):
        with pytest.raises(error):
            of.read(serialize_message(msg))
        assert_read(of, message(joints, rng), joints)


def test_bytes_that_are_no_message_are_refused(joints, rng):
    of = reader(joints)
    data = serialize_message(message(joints, rng))
    of.read(data)
    no_end = data[:12] + b"\xff\xff\xff\x7f" + data[16:]  # a frame's name of 2 GB
    for wrong in (data[:3], data[:11], data[: len(data) // 2], data[:-8], no_end):
        with pytest.raises(DeviceError, match=f"joint states: {len(wrong)} bytes that are no message: "):
            of.read(wrong)
    assert_read(of, message(joints, rng), joints)


def test_arm_state(send, joints, rng):
    state = ArmState(T0, *rng.normal(size=(3, 2)), 0.25)
    again = wire.arm_state_from(send(convert.joint_state_msg(state, joints)), joints)
    assert (again.stamp_ns, again.gripper) == (T0, pytest.approx(0.25))
    assert all(np.array_equal(getattr(again, f), getattr(state, f)) for f in ("q", "v", "tau"))


def test_joint_order_of_the_message_plays_no_part(send, joints, rng):
    state = ArmState(T0, *rng.normal(size=(3, 2)), 0.25)
    msg = convert.joint_state_msg(state, joints)
    order = [2, 0, 1]
    for field in ("name", "position", "velocity", "effort"):
        values = getattr(msg, field)
        setattr(msg, field, [values[i] for i in order])
    assert np.array_equal(wire.arm_state_from(send(msg), joints).q, state.q)


def test_missing_and_unexpected_joints_are_listed(send, joints):
    msg = convert.joint_state_msg(ArmState(T0, [0, 0], [0, 0], [0, 0], 0.0), joints)
    msg.name = ["a", "elbow", "g"]
    with pytest.raises(JointSetError, match="missing .'b'., unexpected .'elbow'."):
        wire.arm_state_from(send(msg), joints)


def test_a_field_of_another_length_is_refused(send, joints):
    msg = convert.joint_state_msg(ArmState(T0, [0, 0], [0, 0], [0, 0], 0.0), joints)
    msg.effort = [0.0]
    with pytest.raises(ShapeError, match=r"JointState.effort: expected shape \(3,\), got \(1,\)"):
        wire.arm_state_from(send(msg), joints)


@pytest.mark.parametrize("opening", [0.0, 0.3, 1.0])
def test_opening(send, joints, opening):
    again = wire.opening_from(send(convert.opening_msg(T0, opening, joints)), joints)
    assert again == (T0, pytest.approx(opening))


def test_pose(send, rng):
    for _ in range(20):
        T = random_pose(rng)
        again = wire.ee_pose_from(send(convert.pose_stamped_msg(T0, T)))
        assert again.stamp_ns == T0
        assert np.allclose(again.T_base_ee, T, atol=1e-12)


def test_wrench(send, rng):
    values = rng.normal(size=6)
    sensor = WrenchSensor("ft", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))  # measures where the tool is
    again = wire.wrench_from(send(convert.wrench_msg(T0, values, "ft")), sensor)
    assert again.stamp_ns == T0
    np.testing.assert_array_equal(again.wrench, values)
    with pytest.raises(DeviceError, match="wrist wrench is in frame 'other'"):
        wire.wrench_from(send(convert.wrench_msg(T0, values, "other")), sensor)


@pytest.mark.parametrize("has_gripper", [True, False])
@pytest.mark.parametrize("kind", ["joints", "poses"])
def test_chunk(send, joints, rng, kind, has_gripper):
    opening = rng.uniform(size=5) if has_gripper else None
    times = {"start_ns": T0 + 100_000_000, "dt_ns": 33_333_333, "obs_ns": T0}
    if kind == "joints":
        chunk = ActionChunk(**times, q_des=rng.normal(size=(5, 2)), gripper_des=opening)
        again = wire.joint_chunk_from(send(convert.joint_chunk_msg(chunk, joints)), joints)
    else:
        T = np.array([random_pose(rng) for _ in range(5)])
        chunk = ActionChunk(**times, T_base_ee_des=T, gripper_des=opening)
        again = wire.pose_chunk_from(send(convert.pose_chunk_msg(chunk)))
    assert (again.start_ns, again.dt_ns, again.obs_ns) == (chunk.start_ns, chunk.dt_ns, chunk.obs_ns)
    assert np.allclose(again.rows, chunk.rows, atol=1e-12)
    assert (again.gripper_des is None) == (opening is None)
    assert opening is None or np.allclose(again.gripper_des, opening, atol=1e-12)


@pytest.mark.parametrize("has_gripper", [False, True])
def test_stiffness_of_a_pose_chunk(send, rng, has_gripper):
    T, k_p = np.stack([random_pose(rng) for _ in range(4)]), rng.uniform(0.0, 3000.0, (4, 6))
    opening = rng.uniform(size=4) if has_gripper else None
    chunk = ActionChunk(1_500, 100, 1_000, T_base_ee_des=T, gripper_des=opening, k_p_des=k_p)
    msg = convert.pose_chunk_msg(chunk)
    again = wire.pose_chunk_from(send(msg))
    np.testing.assert_array_equal(again.k_p_des, k_p)
    np.testing.assert_allclose(again.rows, T, atol=1e-12)
    assert (again.gripper_des is None) is not has_gripper
    msg.joint_names = [name.replace("stiffness_angular", "stiffness_angle") for name in msg.joint_names]
    with pytest.raises(JointSetError, match="stiffness_ang"):
        wire.pose_chunk_from(send(msg))


def test_camera_frame_bit_for_bit(send, tiny_setup, rng):
    intrinsics = tiny_setup.robot.cameras[0].intrinsics
    rgb = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    depth_m = rng.integers(0, 65535, (6, 8)).astype(np.float32) * np.float32(1e-3)
    frame = CameraFrame(T0, "eye", rgb, depth_m, intrinsics)
    messages = convert.CameraMessages("camera_eye_optical", intrinsics).fill(frame)
    again = wire.camera_frame_from("eye", *map(send, messages))
    assert (again.stamp_ns, again.intrinsics) == (T0, intrinsics)
    assert np.array_equal(again.rgb, rgb)
    assert np.array_equal(again.depth_m, depth_m)


def test_bgr_becomes_rgb_and_other_encodings_are_refused(send, tiny_setup, rng):
    intrinsics = tiny_setup.robot.cameras[0].intrinsics
    rgb = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    frame = CameraFrame(T0, "eye", rgb[..., ::-1].copy(), np.zeros((6, 8), np.float32), intrinsics)
    color, depth, info = convert.CameraMessages("camera_eye_optical", intrinsics).fill(frame)
    color.encoding = "bgr8"
    assert np.array_equal(wire.camera_frame_from("eye", *map(send, (color, depth, info))).rgb, rgb)
    color.encoding = "yuv422"
    with pytest.raises(DeviceError, match="encoding 'yuv422', expected rgb8, bgr8"):
        wire.rgb_from(send(color))


def test_pictures_of_different_instants_are_refused(send, tiny_setup):
    intrinsics = tiny_setup.robot.cameras[0].intrinsics
    frame = CameraFrame(T0, "eye", np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), np.float32), intrinsics)
    color, depth, info = convert.CameraMessages("camera_eye_optical", intrinsics).fill(frame)
    depth.header.stamp = convert.time_msg(T0 + 5_000_000)
    with pytest.raises(DeviceError, match="colour and depth are 5.0 ms apart"):
        wire.camera_frame_from("eye", *map(send, (color, depth, info)))


def test_stamps_are_read_from_bytes_without_decoding():
    data = serialize_message(convert.pose_stamped_msg(T0, np.eye(4)))
    assert wire.header_stamp_ns_from_cdr(data) == T0


def test_our_encoder_writes_the_bytes_rclpy_writes():
    msg = PointStamped()
    msg.header.stamp, msg.header.frame_id = convert.time_msg(T0), "base"
    msg.point.x, msg.point.y, msg.point.z = 0.1, -2.0, 3e-9
    stamp = {"sec": T0 // 10**9, "nanosec": T0 % 10**9}
    point = {"x": 0.1, "y": -2.0, "z": 3e-9}
    ours = encoder("geometry_msgs/msg/PointStamped")({"header": {"stamp": stamp, "frame_id": "base"}, "point": point})
    again = deserialize_message(ours, PointStamped)
    assert again == msg
    pose_again = wire.ee_pose_from_point(again, np.diag([1.0, -1.0, -1.0]))
    assert pose_again.T_base_ee[:3, 3].tolist() == [0.1, -2.0, 3e-9]


@pytest.mark.parametrize(
    ("distortion", "kept"),
    [((0.0,) * 5, ("", ())), ((0.1, -0.2, 0.001, 0.0, 0.05), ("plumb_bob", (0.1, -0.2, 0.001, 0.0, 0.05)))],
)
def test_what_the_lens_adds_is_kept(send, distortion, kept):
    told = Intrinsics(640, 480, 500.0, 501.0, 320.0, 240.0)
    again = wire.intrinsics_from(send(convert.camera_info_msg(T0, "eye", told, distortion)))
    assert (again.distortion_model, again.distortion) == kept
    assert (again.width, again.fx, again.cy) == (640, 500.0, 240.0)
