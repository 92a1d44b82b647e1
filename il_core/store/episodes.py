"""Datasets on disk: dataset.json and one Parquet file per episode, each written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from il_core.config import Setup
from il_core.errors import EpisodeError, SpecMismatchError
from il_core.store.dataset_header import (
    COPY_FILE,
    DATASET_FILE,
    FORMAT_VERSION,
    DatasetHeader,
    EpisodeEntry,
    dataset_text,
    read_dataset_header,
)
from il_core.store.episode_table import decode_episode, encode_episode
from il_core.store.files import sync_folder
from il_core.types import Episode, Outcome

__all__ = [
    "DATASET_FILE",
    "EPISODE_FOLDER",
    "FORMAT_VERSION",
    "DatasetHeader",
    "EpisodeEntry",
    "EpisodeStore",
    "dataset_text",
]
EPISODE_FOLDER = "episodes"
T = TypeVar("T")


class EpisodeStore:
    """A dataset: episodes in a fixed order, read when asked for."""

    def __init__(self, path: Path, header: DatasetHeader) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self.path = path
        self.header = header
        self._verified: set[int] = set()

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
        header = read_dataset_header(folder)
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
            data = file.read_bytes()
            if i not in self._verified and hashlib.sha256(data).hexdigest() != entry.file_sha256:
                raise ValueError("it changed since it was written")
            self._verified.add(i)
            return decode_episode(data, entry.name, entry.outcome, entry.rate_hz, entry.intrinsics, entry.notes)
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

    def add(
        self,
        episode: Episode,
        *,
        source: str = "",
        statistics: Mapping[str, float] | None = None,
        instruction: str | None = None,
    ) -> None:
        """Append an episode, durably; a reader sees it whole or not at all.

        Args:
            episode: The episode; its name must be new.
            source: Folder of the recording it was built from.
            statistics: Numbers for a quick look, unit in the key.
            instruction: The task in words, if others than the task file's.

        Raises:
            EpisodeError: the name is taken or not fit for a file, or the disk is full.
        """
        self._check_name(episode.name)
        data, intrinsics = encode_episode(episode)
        entry = EpisodeEntry(
            name=episode.name,
            length=len(episode.observations),
            outcome=episode.outcome,
            rate_hz=episode.rate_hz,
            file_sha256=hashlib.sha256(data).hexdigest(),
            file_bytes=len(data),
            file_crc32=zlib.crc32(data),
            source=source,
            instruction=self.header.task.instruction if instruction is None else instruction,
            notes=dict(episode.notes),
            intrinsics=dict(intrinsics),
            statistics=dict(statistics or {}),
        )
        self._append(entry, data)

    def adopt(self, entry: EpisodeEntry, data: bytes) -> None:
        """Append an episode of another dataset, byte for byte; its entry may say other things about it.

        Raises:
            EpisodeError: the bytes are not those of the entry, the name is taken, or the disk is full.
        """
        self._check_name(entry.name)
        if hashlib.sha256(data).hexdigest() != entry.file_sha256:
            raise EpisodeError(f"episode '{entry.name}'", "its file changed since it was written; build it again")
        self._append(entry, data)

    def _check_name(self, name: str) -> None:
        if name in self.names or not name or name.startswith(".") or "/" in name:
            raise EpisodeError(self.path, f"episode name '{name}' is taken or no file name; rename the recording")

    def _append(self, entry: EpisodeEntry, data: bytes) -> None:
        self._guard(lambda: _write_whole(self.path / EPISODE_FOLDER / f"{entry.name}.parquet", data))
        self._save(replace(self.header, episodes=(*self.header.episodes, entry)))

    def reject(self, name: str, reason: str) -> None:
        """Note why a recording is not among the episodes.

        Raises:
            EpisodeError: the disk is full.
        """
        self._save(replace(self.header, rejected={**self.header.rejected, name: reason}))

    def _save(self, header: DatasetHeader) -> None:
        data = dataset_text(header).encode()
        self._guard(lambda: _write_whole(self.path / DATASET_FILE, data))
        self.header = header
        with suppress(OSError):  # the copy is a second chance, not a promise
            _write_whole(self.path / COPY_FILE, data, is_durable=False)

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


def _write_whole(path: Path, data: bytes, *, is_durable: bool = True) -> None:
    """Write beside, wait for the disk, rename: the old content or the new, never a part."""
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)
