"""Our types into ROS messages: the other half of ``il_core/wire.py``."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose, PoseStamped, Transform, WrenchStamped
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import (
    JointTrajectory,
    JointTrajectoryPoint,
    MultiDOFJointTrajectory,
    MultiDOFJointTrajectoryPoint,
)

from il_core.geometry import Array, quat_xyzw_from_matrix
from il_core.types import ActionChunk, ArmState, CameraFrame, Intrinsics, Setpoint, Vector
from il_core.wire import EE_JOINT, GRIPPER_JOINT, STIFFNESS_JOINTS, JointMap

BASE_FRAME = "base"


def time_msg(t_ns: int) -> Time:
    """Nanoseconds -> builtin_interfaces/Time."""
    sec, nanosec = divmod(t_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def _duration(t_ns: int) -> Duration:
    sec, nanosec = divmod(t_ns, 1_000_000_000)
    return Duration(sec=sec, nanosec=nanosec)


def joint_state_msg(state: ArmState, joints: JointMap) -> JointState:
    """ArmState -> JointState of arm joints and gripper joint."""
    msg = JointState(name=joints.names_with_gripper)
    msg.header.stamp = time_msg(state.stamp_ns)
    has_gripper = len(msg.name) > len(state.q)
    rest = [0.0] if has_gripper else []
    msg.position = array("d", [*state.q, *([joints.m_from_opening(state.gripper)] if has_gripper else [])])
    msg.velocity = array("d", [*state.v, *rest])
    msg.effort = array("d", [*state.tau, *rest])
    return msg


def effort_msg(setpoint: Setpoint, joints: JointMap) -> JointState:
    """Setpoint -> JointState with efforts [N·m], stamped with the state it answers.

    Raises:
        DeviceError: the setpoint has no torques.
    """
    msg = JointState(name=joints.names)
    msg.header.stamp = time_msg(setpoint.stamp_ns)
    msg.effort = array("d", setpoint.torque)
    return msg


def opening_msg(stamp_ns: int, opening: float, joints: JointMap) -> JointState:
    """Opening in [0, 1] -> JointState of the gripper joint [m]."""
    msg = JointState(name=[joints.robot.gripper_joint])
    msg.header.stamp = time_msg(stamp_ns)
    msg.position = array("d", [joints.m_from_opening(opening)])
    return msg


def pose_msg(T: Array) -> Pose:
    """T (4, 4) -> geometry_msgs/Pose."""
    msg = Pose()
    msg.position.x, msg.position.y, msg.position.z = map(float, T[:3, 3])
    q = quat_xyzw_from_matrix(T[:3, :3])
    o = msg.orientation
    o.x, o.y, o.z, o.w = map(float, q)
    return msg


def pose_stamped_msg(stamp_ns: int, T_base_b: Array, frame_id: str = BASE_FRAME) -> PoseStamped:
    """Pose in base at one instant -> PoseStamped."""
    msg = PoseStamped(pose=pose_msg(T_base_b))
    msg.header.stamp, msg.header.frame_id = time_msg(stamp_ns), frame_id
    return msg


def wrench_msg(stamp_ns: int, wrench: Vector, frame_id: str) -> WrenchStamped:
    """Force and torque along the axes of a frame, (6,) [N, N·m] -> WrenchStamped."""
    msg = WrenchStamped()
    msg.header.stamp, msg.header.frame_id = time_msg(stamp_ns), frame_id
    f, t = msg.wrench.force, msg.wrench.torque
    f.x, f.y, f.z, t.x, t.y, t.z = map(float, wrench)
    return msg


def joint_chunk_msg(chunk: ActionChunk, joints: JointMap) -> JointTrajectory:
    """Joint chunk -> JointTrajectory; stamp = observation, points at their offsets from it."""
    assert chunk.q_des is not None
    has_gripper = chunk.gripper_des is not None
    msg = JointTrajectory(joint_names=joints.names_with_gripper if has_gripper else joints.names)
    msg.header.stamp, msg.header.frame_id = time_msg(chunk.obs_ns), BASE_FRAME
    rows = chunk.q_des
    if chunk.gripper_des is not None:
        rows = np.column_stack([rows, [joints.m_from_opening(g) for g in chunk.gripper_des]])
    msg.points = [
        JointTrajectoryPoint(positions=array("d", row), time_from_start=_offset(chunk, k)) for k, row in enumerate(rows)
    ]
    return msg


def pose_chunk_msg(chunk: ActionChunk) -> MultiDOFJointTrajectory:
    """Pose chunk -> MultiDOFJointTrajectory of ``ee`` and, where it has them, ``gripper`` and the stiffnesses."""
    assert chunk.T_base_ee_des is not None
    msg = MultiDOFJointTrajectory(joint_names=[EE_JOINT])
    msg.header.stamp, msg.header.frame_id = time_msg(chunk.obs_ns), BASE_FRAME
    if chunk.gripper_des is not None:
        msg.joint_names = [EE_JOINT, GRIPPER_JOINT]
    for k, T in enumerate(chunk.T_base_ee_des):
        point = MultiDOFJointTrajectoryPoint(time_from_start=_offset(chunk, k))
        point.transforms = [_transform(T)]
        if chunk.gripper_des is not None:
            opening = Transform()
            opening.translation.x = float(chunk.gripper_des[k])
            point.transforms = [point.transforms[0], opening]
        if chunk.k_p_des is not None:
            point.transforms = [*point.transforms, *map(_stiffness, (chunk.k_p_des[k, :3], chunk.k_p_des[k, 3:]))]
        msg.points.append(point)
    if chunk.k_p_des is not None:
        msg.joint_names = [*msg.joint_names, *STIFFNESS_JOINTS]
    return msg


def _stiffness(k_p: Array) -> Transform:
    """Three stiffnesses in the place of a translation."""
    msg = Transform()
    msg.translation.x, msg.translation.y, msg.translation.z = map(float, k_p)
    return msg


def _offset(chunk: ActionChunk, k: int) -> Duration:
    """``time_from_start`` of row k: its instant relative to the observation."""
    return _duration(chunk.start_ns - chunk.obs_ns + k * chunk.dt_ns)


def _transform(T: Array) -> Transform:
    msg = Transform()
    t, r = msg.translation, msg.rotation
    t.x, t.y, t.z = map(float, T[:3, 3])
    r.x, r.y, r.z, r.w = map(float, quat_xyzw_from_matrix(T[:3, :3]))
    return msg


def camera_info_msg(
    stamp_ns: int, frame_id: str, i: Intrinsics, distortion: Sequence[float] = (0.0,) * 5
) -> CameraInfo:
    """Intrinsics and k1, k2, p1, p2, k3 of the lens -> CameraInfo."""
    msg = CameraInfo(width=i.width, height=i.height, distortion_model="plumb_bob")
    msg.header.stamp, msg.header.frame_id = time_msg(stamp_ns), frame_id
    msg.d = list(distortion)
    msg.k = [i.fx, 0.0, i.cx, 0.0, i.fy, i.cy, 0.0, 0.0, 1.0]
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [i.fx, 0.0, i.cx, 0.0, 0.0, i.fy, i.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return msg


class CameraMessages:
    """Image messages of one camera, their buffers reused: filling costs microseconds, not 70 ms."""

    def __init__(self, frame_id: str, intrinsics: Intrinsics, distortion: Sequence[float] = (0.0,) * 5) -> None:
        """Allocate the buffers of a colour and a depth image."""
        i = intrinsics
        self._info = camera_info_msg(0, frame_id, i, distortion)
        self._color = Image(height=i.height, width=i.width, encoding="rgb8", step=3 * i.width)
        self._depth = Image(height=i.height, width=i.width, encoding="16UC1", step=2 * i.width)
        for msg in (self._color, self._depth):
            msg.header.frame_id = frame_id
            msg.data = array("B", bytes(msg.height * msg.step))
        self._rgb = np.frombuffer(self._color.data, dtype=np.uint8).reshape(i.height, i.width, 3)
        self._mm = np.frombuffer(self._depth.data, dtype=np.uint16).reshape(i.height, i.width)

    def fill(self, frame: CameraFrame) -> tuple[Image, Image, CameraInfo]:
        """Colour (rgb8), depth (16UC1, mm, 0 = invalid) and CameraInfo; valid until the next call."""
        np.rint(frame.depth_m * np.float32(1000.0), out=(mm := np.empty(frame.depth_m.shape, np.float32)))
        depth_mm = np.where(mm < 65535.0, mm, 0.0)  # beyond 65.5 m does not fit: invalid
        return self.fill_mm(frame.stamp_ns, frame.rgb, depth_mm)

    def fill_mm(self, stamp_ns: int, rgb: np.ndarray, depth_mm: np.ndarray) -> tuple[Image, Image, CameraInfo]:
        """The same from depth that is in millimetres already: each image is copied once, by numpy."""
        self._rgb[:] = rgb
        self._mm[:] = depth_mm
        for msg in (self._color, self._depth, self._info):
            msg.header.stamp = time_msg(stamp_ns)
        return self._color, self._depth, self._info
