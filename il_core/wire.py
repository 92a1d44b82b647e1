"""ROS messages into our types, without importing ROS.

These functions read any object with the fields of the message: a live rclpy message or one
decoded from a recording on a machine without ROS. So live and offline data share one path. The
opposite direction needs message classes and lives in ``il_core/ros/convert.py``; the round trips
of both are tested together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from il_core.errors import DeviceError, JointSetError, ShapeError
from il_core.geometry import Array, matrix_from_quat_xyzw, pose
from il_core.spec import RobotSpec
from il_core.types import ActionChunk, ArmCommand, ArmState, CameraFrame, EePose, Vector
from il_core.wire_images import depth_m_from, intrinsics_from, rgb_from
from il_core.wrench import ToolWrench, WrenchSensor

__all__ = ["depth_m_from", "intrinsics_from", "rgb_from"]  # part of this module, though written next door
EE_JOINT, GRIPPER_JOINT = "ee", "gripper"  # joints of a pose chunk: the tool, and x [0..1] = opening
STIFFNESS_JOINTS = ("stiffness_linear", "stiffness_angular")  # x, y, z = N/m and N·m/rad, both or none

Message = Any  # message-shaped: live or decoded


def stamp_ns(stamp: Message) -> int:
    """Nanoseconds of a builtin_interfaces/Time or Duration."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def header_stamp_ns_from_cdr(data: bytes) -> int:
    """Header stamp of a serialised message whose first field is a Header, without decoding it.

    CDR: 4 bytes of encapsulation (byte 1 odd = little endian), then int32 sec, uint32 nanosec.
    """
    order = "little" if data[1] & 1 else "big"
    sec = int.from_bytes(data[4:8], order, signed=True)  # type: ignore[arg-type]
    return sec * 1_000_000_000 + int.from_bytes(data[8:12], order)  # type: ignore[arg-type]


class JointMap:
    """Joint order between a robot and messages, by name, in both directions."""

    def __init__(self, robot: RobotSpec) -> None:
        """Remember the robot's joint order and gripper travel."""
        self.robot = robot
        self.names = list(robot.joint_names)
        self.names_with_gripper = [*self.names, *([robot.gripper_joint] if robot.gripper_joint else [])]
        self._cache: tuple[tuple[str, ...], list[int]] | None = None

    def indices(self, names: list[str], wanted: list[str], where: str) -> list[int]:
        """Positions of ``wanted`` joints in ``names``.

        Raises:
            JointSetError: the two sets differ.
        """
        key = (*names, "|", *wanted)
        if self._cache is None or self._cache[0] != key:
            missing, extra = sorted(set(wanted) - set(names)), sorted(set(names) - set(wanted))
            if missing or extra or len(names) != len(wanted):
                raise JointSetError(where, missing=missing, extra=extra)
            self._cache = (key, [names.index(n) for n in wanted])
        return self._cache[1]

    def opening_from_m(self, position_m: float) -> float:
        """Opening in [0, 1] of a gripper joint position [m, or rad if it turns]."""
        closed = self.robot.gripper_closed_m
        return float(np.clip((position_m - closed) / (self.robot.gripper_open_m - closed), 0.0, 1.0))

    def m_from_opening(self, opening: float) -> float:
        """Gripper joint position [m, or rad if it turns] of an opening in [0, 1]."""
        closed = self.robot.gripper_closed_m
        return closed + opening * (self.robot.gripper_open_m - closed)


def arm_state_from(msg: Message, joints: JointMap) -> ArmState:
    """sensor_msgs/JointState of arm and gripper joint -> ArmState; without a gripper it counts as open.

    Raises:
        JointSetError: missing or unexpected joints.
        ShapeError: a field has another length than the names.
        NonFiniteError: NaN or infinity.
    """
    n = len(msg.name)
    for field in ("position", "velocity", "effort"):
        if len(getattr(msg, field)) != n:
            raise ShapeError(f"JointState.{field}", expected=f"({n},)", got=(len(getattr(msg, field)),))
    order = joints.indices(list(msg.name), joints.names_with_gripper, "JointState")
    position = np.asarray(msg.position, dtype=np.float64)[order]
    nq = joints.robot.nq
    arm = order[:nq]
    return ArmState(
        stamp_ns=stamp_ns(msg.header.stamp),
        q=position[:nq],
        v=np.asarray(msg.velocity, dtype=np.float64)[arm],
        tau=np.asarray(msg.effort, dtype=np.float64)[arm],
        gripper=joints.opening_from_m(float(position[nq])) if len(order) > nq else 1.0,
    )


