"""Subscribes to whole topics as bytes, deep enough that nothing is overwritten without a word."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TransformStamped, WrenchStamped
from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.subscription import Subscription
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


class RawStreams:
    """Feeds every message of a session's topics, and every loss the middleware tells of, to the session.

    Every message is asked for. A publisher that promises less (``best effort``, usual among drivers of sensors)
    would not be heard then at all: its topic is taken as it comes, once :meth:`adapt` knows.
    """

    def __init__(self, node: Node, session: RecordingSession, now_ns: Callable[[], int]) -> None:
        """Subscribe to all.

        Args:
            node: Owner of the subscriptions.
            session: Told of every message.
            now_ns: The robot's clock [ns].
        """
        self._node, self._session, self._now_ns = node, session, now_ns
        self._unheard: set[str] = set()
        self._subscriptions = {
            name: self._subscribe(stats.plan, ReliabilityPolicy.RELIABLE) for name, stats in session.stats.items()
        }

    def adapt(self) -> dict[str, str]:
        """Ask less where a publisher promises less; call it now and then, outside of the middleware's callbacks.

        A topic that a reliable publisher feeds as well stays as it is: none of what that sends may get lost.

        Returns:
            What changed, for a person, by topic.
        """
        unheard, self._unheard = sorted(self._unheard), set()
        told = {}
        for name in unheard:
            publishers = self._node.get_publishers_info_by_topic(name)
            if any(p.qos_profile.reliability is ReliabilityPolicy.RELIABLE for p in publishers):
                told[name] = "has a best-effort publisher beside a reliable one; the best-effort one is not recorded"
                continue
            self._node.destroy_subscription(self._subscriptions[name])
            self._subscriptions[name] = self._subscribe(self._session.stats[name].plan, ReliabilityPolicy.BEST_EFFORT)
            told[name] = "is published best-effort: what gets lost on its way is only counted"
        return told

    def close(self) -> None:
        """End all subscriptions; a second call does nothing."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.popitem()[1])

    def _subscribe(self, plan: TopicPlan, reliability: ReliabilityPolicy) -> Subscription:
        session, receive, now_ns, name = self._session, self._session.receive, self._now_ns, plan.name

        def mismatch(event: QoSRequestedIncompatibleQoSInfo) -> None:
            if event.last_policy_kind == QoSPolicyKind.RELIABILITY:
                self._unheard.add(name)
            else:
                kind = qos_policy_name_from_kind(event.last_policy_kind)
                self._node.get_logger().warning(f"a publisher of '{name}' is not heard: its {kind} does not fit")

        events = SubscriptionEventCallbacks(
            incompatible_qos=mismatch, message_lost=lambda lost: session.lose(name, lost.total_count_change)
        )
        return self._node.create_subscription(
            CLASSES[plan.type],
            name,
            lambda data: receive(name, data, now_ns()),
            QoSProfile(depth=IMAGE_DEPTH if plan.is_image else STREAM_DEPTH, reliability=reliability),
            raw=True,
            event_callbacks=events,
        )
