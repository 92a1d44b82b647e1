"""Which samples belong to which tick of a recording, and which ticks cannot be used."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import groupby

from il_core.align import EE_POSE, Alignment, limits_of
from il_core.clock import tick_ns
from il_core.errors import EpisodeError, StaleStreamError
from il_core.spec import ActionLabel, TaskSpec
from il_teleop.dataset.streams import TARGET_GRIPPER, TARGET_POSE, Numbers, RecordedStreams

# A hiccup of a busy machine is shorter; a stream that is away longer is a broken demonstration.
MAX_HOLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Tick:
    """What was chosen for one tick.

    Attributes:
        tick_ns: The instant [ns].
        observed: Stamp [ns] and message numbers per stream.
        action: Message numbers of the action, one per stream of :func:`action_streams`.
    """

    tick_ns: int
    observed: dict[str, tuple[int, Numbers]]
    action: tuple[Numbers, ...]


def action_streams(task: TaskSpec) -> tuple[str, ...]:
    """Streams the action is made of: pose, then opening if the gripper is part of it."""
    if task.action.label is ActionLabel.NEXT_MEASURED:
        return (EE_POSE,)
    return (TARGET_POSE, TARGET_GRIPPER) if task.action.gripper else (TARGET_POSE,)


def choose_ticks(streams: RecordedStreams, task: TaskSpec) -> list[Tick | str]:
    """Choose the samples of every tick, or say why a tick is unusable."""
    start_ns = max(entries[0][0] for entries in streams.samples.values())
    end_ns = max(entries[-1][0] for entries in streams.samples.values())
    alignment: Alignment[Numbers] = Alignment(limits_of(task))
    events = [(t, s, n) for s, entries in streams.samples.items() for t, n in entries]
    events.sort(key=lambda event: event[0])
    actions = _Actions(streams, task)
    rows: list[Tick | str] = []
    position, k = 0, 0
    while (now_ns := tick_ns(start_ns, k, task.rate_hz)) <= end_ns:
        while position < len(events) and events[position][0] <= now_ns:
            stamp_ns, stream, numbers = events[position]
            alignment.push(stream, stamp_ns, numbers)
            position += 1
        action = actions.after(now_ns, tick_ns(start_ns, k + 1, task.rate_hz))
        try:
            observed = alignment.choose(now_ns)
            rows.append(action if isinstance(action, str) else Tick(now_ns, observed, action))
        except StaleStreamError as error:
            rows.append(f"{(now_ns - start_ns) / 1e9:.1f} s after the start, {error}")
        k += 1
    return rows


class _Actions:
    """Finds the messages of the action that follows a tick."""

    def __init__(self, streams: RecordedStreams, task: TaskSpec) -> None:
        self._streams = [streams.samples[s] for s in action_streams(task)]
        self._stamps = [[stamp for stamp, _ in entries] for entries in self._streams]
        self._is_setpoint = task.action.label is ActionLabel.SETPOINT
        stream = "target" if self._is_setpoint else "ee_pose"
        self._max_age_ns = task.max_age_ns(stream) if stream in task.max_age_ms else None

    def after(self, now_ns: int, next_ns: int) -> tuple[Numbers, ...] | str:
        """Messages of the action of the tick at ``now_ns``, or why there is none.

        Label ``setpoint``: the last target in (tick k, tick k+1]. Label ``next_measured``: the pose
        that the observation at tick k+1 has. Both no older at tick k+1 than the stream's limit.
        """
        chosen = []
        for entries, stamps in zip(self._streams, self._stamps, strict=True):
            i = bisect_right(stamps, next_ns) - 1
            if i < 0 or (self._is_setpoint and stamps[i] <= now_ns):
                return f"no target between the ticks {now_ns} and {next_ns} ns; check the controller"
            if self._max_age_ns is not None and next_ns - stamps[i] > self._max_age_ns:
                age_ms, limit_ms = (next_ns - stamps[i]) / 1e6, self._max_age_ns / 1e6
                age = f"{age_ms:.0f} ms old, limit {limit_ms:.0f} ms"
                return f"action at tick {next_ns} ns is {age}; check the controller"
            chosen.append(entries[i][1])
        return tuple(chosen)


def usable_runs(name: str, rows: list[Tick | str], rate_hz: int) -> tuple[list[list[Tick]], list[str]]:
    """Unbroken runs of usable ticks, and the reason of every hole between them.

    Args:
        name: Name of the recording, for messages.
        rows: Ticks, or why they are unusable.
        rate_hz: Tick rate [Hz].

    Raises:
        EpisodeError: no tick is usable, or more than a second in one piece is not.
    """
    pieces = [(is_tick, list(group)) for is_tick, group in groupby(rows, lambda row: isinstance(row, Tick))]
    runs = [[row for row in group if isinstance(row, Tick)] for is_tick, group in pieces if is_tick]
    if not runs:
        raise EpisodeError(name, f"no usable tick: {rows[0] if rows else 'its streams do not overlap in time'}")
    holes = []
    for i, (is_tick, group) in enumerate(pieces):
        if is_tick:
            continue
        # The last tick of all never has an action: it is no hole.
        length = len(group) - (i == len(pieces) - 1)
        if length > MAX_HOLE_S * rate_hz:
            raise EpisodeError(name, f"{length / rate_hz:.1f} s in one piece are unusable: {group[0]}")
        if 0 < i < len(pieces) - 1:
            holes.append(str(group[0]))
    return runs, holes
