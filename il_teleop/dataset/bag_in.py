"""A plain rosbag2 folder or MCAP file into a recording of ours, by a YAML file that names its topics.

The recording then goes through `il dataset build` like any other: one alignment for all.

Example::

    joint_states: /franka/joint_states
    joint_names: {panda_joint1: fr3_joint1, panda_finger_joint1: fr3_finger_joint1}
    ee_pose: /franka/ee_pose             # left out: from the joint states and the URDF
    target_pose: /teleop/goal            # or target_joints: a JointState topic
    target_gripper: /gripper/command     # JointState of the gripper joint [m]
    wrench: /ft_sensor/wrench            # WrenchStamped in the frame of the robot's wrench_sensor
    cameras:
      wrist: {color: /wrist/color/image_raw, depth: /wrist/aligned_depth/image_raw, info: /wrist/color/camera_info}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from il_core import codec, topics, wire
from il_core.align import ARM, streams_of
from il_core.clock import SystemClock
from il_core.config import Setup
from il_core.errors import ConfigError, IlError, RecordingError
from il_core.geometry import quat_xyzw_from_matrix
from il_core.spec import ActionLabel
from il_core.store.bags import Bag
from il_core.store.msgdefs import encoder
from il_core.store.recording import RecordingHeader, RecordingWriter
from il_core.types import Outcome
from il_teleop.dataset.foreign import Forward

JOINTS, POSE, IMAGE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/Image"
PACKED, INFO = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
WRENCH = "geometry_msgs/msg/WrenchStamped"
POSE_EVERY_NS = 5_000_000  # poses computed from joint states at 200 Hz at most: ticks need no more


@dataclass(frozen=True, slots=True)
class BagCamera:
    """Topics of one camera.

    Attributes:
        color: Image (rgb8 or bgr8) or CompressedImage (JPEG or PNG).
        depth: Image (16UC1 or 32FC1) aligned to colour and stamped like it; empty without.
        info: CameraInfo of both.
    """

    color: str
    info: str
    depth: str = ""


@dataclass(frozen=True, slots=True)
class BagMapping:
    """Topics of a bag by what they mean here.

    Attributes:
        joint_states: JointState of the arm, and of the gripper joint if there is one.
        joint_names: Our name of a joint, by the bag's; joints that are not listed keep theirs.
        ee_pose: PoseStamped of the tool in base; empty: from the joint states and the URDF.
        target_pose: PoseStamped asked of the arm, in base.
        target_joints: JointState asked of the arm, instead of a pose.
        target_gripper: JointState asked of the gripper joint [m, or rad if it turns].
        wrench: WrenchStamped of the force sensor, in the frame of the robot's ``wrench_sensor``.
        cameras: Topics by the task's camera names.
    """

    joint_states: str = ""
    joint_names: dict[str, str] = field(default_factory=dict)
    ee_pose: str = ""
    target_pose: str = ""
    target_joints: str = ""
    target_gripper: str = ""
    wrench: str = ""
    cameras: dict[str, BagCamera] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Route:
    """Where messages of a topic go, and as what.

    Attributes:
        topic: Ours.
        kind: Type of the message written.
        convert: Message of the bag to nested values; None copies the bytes.
    """

    topic: str
    kind: str
    convert: Callable[[Any], dict[str, Any] | None] | None = None


def import_bag(
    path: Path,
    mapping: BagMapping,
    setup: Setup,
    root: Path,
    *,
    forward: Forward | None = None,
    outcome: Outcome = Outcome.UNLABELLED,
    name: str = "",
    operator: str = "",
) -> Path:
    """Write one bag as one recording.

    Args:
        path: rosbag2 folder, ``.mcap`` or ``.db3`` file.
        mapping: What its topics mean.
        setup: Robot and task it is for.
        root: Folder of all recordings.
        forward: Forward kinematics of the robot, where the bag has joints only.
        outcome: How the demonstration ended.
        name: Name of the recording; that of the bag if empty.
        operator: Who showed it.

    Returns:
        Folder of the recording.

    Raises:
        ConfigError: the mapping lacks what the task needs.
        RecordingError: a topic is missing or of another type, the bag is damaged, or the disk is full.
    """
    bag = Bag(path)
    joints = _Joints(mapping, setup, forward)
    routes = _routes(bag, mapping, setup, joints)
    notes = {"imported_from": str(path)}
    first = next(iter(bag.messages(list(routes))), None)
    if first is None:
        raise RecordingError(path, f"has no messages on {', '.join(routes)}")
    spec = (setup.task.name, setup.robot.name, setup.digest)
    header = RecordingHeader(*spec, first.log_ns, operator=operator, instruction=setup.task.instruction, notes=notes)
    writer = RecordingWriter(root, header, SystemClock(), name or path.stem)
    try:
        for route in {r.topic: r for group in routes.values() for r in group}.values():
            writer.add_topic(route.topic, route.kind)
        _copy(bag, routes, writer)
        return writer.commit(outcome, {f: "the bag has none, stored as 0" for f in sorted(joints.lacking)})
    except (IlError, ValueError) as error:
        writer.discard()
        if isinstance(error, IlError):
            raise
        raise RecordingError(path, f"holds a message that is none: {error}") from error


def _copy(bag: Bag, routes: dict[str, list[_Route]], writer: RecordingWriter) -> None:
    decoders = {t: bag.decoder(t) for t, group in routes.items() if any(r.convert for r in group)}
    for message in bag.messages(list(routes)):
        decoded = decoders[message.topic](message.data) if message.topic in decoders else None
        for route in routes[message.topic]:
            data: bytes | None = message.data
            if route.convert is not None:
                values = route.convert(decoded)
                data = None if values is None else encoder(route.kind)(values)
            if data is not None:
                stamp_ns = wire.header_stamp_ns_from_cdr(data)
                if stamp_ns <= 0:
                    raise RecordingError(
                        bag.path, f"'{message.topic}' has messages without a stamp; nothing can be aligned"
                    )
                writer.append(route.topic, data, message.log_ns, stamp_ns)


def _routes(bag: Bag, mapping: BagMapping, setup: Setup, joints: _Joints) -> dict[str, list[_Route]]:
    """What becomes of each topic of the bag.

    Raises:
        ConfigError: the mapping lacks what the task needs.
        RecordingError: a topic is missing or of another type.
    """
    task = setup.task
    is_setpoint = task.action.label is ActionLabel.SETPOINT
    missing = [f"cameras.{c}" for c in task.cameras if c not in mapping.cameras]
    needs_joints = ARM in streams_of(task) or not mapping.ee_pose
    missing += ["joint_states"] if needs_joints and not mapping.joint_states else []
    missing += (
        ["target_pose or target_joints"] if is_setpoint and not (mapping.target_pose or mapping.target_joints) else []
    )
    missing += ["target_gripper"] if is_setpoint and task.action.gripper and not mapping.target_gripper else []
    missing += ["wrench"] if task.wrench and not mapping.wrench else []
    if missing:
        have = ", ".join(f"{t} ({k})" for t, k in sorted(bag.types.items()))
        raise ConfigError("mapping", f"task '{task.name}' also needs {', '.join(missing)}; the bag has {have}")
    plan: list[tuple[str, tuple[str, ...], _Route]] = []
    if mapping.joint_states:
        plan.append((mapping.joint_states, (JOINTS,), _Route(topics.JOINT_STATES, JOINTS, joints.state)))
    if mapping.ee_pose:
        plan.append((mapping.ee_pose, (POSE,), _Route(topics.EE_POSE, POSE)))
    else:
        plan.append((mapping.joint_states, (JOINTS,), _Route(topics.EE_POSE, POSE, joints.measured_pose)))
    if is_setpoint and mapping.target_pose:
        plan.append((mapping.target_pose, (POSE,), _Route(topics.TARGET_POSE, POSE)))
    elif is_setpoint:
        plan.append((mapping.target_joints, (JOINTS,), _Route(topics.TARGET_POSE, POSE, joints.pose)))
    if is_setpoint and task.action.gripper:
        plan.append((mapping.target_gripper, (JOINTS,), _Route(topics.TARGET_GRIPPER, JOINTS, joints.gripper)))
    if mapping.wrench:
        plan.append((mapping.wrench, (WRENCH,), _Route(topics.WRIST_WRENCH, WRENCH)))
    plan += [entry for c in task.cameras for entry in _camera(c, mapping.cameras[c], bag)]
    routes: dict[str, list[_Route]] = {}
    for topic, kinds, route in plan:
        bag.require(topic, kinds)
        routes.setdefault(topic, []).append(route)
    return routes


def _camera(name: str, camera: BagCamera, bag: Bag) -> Iterator[tuple[str, tuple[str, ...], _Route]]:
    packed = bag.require(camera.color, (IMAGE, PACKED)) == PACKED
    yield camera.color, (IMAGE, PACKED), _Route(topics.color(name), IMAGE, _unpacked if packed else None)
    if camera.depth:
        yield camera.depth, (IMAGE,), _Route(topics.depth(name), IMAGE)
    else:
        yield camera.color, (IMAGE, PACKED), _Route(topics.depth(name), IMAGE, _no_depth)
    yield camera.info, (INFO,), _Route(topics.camera_info(name), INFO)


class _Joints:
    """Joint states of the bag in the robot's names, and the poses they mean."""

    def __init__(self, mapping: BagMapping, setup: Setup, forward: Forward | None) -> None:
        self._names, self._robot, self._forward = mapping.joint_names, setup.robot, forward
        self._map = wire.JointMap(setup.robot)
        self._pose_ns = 0
        self.lacking: set[str] = set()

    def _renamed(self, msg: Any) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
        n = len(msg.name)
        # Drivers that measure no speed or effort leave the list empty; ours are of full length, and a note says so.
        self.lacking |= {f for f in ("velocity", "effort") if not len(getattr(msg, f))}
        fields = {f: list(getattr(msg, f)) or [0.0] * n for f in ("position", "velocity", "effort")}
        return {"header": _header(msg), "name": [self._names.get(x, x) for x in msg.name], **fields}

    def state(self, msg: Any) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
        return self._only(self._renamed(msg), self._map.names_with_gripper)

    def gripper(self, msg: Any) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
        return self._only(self._renamed(msg), [self._robot.gripper_joint])

    def _only(self, values: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
        """Those joints only; a bag may hold a second arm."""
        if missing := sorted(set(wanted) - set(values["name"])):
            problem = f"lack {missing}; they have {values['name']}: give 'joint_names' in the mapping"
            raise RecordingError("joint states", problem)
        at = [values["name"].index(name) for name in wanted]
        picked = {f: [values[f][i] for i in at] for f in ("position", "velocity", "effort")}
        return {"header": values["header"], "name": wanted, **picked}

    def measured_pose(self, msg: Any) -> dict[str, Any] | None:  # noqa: ANN401 - message-shaped
        stamp_ns = wire.stamp_ns(msg.header.stamp)
        if abs(stamp_ns - self._pose_ns) < POSE_EVERY_NS:
            return None
        self._pose_ns = stamp_ns
        return self.pose(msg)

    def pose(self, msg: Any) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
        if self._forward is None:
            raise RecordingError("joint states", "need the robot's kinematics to become poses; map a PoseStamped topic")
        values = self._only(self._renamed(msg), self._map.names)
        T = self._forward(np.array(values["position"], dtype=np.float64))
        p, quat = T[:3, 3].tolist(), quat_xyzw_from_matrix(T[:3, :3]).tolist()
        pose = {"position": dict(zip("xyz", p, strict=True)), "orientation": dict(zip("xyzw", quat, strict=True))}
        return {"header": values["header"], "pose": pose}


def _header(msg: Any) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
    stamp = msg.header.stamp
    return {"stamp": {"sec": int(stamp.sec), "nanosec": int(stamp.nanosec)}, "frame_id": str(msg.header.frame_id)}


def _image(msg: Any, encoding: str, pixels: np.ndarray) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
    size = {"height": pixels.shape[0], "width": pixels.shape[1], "step": pixels.strides[0]}
    return {"header": _header(msg), "encoding": encoding, "is_bigendian": 0, "data": pixels.tobytes(), **size}


def _unpacked(msg: Any) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
    return _image(msg, "rgb8", np.ascontiguousarray(codec.decode_rgb(bytes(msg.data))))


def _no_depth(msg: Any) -> dict[str, Any]:  # noqa: ANN401 - message-shaped
    """A depth picture without any measurement, for cameras that have none."""
    if hasattr(msg, "encoding"):
        shape = (int(msg.height), int(msg.width))
    else:
        shape = codec.decode_rgb(bytes(msg.data)).shape[:2]
    return _image(msg, "16UC1", np.zeros(shape, dtype=np.uint16))
