"""Finds damaged files of a dataset, and makes a whole dataset of what is left; nothing is dropped without a word."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from il_core.errors import EpisodeError
from il_core.store.bitflip import locate_flip
from il_core.store.dataset_header import COPY_FILE, DATASET_FILE, DatasetHeader, parse_dataset_header
from il_core.store.episodes import EPISODE_FOLDER, EpisodeEntry, EpisodeStore
from il_core.store.files import sync_folder
from il_core.store.seal import mended_text, unseal
from il_core.store.writer import DAMAGED, PARTIAL
from il_teleop.dataset.edit import setup_of

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class DatasetFindings:
    """What the bytes of a dataset tell.

    Attributes:
        header: The best copy of dataset.json that proves itself; None if there is none.
        header_from: Where that copy comes from.
        damaged: What is wrong with an episode's file, by name.
        problems: All that is damaged, in words; empty for a whole dataset.
        warnings: What is odd but harmless.
    """

    header: DatasetHeader | None
    header_from: str
    damaged: dict[str, str]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatasetRepair:
    """What a repair did.

    Attributes:
        path: The mended dataset.
        set_aside: Where the damaged one is now.
        mended: Episodes of which one flipped bit was set right.
        lost: Why an episode is not in the mended dataset, by name; dataset.json says the same.
        how: What else was done, in words.
    """

    path: Path
    set_aside: Path
    mended: tuple[str, ...]
    lost: dict[str, str]
    how: tuple[str, ...]


def is_dataset(folder: Path) -> bool:
    """Whether a folder is, or was meant to be, a dataset."""
    return any((folder / name).exists() for name in (DATASET_FILE, COPY_FILE, EPISODE_FOLDER))


def inspect_dataset(path: Path | str, progress: Progress | None = None) -> DatasetFindings:
    """Compare every byte of a dataset with its digests.

    Args:
        path: Folder of the dataset.
        progress: Told (done, total, name) after each episode.

    Raises:
        EpisodeError: no folder of a dataset.
    """
    folder = Path(path)
    if not is_dataset(folder):
        raise EpisodeError(folder, f"holds no {DATASET_FILE}; make a dataset with `il dataset build`")
    header, source, problems, warnings = _best_header(folder)
    damaged: dict[str, str] = {}
    entries = header.episodes if header is not None else ()
    for i, entry in enumerate(entries):
        reason = _damage(folder, entry)
        if reason:
            damaged[entry.name] = reason
            problems.append(f"episode '{entry.name}': {reason}")
        if progress is not None:
            progress(i + 1, len(entries), entry.name)
    known = {f"{e.name}.parquet" for e in entries}
    inside = sorted((folder / EPISODE_FOLDER).iterdir()) if (folder / EPISODE_FOLDER).is_dir() else []
    for file in inside:
        if file.name not in known:
            warnings.append(
                f"{file.name} is not in {DATASET_FILE}: adding it was interrupted, or the list is an old one"
            )
    return DatasetFindings(header, source, damaged, tuple(problems), tuple(warnings))


def _best_header(folder: Path) -> tuple[DatasetHeader | None, str, list[str], list[str]]:
    """Header, where it comes from, problems and warnings."""
    problems: list[str] = []
    warnings: list[str] = []
    found: list[tuple[DatasetHeader, str]] = []
    for name in (DATASET_FILE, COPY_FILE):
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            if name == DATASET_FILE:
                problems.append(f"{name} cannot be read ({error.strerror})")
            else:
                warnings.append(f"{name} is not there; datasets of release 0.1 have none")
            continue
        try:
            found.append((parse_dataset_header(data, folder / name), name))
            if not unseal(data).has_digest:
                warnings.append(f"{name} has no digest (release 0.1); a change of it may go unnoticed")
        except EpisodeError as error:
            problems.append(str(error))
            mended = mended_text(data)
            if mended is not None:
                found.append((parse_dataset_header(mended, folder / name), f"{name}, one flipped bit set right"))
    if not found:
        return None, "", [*problems, f"neither {DATASET_FILE} nor {COPY_FILE} can be mended"], warnings
    if len(found) == 2 and found[0][0] != found[1][0]:
        warnings.append(f"{COPY_FILE} is older than {DATASET_FILE}: writing it was interrupted")
    return *found[0], problems, warnings


def _damage(folder: Path, entry: EpisodeEntry) -> str:
    """What is wrong with the file of an episode, or nothing."""
    try:
        data = (folder / EPISODE_FOLDER / f"{entry.name}.parquet").read_bytes()
    except OSError as error:
        return f"its file cannot be read ({error.strerror})"
    if len(data) != entry.file_bytes:
        return f"its file has {len(data)} bytes, {entry.file_bytes} were written"
    is_same = hashlib.sha256(data).hexdigest() == entry.file_sha256
    return "" if is_same else "its file changed since it was written"


def repair_dataset(path: Path | str, out: Path | None = None, progress: Progress | None = None) -> DatasetRepair:
    """Make a whole dataset out of a damaged one.

    One flipped bit in a file is set right exactly. An episode with more damage is left out, and dataset.json says
    why and which recording to build it from again. The damaged dataset is kept.

    Args:
        path: Folder of the damaged dataset.
        out: Folder to write into; by default the mended one takes the place of the damaged one, which is renamed
            to ``<name>.damaged``.
        progress: Told (done, total, name) after each episode.

    Raises:
        EpisodeError: nothing to mend, no readable dataset.json, or the disk is full.
    """
    folder = Path(path).absolute()
    found = inspect_dataset(folder)
    if not found.problems:
        raise EpisodeError(folder, "is whole; there is nothing to repair")
    if found.header is None:
        raise EpisodeError(folder, f"{'; '.join(found.problems)}; build the dataset again from its recordings")
    final = folder if out is None else out.absolute()
    aside = folder.with_name(folder.name + DAMAGED) if out is None else folder
    for taken in {final, aside} - {folder}:
        if taken.exists():
            raise EpisodeError(folder, f"{taken} is in the way; move it or give another --out")
    work = final.with_name(f"{final.name}.mending{PARTIAL}")
    shutil.rmtree(work, ignore_errors=True)
    try:
        store = EpisodeStore.create(work, setup_of(found.header), found.header.options)
        mended, lost = _copy(folder, found.header, found.damaged, store, progress)
        if out is None:
            os.rename(folder, aside)
        os.rename(work, final)
        sync_folder(final.parent)
    except OSError as error:
        raise EpisodeError(folder, f"cannot be repaired: {error.strerror or error}; it is unchanged") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    how = () if found.header_from == DATASET_FILE else (f"{DATASET_FILE} written again from {found.header_from}",)
    return DatasetRepair(final, aside, tuple(mended), lost, how)


def _copy(
    folder: Path, header: DatasetHeader, damaged: dict[str, str], store: EpisodeStore, progress: Progress | None
) -> tuple[list[str], dict[str, str]]:
    """Take over every episode that is whole or can be made so."""
    mended: list[str] = []
    lost: dict[str, str] = {}
    for name, reason in header.rejected.items():
        store.reject(name, reason)
    for i, entry in enumerate(header.episodes):
        data: bytes | None = None
        if entry.name not in damaged:
            data = (folder / EPISODE_FOLDER / f"{entry.name}.parquet").read_bytes()
        else:
            data = _set_right(folder, entry)
            mended += [entry.name] if data is not None else []
        if data is not None:
            store.adopt(entry, data)
        else:
            again = f"build it again from {entry.source}" if entry.source else "record it again"
            lost[entry.name] = f"{damaged[entry.name]}; {again}"
            store.reject(entry.name, f"left out by a repair: {lost[entry.name]}")
        if progress is not None:
            progress(i + 1, len(header.episodes), entry.name)
    return mended, lost


def _set_right(folder: Path, entry: EpisodeEntry) -> bytes | None:
    """The file of an episode with its one flipped bit set right, or None if that is not what happened."""
    try:
        data = bytearray((folder / EPISODE_FOLDER / f"{entry.name}.parquet").read_bytes())
    except OSError:
        return None
    if len(data) != entry.file_bytes or not entry.file_crc32:
        return None
    bit = locate_flip(bytes(data), entry.file_crc32)
    if bit is None:
        return None
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data) if hashlib.sha256(data).hexdigest() == entry.file_sha256 else None
