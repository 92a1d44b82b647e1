"""The recorder's states and its account of every topic: pure, without files, clocks or ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from il_core import topics
from il_core.config import Setup
from il_core.store.recording import TopicRecord
from il_core.types import Outcome


class State(str, Enum):
    """Where a demonstration stands: idle -> recording -> review -> saved or discarded -> idle."""

    IDLE = "idle"
    RECORDING = "recording"
    REVIEW = "review"
    SAVED = "saved"  # asked to keep, not yet on disk
    DISCARDED = "discarded"  # asked to discard, not yet removed
    FAULT = "fault"


class Event(str, Enum):
    """What happens to the recorder."""

    START = "start"
    STOP = "stop"
    KEEP = "keep"
    DISCARD = "discard"
    SUCCESS = "success"
    FAILURE = "failure"
    DONE = "done"  # the effect of KEEP or DISCARD was carried out
    FAILED = "failed"  # a topic went silent, the disk is full


class Effect(str, Enum):
    """What the node has to do."""

    OPEN = "open"
    CLOSE = "close"
    COMMIT = "commit"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Status:
    """The recorder between two events.

    Attributes:
        state: Where the current demonstration stands.
        outcome: Its label so far.
        reason: Why the recorder is in fault.
        saved: Demonstrations kept since start-up.
        discarded: Demonstrations discarded since start-up.
    """

    state: State = State.IDLE
    outcome: Outcome = Outcome.UNLABELLED
    reason: str = ""
    saved: int = 0
    discarded: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Answer to an event: the next status, what to do, and why not if it was refused."""

    status: Status
    effects: tuple[Effect, ...] = ()
    refusal: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether the event changed anything."""
        return not self.refusal


_NEXT: dict[tuple[State, Event], tuple[State, tuple[Effect, ...]]] = {
    (State.IDLE, Event.START): (State.RECORDING, (Effect.OPEN,)),
    (State.RECORDING, Event.STOP): (State.REVIEW, (Effect.CLOSE,)),
    (State.RECORDING, Event.DISCARD): (State.DISCARDED, (Effect.CLOSE, Effect.REMOVE)),
    (State.REVIEW, Event.DISCARD): (State.DISCARDED, (Effect.REMOVE,)),
    (State.REVIEW, Event.KEEP): (State.SAVED, (Effect.COMMIT,)),
    (State.SAVED, Event.DONE): (State.IDLE, ()),
    (State.DISCARDED, Event.DONE): (State.IDLE, ()),
    (State.FAULT, Event.DISCARD): (State.IDLE, ()),
}
_HELP = {
    State.IDLE: "nothing is being recorded; start first",
    State.RECORDING: "a recording is running; stop or discard it first",
    State.REVIEW: "the last recording is in review; keep or discard it first",
    State.SAVED: "the last recording is still being written; try again",
    State.DISCARDED: "the last recording is still being removed; try again",
}
_LABELS = {Event.SUCCESS: Outcome.SUCCESS, Event.FAILURE: Outcome.FAILURE}
_HOLDS_DATA = (State.RECORDING, State.REVIEW)  # a failed commit removes its own remains


def step(status: Status, event: Event, reason: str = "") -> Step:
    """Apply one event.

    Args:
        status: The recorder before.
        event: What happened.
        reason: For FAILED: why, shown to the operator.

    Returns:
        The recorder after, and the effects to carry out in order; a refused event changes nothing.
    """
    state = status.state
    if event is Event.FAILED:
        removal = (Effect.REMOVE,) if state in _HOLDS_DATA else ()
        return Step(replace(status, state=State.FAULT, reason=reason), removal)
    if event in _LABELS and state in (State.RECORDING, State.REVIEW):
        return Step(replace(status, outcome=_LABELS[event]))
    if (state, event) not in _NEXT:
        return Step(status, refusal=f"{event.value} refused: {_refusal(status)}")
    following, effects = _NEXT[state, event]
    counted = replace(
        status,
        state=following,
        reason="",
        saved=status.saved + (state is State.SAVED),
        discarded=status.discarded + (state is State.DISCARDED),
    )
    if following is State.IDLE or event is Event.START:
        counted = replace(counted, outcome=Outcome.UNLABELLED)
    return Step(counted, effects)


def _refusal(status: Status) -> str:
    if status.state is State.FAULT:
        return f"recorder is in fault ({status.reason}); remedy it, then call discard to clear the fault"
    return _HELP[status.state]


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic to record.

    Attributes:
        name: As in ``il_core/topics.py``.
        type: Message type.
        publisher: Node it is expected from, for messages.
        rate_hz: Rate its header stamps keep, or None if it keeps none.
        is_required: Whether a recording without it is useless.
        is_image: Whether its messages are images.
    """

    name: str
    type: str
    publisher: str
    rate_hz: float | None = None
    is_required: bool = True
    is_image: bool = False


_JOINT_STATE = "sensor_msgs/msg/JointState"
_POSE = "geometry_msgs/msg/PoseStamped"


