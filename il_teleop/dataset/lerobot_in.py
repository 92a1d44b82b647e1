"""LeRobotDataset v3.0 directories, ours or anybody's, as raw episodes; odd layouts by the mapping."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core import codec
from il_core.errors import EpisodeError, nearest
from il_core.store.tables import TableFile
from il_core.store.video import read_frames
from il_core.types import Outcome
from il_teleop.dataset import lerobot_format as lr
from il_teleop.dataset.foreign import RawEpisode

_FIELD = re.compile(r"\{(\w+)(?::0?(\d+)d)?\}")  # {file_index:03d}; nothing else is looked up or evaluated
_MAX_FILES = 1_000_000


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where an episode's rows are."""

    index: int
    table: TableFile
    start: int
    stop: int
    place: dict[str, object]
    task: str


class LeRobotFolder:
    """A directory in LeRobot's format.

    Attributes:
        path: The directory.
        info: Content of meta/info.json.
        fps: Rows per second.
        columns: What the tables hold, by column.
        pictures: Keys of pictures: videos, and columns of encoded images.
    """

    def __init__(self, path: Path, data_path: str = "", video_path: str = "") -> None:
        """Read what it says about itself.

        Args:
            path: The directory.
            data_path: Pattern of the tables, if not info.json's; ``{episode_index:06d}``,
                ``{chunk_index:03d}`` and ``{file_index:03d}`` are filled in.
            video_path: The same for videos, with ``{video_key}``.

        Raises:
            EpisodeError: no such directory, or not of this format.
        """
        self.path = path
        self.info = _info(path)
        self.fps = float(self.info.get("fps") or 0) or None
        self._video_path = video_path or str(self.info.get("video_path") or "")
        self._tasks = self._read_tasks()
        self._features: dict[str, Any] = dict(self.info.get("features") or {})
        self._rows = self._find_rows(data_path)
        if not self._rows:
            raise EpisodeError(path, "holds no episodes; expected data/chunk-000/file-000.parquet or the like")
        self.columns = self._rows[0].table.kinds
        videos = [k for k, f in self._features.items() if isinstance(f, dict) and f.get("dtype") == "video"]
        self.pictures = tuple(videos) + tuple(c for c, kind in self.columns.items() if kind.startswith("struct<bytes"))

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self._rows)

    def episode(self, i: int) -> RawEpisode:
        """An episode, read when asked."""
        rows = self._rows[i]

        def numbers(column: str) -> NDArray[Any]:
            if column not in rows.table.kinds:
                raise EpisodeError("column", f"no '{column}'; {nearest(column, list(rows.table.kinds))}")
            return rows.table.numbers(column)[rows.start : rows.stop]

        return RawEpisode(
            name=f"episode_{rows.index:06d}",
            length=rows.stop - rows.start,
            rate_hz=self.fps,
            instruction=rows.task,
            outcome=Outcome.UNLABELLED,
            numbers=numbers,
            rgb=lambda key: self._rgb(rows, key),
            depth=lambda key, unit_m: self._depth(rows, key, unit_m),
        )

    def _rgb(self, rows: _Rows, key: str) -> Iterator[NDArray[np.uint8]]:
        if key in rows.table.kinds:
            yield from (codec.decode_rgb(data) for data in rows.table.pictures(key, rows.start, rows.stop))
        else:
            yield from self._frames(rows, key, depth=False)

    def _depth(self, rows: _Rows, key: str, unit_m: float) -> Iterator[NDArray[np.float32]]:
        parameters = (self._features.get(key) or {}).get("info") or {}
        if key in rows.table.kinds:
            for data in rows.table.pictures(key, rows.start, rows.stop):
                yield codec.decode_depth(data) * np.float32(unit_m * 1e3)
        elif parameters.get("video.depth_max") is not None:  # LeRobot's own code knows its unit
            for codes in self._frames(rows, key, depth=True):
                yield lr.depth_m_from_codes(codes, parameters)
        else:
            for picture in self._frames(rows, key, depth=True):
                yield (picture * np.float64(unit_m)).astype(np.float32)

    def _frames(self, rows: _Rows, key: str, *, depth: bool) -> Iterator[NDArray[Any]]:
        """Pictures of an episode from a video that may hold several.

        Raises:
            EpisodeError: the video is missing, or a picture is not where it should be.
        """
        begin_s = float(str(rows.place.get(f"videos/{key}/from_timestamp", 0.0)))
        path = self._video(rows, key)
        n, fps, found = rows.stop - rows.start, self.fps or 0.0, 0
        for at_s, picture in read_frames(path, depth=depth, start_s=begin_s):
            if at_s < begin_s - 0.5 / (fps or 1e9):
                continue
            if found == n:
                break
            if fps and abs(at_s - begin_s - found / fps) > 0.5 / fps:
                problem = f"picture {found} of episode {rows.index} is at {at_s - begin_s:.3f} s, expected"
                raise EpisodeError(path, f"{problem} {found / fps:.3f} s; a picture is missing")
            found += 1
            yield picture
        if found != n:
            raise EpisodeError(path, f"has {found} pictures for the {n} rows of episode {rows.index}")

    def _video(self, rows: _Rows, key: str) -> Path:
        place = dict(rows.place) | {"video_key": key}
        for name in ("chunk_index", "file_index"):
            place[name] = rows.place.get(f"videos/{key}/{name}", rows.place.get(name, 0))
        if self._video_path:
            path = _inside(self.path, _filled(self._video_path, place))
            if path.is_file():
                return path
        folders = {f for p in self.path.glob("videos/**/*.mp4") for f in p.relative_to(self.path / "videos").parts[:-1]}
        known = sorted(f for f in folders if not re.match(r"chunk-\d+$", f))
        raise EpisodeError(
            self.path, f"no video '{key}' of episode {rows.index}; {nearest(key, known)}; or give 'video_path'"
        )

    def _read_tasks(self) -> dict[int, str]:
        path = self.path / lr.TASKS
        if not path.is_file():
            return _tasks_of_v2(self.path / "meta" / "tasks.jsonl")
        table = TableFile(path)
        text = next((c for c in ("task", "__index_level_0__") if c in table.kinds), None)
        if text is None or "task_index" not in table.kinds:
            return {}
        return {int(i): str(t) for i, t in zip(table.numbers("task_index"), table.values(text), strict=True)}

    def _find_rows(self, data_path: str) -> list[_Rows]:
        """Where every episode's rows are: by meta/episodes if there is one, else by the tables themselves."""
        episodes = sorted((self.path / "meta" / "episodes").glob("**/*.parquet"))
        if episodes and not data_path:
            return self._by_meta(episodes)
        pattern = _filled_glob(data_path) if data_path else "data/**/*.parquet"
        files = [p for p in sorted(self.path.glob(pattern)) if p.is_file()]
        if len(files) > _MAX_FILES:
            raise EpisodeError(self.path, f"has more than {_MAX_FILES} tables; it is damaged or hostile")
        rows: list[_Rows] = []
        for n, file in enumerate(files):
            table = _Table(TableFile(_inside(self.path, str(file.relative_to(self.path)))), n)
            for index in table.spans:
                place: dict[str, object] = {"episode_index": index, "episode_chunk": index // lr.CHUNK, "file_index": n}
                rows.append(table.rows_of(index, place, self._tasks))
        return sorted(rows, key=lambda r: r.index)

    def _by_meta(self, files: list[Path]) -> list[_Rows]:
        total = self.info.get("total_episodes")
        tables: dict[Path, _Table] = {}
        rows: list[_Rows] = []
        for file in files:
            meta = TableFile(file)
            plain = [c for c in meta.kinds if not c.startswith("stats/") and c != "tasks"]
            columns = {c: meta.numbers(c).tolist() for c in plain if not meta.kinds[c].startswith("list")}
            for k in range(meta.rows):
                place: dict[str, object] = {c: v[k] for c, v in columns.items()}
                index = int(str(place["episode_index"]))
                if isinstance(total, int) and index >= total:
                    continue  # written, but not committed: its writer was stopped
                inner = {n: place.get(f"data/{n}", 0) for n in ("chunk_index", "file_index")}
                pattern = str(self.info.get("data_path") or lr.DATA_PATH)
                path = _inside(self.path, _filled(pattern, place | inner | {"episode_index": index}))
                if path not in tables:
                    tables[path] = _Table(TableFile(path), index)
                if index not in tables[path].spans:
                    raise EpisodeError(path, f"holds no rows of episode {index}; copy the dataset again")
                rows.append(tables[path].rows_of(index, place | inner, self._tasks))
        return sorted(rows, key=lambda r: r.index)


def _info(path: Path) -> dict[str, Any]:
    try:
        values = json.loads((path / lr.INFO).read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = f"holds no {lr.INFO}" if path.is_dir() else "no such folder"
        raise EpisodeError(path, f"{problem}; give the root of a LeRobot dataset") from None
    except (OSError, ValueError) as error:
        raise EpisodeError(path / lr.INFO, f"is unreadable ({error}); copy the dataset again") from error
    if not isinstance(values, dict) or not isinstance(values.get("features", {}), dict):
        raise EpisodeError(path / lr.INFO, "is no mapping with 'features'; copy the dataset again")
    version = str(values.get("codebase_version", "v3"))
    if not re.match(r"v?[23](\.|$)", version):
        raise EpisodeError(path, f"is of version {version}, this reads v2 and v3; convert it with LeRobot's own tools")
    return values


def _tasks_of_v2(path: Path) -> dict[int, str]:
    """Tasks by index as version 2 lists them, one JSON mapping a line; none if there is no such file."""
    if not path.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {int(row["task_index"]): str(row["task"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EpisodeError(path, f"is unreadable ({error}); copy the dataset again") from error


class _Table:
    """A table, and where each episode's rows are in it; read once for all its episodes."""

    def __init__(self, file: TableFile, default: int) -> None:
        self.file = file
        self.spans = {index: (start, stop) for index, start, stop in _spans(file, default)}
        self._task_index = file.numbers("task_index") if "task_index" in file.kinds else None

    def rows_of(self, index: int, place: dict[str, object], tasks: Mapping[int, str]) -> _Rows:
        start, stop = self.spans[index]
        task = None if self._task_index is None else tasks.get(int(self._task_index[start]))
        return _Rows(index, self.file, start, stop, place, task or "")


def _spans(table: TableFile, default: int) -> list[tuple[int, int, int]]:
    """Episode index, first row and end of every episode in a table."""
    if "episode_index" not in table.kinds or not table.rows:
        return [(default, 0, table.rows)] if table.rows else []
    index = table.numbers("episode_index")
    cuts = [0, *(np.flatnonzero(np.diff(index)) + 1).tolist(), len(index)]
    spans = [(int(index[a]), a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    if len({i for i, _, _ in spans}) != len(spans):
        raise EpisodeError(table.path, "has rows of one episode in several places; sort them by episode_index")
    return spans


def _filled(pattern: str, place: Mapping[str, object]) -> str:
    """A path pattern with its numbers put in; a name the pattern invents is an error.

    Raises:
        EpisodeError: unknown name, or a width nobody needs.
    """

    def value(match: re.Match[str]) -> str:
        name, width = match.group(1), int(match.group(2) or 0)
        if name not in place or width > 12:
            raise EpisodeError(f"path pattern '{pattern}'", f"'{match.group(0)}'; {nearest(name, list(place))}")
        return str(place[name]).zfill(width)

    return _FIELD.sub(value, pattern)


def _filled_glob(pattern: str) -> str:
    return _FIELD.sub("*", pattern).lstrip("/")


def _inside(root: Path, name: str) -> Path:
    """Path below a folder.

    Raises:
        EpisodeError: it leads out of it.
    """
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise EpisodeError(root, f"path '{name}' leads out of the dataset; it is damaged or hostile")
    return path
