"""Datasets on disk: dataset.json and one Parquet file per episode, each written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from il_core.config import Setup, from_mapping
from il_core.errors import ConfigError, EpisodeError, SpecMismatchError
from il_core.spec import RobotSpec, TaskSpec
from il_core.store.episode_table import decode_episode, encode_episode
from il_core.store.writer import sync_folder
from il_core.types import Episode, Intrinsics, Outcome

FORMAT_VERSION = 1
DATASET_FILE = "dataset.json"
EPISODE_FOLDER = "episodes"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EpisodeEntry:
    """What dataset.json says about one episode.

    Attributes:
        name: Name of the recording it comes from, and of its file.
        length: Number of ticks.
        outcome: The operator's judgement.
        rate_hz: Tick rate [Hz].
        file_sha256: Digest of the Parquet file, hex.
        file_bytes: Its size [B].
        source: Folder of the recording it was built from.
        instruction: The task in words.
        notes: Free text by key.
        intrinsics: Pinhole parameters per camera.
        statistics: Numbers for a quick look, unit in the key.
    """

    name: str
    length: int
    outcome: Outcome
    rate_hz: int
    file_sha256: str
    file_bytes: int
    source: str = ""
    instruction: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    intrinsics: dict[str, Intrinsics] = field(default_factory=dict)
    statistics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetHeader:
    """Content of dataset.json.

    Attributes:
        spec_digest: Digest of robot, task and URDF, hex.
        robot: The arm.
        task: The task.
        episodes: One entry per episode, in the order they were added.
        rejected: Why a recording is not among the episodes, by its name.
        options: How the dataset was built, by key.
        format_version: Version of this layout.
    """

    spec_digest: str
    robot: RobotSpec
    task: TaskSpec
    episodes: tuple[EpisodeEntry, ...] = ()
    rejected: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


class EpisodeStore:
    """A dataset: episodes in a fixed order, read when asked for."""

    def __init__(self, path: Path, header: DatasetHeader) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self.path = path
        self.header = header

    @classmethod
    def create(cls, path: Path | str, setup: Setup, options: Mapping[str, str] | None = None) -> EpisodeStore:
        """Begin an empty dataset.

        Args:
            path: Folder that is missing or empty.
            setup: Robot and task of all episodes.
            options: How it is built, for the record.

        Raises:
            EpisodeError: the folder is in use or cannot be made.
        """
        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise EpisodeError(folder, "exists and is not empty; choose another folder or remove it")
        store = cls(folder, DatasetHeader(setup.digest, setup.robot, setup.task, options=dict(options or {})))
        store._guard(lambda: (folder / EPISODE_FOLDER).mkdir(parents=True, exist_ok=True))
        store._save(store.header)
        return store

    @classmethod
    def open(cls, path: Path | str, expected_digest: str | None = None) -> EpisodeStore:
        """Open a dataset and check that every episode's file is there and of its size.

        Args:
            path: Folder of the dataset.
            expected_digest: Digest of the robot and task it is wanted for.

        Raises:
            EpisodeError: missing, damaged, or of an unknown version.
            SpecMismatchError: made for another robot or task.
        """
        folder = Path(path)
        header = _read_header(folder)
        if expected_digest is not None and header.spec_digest != expected_digest:
            raise SpecMismatchError(
                f"dataset {folder} (robot '{header.robot.name}', task '{header.task.name}')",
                got=header.spec_digest,
                expected=expected_digest,
                next_step="choose the dataset of this robot and task, or build it again from its recordings",
            )
        store = cls(folder, header)
        for i, entry in enumerate(header.episodes):
            file = store.file(i)
            size = file.stat().st_size if file.is_file() else None
            if size != entry.file_bytes:
                got = "is missing" if size is None else f"has {size} bytes, {entry.file_bytes} were written"
                raise EpisodeError(file, f"{got}; copy the dataset again, or build it again from its recordings")
        return store

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.header.episodes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the episodes."""
        return tuple(e.name for e in self.header.episodes)

    def outcome(self, i: int) -> Outcome:
        """The operator's judgement of an episode."""
        return self.header.episodes[i].outcome

    def file(self, i: int) -> Path:
        """Parquet file of an episode."""
        return self.path / EPISODE_FOLDER / f"{self.header.episodes[i].name}.parquet"

    def episode(self, i: int) -> Episode:
        """Read an episode; its pictures are decoded when they are looked at.

        Raises:
            EpisodeError: the file is missing or damaged.
        """
        entry, file = self.header.episodes[i], self.file(i)
        try:
            return decode_episode(
                file.read_bytes(), entry.name, entry.outcome, entry.rate_hz, entry.intrinsics, entry.notes
            )
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise EpisodeError(
                file, f"cannot be read ({error}); build the dataset again from its recordings"
            ) from error

    def is_intact(self, i: int) -> bool:
        """Whether an episode's file is byte for byte what was written."""
        try:
            return hashlib.sha256(self.file(i).read_bytes()).hexdigest() == self.header.episodes[i].file_sha256
        except OSError:
            return False

    def add(self, episode: Episode, *, source: str = "", statistics: Mapping[str, float] | None = None) -> None:
        """Append an episode, durably; a reader sees it whole or not at all.

        Args:
            episode: The episode; its name must be new.
            source: Folder of the recording it was built from.
            statistics: Numbers for a quick look, unit in the key.

        Raises:
            EpisodeError: the name is taken or not fit for a file, or the disk is full.
        """
        name = episode.name
        if name in self.names or not name or name.startswith(".") or "/" in name:
            raise EpisodeError(self.path, f"episode name '{name}' is taken or no file name; rename the recording")
        data, intrinsics = encode_episode(episode)
        entry = EpisodeEntry(
            name=name,
            length=len(episode.observations),
            outcome=episode.outcome,
            rate_hz=episode.rate_hz,
            file_sha256=hashlib.sha256(data).hexdigest(),
            file_bytes=len(data),
            source=source,
            instruction=self.header.task.instruction,
            notes=dict(episode.notes),
            intrinsics=dict(intrinsics),
            statistics=dict(statistics or {}),
        )
        self._guard(lambda: _write_whole(self.path / EPISODE_FOLDER / f"{name}.parquet", data))
        self._save(replace(self.header, episodes=(*self.header.episodes, entry)))

    def reject(self, name: str, reason: str) -> None:
        """Note why a recording is not among the episodes.

        Raises:
            EpisodeError: the disk is full.
        """
        self._save(replace(self.header, rejected={**self.header.rejected, name: reason}))

    def _save(self, header: DatasetHeader) -> None:
        text = json.dumps(asdict(header), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
        self._guard(lambda: _write_whole(self.path / DATASET_FILE, text.encode()))
        self.header = header

    def _guard(self, action: Callable[[], T]) -> T:
        """Translate what the file system refuses."""
        try:
            return action()
        except OSError as error:
            raise EpisodeError(
                self.path,
                f"cannot write: {error.strerror or error}; free space or choose another folder; "
                f"the {len(self)} episodes written before are whole",
            ) from error


def _read_header(folder: Path) -> DatasetHeader:
    path = folder / DATASET_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = f"holds no {DATASET_FILE}" if folder.is_dir() else "no such folder"
        raise EpisodeError(folder, f"{problem}; make a dataset with `il dataset build`") from None
    except (OSError, ValueError) as error:
        raise EpisodeError(path, f"is unreadable ({error}); build the dataset again") from error
    version = values.get("format_version") if isinstance(values, Mapping) else None
    if version != FORMAT_VERSION:
        problem = f"format_version is {version!r}, this release reads {FORMAT_VERSION}"
        raise EpisodeError(path, f"{problem}; build the dataset again from its recordings")
    try:
        return from_mapping(DatasetHeader, values, str(path))
    except ConfigError as error:
        raise EpisodeError(path, f"is damaged: {error}; build the dataset again from its recordings") from error


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside, wait for the disk, rename: the old content or the new, never a part."""
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
