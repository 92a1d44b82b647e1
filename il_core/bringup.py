"""Bringing a graph up: which node next, and what is missing. Decides only; what it sees comes in as arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from il_core import topics
from il_core.config import load_setup
from il_core.graph import Graph, NodeSpec

SILENT_S = 1.0
"""A topic without a message for so long is silent [s]."""
RETRY_S = 5.0
"""A transition that failed is tried again after so long [s]."""
SPAN_S = 2.0  # a rate is that of the last two seconds


class Transition(Enum):
    """What a manager asks of a node."""

    CONFIGURE = "configure"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    CLEANUP = "cleanup"


class RateMeter:
    """Rate and age of one topic, by the numbers that its publishers give their messages.

    It need not see every message: the number of the newest says how many were sent. What was lost on the way
    counts as sent.
    """

    def __init__(self) -> None:
        """Begin without a message."""
        self.count = 0
        self._numbers: dict[bytes, int] = {}
        self._is_numbered = True
        self._last_ns: int | None = None
        self._marks: deque[tuple[int, int]] = deque()

    def add(self, source: bytes, number: int | None, at_ns: int) -> None:
        """Note the newest message.

        Args:
            source: Identity of its publisher.
            number: Which of that publisher's messages it is; None where the middleware does not tell.
            at_ns: When it came, on a steady clock [ns].
        """
        self._last_ns = at_ns
        if number is None:
            self._is_numbered = False
            return
        self.count += max(0, number - self._numbers.get(source, number - 1))
        self._numbers[source] = number

    def view(self, now_ns: int, publishers: tuple[str, ...] = ()) -> TopicView:
        """Rate over the last two seconds, or what there is of them; call it regularly."""
        self._marks.append((now_ns, self.count))
        while len(self._marks) > 2 and now_ns - self._marks[1][0] >= SPAN_S * 1e9:
            self._marks.popleft()
        since_ns, before = self._marks[0]
        rate_hz = (self.count - before) * 1e9 / (now_ns - since_ns) if now_ns > since_ns else 0.0
        age_s = None if self._last_ns is None else max(0, now_ns - self._last_ns) / 1e9
        return TopicView(rate_hz if self._is_numbered else None, age_s, publishers)


@dataclass(frozen=True, slots=True)
class TopicView:
    """How a topic is doing.

    Attributes:
        rate_hz: Messages per second; None if nobody knows.
        age_s: Time since the last message [s]; None before the first.
        publishers: Names of the nodes that publish it.
        unseen: Why its messages are not received, in words; empty if they are.
    """

    rate_hz: float | None = 0.0
    age_s: float | None = None
    publishers: tuple[str, ...] = ()
    unseen: str = ""

    @property
    def words(self) -> str:
        """How it is doing, for people."""
        known = "messages come" if self.rate_hz is None else f"{self.rate_hz:.1f} Hz"
        return self.silence or self.unseen or known

    @property
    def silence(self) -> str:
        """Why nobody should rely on it, in words; empty if messages come, or a publisher has to do."""
        if self.unseen and self.publishers:
            return ""
        if self.age_s is None:
            who = f"though {' and '.join(self.publishers)} publishes it" if self.publishers else "nobody publishes it"
            return f"never received, {who}"
        return f"silent for {self.age_s:.1f} s" if self.age_s > SILENT_S else ""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a manager sees of a node.

    Attributes:
        is_there: Whether it is on the graph.
        state: Its state, such as ``inactive``; None if it has no life cycle or did not answer yet.
        doing: The transition that runs, if one does.
        doing_s: For how long [s].
        failed_s: Time since a transition failed [s]; None if none did.
        problem: Why, in the node's own words.
        was_active: Whether it was active, as far as the manager saw or the node says: who deactivated it then meant
            it. None if it is inactive and has not said yet.
        services: Services of the graph's description that it does not offer.
    """

    is_there: bool = False
    state: str | None = None
    doing: Transition | None = None
    doing_s: float = 0.0
    failed_s: float | None = None
    problem: str = ""
    was_active: bool | None = False
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do now, and what is missing.

    Attributes:
        steps: Transitions to ask for, by node.
        reasons: Why a node is not ready, by node; those that are ready are not in it.
    """

    steps: Mapping[str, Transition]
    reasons: Mapping[str, str]


def needs(node: NodeSpec) -> tuple[str, ...]:
    """Topics that must carry messages before a node is activated; they are what orders a graph.

    Raises:
        ConfigError: its task or robot does not exist.
    """
    found: tuple[str, ...] = ()
    if node.executable in ("controller_node", "recorder_node", "policy_node"):
        found += (topics.JOINT_STATES,)
    if node.executable in ("teleop_node", "policy_node"):
        found += (topics.EE_POSE,)
    if node.executable == "policy_node":
        task, robot = (
            str(node.parameters.get(key, default)) for key, default in (("task", "pick_place"), ("robot", ""))
        )
        cameras = load_setup(task, robot or None).task.cameras
        found += tuple(t for c in cameras for t in (topics.color(c), topics.depth(c)))
    return tuple(node.remaps.get(name, name) for name in found)


def watched_only(graph: Graph) -> Graph:
    """A graph whose nodes nobody configures and activates: they do it themselves."""
    return replace(graph, nodes=tuple(replace(node, is_managed=False) for node in graph.nodes))


def expected_topics(graph: Graph) -> tuple[str, ...]:
    """Every topic that must carry messages while a graph works, each once, in the order of its nodes."""
    names = [name for node in graph.nodes for name in (*needs(node), *node.topics)]
    return tuple(dict.fromkeys(names))


class BringUp:
    """Decides for one graph.

    All nodes are configured as soon as they are there: that commands nothing. A node is activated when what it
    needs arrives, which puts the arm before its controller and the controller before those who steer it.
    """

    def __init__(self, graph: Graph) -> None:
        """Take the graph; see :func:`needs` for the exceptions."""
        self.nodes = graph.nodes
        self.topics = expected_topics(graph)
        self._needs = {node.name: needs(node) for node in graph.nodes}

    def judge(self, nodes: Mapping[str, NodeView], heard: Mapping[str, TopicView]) -> Verdict:
        """What to do now.

        Args:
            nodes: What is seen of each node.
            heard: How each topic of :attr:`topics` is doing.
        """
        steps: dict[str, Transition] = {}
        reasons: dict[str, str] = {}
        for node in self.nodes:
            view = nodes.get(node.name, NodeView())
            step, reason = self._one(node, view, heard)
            if step is not None:
                steps[node.name] = step
            if reason:
                reasons[node.name] = f"{node.name} {reason}"
        return Verdict(steps, reasons)

    def _one(self, node: NodeSpec, view: NodeView, heard: Mapping[str, TopicView]) -> tuple[Transition | None, str]:
        """Next transition of one node, and why it is not ready."""
        if not view.is_there:
            return None, "is not running"
        if not node.is_managed or (view.state == "active" and view.doing is None):
            return None, self._lifeless(node, view, heard)
        reason = _unmoved(view)
        if reason:
            return None, reason
        may_try = view.failed_s is None or view.failed_s >= RETRY_S
        missing = self._silent(self._needs[node.name], heard)
        if view.state == "inactive" and missing:
            return None, f"is inactive: waits for {missing}"
        step = Transition.CONFIGURE if view.state == "unconfigured" else Transition.ACTIVATE
        return step if may_try else None, f"is {view.state}: {view.problem or f'{step.value} comes next'}"

    def _lifeless(self, node: NodeSpec, view: NodeView, heard: Mapping[str, TopicView]) -> str:
        """Which signs of life are missing; empty if none is."""
        missing = self._silent(node.topics, heard)
        if missing:
            wanted = self._silent(self._needs[node.name], heard)
            return f"sends nothing on {missing}" + (f"; it waits for {wanted}" if wanted else "")
        return f"does not offer service '{view.services[0]}'" if view.services else ""

    def _silent(self, names: tuple[str, ...], heard: Mapping[str, TopicView]) -> str:
        """The silent ones of some topics, in words."""
        said = [(name, heard.get(name, TopicView()).silence) for name in names]
        return " and ".join(f"'{name}', {silence}" for name, silence in said if silence)


def _unmoved(view: NodeView) -> str:
    """Why nothing is asked of a managed node that is not active; empty if something may be."""
    if view.doing is not None:
        return f"is asked to {view.doing.value}, for {view.doing_s:.1f} s"
    if view.state is None:
        return "does not answer what state it is in"
    if view.was_active:
        return f"is {view.state}: somebody took it down"
    if view.was_active is None and view.state == "inactive":
        return "is inactive, and has not said yet whether somebody took it down"
    return "" if view.state in ("unconfigured", "inactive") else f"is {view.state}"
