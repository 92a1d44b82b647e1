"""Watches the ROS graph until every node of a job shows its signs of life."""

from __future__ import annotations

import importlib
import threading
from types import TracebackType

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from il_core.graph import Graph
from il_core.ros import qos


class Watch:
    """Notes which topics have carried a message and which services exist.

    It has a ROS context of its own, so that it does not get in the way of a client in this process.
    """

    def __init__(self, graph: Graph) -> None:
        """Watch for the topics and services of ``graph``; use as a context manager."""
        self._graph = graph
        self._heard: set[str] = set()
        self._subscribed: set[str] = set()
        self._stop = threading.Event()

    def __enter__(self) -> Watch:
        """Join the ROS graph and listen in a thread."""
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(
            "il_watch", context=self._context, namespace=self._graph.namespace or None, enable_rosout=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the ROS graph."""
        self._stop.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._executor.spin_once(timeout_sec=0.05)
            except ExternalShutdownException:
                return

    def _subscribe(self, name: str) -> None:
        """Listen to a topic as soon as its publisher tells its type."""
        publishers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(name))
        if name in self._subscribed or not publishers:
            return
        package, _, kind = publishers[0].topic_type.split("/")
        message = getattr(importlib.import_module(f"{package}.msg"), kind)
        self._node.create_subscription(message, name, lambda _: self._heard.add(name), qos.LATEST, raw=True)
        self._subscribed.add(name)

    def missing(self) -> list[str]:
        """What does not show life yet, one clause per node and name; empty when all is ready."""
        offered = {name for name, _ in self._node.get_service_names_and_types()}
        clauses = []
        for node in self._graph.nodes:
            for name in node.topics:
                if name not in self._heard:
                    self._subscribe(name)
                    clauses.append(f"node '{node.name}' sends nothing on topic '{name}'")
            for name in node.services:
                if self._node.resolve_service_name(name) not in offered:
                    clauses.append(f"node '{node.name}' offers no service '{name}'")
        return clauses
