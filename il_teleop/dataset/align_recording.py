"""One recording into one episode: ticks, observations, actions, and the reason where that fails."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from il_core.align import EE_POSE, Alignment, assemble, limits_of
from il_core.clock import tick_ns
from il_core.config import Setup
from il_core.errors import EpisodeError, StaleStreamError
from il_core.spec import ActionLabel, TaskSpec
from il_core.store.recording import Recording
from il_core.types import EePose, Episode, Observation, Outcome
from il_teleop.dataset.retime import retime
from il_teleop.dataset.streams import TARGET_GRIPPER, TARGET_POSE, Numbers, RecordedStreams

# Streams start and stop within moments of each other; more missing than this is a broken demonstration.
MAX_CUT_NS = 1_000_000_000
IDLE_M, IDLE_OPENING, IDLE_ROTATION = 0.001, 0.02, 0.02  # below: hand tremor, not intent


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How recordings become episodes.

    Attributes:
        include: Outcomes taken; all others are left out.
        idle_keep_s: Time kept before the first and after the last intended motion [s]; None keeps
            all. People wait after pressing the key, and a policy would learn to wait.
        path_speed_m_s: Forget the timing and follow the path at this speed [m/s]; None keeps the
            timing. For tasks without cameras and joint state, label ``next_measured`` only.
    """

    include: tuple[Outcome, ...] = (Outcome.SUCCESS,)
    idle_keep_s: float | None = 0.5
    path_speed_m_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Tick:
    """What was chosen for one tick: samples by stream, and the messages of the action."""

    tick_ns: int
    observed: dict[str, tuple[int, Numbers]]
    action: tuple[Numbers, ...]


def episode_from(recording: Recording, setup: Setup, options: BuildOptions) -> Episode:
    """Align a recording to ticks.

    Ticks start at the first instant where every stream has a sample. A tick is usable if every stream
    is fresh and its action is known. Up to one second is cut at either end; an unusable tick in
    between, or more than that at an end, rejects the recording. Nothing is filled in.

    Raises:
        EpisodeError: rejected; says why and what to do.
        RecordingError: the data are damaged.
    """
    streams = RecordedStreams(recording, setup)
    if options.path_speed_m_s is not None:
        return _retimed(recording, streams, setup.task, options.path_speed_m_s)
    observations, T_des, gripper_des = _aligned(recording.header.name, streams, setup.task)
    kept = slice(None)
    if options.idle_keep_s is not None:
        kept = without_idle(T_des, gripper_des, round(options.idle_keep_s * setup.task.rate_hz))
    return _episode(recording, observations[kept], T_des[kept], gripper_des[kept], setup.task, {})


def _aligned(
    name: str, streams: RecordedStreams, task: TaskSpec
) -> tuple[list[Observation], np.ndarray, np.ndarray]:
    """Observations, wanted poses (N, 4, 4) and openings (N,) of every usable tick.

    Raises:
        EpisodeError: see :func:`episode_from`.
    """
    ticks = _choose(name, streams, task)
    wanted = [(stream, numbers) for t in ticks for stream, (_, numbers) in t.observed.items()]
    action_streams = _action_streams(task)
    wanted += [pair for t in ticks for pair in zip(action_streams, t.action, strict=True)]
    samples = streams.decode(wanted)
    observations = [
        assemble(t.tick_ns, {s: (stamp, samples[numbers]) for s, (stamp, numbers) in t.observed.items()})
        for t in ticks
    ]
    if task.action.label is ActionLabel.SETPOINT:
        T_des = np.array([samples[t.action[0]] for t in ticks])
    else:
        T_des = np.array([samples[t.action[0]].T_base_ee for t in ticks])
    gripper_des = np.array([samples[t.action[1]] if len(t.action) > 1 else 0.0 for t in ticks])
    return observations, T_des, gripper_des


def _episode(
    recording: Recording,
    observations: Sequence[Observation],
    T_des: np.ndarray,
    gripper_des: np.ndarray,
    task: TaskSpec,
    notes: dict[str, str],
) -> Episode:
    """Put the parts together.

    Raises:
        EpisodeError: fewer ticks than a policy observes at once.
    """
    header = recording.header
    if len(observations) < task.n_obs:
        raise EpisodeError(
            header.name, f"only {len(observations)} ticks, need {task.n_obs}; record a longer motion"
        )
    notes = {**header.notes, "operator": header.operator, **notes}
    outcome, rate_hz = header.outcome, task.rate_hz
    return Episode(header.name, tuple(observations), T_des, gripper_des, outcome, rate_hz, notes)


def _action_streams(task: TaskSpec) -> tuple[str, ...]:
    """Streams the action is made of: pose, then opening if the gripper is part of it."""
    if task.action.label is ActionLabel.NEXT_MEASURED:
        return (EE_POSE,)
    return (TARGET_POSE, TARGET_GRIPPER) if task.action.gripper else (TARGET_POSE,)


