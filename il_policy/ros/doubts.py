"""What the policy does not know, told to people and machines: a number per plan, and a call for help."""

from __future__ import annotations

import math

from rclpy.node import Node
from std_msgs.msg import Float64, String

from il_core import topics
from il_core.ros import qos
from il_policy.serving.acting import Report
from il_policy.serving.config import Doubt

_ACTS = {
    Doubt.REPORT: "goes on as configured",
    Doubt.SLOW: "goes on slowly",
    Doubt.HOLD: "holds",
    Doubt.HELP: "holds and asks for help",
}


class DoubtPublisher:
    """Publishes scores, and on change a sentence of what doubt led to, here or on the server that planned.

    Attributes:
        sentence: What the newest doubt is; empty if there is none.
    """

    def __init__(self, node: Node) -> None:
        """Create the publishers."""
        self._node = node
        self._score = node.create_publisher(Float64, topics.POLICY_DOUBT, qos.STREAM)
        self._help = node.create_publisher(String, topics.POLICY_HELP, qos.LATCHED)
        self.sentence, self._call = "", ""

    def tell(self, report: Report) -> None:
        """Publish how the last plan came about; nothing where the checkpoint was never calibrated."""
        if math.isnan(report.score):
            return
        self._score.publish(Float64(data=report.score))
        sentence = ""
        if report.is_in_doubt:
            seen = f"sees what was never shown (score {report.score:.1f}, limit {report.limit:g})"
            sentence = f"{seen}; {_ACTS[report.act]}"
        if sentence and not self.sentence:
            self._node.get_logger().warning(sentence)
        self._ask(sentence if report.act is Doubt.HELP else "")
        self.sentence = sentence

    def withdraw(self) -> None:
        """Take a call for help back: nobody is asked any more."""
        self._ask("")

    def clear(self) -> None:
        """Forget the doubts of an earlier run."""
        self.withdraw()
        self.sentence = ""

    def _ask(self, call: str) -> None:
        if bool(call) != bool(self._call):
            self._help.publish(String(data=call))
        self._call = call
