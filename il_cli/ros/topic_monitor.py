"""Measures rates and ages of topics of any type, without receiving every message."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node, NodeNameNonExistentError

from il_core import topics
from il_core.bringup import RateMeter, TopicView
from il_core.clock import SystemClock
from il_core.ros import qos

SUFFIX = "_topics"
"""Behind the name of a node: the name of the one that receives for it."""
PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
NO_PICTURES = "published; pictures are not received (pictures:=false)"
_NOT_OF_GRAPH = (topics.DIAGNOSTICS, "/rosout", "/parameter_events")
_NOT_OF_GRAPH_END = "/transition_event"
# They have no rate, and who sends one asks first whether somebody listens: what the watcher hears would mislead it.
_ORDERS = (
    "controller/",
    "replay/",
    topics.RECORDER_NOTE,
    topics.RECORDER_FLOW,
    topics.RECORDER_OPERATOR,
    topics.RECORDER_TASK_TEXT,
)


@dataclass(slots=True)
class _Watched:
    """One topic: its name for people, what was measured, who publishes it, and how it is received."""

    shown: str
    is_expected: bool
    meter: RateMeter = field(default_factory=RateMeter)
    publishers: tuple[str, ...] = ()
    subscription: Any = None
    unseen: str = ""


class TopicMonitor:
    """Looks at topics a few times per second.

    It has a node of its own that no executor serves: the middleware keeps the newest message of each topic, and the
    number in it says how many there were. So Python works a few times per second, whatever the rates are.
    """

    def __init__(
        self, node: Node, names: Iterable[str], now_ns: Callable[[], int], *, has_pictures: bool = True
    ) -> None:
        """Watch topics.

        Args:
            node: Whose namespace and remapping rules count.
            names: Topics that are expected to carry messages.
            now_ns: A steady clock.
            has_pictures: Whether pictures are received as well.
        """
        self._node, self._now_ns, self._wall_ns = node, now_ns, SystemClock().now_ns
        self._has_pictures = has_pictures
        self._receiver = Node(
            f"{node.get_name()}{SUFFIX}",
            namespace=node.get_namespace(),
            use_global_arguments=False,  # they rename every node of the process
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._topics = {node.resolve_topic_name(name): _Watched(name, True) for name in names}

    def find(self, nodes: Iterable[str]) -> None:
        """Watch what these nodes of the graph send or hear as well, and look who publishes what."""
        space = str(self._node.get_namespace())
        names = set(self._topics)
        for name in nodes:
            for asked in (
                self._node.get_publisher_names_and_types_by_node,
                self._node.get_subscriber_names_and_types_by_node,
            ):
                try:
                    names |= {topic for topic, _ in asked(name, space)}
                except NodeNameNonExistentError:
                    continue
        before = f"{space.rstrip('/')}/"
        for full in sorted(names):
            shown = full.removeprefix(before)
            if full not in _NOT_OF_GRAPH and not full.endswith(_NOT_OF_GRAPH_END) and not shown.startswith(_ORDERS):
                self._look(full, shown)

    def views(self) -> dict[str, TopicView]:
        """How each topic is doing now; call it regularly. What was never published is in it only if it is expected."""
        for full, one in self._topics.items():
            if one.subscription is None and not one.unseen:
                self._look(full, one.shown)
            elif one.subscription is not None:
                self._take(one)
        now_ns = self._now_ns()
        return {
            one.shown: TopicView(None, None, one.publishers, one.unseen)
            if one.unseen
            else one.meter.view(now_ns, one.publishers)
            for one in self._topics.values()
        }

    @property
    def expected(self) -> set[str]:
        """Names of the topics that are expected to carry messages."""
        return {one.shown for one in self._topics.values() if one.is_expected}

    def close(self) -> None:
        """Leave the graph."""
        self._receiver.destroy_node()

    def _look(self, full: str, shown: str) -> None:
        """See who publishes a topic; subscribe to it with its first publisher."""
        publishers = self._node.get_publishers_info_by_topic(full)
        one = self._topics.get(full)
        if one is None:
            if not publishers:
                return
            one = self._topics[full] = _Watched(shown, False)
        one.publishers = tuple(sorted({p.node_name for p in publishers}))
        if publishers and one.subscription is None:
            self._subscribe(full, one, publishers[0].topic_type)

    def _subscribe(self, full: str, one: _Watched, topic_type: str) -> None:
        if not self._has_pictures and topic_type in PICTURES:
            one.unseen = NO_PICTURES
            return
        package, _, kind = topic_type.split("/")
        try:
            message = getattr(importlib.import_module(f"{package}.msg"), kind)
            one.subscription = self._receiver.create_subscription(message, full, _never, qos.LATEST, raw=True)
        except (ImportError, AttributeError):
            one.unseen = f"published; '{topic_type}' is not installed here"
        except RuntimeError as error:  # rclpy's, such as a topic that secure mode keeps from us
            one.unseen = f"published; cannot be received: {str(error).splitlines()[0]}"

    def _take(self, one: _Watched) -> None:
        """Take the newest message, if there is one since the last time."""
        handle = one.subscription.handle
        with handle:
            taken = handle.take_message(one.subscription.msg_type, True)
        if taken is None:
            return
        told = taken[1]
        age_ns = max(0, self._wall_ns() - (told.get("received_timestamp") or self._wall_ns()))
        source = (told.get("publisher_gid") or {}).get("data", b"")
        is_one = bool(source) or len(one.publishers) == 1  # else numbers of several publishers cannot be told apart
        number = told.get("publication_sequence_number") if is_one else None
        one.meter.add(source, number, self._now_ns() - age_ns)


def _never(data: bytes) -> None:
    """Callback that nobody calls: messages are taken, not delivered."""
