"""Datasets out of datasets: merge, split, filter, rename the task, recompute statistics.

Inputs are only read. A result is written to ``<out>.partial`` and renamed when it is whole; several
results of one operation are renamed together at its end.
"""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from il_core.config import Setup
from il_core.errors import EpisodeError, SpecMismatchError
from il_core.store.dataset_header import DatasetHeader, EpisodeEntry
from il_core.store.episodes import EpisodeStore
from il_core.store.files import sync_folder
from il_core.types import Outcome
from il_teleop.dataset.build import statistics

PARTIAL = ".partial"
Progress = Callable[[int, int, str], None]
Item = tuple[EpisodeStore, int, EpisodeEntry]  # where an episode lies, and what shall be said about it


@contextmanager
def fresh_dataset(out: Path, setup: Setup, options: Mapping[str, str]) -> Iterator[EpisodeStore]:
    """An empty dataset that gets its name when the block ends well, and vanishes if it does not.

    Raises:
        EpisodeError: the name is in use, or the disk refuses.
    """
    partial = out.with_name(out.name + PARTIAL)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EpisodeError(out, "exists and is not empty; choose another folder or remove it")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of an operation that was killed
        yield EpisodeStore.create(partial, setup, options)
        if out.exists():
            out.rmdir()
        partial.rename(out)
        sync_folder(out.resolve().parent)
    except OSError as error:
        raise EpisodeError(out, f"cannot write: {error.strerror or error}; choose another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def setup_of(header: DatasetHeader) -> Setup:
    """Robot and task of a dataset, without their files."""
    return Setup(header.robot, header.task, Path(header.robot.urdf), Path(header.robot.srdf), header.spec_digest)


def _write(out: Path, header: DatasetHeader, items: Sequence[Item], options: Mapping[str, str]) -> None:
    with fresh_dataset(out, setup_of(header), {**header.options, **options}) as store:
        _fill(store, items)


def _fill(store: EpisodeStore, items: Sequence[Item], progress: Progress | None = None) -> None:
    for done, (source, i, entry) in enumerate(items, start=1):
        try:
            data = source.file(i).read_bytes()
        except OSError as error:
            raise EpisodeError(source.file(i), f"cannot be read ({error.strerror}); nothing was written") from error
        store.adopt(entry, data)
        if progress is not None:
            progress(done, len(items), entry.name)


def _all(store: EpisodeStore) -> list[Item]:
    return [(store, i, entry) for i, entry in enumerate(store.header.episodes)]


def merge(inputs: Sequence[Path], out: Path, *, rename: bool = False, progress: Progress | None = None) -> int:
    """Put datasets of one robot and task together, in the order given.

    Args:
        inputs: Two or more datasets.
        out: Folder of the result, missing or empty.
        rename: Give an episode whose name is taken the name ``<name>_<n>``.
        progress: Told after each episode.

    Returns:
        Number of episodes.

    Raises:
        EpisodeError: names collide, the same episode is in two inputs, or a dataset is damaged.
        SpecMismatchError: robots or tasks differ.
    """
    if len(inputs) < 2:
        raise EpisodeError(out, "needs at least two datasets to merge")
    stores = [EpisodeStore.open(path) for path in inputs]
    header = stores[0].header
    for store in stores[1:]:
        if store.header.spec_digest != header.spec_digest:
            raise SpecMismatchError(
                f"dataset {store.path} (robot '{store.header.robot.name}', task '{store.header.task.name}')",
                got=store.header.spec_digest,
                expected=header.spec_digest,
                next_step=f"only datasets of one robot and task file can be merged with {stores[0].path}",
            )
    items: list[Item] = []
    seen: dict[str, Path] = {}
    taken: dict[str, Path] = {}
    for store, i, entry in [item for each in stores for item in _all(each)]:
        if entry.file_sha256 in seen:
            where = f"{seen[entry.file_sha256]} and {store.path}"
            raise EpisodeError(
                f"episode '{entry.name}'", f"is in {where}; leave it out of one with `il dataset filter`"
            )
        name, n = entry.name, 2
        while name in taken and rename:
            name, n = f"{entry.name}_{n}", n + 1
        if name in taken:
            where = f"in {taken[name]} and {store.path}, with different content"
            raise EpisodeError(f"episode '{name}'", f"is {where}; give --rename to keep both")
        seen[entry.file_sha256], taken[name] = store.path, store.path
        items.append((store, i, replace(entry, name=name)))
    note = {"merged_from": ", ".join(str(s.path) for s in stores)}
    with fresh_dataset(out, setup_of(header), {**header.options, **note}) as result:
        _fill(result, items, progress)
        for store in stores:
            for name, reason in store.header.rejected.items():
                result.reject(name if name not in result.header.rejected else f"{store.path.name}/{name}", reason)
    return len(items)


def split(source: Path, parts: Mapping[Path, float], seed: int = 0) -> dict[Path, int]:
    """Part a dataset by chance; episodes of one recording stay together, or a test would know its answers.

    Args:
        source: The dataset.
        parts: Share of the episodes per folder; they sum to 1.
        seed: Chooses the episodes.

    Returns:
        Number of episodes per folder.

    Raises:
        EpisodeError: the shares are senseless, or a part would be empty.
    """
    if len(parts) < 2 or min(parts.values()) <= 0 or abs(sum(parts.values()) - 1.0) > 1e-9:
        raise EpisodeError(source, f"shares {list(parts.values())} must be positive and sum to 1; two or more")
    store = EpisodeStore.open(source)
    groups: dict[str, list[Item]] = {}
    for item in _all(store):
        groups.setdefault(item[2].source or item[2].name, []).append(item)
    order = np.random.default_rng(seed).permutation(len(groups))
    ends = np.rint(np.cumsum(list(parts.values())) * len(groups)).astype(int).tolist()
    keys = list(groups)
    chosen: dict[Path, list[Item]] = {}
    for out, start, stop in zip(parts, [0, *ends[:-1]], ends, strict=True):
        wanted = {keys[k] for k in order[start:stop]}
        chosen[out] = [item for item in _all(store) if (item[2].source or item[2].name) in wanted]
        if not chosen[out]:
            raise EpisodeError(out, f"would get none of {len(groups)} recordings; give it a larger share")
    options = {"split_from": str(source), "split_seed": str(seed)}
    _nested(list(chosen.items()), store.header, options)
    return {out: len(items) for out, items in chosen.items()}


def _nested(parts: list[tuple[Path, list[Item]]], header: DatasetHeader, options: Mapping[str, str]) -> None:
    """Write parts inside each other's blocks: the first is named when the last is whole."""
    if parts:
        (out, items), rest = parts[0], parts[1:]
        with fresh_dataset(out, setup_of(header), {**header.options, **options}) as store:
            _fill(store, items)
            _nested(rest, header, options)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which episodes stay; everything given must hold.

    Attributes:
        names: Patterns of names, such as ``2024*``; any of them.
        without: Patterns of names that go.
        outcomes: Outcomes that stay; all if empty.
        instruction: The task in words.
        min_s: Shortest duration [s].
        max_s: Longest duration [s].
        max_age_ms: Oldest sample used [ms].
        notes: Values of notes, such as operator.
    """

    names: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    instruction: str | None = None
    min_s: float = 0.0
    max_s: float = float("inf")
    max_age_ms: float = float("inf")
    notes: tuple[tuple[str, str], ...] = ()

    def why_not(self, entry: EpisodeEntry) -> str:
        """Why an episode goes; empty if it stays."""
        seconds = entry.length / entry.rate_hz
        ages = [v for k, v in entry.statistics.items() if k.startswith("age_max_ms.")]
        tests = (
            (self.names and not _matches(entry.name, self.names), f"its name is none of {list(self.names)}"),
            (_matches(entry.name, self.without), f"its name is one of {list(self.without)}"),
            (self.outcomes and entry.outcome not in self.outcomes, f"its outcome is {entry.outcome.value}"),
            (self.instruction not in (None, entry.instruction), f"its task is '{entry.instruction}'"),
            (not self.min_s <= seconds <= self.max_s, f"it lasts {seconds:.1f} s"),
            (max(ages, default=0.0) > self.max_age_ms, f"its oldest sample is {max(ages, default=0.0):.0f} ms old"),
            *((entry.notes.get(k) != v, f"its {k} is '{entry.notes.get(k, '')}'") for k, v in self.notes),
        )
        return next((reason for goes, reason in tests if goes), "")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, p) for p in patterns)


def filter_episodes(source: Path, out: Path, wanted: Wanted) -> dict[str, str]:
    """Keep the episodes that are wanted; the others are listed in the result with the reason.

    Returns:
        Why each of the others went, by name.

    Raises:
        EpisodeError: nothing is left, or a name pattern fits nothing.
    """
    store = EpisodeStore.open(source)
    for pattern in (*wanted.names, *wanted.without):
        if not any(fnmatch.fnmatchcase(name, pattern) for name in store.names):
            raise EpisodeError(source, f"no episode is called '{pattern}'; `il dataset info` lists them")
    reasons = {e.name: wanted.why_not(e) for e in store.header.episodes}
    kept = [item for item in _all(store) if not reasons[item[2].name]]
    if not kept:
        raise EpisodeError(source, f"no episode is left: {'; '.join(f'{n}: {r}' for n, r in reasons.items())}")
    gone = {name: reason for name, reason in reasons.items() if reason}
    options = {**store.header.options, "filtered_from": str(source)}
    with fresh_dataset(out, setup_of(store.header), options) as result:
        _fill(result, kept)
        for name, reason in {**store.header.rejected, **gone}.items():
            result.reject(name, reason)
    return gone


def rename_task(source: Path, out: Path, new: str, old: str | None = None) -> int:
    """Say the task of episodes in other words; the task file and so the digest stay.

    Returns:
        Number of episodes changed.

    Raises:
        EpisodeError: no episode has the old words, or the new ones are empty.
    """
    store = EpisodeStore.open(source)
    known = sorted({e.instruction for e in store.header.episodes})
    if not new.strip():
        raise EpisodeError(source, "the new task has no words")
    if old is not None and old not in known:
        raise EpisodeError(source, f"no episode's task is '{old}'; there are {known}")
    items: list[Item] = []
    changed = 0
    for where, i, entry in _all(store):
        hit = old is None or entry.instruction == old
        changed += hit
        items.append((where, i, replace(entry, instruction=new) if hit else entry))
    _write(out, store.header, items, {"renamed_from": str(source)})
    return changed


def recompute(source: Path, out: Path, progress: Progress | None = None) -> int:
    """Compute the numbers of `il dataset info` anew from the episodes.

    Returns:
        Number of episodes whose numbers changed.

    Raises:
        EpisodeError: an episode is damaged.
    """
    store = EpisodeStore.open(source)
    items: list[Item] = []
    for where, i, entry in _all(store):
        episode = where.episode(i)
        items.append((where, i, replace(entry, statistics=statistics(episode), length=len(episode.observations))))
        if progress is not None:
            progress(i + 1, len(store), entry.name)
    _write(out, store.header, items, {})
    return sum(new.statistics != old.statistics for (_, _, new), old in zip(items, store.header.episodes, strict=True))
