"""Subscriptions that fill an aligner: joint states, tool poses, wrenches, and pictures matched by their stamps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, JointState

from il_core import topics, wire
from il_core.align import ARM, EE_POSE, WRENCH, Aligner, FramePairs, camera_stream
from il_core.config import Setup
from il_core.errors import IlError
from il_core.ros import qos
from il_core.types import ArmState
from il_core.wrench import ToolWrench, WrenchSensor

T = TypeVar("T")


class ObservationIntake:
    """Turns the messages a task observes into samples of an aligner; bad ones are counted, not fatal."""

    def __init__(self, node: Node, setup: Setup, aligner: Aligner) -> None:
        """Subscribe to what the task needs.

        Raises:
            ConfigError: the task observes a wrench, and the robot's file names no force sensor.
        """
        self._node, self._aligner = node, aligner
        self._joints = wire.JointMap(setup.robot)
        self.refused: dict[str, int] = {}
        self.topics = {ARM: topics.JOINT_STATES, EE_POSE: topics.EE_POSE, WRENCH: topics.WRIST_WRENCH}
        self._subscribe(PoseStamped, topics.EE_POSE, self._on_ee_pose, qos.STREAM)
        if ARM in aligner.streams:
            self._subscribe(JointState, topics.JOINT_STATES, self._on_joint_state, qos.LATEST, raw=True)
        if WRENCH in aligner.streams:
            feel = partial(self._on_wrench, setup.robot.force_sensor())
            self._subscribe(WrenchStamped, topics.WRIST_WRENCH, feel, qos.LATEST, raw=True)
        for camera in setup.task.cameras:
            self._watch(camera)

    def _watch(self, camera: str) -> None:
        """Subscribe to one camera."""
        color, depth = topics.color(camera), topics.depth(camera)
        self.topics[camera_stream(camera)] = f"{color} with {depth} and {topics.camera_info(camera)}"
        info: dict[str, CameraInfo] = {}
        on_image = partial(self._on_image, camera, FramePairs[Image](keep=8), info)
        remember = partial(info.__setitem__, camera)
        self._subscribe(CameraInfo, topics.camera_info(camera), remember, qos.LATEST)
        self._subscribe(Image, color, partial(on_image, is_depth=False), qos.IMAGE)
        self._subscribe(Image, depth, partial(on_image, is_depth=True), qos.IMAGE)

    def _subscribe(
        self,
        kind: type,
        topic: str,
        act: Callable[[Any], None],
        profile: Any,  # noqa: ANN401 - QoSProfile, which has no types
        raw: bool = False,
    ) -> None:
        """Subscribe; a message that cannot be used is refused and counted."""
        guarded = partial(self._guarded, topic, act)
        self._node.create_subscription(kind, topic, guarded, profile, raw=raw)

    def _guarded(self, topic: str, act: Callable[[Any], T], msg: Any) -> T | None:  # noqa: ANN401 - class varies
        try:
            return act(msg)
        except (IlError, ValueError) as error:
            self.refused[topic] = self.refused.get(topic, 0) + 1
            text = f"'{topic}' refused ({self.refused[topic]} so far): {error}"
            self._node.get_logger().warning(text, throttle_duration_sec=1.0)
            return None

    def _on_joint_state(self, data: bytes) -> None:
        """Take every state, as the dataset does, but decode only those that ticks use."""
        later = partial(self._guarded, topics.JOINT_STATES, self._arm_state, data)
        self._aligner.push_arm_later(wire.header_stamp_ns_from_cdr(data), later)

    def _arm_state(self, data: bytes) -> ArmState:
        return wire.arm_state_from(deserialize_message(data, JointState), self._joints)

    def _on_wrench(self, sensor: WrenchSensor, data: bytes) -> None:
        """Take every wrench, but decode only those that ticks use; a sensor may send thousands a second."""
        later = partial(self._guarded, topics.WRIST_WRENCH, partial(self._tool_wrench, sensor), data)
        self._aligner.push_wrench_later(wire.header_stamp_ns_from_cdr(data), later)

    @staticmethod
    def _tool_wrench(sensor: WrenchSensor, data: bytes) -> ToolWrench:
        return wire.wrench_from(deserialize_message(data, WrenchStamped), sensor)

    def _on_ee_pose(self, msg: PoseStamped) -> None:
        self._aligner.push_ee_pose(wire.ee_pose_from(msg))

    def _on_image(
        self,
        camera: str,
        pairs: FramePairs[Image],
        info: dict[str, CameraInfo],
        msg: Image,
        *,
        is_depth: bool,
    ) -> None:
        pair = pairs.push(wire.stamp_ns(msg.header.stamp), msg, is_depth=is_depth)
        if pair is not None and camera in info:
            self._aligner.push_frame(wire.camera_frame_from(camera, *pair, info[camera]))