def _choose(name: str, streams: RecordedStreams, task: TaskSpec) -> list[_Tick]:
    """Choose the samples of every usable tick.

    Raises:
        EpisodeError: see :func:`episode_from`.
    """
    start_ns = max(entries[0][0] for entries in streams.samples.values())
    end_ns = max(entries[-1][0] for entries in streams.samples.values())
    alignment: Alignment[Numbers] = Alignment(limits_of(task))
    events = [(t, s, n) for s, entries in streams.samples.items() for t, n in entries]
    events.sort(key=lambda event: event[0])
    actions = _Actions(streams, task)
    rows: list[_Tick | str] = []
    position, k = 0, 0
    while (now_ns := tick_ns(start_ns, k, task.rate_hz)) <= end_ns:
        while position < len(events) and events[position][0] <= now_ns:
            stamp_ns, stream, numbers = events[position]
            alignment.push(stream, stamp_ns, numbers)
            position += 1
        action = actions.after(now_ns, tick_ns(start_ns, k + 1, task.rate_hz))
        try:
            observed = alignment.choose(now_ns)
            rows.append(action if isinstance(action, str) else _Tick(now_ns, observed, action))
        except StaleStreamError as error:
            rows.append(f"{(now_ns - start_ns) / 1e9:.1f} s after the start, {error}")
        k += 1
    return _usable(name, rows, task.rate_hz)


class _Actions:
    """Finds the messages of the action that follows a tick."""

    def __init__(self, streams: RecordedStreams, task: TaskSpec) -> None:
        self._streams = [streams.samples[s] for s in _action_streams(task)]
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


def _usable(name: str, rows: list[_Tick | str], rate_hz: int) -> list[_Tick]:
    """The unbroken run of usable ticks.

    Raises:
        EpisodeError: there is none, it has holes, or more than a second is missing at an end.
    """
    good = [k for k, row in enumerate(rows) if isinstance(row, _Tick)]
    if not good:
        raise EpisodeError(name, f"no usable tick: {rows[0] if rows else 'streams do not overlap in time'}")
    first, last = good[0], good[-1]
    allowed = MAX_CUT_NS * rate_hz // 1_000_000_000 + 1  # the last tick never has an action
    head, tail = rows[:first], rows[last + 1 :]
    for where, part in (("start", head), ("end", tail)):
        if len(part) > allowed:
            reason = f"{len(part) / rate_hz:.1f} s are unusable at the {where}: {part[0]}"
            raise EpisodeError(name, reason)
    run = []
    for row in rows[first : last + 1]:
        if isinstance(row, str):
            raise EpisodeError(name, f"hole in the data: {row}")
        run.append(row)
    return run


def without_idle(T_des: np.ndarray, gripper_des: np.ndarray, keep: int) -> slice:
    """Ticks from ``keep`` before the first to ``keep`` after the last intended motion.

    Motion is an action that differs from the first (or last) by more than a hand's tremor: 1 mm, 2 % of
    opening, or about 1 degree. Without any, all ticks are kept.
    """

    def moved(reference: int) -> np.ndarray:
        T = np.abs(T_des - T_des[reference])
        far = np.linalg.norm(T[:, :3, 3], axis=1) > IDLE_M
        far |= T[:, :3, :3].max(axis=(1, 2)) > IDLE_ROTATION
        return np.flatnonzero(far | (np.abs(gripper_des - gripper_des[reference]) > IDLE_OPENING))

    from_first, from_last = moved(0), moved(-1)
    if len(from_first) == 0 or len(from_last) == 0:
        return slice(0, len(T_des))
    return slice(max(0, int(from_first[0]) - keep), min(len(T_des), int(from_last[-1]) + 2 + keep))


def _retimed(recording: Recording, streams: RecordedStreams, task: TaskSpec, speed_m_s: float) -> Episode:
    """Episode of the path alone, at constant speed; see :mod:`il_teleop.dataset.retime`.

    Raises:
        EpisodeError: the task has more than the tool's path, or the stream has holes.
    """
    if set(streams.samples) != {EE_POSE}:
        raise EpisodeError(
            f"task '{task.name}'",
            f"path_speed_m_s forgets the timing of {sorted(streams.samples)}; only a task whose one stream "
            "is the tool pose, with label next_measured, can be retimed",
        )
    entries = streams.samples[EE_POSE]
    gap_ns = max((b[0] - a[0] for a, b in zip(entries, entries[1:], strict=False)), default=0)
    if gap_ns > task.max_age_ns(EE_POSE):
        raise EpisodeError(
            recording.header.name, f"hole of {gap_ns / 1e6:.0f} ms in stream 'ee_pose'; record it again"
        )
    samples: dict[Numbers, EePose] = streams.decode((EE_POSE, numbers) for _, numbers in entries)
    poses = [samples[numbers].T_base_ee for _, numbers in entries]
    path = retime(poses, speed_m_s, task.rate_hz, rest_ticks=task.horizon)
    ticks = [tick_ns(entries[0][0], k, task.rate_hz) for k in range(len(path))]
    observations = [Observation(t, T, None, {}, {EE_POSE: 0}) for t, T in zip(ticks, path, strict=True)]
    notes = {
        "timing": f"constant path speed {speed_m_s:g} m/s, no pauses, {task.horizon} ticks of rest at the end"
    }
    return _episode(recording, observations[:-1], np.array(path[1:]), np.zeros(len(path) - 1), task, notes)
