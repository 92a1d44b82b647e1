"""Is a dataset whole, and does it look like something to learn from?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from il_core.align import limits_of
from il_core.errors import EpisodeError
from il_core.geometry import Array
from il_core.store.episodes import EpisodeStore
from il_core.types import Episode

CONSTANT = 1e-9  # below any sensor's resolution, in metres, radians or openings
JUMP_M = 0.10  # between ticks; at 10 Hz this is 1 m/s, faster than a person shows anything


@dataclass(frozen=True, slots=True)
class EpisodeSummary:
    """One line of `il dataset info`.

    Attributes:
        name: Name of the episode.
        ticks: Number of ticks.
        seconds: Duration [s].
        outcome: The operator's judgement.
        path_m: Length of the tool's path [m].
        action_step_max_mm: Largest step of the wanted position between ticks [mm].
        age_max_ms: Oldest sample per stream [ms].
    """

    name: str
    ticks: int
    seconds: float
    outcome: str
    path_m: float
    action_step_max_mm: float
    age_max_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found.

    Attributes:
        errors: The dataset must not be used.
        warnings: Worth a look.
        episodes: Summary per readable episode.
    """

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    episodes: tuple[EpisodeSummary, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing forbids its use."""
        return not self.errors


def summaries(store: EpisodeStore) -> tuple[EpisodeSummary, ...]:
    """Summary of every episode, from dataset.json alone."""
    prefix = "age_max_ms."
    return tuple(
        EpisodeSummary(
            name=e.name,
            ticks=e.length,
            seconds=e.length / e.rate_hz,
            outcome=e.outcome.value,
            path_m=e.statistics.get("path_m", 0.0),
            action_step_max_mm=e.statistics.get("action_step_max_mm", 0.0),
            age_max_ms={k.removeprefix(prefix): v for k, v in e.statistics.items() if k.startswith(prefix)},
        )
        for e in store.header.episodes
    )


def check(store: EpisodeStore, progress: Callable[[int, int, str], None] | None = None) -> Findings:
    """Read every byte of a dataset and look for what training would trip over.

    Errors: no episodes; a file that changed or cannot be read; ticks off their grid; ages negative or
    beyond the task's limits; pictures that do not decode. Warnings: jumps of the action, numbers that
    never change in the whole dataset, outcomes that differ.

    Args:
        store: The dataset.
        progress: Told (done, total, name) after each episode.
    """
    errors, warnings = [], []
    if not len(store):
        errors.append(f"{store.path}: no episodes; build it from recordings that succeeded")
    columns: list[Array] = []
    for i, name in enumerate(store.names):
        try:
            episode = store.episode(i)
            errors += _errors(store, i, episode)
            warnings += _warnings(episode)
            columns.append(_numbers(episode))
        except EpisodeError as error:
            errors.append(str(error))
        if progress is not None:
            progress(i + 1, len(store), name)
    if columns:
        warnings += _constants(np.concatenate(columns), store)
    return Findings(tuple(errors), tuple(warnings), summaries(store))


def _errors(store: EpisodeStore, i: int, episode: Episode) -> list[str]:
    """What makes an episode unusable."""
    found, task = [], store.header.task
    where = f"episode '{episode.name}'"
    if not store.is_intact(i):
        found.append(f"{where}: its file changed since it was written; build the dataset again")
    ticks = [o.tick_ns for o in episode.observations]
    if not _is_on_grid(ticks, task.rate_hz):
        found.append(f"{where}: ticks are not {task.rate_hz} Hz apart; build the dataset again")
    if len(ticks) != store.header.episodes[i].length:
        found.append(f"{where}: has {len(ticks)} ticks, dataset.json says {store.header.episodes[i].length}")
    for stream, limit_ns in limits_of(task).items():
        ages = [o.age_ns.get(stream) for o in episode.observations]
        if any(a is None or not 0 <= a <= limit_ns for a in ages):
            found.append(f"{where}: stream '{stream}' is missing or older than {limit_ns / 1e6:.0f} ms; build it again")
    for o in episode.observations:
        for camera in o.images:
            o.images[camera]  # decodes; raises EpisodeError with the reason
    return found


def _is_on_grid(ticks: list[int], rate_hz: int) -> bool:
    """Whether ticks are one period apart to the nanosecond of rounding (an episode may start at any k)."""
    steps = np.diff(ticks) * rate_hz
    return bool((np.abs(steps - 1_000_000_000) < rate_hz).all())


def _warnings(episode: Episode) -> list[str]:
    """What deserves a look in one episode."""
    p_des = episode.T_base_ee_des[:, :3, 3]
    steps = np.linalg.norm(np.diff(p_des, axis=0), axis=1)
    if len(steps) and steps.max() > JUMP_M:
        k = int(np.argmax(steps))
        return [
            f"episode '{episode.name}': the action jumps {1e3 * steps[k]:.0f} mm after tick {k}; look at its recording"
        ]
    return []


def _numbers(episode: Episode) -> Array:
    """Position, opening, wanted position and wanted opening, wrench per tick, (N, 14); zeros without a wrench."""
    p = np.array([o.T_base_ee[:3, 3] for o in episode.observations])
    opening = np.array([0.0 if o.arm is None else o.arm.gripper for o in episode.observations])
    felt = np.array([np.zeros(6) if o.wrench is None else o.wrench for o in episode.observations])
    return np.column_stack([p, opening, episode.T_base_ee_des[:, :3, 3], episode.gripper_des, felt])


def _constants(numbers: Array, store: EpisodeStore) -> list[str]:
    """Numbers the task uses that never change: a dead sensor, or a key nobody pressed."""
    names = ["ee x", "ee y", "ee z", "gripper", "action x", "action y", "action z", "action gripper"]
    names += [f"wrench {a}" for a in ("fx", "fy", "fz", "tx", "ty", "tz")]
    used = [True] * 3 + ["gripper" in store.header.task.state] + [True] * 3 + [store.header.task.action.gripper]
    used += [store.header.task.wrench] * 6
    spread = np.ptp(numbers, axis=0)
    dead = [n for n, u, s in zip(names, used, spread, strict=True) if u and s < CONSTANT]
    return [f"'{n}' is the same at every tick of every episode; check its sensor" for n in dead]
