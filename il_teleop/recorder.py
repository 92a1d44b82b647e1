"""The recorder's states: pure, without files, clocks or ROS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

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
    KEEP_ANYWAY = "keep_anyway"  # in spite of the reject rule
    DISCARD = "discard"
    REDO = "redo"
    NEXT = "next"  # start, stop or keep, whichever comes next
    SUCCESS = "success"
    FAILURE = "failure"
    QUALITY_1 = "quality_1"  # poor
    QUALITY_2 = "quality_2"
    QUALITY_3 = "quality_3"
    QUALITY_4 = "quality_4"
    QUALITY_5 = "quality_5"  # perfect
    REJECT = "reject"  # the reject rule refuses the take in review
    DONE = "done"  # the effect of KEEP or DISCARD was carried out
    FAILED = "failed"  # a topic went silent, the disk is full


OWN_EVENTS = (Event.REJECT, Event.DONE, Event.FAILED)
"""Events of the recorder itself; all others are the operator's."""


class Effect(str, Enum):
    """What the node has to do."""

    OPEN = "open"
    CLOSE = "close"
    COMMIT = "commit"
    REMOVE = "remove"
    SET_ASIDE = "set_aside"  # leave it for a repair


@dataclass(frozen=True, slots=True)
class Status:
    """The recorder between two events.

    Attributes:
        state: Where the current demonstration stands.
        outcome: Its label so far.
        reason: Why the recorder is in fault.
        saved: Demonstrations kept since start-up.
        discarded: Demonstrations discarded since start-up.
        quality: The operator's mark, 1 (poor) to 5 (perfect), or None.
        rejection: Why the reject rule refuses the take; empty if it does not.
        is_kept_anyway: Whether the operator kept it in spite of that.
        is_replacement: Whether it takes the place of the one kept last.
    """

    state: State = State.IDLE
    outcome: Outcome = Outcome.UNLABELLED
    reason: str = ""
    saved: int = 0
    discarded: int = 0
    quality: int | None = None
    rejection: str = ""
    is_kept_anyway: bool = False
    is_replacement: bool = False

    @property
    def final_outcome(self) -> Outcome:
        """Label to be written: a rejected take has none, so that no dataset takes it by default."""
        return Outcome.UNLABELLED if self.rejection and not self.is_kept_anyway else self.outcome


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
    (State.IDLE, Event.REDO): (State.RECORDING, (Effect.OPEN,)),
    (State.RECORDING, Event.STOP): (State.REVIEW, (Effect.CLOSE,)),
    (State.RECORDING, Event.DISCARD): (State.DISCARDED, (Effect.CLOSE, Effect.REMOVE)),
    (State.RECORDING, Event.REDO): (State.RECORDING, (Effect.CLOSE, Effect.REMOVE, Effect.OPEN)),
    (State.REVIEW, Event.DISCARD): (State.DISCARDED, (Effect.REMOVE,)),
    (State.REVIEW, Event.REDO): (State.RECORDING, (Effect.REMOVE, Effect.OPEN)),
    (State.REVIEW, Event.KEEP): (State.SAVED, (Effect.COMMIT,)),
    (State.REVIEW, Event.KEEP_ANYWAY): (State.SAVED, (Effect.COMMIT,)),
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
_MARKS = {Event(f"quality_{mark}"): mark for mark in range(1, 6)}
_COMES_NEXT = {
    State.IDLE: Event.START,
    State.RECORDING: Event.STOP,
    State.REVIEW: Event.KEEP,
    State.FAULT: Event.DISCARD,
}
_HOLDS_DATA = (State.RECORDING, State.REVIEW)  # a failed commit sets its own remains aside


def resolve(state: State, event: Event) -> Event:
    """What NEXT means in a state; other events mean themselves."""
    return _COMES_NEXT.get(state, event) if event is Event.NEXT else event


def step(status: Status, event: Event, reason: str = "") -> Step:
    """Apply one event.

    Args:
        status: The recorder before.
        event: What happened.
        reason: For FAILED and REJECT: why, shown to the operator.

    Returns:
        The recorder after, and the effects to carry out in order; a refused event changes nothing.
    """
    state, event = status.state, resolve(status.state, event)
    if event is Event.FAILED:
        rescue = (Effect.SET_ASIDE,) if state in _HOLDS_DATA else ()
        return Step(replace(status, state=State.FAULT, reason=reason), rescue)
    remark = _remark(status, event, reason)
    if remark is not None:
        return Step(remark)
    if event is Event.REDO and state is State.IDLE and not status.saved:
        return Step(status, refusal="redo refused: nothing was kept yet; start first")
    if (state, event) not in _NEXT:
        return Step(status, refusal=f"{event.value} refused: {_refusal(status)}")
    following, effects = _NEXT[state, event]
    return Step(_followed(status, event, following), effects)


def _remark(status: Status, event: Event, reason: str) -> Status | None:
    """The status with a label, mark or rejection added, or None if the event adds none."""
    if event is Event.REJECT and status.state is State.REVIEW:
        return replace(status, rejection=reason)
    if status.state not in _HOLDS_DATA:
        return None
    if event in _LABELS:
        return replace(status, outcome=_LABELS[event])
    return replace(status, quality=_MARKS[event]) if event in _MARKS else None


def _followed(status: Status, event: Event, following: State) -> Status:
    """Counters and labels after a change of state."""
    is_redone = event is Event.REDO and status.state in _HOLDS_DATA
    after = replace(
        status,
        state=following,
        reason="",
        saved=status.saved + (status.state is State.SAVED and not status.is_replacement),
        discarded=status.discarded + (status.state is State.DISCARDED or is_redone),
        is_kept_anyway=event is Event.KEEP_ANYWAY or (following is State.SAVED and status.is_kept_anyway),
    )
    if following is State.IDLE or following is State.RECORDING:
        after = replace(after, outcome=Outcome.UNLABELLED, quality=None, rejection="", is_kept_anyway=False)
        is_replacement = following is State.RECORDING and (status.is_replacement or status.state is State.IDLE)
        after = replace(after, is_replacement=is_replacement and event is Event.REDO)
    return after


def _refusal(status: Status) -> str:
    if status.state is State.FAULT:
        return f"recorder is in fault ({status.reason}); remedy it, then call discard to clear the fault"
    return _HELP[status.state]


def service_of(event: Event) -> str:
    """Name of the recorder's service for an operator's event."""
    return f"recorder/{event.value}"
