"""One managed node as its manager sees it: asks for its state and for transitions, and never waits."""

from __future__ import annotations

from collections.abc import Callable

from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from rclpy.task import Future

from il_core.bringup import NodeView, Transition

ANSWER_S = 3.0  # a state that is asked for comes at once, or the node is busy or gone
_LEADS_TO = {
    Transition.CONFIGURE: "inactive",
    Transition.ACTIVATE: "active",
    Transition.DEACTIVATE: "inactive",
    Transition.CLEANUP: "unconfigured",
}
PATIENCE_S = 300.0  # a large policy loads for minutes; then the answer is taken for lost


class ManagedClient:
    """Remembers state, running transition and failures of one process of a node.

    Attributes:
        name: Its name.
        state: What it said last; None if it did not.
        is_ours: Whether this manager brought it to where it is.
    """

    def __init__(self, node: Node, name: str, now_ns: Callable[[], int]) -> None:
        """Create clients of the services that every managed node has."""
        self.name, self._now_ns, self._node = name, now_ns, node
        self._get = node.create_client(GetState, f"{name}/get_state")
        self._change = node.create_client(ChangeState, f"{name}/change_state")
        self._process: bytes | None = None
        self._begin(None)

    def _begin(self, process: bytes | None) -> None:
        """Forget what an earlier process of this name did."""
        self._process = process
        self.state: str | None = None
        self._asked: tuple[Future, int] | None = None
        self._doing: tuple[Future, int, Transition] | None = None
        self._failed_ns: int | None = None
        self.is_ours = self._was_active = False
        self._told_active: bool | None = None

    @property
    def is_active(self) -> bool:
        """Whether it said last that it is active."""
        return self.state == "active"

    @property
    def is_idle(self) -> bool:
        """Whether no transition runs."""
        return self._doing is None

    def hear(self, was_active: bool) -> None:
        """Take the node's own word whether it was active since it was configured, perhaps before this manager came."""
        self._told_active = was_active

    def poll(self) -> None:
        """Take answers, notice a new process, ask for the state."""
        process = self._who()
        if process is not None and process != self._process:
            self._begin(process)
        now_ns = self._now_ns()
        self._take_transition(now_ns)
        if self._asked is not None:
            future, since_ns = self._asked
            if future.done():
                self._asked, answer = None, future.result()
                if answer is not None:
                    self.state = str(answer.current_state.label)
                    self._was_active |= self.is_active
            elif now_ns - since_ns > ANSWER_S * 1e9 and self._doing is None:
                self._asked, self.state = None, None
        elif self._get.service_is_ready():
            self._asked = self._get.call_async(GetState.Request()), now_ns

    def _take_transition(self, now_ns: int) -> None:
        if self._doing is None:
            return
        future, since_ns, transition = self._doing
        if future.done():
            self._doing, self._asked, answer = None, None, future.result()
            is_done = answer is not None and answer.success
            self._failed_ns = None if is_done else now_ns
            self.state = _LEADS_TO[transition] if is_done else None
            self._was_active |= self.is_active
            self.is_ours |= is_done
        elif now_ns - since_ns > PATIENCE_S * 1e9:
            self._doing, self._failed_ns = None, now_ns

    def _who(self) -> bytes | None:
        """What tells this process of the node from the one before: the identity of a publisher it must have."""
        topic = self._node.resolve_topic_name(f"{self.name}/transition_event")
        found = self._node.get_publishers_info_by_topic(topic)
        return bytes(found[0].endpoint_gid) if found else None

    def ask(self, transition: Transition) -> None:
        """Ask for a transition; the answer is taken by a later :meth:`poll`."""
        if self._doing is None and self._change.service_is_ready():
            request = ChangeState.Request()
            request.transition.label = transition.value
            self._doing = self._change.call_async(request), self._now_ns(), transition

    def view(self, is_there: bool, problem: str, services: tuple[str, ...]) -> NodeView:
        """What is known of it; the rest was seen by the manager."""
        now_ns = self._now_ns()
        doing = self._doing
        return NodeView(
            is_there=is_there,
            state=self.state,
            doing=None if doing is None else doing[2],
            doing_s=0.0 if doing is None else (now_ns - doing[1]) / 1e9,
            failed_s=None if self._failed_ns is None else (now_ns - self._failed_ns) / 1e9,
            problem=problem,
            was_active=self._was_active or (self._told_active if self.state == "inactive" else False),
            services=services,
        )
