"""What the running graph tells of an attempt: who drove the arm, and how many plans there were."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory, MultiDOFJointTrajectory

from il_cli.interventions import Interventions, interventions
from il_core import topics, wire
from il_core.ros import qos


class AttemptLog:
    """Listens from its making on, as long as the node lives.

    Attributes:
        plans: Plans of the policy since :meth:`begin`.
    """

    def __init__(self, node: Node) -> None:
        """Begin to listen with a node that somebody spins."""
        self._node = node
        self._told: list[tuple[int, str]] = []
        self._began_ns = self.plans = 0
        node.create_subscription(DiagnosticArray, topics.CONTROL_SOURCE, self._on_source, qos.STREAM)
        node.create_subscription(MultiDOFJointTrajectory, topics.POSE_CHUNK, self._on_plan, qos.COMMAND)
        node.create_subscription(JointTrajectory, topics.JOINT_CHUNK, self._on_plan, qos.COMMAND)

    def _on_source(self, msg: DiagnosticArray) -> None:
        stamp_ns = wire.stamp_ns(msg.header.stamp)
        values = [value.value for status in msg.status for value in status.values if value.key == "source"]
        self._told.extend((stamp_ns, source) for source in values)

    def _on_plan(self, _msg: Any) -> None:  # noqa: ANN401 - either kind
        self.plans += 1

    def begin(self) -> None:
        """An attempt begins."""
        self._began_ns, self.plans = self._now_ns(), 0

    def interventions(self) -> Interventions | None:
        """What took the arm from the policy since :meth:`begin`; None if nobody told that the policy drove."""
        return interventions(list(self._told), self._began_ns, self._now_ns())

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)
