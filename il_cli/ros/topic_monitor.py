"""Listens to topics of any type and measures their rates and ages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable

from rclpy.node import Node

from il_core.bringup import RateMeter, TopicView
from il_core.ros import qos


class TopicMonitor:
    """Subscribes to each topic as soon as its publisher tells its type; messages are not decoded."""

    def __init__(self, node: Node, names: Iterable[str], now_ns: Callable[[], int]) -> None:
        """Watch topics; ``now_ns`` should be a steady clock."""
        self._node, self._now_ns = node, now_ns
        self._meters = {name: RateMeter() for name in names}
        self._subscribed: set[str] = set()

    def views(self) -> dict[str, TopicView]:
        """How each topic is doing now; call it regularly, for publishers that come later."""
        return {name: self._view(name, meter) for name, meter in self._meters.items()}

    def _view(self, name: str, meter: RateMeter) -> TopicView:
        publishers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(name))
        if publishers and name not in self._subscribed:
            self._subscribe(name, publishers[0].topic_type, meter)
        return meter.view(self._now_ns(), tuple(sorted({p.node_name for p in publishers})))

    def _subscribe(self, name: str, topic_type: str, meter: RateMeter) -> None:
        package, _, kind = topic_type.split("/")
        message = getattr(importlib.import_module(f"{package}.msg"), kind)

        def heard(data: bytes) -> None:
            meter.add(self._now_ns())

        self._node.create_subscription(message, name, heard, qos.LATEST, raw=True)
        self._subscribed.add(name)
