"""A dataset as LeRobotDataset v3.0: one closed file per episode and kind, committed one episode at a time.

An episode's files are written beside their names and renamed when they are whole: videos, data, then
``meta/episodes``, tasks, statistics and, last, ``info.json``. Stopped at any instant, the folder holds
every episode that ``info.json`` counts; ``resume`` goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from il_core.errors import ConfigError, EpisodeError, nearest
from il_core.store.dataset_header import dataset_text
from il_core.store.episodes import EpisodeStore
from il_core.store.files import sync_folder
from il_core.store.tables import Column, Lists, TableFile, parquet_bytes
from il_teleop.dataset import lerobot_format as lr
from il_teleop.dataset.lerobot_columns import Layout, layout_of, numbers_of
from il_teleop.dataset.lerobot_pictures import DEPTH_KINDS, RGB_KINDS, write_pictures

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How pictures are stored.

    Attributes:
        rgb: ``av1`` or ``h264`` video, with loss, or ``png`` in the data table, without.
        depth: ``png``: 16-bit millimetres in the data table, without loss; or ``video``: LeRobot's 12-bit
            logarithmic code (steps of 1 to 3 mm; no measurement reads as 10 mm).
        resume: Go on with an export that was stopped, instead of refusing its folder.
    """

    rgb: str = "av1"
    depth: str = "png"
    resume: bool = False

    def __post_init__(self) -> None:
        """Reject unknown kinds."""
        for name, value, options in (("rgb", self.rgb, RGB_KINDS), ("depth", self.depth, DEPTH_KINDS)):
            if value not in options:
                raise ConfigError(f"--{name}", f"no kind '{value}'; {nearest(value, list(options))}")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    Attributes:
        path: The folder.
        episodes: Episodes in it.
        ticks: Ticks in it.
        left_out: Columns it lacks, and why.
    """

    path: Path
    episodes: int
    ticks: int
    left_out: tuple[str, ...]


def export_lerobot(
    store: EpisodeStore, out: Path, options: ExportOptions | None = None, progress: Progress | None = None
) -> ExportReport:
    """Write a dataset in LeRobot's format.

    Raises:
        EpisodeError: the folder is in use, an episode is damaged, an encoder refuses its pictures, or
            the disk is full; what ``info.json`` counts is whole in every case.
    """
    options = options or ExportOptions()
    if not len(store):
        raise EpisodeError(store.path, "has no episodes; build it from recordings first")
    export = _Export(store, out, options)
    try:
        export.begin()
        for i in range(export.episodes, len(store)):
            export.add(i)
            if progress is not None:
                progress(i + 1, len(store), store.names[i])
    except OSError as error:
        problem = f"cannot write: {error.strerror or error}; free space, then go on with --resume"
        raise EpisodeError(out, f"{problem}; {export.episodes} episodes are whole") from error
    return ExportReport(out, export.episodes, export.ticks, export.layout.left_out)


class _Export:
    """An export in progress: what is committed so far."""

    def __init__(self, store: EpisodeStore, out: Path, options: ExportOptions) -> None:
        self._store, self._out, self._options = store, out, options
        self.layout: Layout = layout_of(store, options.rgb, options.depth)
        self.episodes = self.ticks = 0
        self._tasks: list[str] = []
        self._stats: dict[str, lr.Stats] = {}

    def begin(self) -> None:
        """Make the folder, or find out how far an earlier export came.

        Raises:
            EpisodeError: the folder is in use, or is an export of something else.
        """
        mark = dataset_text(self._store.header)
        if self._options.resume and (self._out / lr.INFO).exists():
            self._resume(mark)
            return
        begun = self._options.resume and [p.name for p in self._out.glob("*")] == ["meta"]  # and nothing committed
        if not begun and self._out.exists() and (not self._out.is_dir() or any(self._out.iterdir())):
            raise EpisodeError(self._out, "exists and is not empty; choose another folder, or --resume an export")
        (self._out / "meta").mkdir(parents=True, exist_ok=True)
        self._write(lr.OURS, mark.encode())
        self._write_info()

    def _resume(self, mark: str) -> None:
        try:
            same = (self._out / lr.OURS).read_text(encoding="utf-8") == mark
            info = json.loads((self._out / lr.INFO).read_text(encoding="utf-8"))
            total = int(info["total_episodes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EpisodeError(self._out, f"cannot go on with this export ({error}); write it anew") from error
        if not same or info["features"] != json.loads(json.dumps({**self.layout.features, **lr.default_features()})):
            raise EpisodeError(self._out, "is an export of another dataset or of other options; write it anew")
        self.episodes, self.ticks = total, int(info["total_frames"])
        if total:
            table = TableFile(self._out / lr.TASKS)
            self._tasks = [str(task) for task in table.values("task")]
        for i in range(total):  # not from stats.json: it may count an episode that was not committed
            chunk, file = divmod(i, lr.CHUNK)
            row = TableFile(self._out / lr.EPISODES_PATH.format(chunk_index=chunk, file_index=file))
            self._pool({k: _stats_in(row, k) for k in (*self.layout.features, *lr.DEFAULTS)})

    def add(self, i: int) -> None:
        """Write and commit one episode.

        Raises:
            EpisodeError: it is damaged, or an encoder refuses its pictures.
        """
        episode = self._store.episode(i)
        chunk, file = divmod(i, lr.CHUNK)
        place = {"chunk_index": chunk, "file_index": file}
        n = len(episode.observations)
        instruction = self._store.header.episodes[i].instruction or self._store.header.task.instruction
        if instruction not in self._tasks:
            self._tasks.append(instruction)
        columns: dict[str, Column] = dict(numbers_of(episode, self.layout))
        columns |= self._defaults(i, n, self._tasks.index(instruction), episode.rate_hz)
        stats = {k: lr.vector_stats(v) for k, v in columns.items() if isinstance(v, np.ndarray)}
        for key, camera, is_depth in self.layout.pictures:
            target = self._out / lr.VIDEO_PATH.format(video_key=key, **place)
            kind = self._options.depth if is_depth else self._options.rgb
            pictures, stats[key] = write_pictures(episode, camera, is_depth, kind, target)
            if pictures is not None:
                columns[key] = pictures
        ordered = {k: columns[k] for k in (*self.layout.features, *lr.DEFAULTS) if k in columns}
        self._write(lr.DATA_PATH.format(**place), parquet_bytes(ordered))
        self._write(lr.EPISODES_PATH.format(**place), parquet_bytes(self._row(i, n, instruction, place, stats)))
        indices = np.arange(len(self._tasks), dtype=np.int64)
        self._write(lr.TASKS, parquet_bytes({"task_index": indices, "task": self._tasks}, pandas_index="task"))
        self._pool(stats)
        self._write(lr.STATS, lr.as_json({k: {n: v.tolist() for n, v in s.items()} for k, s in self._stats.items()}))
        self.episodes, self.ticks = i + 1, self.ticks + n
        self._write_info()

    def _pool(self, stats: dict[str, lr.Stats]) -> None:
        """Add an episode's statistics to those of all."""
        self._stats = {k: lr.pooled([self._stats[k], s] if k in self._stats else [s]) for k, s in stats.items()}

    def _defaults(self, i: int, n: int, task: int, fps: int) -> dict[str, Column]:
        k = np.arange(n, dtype=np.int64)
        return {
            "timestamp": (k / fps).astype(np.float32),
            "frame_index": k,
            "episode_index": np.full(n, i, dtype=np.int64),
            "index": self.ticks + k,
            "task_index": np.full(n, task, dtype=np.int64),
        }

    def _row(self, i: int, n: int, task: str, place: dict[str, int], stats: dict[str, lr.Stats]) -> dict[str, Column]:
        """The episode's row of meta/episodes."""
        at = {k: np.array([v], dtype=np.int64) for k, v in place.items()}
        row: dict[str, Column] = {"episode_index": np.array([i], dtype=np.int64), "tasks": Lists([[task]], "string")}
        row |= {"length": np.array([n], dtype=np.int64)}
        row |= {f"data/{k}": v for k, v in at.items()}
        row |= {"dataset_from_index": np.array([self.ticks]), "dataset_to_index": np.array([self.ticks + n])}
        for key, feature in self.layout.features.items():
            if feature["dtype"] == "video":
                row |= {f"videos/{key}/{k}": v for k, v in at.items()}
                row[f"videos/{key}/from_timestamp"] = np.array([0.0])
                row[f"videos/{key}/to_timestamp"] = np.array([n / self._store.header.task.rate_hz])
        for key in (*self.layout.features, *lr.DEFAULTS):
            for name, value in stats[key].items():
                item = "int64" if name == "count" else "float64"
                row[f"stats/{key}/{name}"] = Lists([value.tolist()], item, value.ndim)
        return row | {f"meta/episodes/{k}": v for k, v in at.items()}

    def _write_info(self) -> None:
        header = self._store.header
        totals = (self.episodes, self.ticks, len(self._tasks))
        self._write(lr.INFO, lr.as_json(lr.info(header.task.rate_hz, header.robot.name, self.layout.features, totals)))

    def _write(self, name: str, content: bytes | str) -> None:
        """Write beside, wait for the disk, rename."""
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        with fresh.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        sync_folder(path.parent)


def _stats_in(row: TableFile, key: str) -> lr.Stats:
    """Statistics of a column from an episode's row of meta/episodes."""
    return {name: np.array(row.values(f"stats/{key}/{name}")[0]) for name in lr.STATISTICS}
