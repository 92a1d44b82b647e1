"""One status of a node on /diagnostics: a level, a sentence and named values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        """Create the publisher; ``name`` is what tools show."""
        self._node = node
        self._name = name
        self._publisher = node.create_publisher(DiagnosticArray, topic, STREAM)

    def publish(self, level: Level, message: str, values: Mapping[str, object]) -> None:
        """Publish the status now; values are shown with ``str``."""
        self.publish_all([(self._name, level, message, values)])

    def publish_all(self, statuses: Iterable[tuple[str, Level, str, Mapping[str, object]]]) -> None:
        """Publish several statuses in one message: name, level, message and values of each."""
        msg = DiagnosticArray(status=[_status(*one) for one in statuses])
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(msg)


def _status(name: str, level: Level, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    status = DiagnosticStatus(level=level.value, name=name, message=message)
    status.values = [KeyValue(key=k, value=str(v)) for k, v in values.items()]
    return status