def plan_topics(setup: Setup, state_rate_hz: float) -> tuple[TopicPlan, ...]:
    """Topics a recording of a task holds.

    Args:
        setup: Robot and task.
        state_rate_hz: Rate of JOINT_STATES [Hz].
    """
    arm = [
        TopicPlan(topics.JOINT_STATES, _JOINT_STATE, "sim", state_rate_hz),
        TopicPlan(topics.EFFORT_SETPOINT, _JOINT_STATE, "controller"),
        TopicPlan(topics.EE_POSE, _POSE, "controller"),
        TopicPlan(topics.TARGET_POSE, _POSE, "controller"),
        TopicPlan(topics.TARGET_GRIPPER, _JOINT_STATE, "controller"),
        TopicPlan(topics.TELEOP_POSE, _POSE, "teleop", is_required=False),
        TopicPlan(topics.TELEOP_GRIPPER, _JOINT_STATE, "teleop", is_required=False),
    ]
    return (*arm, *(plan for camera in setup.task.cameras for plan in _camera_topics(setup, camera)))


def _camera_topics(setup: Setup, camera: str) -> Iterator[TopicPlan]:
    rate_hz = float(setup.robot.camera(camera).rate_hz)
    for name in (topics.color(camera), topics.depth(camera)):
        yield TopicPlan(name, "sensor_msgs/msg/Image", "sim_camera", rate_hz, is_image=True)
    yield TopicPlan(topics.camera_info(camera), "sensor_msgs/msg/CameraInfo", "sim_camera", rate_hz)


# A missing message doubles the distance of two stamps; jitter of a healthy stream stays below half.
_GAP_PERIODS = 1.5


@dataclass(slots=True)
class TopicStats:
    """Account of one topic while recording, and its live rate at all times.

    Attributes:
        plan: The topic.
        seen: Messages received since start-up, recorded or not.
        alive_ns: Receive time of the newest message [ns], or None.
        received: Messages taken into the current recording.
        lost: Messages lost in it, by cause: transport, queue, write.
        gaps: Holes between its header stamps.
    """

    plan: TopicPlan
    seen: int = 0
    alive_ns: int | None = None
    received: int = 0
    lost: dict[str, int] = field(default_factory=lambda: {"transport": 0, "queue": 0, "write": 0})
    gaps: int = 0
    rate_hz: float = 0.0
    _first_ns: int = 0
    _last_ns: int = 0
    _last_stamp_ns: int | None = None
    _rate_mark: tuple[int, int] | None = None

    def begin(self) -> None:
        """Forget the last recording."""
        self.received, self.gaps, self._first_ns, self._last_stamp_ns = 0, 0, 0, None
        self.lost = dict.fromkeys(self.lost, 0)

    def arrive(self, now_ns: int) -> None:
        """Note a message, recorded or not."""
        self.seen += 1
        self.alive_ns = now_ns

    def take(self, stamp_ns: int, log_ns: int) -> None:
        """Count a message into the recording, and a gap if its stamp is too far from the last."""
        if self.received == 0:
            self._first_ns = log_ns
        self.received += 1
        self._last_ns = log_ns
        last, self._last_stamp_ns = self._last_stamp_ns, stamp_ns
        rate_hz = self.plan.rate_hz
        if last is not None and rate_hz and (stamp_ns - last) * rate_hz > _GAP_PERIODS * 1e9:
            self.gaps += 1

    def lose(self, cause: str, count: int = 1) -> None:
        """Count messages that will be missing from the recording.

        Raises:
            KeyError: unknown cause.
        """
        self.lost[cause] += count

    @property
    def lost_total(self) -> int:
        """Messages lost, all causes."""
        return sum(self.lost.values())

    def age_ns(self, now_ns: int) -> int | None:
        """Time since the newest message [ns]; None if none ever came."""
        return None if self.alive_ns is None else now_ns - self.alive_ns

    def measure_rate(self, now_ns: int) -> None:
        """Update ``rate_hz`` from the messages since the last call."""
        if self._rate_mark is not None and now_ns > self._rate_mark[0]:
            since_ns, seen = self._rate_mark
            self.rate_hz = (self.seen - seen) * 1e9 / (now_ns - since_ns)
        self._rate_mark = (now_ns, self.seen)

    def record(self, written: int) -> TopicRecord:
        """Account for the recording's header.

        Args:
            written: Messages on disk; what was taken but is not there counts as lost in writing.
        """
        lost = {**self.lost, "write": self.lost["write"] + self.received - written}
        seconds = (self._last_ns - self._first_ns) / 1e9 if self.received > 1 else 0.0
        return TopicRecord(self.plan.type, written, lost, self.gaps, seconds)


def silent_topic(stats: list[TopicStats], now_ns: int, limit_ns: int) -> TopicStats | None:
    """First required topic without a message for longer than a limit, or None."""
    for topic in stats:
        age_ns = topic.age_ns(now_ns)
        if topic.plan.is_required and (age_ns is None or age_ns > limit_ns):
            return topic
    return None


def silence_text(topic: TopicStats, now_ns: int, publishers: list[str]) -> str:
    """Say which topic is silent, for how long, and whom to look at."""
    age_ns = topic.age_ns(now_ns)
    since = "no message yet" if age_ns is None else f"no message for {age_ns / 1e9:.1f} s"
    who = f"publishers: {', '.join(publishers)}" if publishers else "nobody publishes it"
    return (
        f"topic '{topic.plan.name}' is silent: {since}, {who}; "
        f"expected from node '{topic.plan.publisher}': start it or see its log"
    )
