"""Subscribes to whole topics as bytes, deep enough that nothing is overwritten without a word."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TransformStamped, WrenchStamped
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState

from il_teleop.session import RecordingSession
from il_teleop.topic_stats import TopicPlan

CLASSES = {
    "sensor_msgs/msg/JointState": JointState,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
    "geometry_msgs/msg/TransformStamped": TransformStamped,
    "geometry_msgs/msg/WrenchStamped": WrenchStamped,
    "diagnostic_msgs/msg/DiagnosticArray": DiagnosticArray,
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
}
# The middleware overwrites without a word when a queue is full, so these outlast any stall we
# accept: 8 s of a 1 kHz topic, 2 s of images. Without a limit, publishers would block instead.
STREAM_DEPTH, IMAGE_DEPTH = 8192, 64


def subscribe_raw(node: Node, plan: TopicPlan, session: RecordingSession, now_ns: Callable[[], int]) -> None:
    """Feed every message of a topic, and every loss the middleware tells of, to a session."""
    depth = IMAGE_DEPTH if plan.is_image else STREAM_DEPTH
    profile = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)
    events = SubscriptionEventCallbacks(message_lost=lambda lost: session.lose(plan.name, lost.total_count_change))
    receive = session.receive
    node.create_subscription(
        CLASSES[plan.type],
        plan.name,
        lambda data: receive(plan.name, data, now_ns()),
        profile,
        raw=True,
        event_callbacks=events,
    )
