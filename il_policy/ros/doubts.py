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
    """Publishes scores, and a sentence on change.

    Attributes:
        act: What doubt leads to.
        sentence: What the newest doubt is; empty if there is none.
    """

    def __init__(self, node: Node, act: Doubt) -> None:
        """Create the publishers."""
        self._node, self.act = node, act
        self._score = node.create_publisher(Float64, topics.POLICY_DOUBT, qos.STREAM)
        self._help = node.create_publisher(String, topics.POLICY_HELP, qos.LATCHED)
        self.sentence = ""

    def lead_to(self, act: Doubt) -> None:
        """Let doubt lead to something else from now on; a call for help that is out is taken back."""
        if self.act is Doubt.HELP and act is not Doubt.HELP and self.sentence:
            self._help.publish(String(data=""))
        self.act = act

    def tell(self, report: Report) -> None:
        """Publish how the last plan came about; nothing where the checkpoint was never calibrated."""
        if math.isnan(report.score):
            return
        self._score.publish(Float64(data=report.score))
        sentence = ""
        if report.is_in_doubt:
            sentence = f"sees what was never shown (score {report.score:.1f}, limit 1); {_ACTS[self.act]}"
        if bool(sentence) != bool(self.sentence):
            self._say(sentence)
        self.sentence = sentence

    def clear(self) -> None:
        """Forget the doubts of an earlier run."""
        if self.sentence:
            self._say("")
        self.sentence = ""

    def _say(self, sentence: str) -> None:
        if sentence:
            self._node.get_logger().warning(sentence)
        if self.act is Doubt.HELP:
            self._help.publish(String(data=sentence))
