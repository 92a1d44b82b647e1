"""From one take to the next: countdown, longest take, reset pause. Pure; time comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import get_type_hints

import yaml

from il_core.config import from_mapping
from il_core.errors import ConfigError, nearest
from il_core.parameters import check_ranges, setting
from il_teleop.cue import Cue, Kind
from il_teleop.recorder import Event, State, Status, resolve

LONGEST_S = 86_400.0  # a day


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """How one take leads to the next; see config/teleop/recorder.yaml.

    Attributes:
        countdown_s: Between asking for a start and the first message [s].
        reset_s: Pause after a take, to put the scene back; a start ends it early [s].
        take_max_s: The take stops by itself after so long [s]; 0 = never.
        is_automatic: Whether the next take starts by itself after the pause.
        keeps_automatically: Whether a stopped take is kept without being asked; a rejected one never is.
    """

    countdown_s: float = setting(0.0, 0.0, LONGEST_S, is_dynamic=True)
    reset_s: float = setting(0.0, 0.0, LONGEST_S, is_dynamic=True)
    take_max_s: float = setting(0.0, 0.0, LONGEST_S, is_dynamic=True)
    is_automatic: bool = setting(False, is_dynamic=True)
    keeps_automatically: bool = setting(False, is_dynamic=True)

    def __post_init__(self) -> None:
        """Reject negative times, and those nobody waits for."""
        check_ranges(self, "recorder flow")


def changed(config: FlowConfig, text: str) -> FlowConfig:
    """A configuration with one value changed, such as ``countdown_s: 3``.

    Raises:
        ConfigError: not ``<key>: <value>``, unknown key, or a value it cannot have.
    """
    key, separator, value = (part.strip() for part in text.partition(":"))
    known = [f.name for f in fields(FlowConfig)]
    if not separator or key not in known:
        raise ConfigError("recorder flow", f"expected '<key>: <value>', got '{text}'; {nearest(key, known)}")
    try:
        plain = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError("recorder flow", f"'{value}' is no value: {error}") from error
    hints = get_type_hints(FlowConfig)
    whole = {f.name: getattr(config, f.name) for f in fields(config)}
    if hints[key] is float and isinstance(plain, bool):
        raise ConfigError("recorder flow", f"'{key}' needs a number, got {plain}")
    return from_mapping(FlowConfig, {**whole, key: plain}, "recorder flow")


class Flow:
    """Decides when a start that was asked for takes place, and what happens by itself."""

    def __init__(self, config: FlowConfig) -> None:
        """Begin outside of any pause."""
        self.config = config
        self._start_ns: int | None = None  # when a start that was asked for is due
        self._event = Event.START
        self._pause_end_ns: int | None = None
        self._recording_since_ns = 0
        self._counted = 0
        self._before = Status()

    @property
    def is_counting_down(self) -> bool:
        """Whether a start was asked for and has not taken place."""
        return self._start_ns is not None

    def change(self, text: str) -> None:
        """Change one value; see :func:`changed`."""
        self.config = changed(self.config, text)

    def ask(self, event: Event, status: Status, now_ns: int) -> Event | None:
        """Take an operator's wish.

        Args:
            event: The wish.
            status: The recorder now.
            now_ns: Present instant [ns].

        Returns:
            The event to apply now, or None if it is postponed to the end of the countdown or took effect
            on the countdown or the pause itself.
        """
        event = resolve(status.state, event)
        begins = event is Event.START or (event is Event.REDO and status.state is State.IDLE)
        if self.is_counting_down and event in (Event.STOP, Event.DISCARD, Event.START):
            if event is not Event.START:
                self._start_ns = self._pause_end_ns = None
            return None
        if status.state is not State.IDLE or not begins:
            if self._pause_end_ns is not None and event in (Event.STOP, Event.DISCARD) and status.state is State.IDLE:
                self._pause_end_ns = None  # stay idle: no automatic start
                return None
            return event
        if event is Event.REDO and not status.saved:
            return event  # refused by the state machine, in words
        self._pause_end_ns = None
        if self.config.countdown_s <= 0:
            return event
        self._begin_countdown(event, now_ns)
        return None

    def cancel(self) -> None:
        """Forget a start that was asked for, and the pause."""
        self._start_ns = self._pause_end_ns = None

    def _begin_countdown(self, event: Event, now_ns: int) -> None:
        self._event = event
        self._start_ns = now_ns + int(self.config.countdown_s * 1e9)
        self._counted = int(self.config.countdown_s) + 1

    def tick(self, status: Status, now_ns: int) -> tuple[list[Event], list[Cue]]:
        """What happens by itself, and what to tell; call it often.

        Args:
            status: The recorder now.
            now_ns: Present instant [ns].
        """
        before, self._before = self._before, status
        events: list[Event] = []
        cues = [c for c in (cue_of(before, status),) if c is not None]
        if status.state is State.RECORDING:
            if before.state is not State.RECORDING or status.discarded != before.discarded:
                self._recording_since_ns = now_ns
            limit_s = self.config.take_max_s
            if limit_s > 0 and now_ns - self._recording_since_ns >= limit_s * 1e9:
                events.append(Event.STOP)
        if status.state is State.REVIEW and before.state is State.RECORDING:
            if self.config.keeps_automatically and not status.rejection:
                events.append(Event.KEEP)
        if status.state is State.IDLE and before.state not in (State.IDLE, State.FAULT):
            self._begin_pause(now_ns)  # a quick disk saves between two ticks: SAVED need not have been seen
        if status.state is State.FAULT:
            self.cancel()
        return [*events, *self._due(status, now_ns, cues)], cues

    def _begin_pause(self, now_ns: int) -> None:
        if self.config.reset_s > 0 or self.config.is_automatic:
            self._pause_end_ns = now_ns + int(self.config.reset_s * 1e9)

    def _due(self, status: Status, now_ns: int, cues: list[Cue]) -> list[Event]:
        """Ends of the pause and of the countdown."""
        if self._pause_end_ns is not None and now_ns >= self._pause_end_ns:
            self._pause_end_ns = None
            cues.append(Cue(Kind.READY, "ready"))
            if self.config.is_automatic:
                self._begin_countdown(Event.START, now_ns)
        if self._start_ns is None:
            return []
        left_s = (self._start_ns - now_ns) / 1e9
        if left_s <= 0:
            self._start_ns = None
            return [self._event] if status.state is State.IDLE else []
        whole = int(left_s) + 1 if left_s % 1 else int(left_s)
        if whole < self._counted:
            self._counted = whole
            cues.append(Cue(Kind.COUNT, str(whole)))
        return []

    def text(self, now_ns: int) -> str:
        """What is pending, for the display; empty if nothing is."""
        if self._start_ns is not None:
            return f"starts in {max(self._start_ns - now_ns, 0) / 1e9:.0f} s"
        if self._pause_end_ns is not None:
            return f"pause: put the scene back, {max(self._pause_end_ns - now_ns, 0) / 1e9:.0f} s left"
        return ""


_CUES = {
    State.RECORDING: Cue(Kind.STARTED, "recording"),
    State.REVIEW: Cue(Kind.STOPPED, "stopped"),
    State.DISCARDED: Cue(Kind.DISCARDED, "discarded"),
}

_BEFORE_IDLE = (State.RECORDING, State.REVIEW, State.SAVED)  # DISCARDED was told of when it was reached


def cue_of(before: Status, after: Status) -> Cue | None:
    """What to tell the operator of a change of the recorder, or None."""
    is_new = after.state is not before.state
    if is_new and after.state is State.FAULT:
        return Cue(Kind.FAULT, f"fault: {after.reason}")
    if after.rejection and not before.rejection:
        return Cue(Kind.REJECTED, f"rejected: {after.rejection}")
    if is_new and after.state is State.IDLE and before.state in _BEFORE_IDLE:
        is_discarded = after.discarded > before.discarded
        return _CUES[State.DISCARDED] if is_discarded else Cue(Kind.KEPT, f"kept {after.saved}")
    if after.state is State.RECORDING and after.discarded > before.discarded:
        return Cue(Kind.STARTED, "again")
    return _CUES.get(after.state) if is_new else None
