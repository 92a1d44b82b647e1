"""One status of a node on /diagnostics: a level, a sentence and named values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from il_core import topics
from il_core.ros.qos import STREAM


class Level(Enum):
    """Severity, in diagnostic_msgs' numbers."""

    OK = DiagnosticStatus.OK
    WARN = DiagnosticStatus.WARN
    ERROR = DiagnosticStatus.ERROR
    STALE = DiagnosticStatus.STALE


class Diagnostics:
    """Publisher of one named status."""

    def __init__(self, node: Node, name: str, topic: str = topics.DIAGNOSTICS) -> None:
        """Create the publisher; ``name``, behind the node's namespace, is what tools show."""
        self._node = node
        self._before = _before(node) if topic.startswith("/") else ""
        self._name = name
        self._publisher = node.create_publisher(DiagnosticArray, topic, STREAM)

    def publish(self, level: Level, message: str, values: Mapping[str, object]) -> None:
        """Publish the status now; values are shown with ``str``."""
        self.publish_all([(self._name, level, message, values)])

    def publish_all(self, statuses: Iterable[tuple[str, Level, str, Mapping[str, object]]]) -> None:
        """Publish several statuses in one message: name, level, message and values of each."""
        msg = DiagnosticArray(status=[_status(f"{self._before}{one[0]}", *one[1:]) for one in statuses])
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(msg)


def _status(name: str, level: Level, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    status = DiagnosticStatus(level=level.value, name=name, message=message)
    status.values = [KeyValue(key=k, value=str(v)) for k, v in values.items()]
    return status


def own_statuses(node: Node, msg: DiagnosticArray) -> Iterator[tuple[str, DiagnosticStatus]]:
    """Statuses of a node's own graph, with their names inside it; all share one topic.

    In the root namespace everything counts, drivers of others too.
    """
    before = _before(node)
    for status in msg.status:
        if status.name.startswith(before):
            yield status.name[len(before) :], status


def _before(node: Node) -> str:
    """What stands before the names of a node's statuses: its namespace, such as ``left/``."""
    space = str(node.get_namespace()).strip("/")
    return f"{space}/" if space else ""
