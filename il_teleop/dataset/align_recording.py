"""One recording into episodes: observations and actions of its usable ticks, or the reason it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from il_core.align import EE_POSE, assemble
from il_core.clock import tick_ns
from il_core.config import Setup
from il_core.errors import EpisodeError
from il_core.spec import ActionLabel, TaskSpec
from il_core.store.recording import Recording
from il_core.types import EePose, Episode, Observation, Outcome
from il_teleop.dataset.interventions import interventions
from il_teleop.dataset.retime import retime
from il_teleop.dataset.stiffness import stiffness
from il_teleop.dataset.streams import Numbers, RecordedStreams
from il_teleop.dataset.ticks import Tick, action_streams, choose_ticks, usable_runs

STILL_HAND = 0.2  # opening: more than springs and rounding do
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


def episodes_from(recording: Recording, setup: Setup, options: BuildOptions) -> list[Episode]:
    """Align a recording to ticks.

    Ticks start at the first instant where every stream has a sample. A tick is usable if every stream
    is fresh and its action is known. Nothing is filled in: what is unusable is cut away at the ends,
    and in between it parts the recording into several episodes ``<name>.1``, ``<name>.2``, ... . More
    than a second unusable in one piece rejects the recording.

    Raises:
        EpisodeError: rejected; says why and what to do.
        RecordingError: the data are damaged.
    """
    streams, task, name = RecordedStreams(recording, setup), setup.task, recording.header.name
    if options.path_speed_m_s is not None:
        return [_retimed(recording, streams, task, options.path_speed_m_s)]
    runs, holes = usable_runs(name, choose_ticks(streams, task), task.rate_hz)
    observations, T_des, gripper_des = _aligned([t for run in runs for t in run], streams, task)
    kept = slice(0, len(T_des))
    if options.idle_keep_s is not None:
        kept = without_idle(T_des, gripper_des, round(options.idle_keep_s * task.rate_hz))
    ends = np.cumsum([len(run) for run in runs])
    pieces = [
        slice(max(kept.start, end - len(run)), min(kept.stop, end))
        for end, run in zip(ends.tolist(), runs, strict=True)
    ]
    pieces = [p for p in pieces if p.stop - p.start >= task.n_obs]
    if not pieces:
        raise EpisodeError(name, f"fewer than {task.n_obs} ticks are usable; record a longer motion")
    _demand_still_hand(name, streams, task, observations[kept])
    notes = {"holes": "; ".join(holes)} if holes else {}
    return [
        _episode(recording, task, part, observations[p], T_des[p], gripper_des[p], notes)
        for part, p in enumerate(pieces, start=1 if len(pieces) > 1 else 0)
    ]


def _demand_still_hand(name: str, streams: RecordedStreams, task: TaskSpec, kept: Sequence[Observation]) -> None:
    """Reject what a policy could not repeat: it leaves the gripper as it is, where the action has none.

    Raises:
        EpisodeError: the operator moved the gripper.
    """
    first_ns, last_ns = kept[0].tick_ns, kept[-1].tick_ns
    wanted = [opening for stamp_ns, opening in streams.openings if first_ns <= stamp_ns <= last_ns]
    if wanted and max(wanted) - min(wanted) > STILL_HAND:
        problem = f"the gripper was moved between {min(wanted):.2f} and {max(wanted):.2f} of its opening"
        remedy = "leave it alone while showing, or set 'action.gripper: true' and record again"
        raise EpisodeError(name, f"{problem}, but the action of task '{task.name}' has no gripper; {remedy}")


def _aligned(
    ticks: Sequence[Tick], streams: RecordedStreams, task: TaskSpec
) -> tuple[list[Observation], np.ndarray, np.ndarray]:
    """Observations, wanted poses (N, 4, 4) and openings (N,) of ticks."""
    wanted = [(stream, numbers) for t in ticks for stream, (_, numbers) in t.observed.items()]
    asked = action_streams(task)
    wanted += [pair for t in ticks for pair in zip(asked, t.action, strict=True)]
    samples = streams.decode(wanted)
    observations = [
        assemble(t.tick_ns, {s: (stamp, samples[numbers]) for s, (stamp, numbers) in t.observed.items()}) for t in ticks
    ]
    if task.action.label is ActionLabel.SETPOINT:
        T_des = np.array([samples[t.action[0]] for t in ticks])
    else:
        T_des = np.array([samples[t.action[0]].T_base_ee for t in ticks])
    gripper_des = np.array([samples[t.action[1]] if len(t.action) > 1 else 0.0 for t in ticks])
    return observations, T_des, gripper_des


def _episode(
    recording: Recording,
    task: TaskSpec,
    part: int,
    observations: Sequence[Observation],
    T_des: np.ndarray,
    gripper_des: np.ndarray,
    notes: dict[str, str],
) -> Episode:
    """Put the parts together; ``part`` counts from 1, or is 0 if the recording is in one piece."""
    header = recording.header
    name = f"{header.name}.{part}" if part else header.name
    notes = {**header.notes, "operator": header.operator, **notes}
    ticks = [o.tick_ns for o in observations]
    marks = interventions(recording, ticks)
    k_p = stiffness(recording, [t + task.dt_ns for t in ticks]) if task.action.stiffness else None
    return Episode(name, tuple(observations), T_des, gripper_des, header.outcome, task.rate_hz, notes, marks, k_p)


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
    if set(streams.samples) != {EE_POSE} or task.action.stiffness:
        raise EpisodeError(
            f"task '{task.name}'",
            f"path_speed_m_s forgets the timing of {sorted(streams.samples)}; only a task whose one stream "
            "is the tool pose, with label next_measured, can be retimed",
        )
    entries = streams.samples[EE_POSE]
    gap_ns = max((b[0] - a[0] for a, b in zip(entries, entries[1:], strict=False)), default=0)
    if gap_ns > task.max_age_ns(EE_POSE):
        raise EpisodeError(recording.header.name, f"hole of {gap_ns / 1e6:.0f} ms in stream 'ee_pose'; record it again")
    samples: dict[Numbers, EePose] = streams.decode((EE_POSE, numbers) for _, numbers in entries)
    poses = [samples[numbers].T_base_ee for _, numbers in entries]
    path = retime(poses, speed_m_s, task.rate_hz, rest_ticks=task.horizon)
    ticks = [tick_ns(entries[0][0], k, task.rate_hz) for k in range(len(path))]
    observations = [Observation(t, T, None, {}, {EE_POSE: 0}) for t, T in zip(ticks, path, strict=True)]
    notes = {"timing": f"constant path speed {speed_m_s:g} m/s, no pauses, {task.horizon} ticks of rest at the end"}
    T_des, gripper_des = np.array(path[1:]), np.zeros(len(path) - 1)
    return _episode(recording, task, 0, observations[:-1], T_des, gripper_des, notes)
