"""A dataset on one screen: how much, how it ended, what is in it, its numbers, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.align import limits_of
from il_core.errors import EpisodeError
from il_core.store.episodes import EpisodeStore
from il_core.store.tables import TableFile

JUMP_MM = 100.0  # between ticks; at 10 Hz this is 1 m/s, faster than a person shows anything
ODD = 5.0  # median deviations from the median duration
_AGE = "age_max_ms."


@dataclass(frozen=True, slots=True)
class Numbers:
    """Statistics of one number over all ticks.

    Attributes:
        name: What it is, with its unit.
        min: Smallest value.
        q01: 1 % of the ticks are below.
        mean: Mean.
        std: Standard deviation.
        q99: 1 % of the ticks are above.
        max: Largest value.
    """

    name: str
    min: float
    q01: float
    mean: float
    std: float
    q99: float
    max: float


@dataclass(frozen=True, slots=True)
class Overview:
    """What `il dataset info` shows.

    Attributes:
        facts: Name and value, line by line.
        cameras: Name, size, intrinsics, oldest picture used.
        shapes: Column and what one tick of it is.
        numbers: Statistics.
        health: What deserves a look; empty if nothing does.
    """

    facts: tuple[tuple[str, str], ...]
    cameras: tuple[tuple[str, str, str, str], ...]
    shapes: tuple[tuple[str, str], ...]
    numbers: tuple[Numbers, ...]
    health: tuple[str, ...]


def overview(
    store: EpisodeStore, *, every_byte: bool = False, progress: Callable[[int, int, str], None] | None = None
) -> Overview:
    """Look through a dataset; pictures are not decoded.

    Args:
        store: The dataset.
        every_byte: Also compare every file with its digest.
        progress: Told (done, total, name) after each episode.
    """
    parts: dict[str, list[NDArray[Any]]] = {}
    shapes: dict[str, str] = {}
    broken: list[str] = []
    for i, name in enumerate(store.names):
        try:
            for label, rows in _columns(store, i, shapes).items():
                parts.setdefault(label, []).append(rows)
            if every_byte and not store.is_intact(i):
                broken.append(f"episode '{name}': its file changed since it was written; build the dataset again")
        except EpisodeError as error:
            broken.append(str(error))
        if progress is not None:
            progress(i + 1, len(store), name)
    numbers = tuple(_numbers(label, np.concatenate(rows)) for label, rows in parts.items())
    return Overview(_facts(store), _cameras(store), tuple(shapes.items()), numbers, tuple(broken + _health(store)))


def _facts(store: EpisodeStore) -> tuple[tuple[str, str], ...]:
    header = store.header
    seconds = np.array([e.length / e.rate_hz for e in header.episodes] or [0.0])
    ticks = sum(e.length for e in header.episodes)
    megabytes = sum(e.file_bytes for e in header.episodes) / 1e6
    spread = f"{seconds.min():.1f} to {seconds.max():.1f} s, median {np.median(seconds):.1f} s"
    outcomes = Counter(e.outcome.value for e in header.episodes)
    operators = Counter(e.notes.get("operator") or "unnamed" for e in header.episodes)
    tasks = Counter(e.instruction for e in header.episodes)
    facts = [
        ("dataset", str(store.path)),
        ("task", f"{header.task.name}, {header.task.rate_hz} Hz, action {header.task.action.label.value}"),
        ("robot", f"{header.robot.name}, {header.robot.nq} joints"),
        ("spec digest", header.spec_digest[:16]),
        ("episodes", f"{len(store)} with {ticks} ticks, {len(header.rejected)} left out"),
        ("duration", f"{seconds.sum() / 60:.1f} min; {spread}"),
        ("outcomes", _counted(outcomes)),
        ("operators", _counted(operators)),
        ("tasks in words", _counted(tasks)),
        ("on disk", f"{megabytes:.1f} MB, format {header.format_version}"),
    ]
    return tuple(facts + [(f"built with {k}", v) for k, v in sorted(header.options.items())])


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} x {name}" if name else f"{n} x (none)" for name, n in counts.most_common(6))


def _cameras(store: EpisodeStore) -> tuple[tuple[str, str, str, str], ...]:
    rows = []
    for camera in sorted({c for e in store.header.episodes for c in e.intrinsics}):
        kinds = {e.intrinsics[camera] for e in store.header.episodes if camera in e.intrinsics}
        sizes = ", ".join(sorted({f"{i.width}x{i.height}" for i in kinds}))
        lenses = ", ".join(sorted({f"f {i.fx:.1f} {i.fy:.1f}, c {i.cx:.1f} {i.cy:.1f}" for i in kinds}))
        ages = [e.statistics.get(f"{_AGE}camera/{camera}") for e in store.header.episodes]
        known = [a for a in ages if a is not None]
        rows.append((camera, sizes, lenses, f"{max(known):.0f} ms" if known else "unknown"))
    return tuple(rows)


def _columns(store: EpisodeStore, i: int, shapes: dict[str, str]) -> dict[str, NDArray[Any]]:
    """Numbers of an episode by label; fills in what one tick of each column is."""
    table, robot = TableFile(store.file(i)), store.header.robot
    found: dict[str, NDArray[Any]] = {}
    for column, kind in table.kinds.items():
        if kind == "binary":
            shapes[column] = "encoded picture, 8-bit RGB" if column.startswith("rgb.") else "encoded picture, 16-bit mm"
    for prefix, column in (("ee", "T_base_ee"), ("action", "T_base_ee_des")):
        rows = table.numbers(column).reshape(-1, 4, 4)
        shapes[column] = "(4, 4) m"
        found |= {f"{prefix} {axis} [m]": rows[:, k, 3] for k, axis in enumerate("xyz")}
    if store.header.task.action.gripper:
        found["action gripper"] = table.numbers("gripper_des")
        shapes["gripper_des"] = "() 0 closed .. 1 open"
    if any(column == "age_ns.arm" for column in table.kinds):
        found |= {f"{name} [rad]": q for name, q in zip(robot.joint_names, table.numbers("q").T, strict=True)}
        found["gripper"] = table.numbers("gripper")
        shapes |= {"q, v, tau": f"({robot.nq},) rad, rad/s, N·m", "gripper": "() 0 closed .. 1 open"}
    for column in table.kinds:
        if column.startswith("age_ns."):
            found[f"age {column.removeprefix('age_ns.')} [ms]"] = table.numbers(column) / 1e6
    for column, label, units in (("wrench", "wrench", ("N", "N·m")), ("k_p_des", "stiffness", ("N/m", "N·m/rad"))):
        if column in table.kinds:
            shapes[column] = f"(6,) {units[0]}, {units[1]}"
            for k, row in enumerate(table.numbers(column).T):
                turn = "about " if k > 2 else ""
                found[f"{label} {turn}{'xyz'[k % 3]} [{units[k // 3]}]"] = row
    if "intervention" in table.kinds:
        found["intervention"] = table.numbers("intervention").astype(np.float64)
        shapes["intervention"] = "() flag"
    return found


def _numbers(name: str, rows: NDArray[Any]) -> Numbers:
    q01, q99 = np.quantile(rows, (0.01, 0.99))
    values = (rows.min(), q01, rows.mean(), rows.std(), q99, rows.max())
    return Numbers(name, *(float(v) for v in values))


def _health(store: EpisodeStore) -> list[str]:
    """What deserves a look, from dataset.json alone."""
    header, found = store.header, []
    if not header.episodes:
        return ["no episodes; build it from recordings that succeeded"]
    limits = limits_of(header.task)
    seconds = np.array([e.length / e.rate_hz for e in header.episodes])
    median = float(np.median(seconds))
    spread = max(float(np.median(np.abs(seconds - median))), 0.5)
    for e, s in zip(header.episodes, seconds, strict=True):
        for stream, limit_ns in limits.items():
            age = e.statistics.get(_AGE + stream)
            if age is not None and age > limit_ns / 1e6:
                found.append(f"episode '{e.name}': '{stream}' is up to {age:.0f} ms old, limit {limit_ns / 1e6:.0f} ms")
        if e.statistics.get("action_step_max_mm", 0.0) > JUMP_MM:
            found.append(f"episode '{e.name}': the action jumps {e.statistics['action_step_max_mm']:.0f} mm in a tick")
        if abs(s - median) > ODD * spread:
            found.append(f"episode '{e.name}': lasts {s:.1f} s, the median is {median:.1f} s")
        if "holes" in e.notes:
            found.append(f"episode '{e.name}': cut out of a recording with holes ({e.notes['holes'][:80]})")
        if e.rate_hz != header.task.rate_hz:
            found.append(f"episode '{e.name}': has {e.rate_hz} Hz, the task {header.task.rate_hz} Hz")
    return found