def posture_from(msg: Message, joints: JointMap) -> Vector:
    """sensor_msgs/JointState with positions of the arm's joints -> q (nq,) [rad].

    Raises:
        JointSetError: missing or unexpected joints.
        ShapeError: positions of another length than the names.
    """
    order = joints.indices(list(msg.name), joints.names, "posture")
    q = np.asarray(msg.position, dtype=np.float64)
    if q.shape != (len(order),):
        raise ShapeError("posture", expected=f"({len(order)},)", got=q.shape)
    return q[order]


def effort_from(msg: Message, joints: JointMap) -> tuple[int, Vector]:
    """sensor_msgs/JointState with efforts -> (stamp of the state it answers [ns], tau (nq,) [N·m])."""
    order = joints.indices(list(msg.name), joints.names, "effort setpoint")
    tau = np.asarray(msg.effort, dtype=np.float64)
    if tau.shape != (len(order),):
        raise ShapeError("effort setpoint", expected=f"({len(order)},)", got=tau.shape)
    return stamp_ns(msg.header.stamp), tau[order]


def opening_from(msg: Message, joints: JointMap) -> tuple[int, float]:
    """sensor_msgs/JointState of the gripper joint [m] -> (stamp [ns], opening in [0, 1])."""
    joints.indices(list(msg.name), [joints.robot.gripper_joint], "gripper setpoint")
    if len(msg.position) != 1:
        raise ShapeError("gripper setpoint position", expected="(1,)", got=(len(msg.position),))
    return stamp_ns(msg.header.stamp), joints.opening_from_m(float(msg.position[0]))


def numbers_from(msg: Message, names: list[str], joints: JointMap) -> Vector:
    """std_msgs/Float64MultiArray in the joint order of a ros2_control controller -> (nq,) in the robot's.

    Args:
        msg: The bare numbers.
        names: Parameter ``joints`` of the controller.
        joints: The robot's.
    """
    values = np.asarray(msg.data, dtype=np.float64)
    if values.shape != (len(names),):
        raise ShapeError("controller command", expected=f"({len(names)},)", got=values.shape)
    return values[joints.indices(names, joints.names, "controller command")]


def trajectory_end_from(msg: Message, joints: JointMap) -> tuple[int, Vector]:
    """Last point of a trajectory_msgs/JointTrajectory -> (time from start [ns], positions (nq,) [rad])."""
    names = list(msg.joint_names)
    if not msg.points or len(msg.points[-1].positions) != len(names):
        raise ShapeError("JointTrajectory.points", expected=f"(1 or more, {len(names)})", got=(len(msg.points),))
    point = msg.points[-1]
    order = joints.indices(names, joints.names, "joint trajectory")
    return stamp_ns(point.time_from_start), np.asarray(point.positions, dtype=np.float64)[order]


def pose_from(msg: Message) -> Array:
    """geometry_msgs/Pose -> T (4, 4) [m]."""
    p, o = msg.position, msg.orientation
    return pose([p.x, p.y, p.z], matrix_from_quat_xyzw([o.x, o.y, o.z, o.w]))


def ee_pose_from(msg: Message) -> EePose:
    """geometry_msgs/PoseStamped in base -> EePose."""
    return EePose(stamp_ns(msg.header.stamp), pose_from(msg.pose))


def ee_pose_from_point(msg: Message, R_base_ee: Array) -> EePose:
    """geometry_msgs/PointStamped in base, with the orientation the task declares -> EePose."""
    p = msg.point
    return EePose(stamp_ns(msg.header.stamp), pose([p.x, p.y, p.z], R_base_ee))


def wrench_values(msg: Message) -> Vector:
    """geometry_msgs/WrenchStamped -> force and torque along the axes of its frame, (6,) [N, N·m]."""
    f, t = msg.wrench.force, msg.wrench.torque
    return np.array([f.x, f.y, f.z, t.x, t.y, t.z])


def wrench_from(msg: Message, sensor: WrenchSensor) -> ToolWrench:
    """geometry_msgs/WrenchStamped in the sensor's frame -> ToolWrench, about the tool point.

    Raises:
        DeviceError: it is in another frame than the robot's file says; an empty one counts as the sensor's.
        NonFiniteError: NaN or infinity.
    """
    frame = msg.header.frame_id
    if frame not in ("", sensor.frame):
        problem = f"wrist wrench is in frame '{frame}', the robot's file says '{sensor.frame}'"
        raise DeviceError(f"{problem}; correct 'wrench_sensor' in config/robot/<arm>.yaml, or the driver")
    return ToolWrench.measured(stamp_ns(msg.header.stamp), wrench_values(msg), sensor)


