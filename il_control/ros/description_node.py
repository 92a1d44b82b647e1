"""description_node: the robot's URDF, and where its links and cameras are, for RViz, Foxglove and TF listeners."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseArray, TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from il_control.description import Placed, describe_setup
from il_control.ros.driver_frames import DriverFrames
from il_core import topics, wire
from il_core.camera_topics import load_camera_topics
from il_core.config import load_setup
from il_core.errors import IlError
from il_core.geometry import quat_xyzw_from_matrix
from il_core.graph import CAMERA_NODE
from il_core.parameters import setting
from il_core.ros import qos
from il_core.ros.clock import RosClock
from il_core.ros.convert import pose_msg, time_msg
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import run
from il_core.ros.params import declare

DIAGNOSTICS_S = 1.0
SILENT_NS = 1_000_000_000
NO_TF = (
    "tf2_msgs is not installed: no TF, only 'robot_description' and 'robot/link_poses'; "
    "source a ROS underlay, or: apt install ros-$ROS_DISTRO-tf2-msgs"
)


@dataclass(frozen=True, slots=True)
class DescriptionParams:
    """ROS parameters.

    Attributes:
        task: Name in config/task/, or path; says which robot and cameras.
        robot: Name in config/robot/ or path; empty means the task's own.
        rate_hz: Rate of TF and link poses [Hz].
        cameras: Driver of config/camera/topics_<name>.yaml whose frames are put into the robot's; empty means ours.
    """

    task: str = "pick_place"
    robot: str = ""
    rate_hz: float = setting(30.0, 1.0, 200.0)
    cameras: str = ""


def tf_message() -> Any:  # noqa: ANN401 - a message class, or None where tf2_msgs is not installed
    """Class of tf2_msgs/TFMessage, or None."""
    try:
        return importlib.import_module("tf2_msgs.msg").TFMessage
    except ImportError:
        return None


def transform_msg(stamp_ns: int, placed: Placed) -> TransformStamped:
    """One frame in another at one instant -> TransformStamped."""
    msg = TransformStamped(child_frame_id=placed.child)
    msg.header.stamp, msg.header.frame_id = time_msg(stamp_ns), placed.parent
    t, r, T = msg.transform.translation, msg.transform.rotation, placed.T_parent_child
    t.x, t.y, t.z = map(float, T[:3, 3])
    r.x, r.y, r.z, r.w = map(float, quat_xyzw_from_matrix(T[:3, :3]))
    return msg


class DescriptionNode(Node):
    """Publishes the URDF once, and the frames of the newest joint state at a steady rate."""

    def __init__(self) -> None:
        """Read the robot, publish what never changes, then listen."""
        super().__init__("description")
        params = declare(self, DescriptionParams)
        setup = load_setup(params.task, params.robot or None)
        self._description, self._joints = describe_setup(setup), wire.JointMap(setup.robot)
        self._clock_ns = RosClock(self).now_ns
        self._tf_message = tf_message()
        self._newest: bytes | None = None
        self._shown_ns = 0
        self._problem = ""
        self._drivers: DriverFrames | None = None
        self._text = self.create_publisher(String, topics.ROBOT_DESCRIPTION, qos.LATCHED)
        self._links = self.create_publisher(PoseArray, topics.LINK_POSES, qos.STREAM)
        self._diagnostics = Diagnostics(self, "description")
        self._text.publish(String(data=self._description.text))
        now_ns = self._clock_ns()
        self._fixed = {p.child: transform_msg(now_ns, p) for p in self._description.static}
        if self._tf_message is None:
            self.get_logger().warning(NO_TF)
        else:
            self._tf = self.create_publisher(self._tf_message, topics.TF, QoSProfile(depth=100))
            self._tf_static = self.create_publisher(self._tf_message, topics.TF_STATIC, qos.LATCHED)
            self._tf_static.publish(self._tf_message(transforms=list(self._fixed.values())))
            for camera in setup.task.cameras:  # real cameras tell where their depth sensor sits
                topic = topics.depth_to_color(camera)
                self.create_subscription(TransformStamped, topic, self._on_depth_sensor, qos.LATCHED)
            if params.cameras not in ("", CAMERA_NODE):
                load_camera_topics(params.cameras)  # or say here that there is no such driver
                own = {*self._description.links, *self._fixed}
                self._drivers = DriverFrames(self, self._tf_message, setup.task.cameras, own)
                self.create_timer(DIAGNOSTICS_S, partial(self._join, self._drivers))
        # Raw: of a thousand states a second thirty are looked at.
        self.create_subscription(JointState, topics.JOINT_STATES, self._on_state, qos.LATEST, raw=True)
        self.create_timer(1.0 / params.rate_hz, self._show)
        self.create_timer(DIAGNOSTICS_S, partial(self._tell, setup.robot.name))

    def _on_state(self, data: bytes) -> None:
        self._newest = data

    def _on_depth_sensor(self, msg: TransformStamped) -> None:
        """Add a camera's depth sensor to the static frames, once."""
        if msg.child_frame_id not in self._fixed:
            self._fixed[msg.child_frame_id] = msg
            self._tf_static.publish(self._tf_message(transforms=list(self._fixed.values())))

    def _join(self, drivers: DriverFrames) -> None:
        """Put the frames of camera drivers into the robot's."""
        for gone, placed in drivers.changes():
            self._fixed.pop(gone, None)
            self._fixed[placed.child] = transform_msg(self._clock_ns(), placed)
            self._tf_static.publish(self._tf_message(transforms=list(self._fixed.values())))
            self.get_logger().info(f"'{placed.child}' of the camera's driver is put into '{placed.parent}'")

    def _show(self) -> None:
        """Publish the frames of the newest state, stamped with it."""
        data, self._newest = self._newest, None
        if data is None:
            return
        try:
            state = wire.arm_state_from(deserialize_message(data, JointState), self._joints)
        except (IlError, ValueError) as error:
            self._problem = str(error)
            return
        self._problem, self._shown_ns = "", self._clock_ns()
        poses = self._description.poses(state.q, state.gripper)
        msg = PoseArray(poses=[pose_msg(poses[link]) for link in self._description.links])
        msg.header.stamp, msg.header.frame_id = time_msg(state.stamp_ns), self._description.base
        self._links.publish(msg)
        if self._tf_message is not None:
            moving = self._description.moving(state.q, state.gripper)
            self._tf.publish(self._tf_message(transforms=[transform_msg(state.stamp_ns, p) for p in moving]))

    def _tell(self, robot: str) -> None:
        """Say what is published and what is not, and why."""
        values = {
            "robot": robot,
            "links": len(self._description.links),
            "static_frames": len(self._fixed),
            "driver_frames": self._drivers.words if self._drivers is not None else "none",
            "tf": "published" if self._tf_message is not None else "tf2_msgs is missing",
            "joints_shown_at_zero": ", ".join(self._description.unknown_joints) or "none",
        }
        if self._problem:
            self._diagnostics.publish(Level.ERROR, f"'{topics.JOINT_STATES}' refused: {self._problem}", values)
        elif self._clock_ns() - self._shown_ns > SILENT_NS:
            text = f"no message on '{topics.JOINT_STATES}'; is the arm's driver up?"
            self._diagnostics.publish(Level.STALE, text, values)
        elif self._tf_message is None:
            self._diagnostics.publish(Level.WARN, NO_TF, values)
        else:
            self._diagnostics.publish(Level.OK, "links and cameras are on TF", values)


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(DescriptionNode))


if __name__ == "__main__":
    main()
