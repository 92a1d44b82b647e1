"""Topics of the running graph into a LiveScene, each no faster than a screen needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, MultiDOFJointTrajectory

from il_cli.live_scene import LiveScene
from il_core import topics, wire
from il_core.config import Setup
from il_core.errors import IlError
from il_core.ros import qos
from il_core.ros.diagnostics import own_statuses

ARM_HZ, POSE_HZ, WRENCH_HZ = 30.0, 30.0, 50.0
LEVELS = {b"\x00": "INFO", b"\x01": "WARN", b"\x02": "ERROR", b"\x03": "WARN"}


class Viewing:
    """Subscriptions that decode a message only when it is to be shown.

    Attributes:
        shown: Messages shown, by topic.
        refused: Messages that could not be used, by topic.
    """

    def __init__(self, node: Node, setup: Setup, scene: LiveScene, pictures_hz: float) -> None:
        """Subscribe to what the task has."""
        self._node, self._scene, self._joints = node, scene, wire.JointMap(setup.robot)
        self._said: dict[str, str] = {}
        self.shown, self.refused = Counter[str](), Counter[str]()
        self._hear(JointState, topics.JOINT_STATES, ARM_HZ, self._arm)
        self._hear(PoseStamped, topics.EE_POSE, POSE_HZ, self._tool)
        self._hear(PoseStamped, topics.TARGET_POSE, POSE_HZ, self._target)
        self._hear(WrenchStamped, topics.WRIST_WRENCH, WRENCH_HZ, self._wrench)
        joints = self._joints
        self._hear(JointTrajectory, topics.JOINT_CHUNK, 0.0, lambda m: scene.plan(wire.joint_chunk_from(m, joints)))
        for topic in (topics.POSE_CHUNK, topics.REPLAY_CHUNK):
            self._hear(MultiDOFJointTrajectory, topic, 0.0, lambda m: scene.plan(wire.pose_chunk_from(m)))
        self._hear(DiagnosticArray, topics.DIAGNOSTICS, 0.0, self._diagnostics)
        for camera in setup.task.cameras:
            self._camera(camera, pictures_hz)

    def _camera(self, camera: str, rate_hz: float) -> None:
        scene = self._scene

        def colour(m: Any) -> None:  # noqa: ANN401 - Image
            scene.colour(wire.stamp_ns(m.header.stamp), camera, wire.rgb_from(m))

        def depth(m: Any) -> None:  # noqa: ANN401 - Image
            scene.depth(wire.stamp_ns(m.header.stamp), camera, wire.depth_m_from(m))

        self._hear(Image, topics.color(camera), rate_hz, colour)
        self._hear(Image, topics.depth(camera), rate_hz, depth)
        self._hear(CameraInfo, topics.camera_info(camera), 1.0, lambda m: scene.lens(camera, wire.intrinsics_from(m)))

    def _hear(self, kind: type, topic: str, rate_hz: float, show: Callable[[Any], None]) -> None:
        """Show messages of a topic at a rate at most (0: all); what cannot be used is counted, and told once."""
        least_ns = int(1e9 / rate_hz) if rate_hz else 0
        last_ns = [0]

        def on_message(data: bytes) -> None:
            now_ns = self._node.get_clock().now().nanoseconds
            if 0 <= now_ns - last_ns[0] < least_ns:
                return
            last_ns[0] = now_ns
            try:
                show(deserialize_message(data, kind))
                self.shown[topic] += 1
            except (IlError, ValueError) as error:
                self.refused[topic] += 1
                if self.refused[topic] == 1:
                    self._node.get_logger().warning(f"'{topic}' cannot be shown: {error}")

        profile = qos.LATEST if rate_hz else qos.STREAM
        self._node.create_subscription(kind, topic, on_message, profile, raw=True)

    def _arm(self, msg: JointState) -> None:
        self._scene.arm(wire.arm_state_from(msg, self._joints))

    def _tool(self, msg: PoseStamped) -> None:
        pose = wire.ee_pose_from(msg)
        self._scene.tool(pose.stamp_ns, pose.T_base_ee)

    def _target(self, msg: PoseStamped) -> None:
        pose = wire.ee_pose_from(msg)
        self._scene.target(pose.stamp_ns, pose.T_base_ee)

    def _wrench(self, msg: WrenchStamped) -> None:
        self._scene.wrench(wire.stamp_ns(msg.header.stamp), msg.header.frame_id, wire.wrench_values(msg))

    def _diagnostics(self, msg: DiagnosticArray) -> None:
        """What nodes tell, when it changes."""
        for name, status in own_statuses(self._node, msg):
            if self._said.get(name) != status.message:
                self._said[name] = status.message
                level = LEVELS.get(bytes(status.level), "INFO")
                self._scene.says(wire.stamp_ns(msg.header.stamp), name, level, status.message)