def arm_command_from(msg: Message, gripper_des: float) -> ArmCommand:
    """geometry_msgs/PoseStamped in base and an opening -> ArmCommand."""
    return ArmCommand(stamp_ns(msg.header.stamp), pose_from(msg.pose), gripper_des)


def joint_chunk_from(msg: Message, joints: JointMap) -> ActionChunk:
    """trajectory_msgs/JointTrajectory -> ActionChunk; the gripper joint is optional.

    ``header.stamp`` is the observation's stamp; points are at ``time_from_start`` after it, on a
    uniform grid of at least two points.
    """
    names = list(msg.joint_names)
    has_gripper = joints.robot.gripper_joint != "" and joints.robot.gripper_joint in names
    order = joints.indices(names, joints.names_with_gripper if has_gripper else joints.names, "chunk")
    rows = np.array([list(p.positions) for p in msg.points], dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise ShapeError("JointTrajectory.points", expected=f"(H, {len(names)})", got=rows.shape)
    rows = rows[:, order]
    opening = np.array([joints.opening_from_m(x) for x in rows[:, -1]]) if has_gripper else None
    q_des = rows[:, :-1] if has_gripper else rows
    return ActionChunk(*_chunk_times(msg), q_des=q_des, gripper_des=opening)


def pose_chunk_from(msg: Message) -> ActionChunk:
    """trajectory_msgs/MultiDOFJointTrajectory of joints ``ee`` (``gripper``, stiffnesses) -> ActionChunk."""
    names = list(msg.joint_names)
    needed = {EE_JOINT, *(STIFFNESS_JOINTS if set(STIFFNESS_JOINTS) & set(names) else ())}
    missing, extra = sorted(needed - set(names)), sorted(set(names) - needed - {GRIPPER_JOINT})
    if missing or extra:
        raise JointSetError("pose chunk", missing=missing, extra=extra)
    ee = names.index(EE_JOINT)
    for point in msg.points:
        if len(point.transforms) != len(names):
            got = (len(point.transforms),)
            raise ShapeError("pose chunk transforms", expected=f"({len(names)},)", got=got)
    T = np.array([_transform(p.transforms[ee]) for p in msg.points])
    opening = None
    if GRIPPER_JOINT in names:
        g = names.index(GRIPPER_JOINT)
        opening = np.array([p.transforms[g].translation.x for p in msg.points])
    k_p = None
    if STIFFNESS_JOINTS[0] in names:
        columns = [names.index(joint) for joint in STIFFNESS_JOINTS]
        xyz = [[p.transforms[i].translation for i in columns] for p in msg.points]
        k_p = np.array([[x for t in row for x in (t.x, t.y, t.z)] for row in xyz])
    return ActionChunk(*_chunk_times(msg), T_base_ee_des=T, gripper_des=opening, k_p_des=k_p)


def _transform(msg: Message) -> Array:
    """geometry_msgs/Transform -> T (4, 4) [m]."""
    t, r = msg.translation, msg.rotation
    return pose([t.x, t.y, t.z], matrix_from_quat_xyzw([r.x, r.y, r.z, r.w]))


def _chunk_times(msg: Message) -> tuple[int, int, int]:
    """start_ns, dt_ns and obs_ns of a trajectory message.

    Raises:
        ShapeError: fewer than two points, so that the grid period is unknown.
        ValueError: the points are not on a uniform grid.
    """
    if len(msg.points) < 2:
        raise ShapeError("chunk points", expected="at least 2", got=(len(msg.points),))
    offsets = np.array([stamp_ns(p.time_from_start) for p in msg.points], dtype=np.int64)
    steps = np.diff(offsets)
    if np.any(steps != steps[0]):
        raise ValueError("chunk points must be on a uniform time grid; resample the trajectory")
    obs_ns = stamp_ns(msg.header.stamp)
    return obs_ns + int(offsets[0]), int(steps[0]), obs_ns


def camera_frame_from(camera: str, color: Message, depth: Message, info: Message) -> CameraFrame:
    """Colour, aligned depth and CameraInfo of one instant -> CameraFrame.

    Raises:
        DeviceError: the two images show different instants, or an encoding is unknown.
    """
    t, t_depth = stamp_ns(color.header.stamp), stamp_ns(depth.header.stamp)
    if t != t_depth:
        raise DeviceError(f"camera '{camera}': colour and depth are {abs(t - t_depth) / 1e6:.1f} ms apart")
    return CameraFrame(t, camera, rgb_from(color), depth_m_from(depth), intrinsics_from(info))
