"""Mends recordings: exactly where the sums allow it, else by saving every message whose chunk is whole."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from il_core.errors import RecordingError
from il_core.store.bitflip import locate_flip
from il_core.store.black_box import Contents
from il_core.store.box_files import read_box
from il_core.store.damage import Inspection
from il_core.store.files import sync_folder, write_durably
from il_core.store.header import HEADER_FILE, RecordingHeader, TopicRecord, header_text, parse_header, read_header
from il_core.store.inspect import inspect_recording, mapped
from il_core.store.mcap_scan import Span, scan
from il_core.store.recording import Recording
from il_core.store.rosbag2_index import INDEX_FILE, index_text
from il_core.store.salvage import DAMAGE, salvage, write_report
from il_core.store.writer import DAMAGED, PARTIAL
from il_core.types import Outcome


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did.

    Attributes:
        path: The mended recording.
        set_aside: Where the damaged one is now.
        before: What was found in it.
        how: What was done, in words.
        messages: Messages in the mended recording.
        lost: Messages lost for good per topic, as far as anything tells; they are also in its header.
    """

    path: Path
    set_aside: Path
    before: Inspection
    how: tuple[str, ...]
    messages: int
    lost: dict[str, int]


def repair_recording(path: Path | str, out: Path | None = None, like: Path | None = None) -> Repair:
    """Make a whole recording out of a damaged or unfinished one.

    One flipped bit in the data file is set right exactly. Otherwise all messages of whole chunks are written
    anew, and every lost stretch is listed in ``repair.json`` beside them and counted in the header. What a killed
    recorder had received and not yet written is taken from its black box. The damaged folder is kept.

    Args:
        path: Folder of the damaged recording.
        out: Folder of recordings to write into; by default the mended one takes the place of the damaged one,
            which is renamed to ``<name>.damaged``.
        like: A whole recording of the same robot and task, whose header to use if no copy of it is left.

    Returns:
        What was done.

    Raises:
        RecordingError: nothing to mend, nothing left to save, no header, or the disk is full.
    """
    before = inspect_recording(path)
    if before.is_whole:
        raise RecordingError(path, "is whole; there is nothing to repair")
    if before.is_running:
        raise RecordingError(path, "a recorder is writing it right now; repair it when that is done")
    box = read_box(before.data_path) if before.data_path is not None else None
    header = _header(before, like, box)
    if header.task != Path(header.task).name or header.task in ("", "..", "."):
        raise RecordingError(path, f"its header names the task '{header.task}', which is no folder name")
    name = before.path.name.removesuffix(PARTIAL)
    final = before.path.with_name(name) if out is None else out / header.task / name
    aside = before.path.with_name(name + DAMAGED) if out is None else before.path
    if (final.exists() and final != before.path) or (aside.exists() and aside != before.path):
        taken = final if final.exists() and final != before.path else aside
        raise RecordingError(before.path, f"{taken} is in the way; move it or give another --out")
    if before.data_path is None:
        raise RecordingError(before.path, "its data file is missing; copy it again")
    work = final.with_name(f"{name}.mending{PARTIAL}")
    shutil.rmtree(work, ignore_errors=True)
    try:
        how, mended = _mend(before, replace(header, name=name), before.data_path, work, box)
        if out is None:
            os.rename(before.path, aside)
        os.rename(mended, final)
        sync_folder(final.parent)
    except OSError as error:
        problem = f"cannot be repaired: {error.strerror or error}; it is unchanged"
        raise RecordingError(before.path, problem) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    mended_one = Recording.open(final)
    mended_one.verify()
    result = mended_one.header
    lost = {t: n for t, r in result.topics.items() if (n := r.lost.get(DAMAGE, 0))}
    return Repair(final, aside, before, how, sum(r.received for r in result.topics.values()), lost)


def _header(before: Inspection, like: Path | None, box: Contents | None) -> RecordingHeader:
    if before.header is None and box is not None:
        before.header, before.header_from = parse_header(box.header.encode(), before.path), "the recorder's black box"
    if before.header is not None:
        return before.header
    if like is None:
        raise RecordingError(
            before.path, "no copy of its header is left; name a whole recording of the same robot and task with --like"
        )
    outcome, created_ns = Outcome.UNLABELLED, before.span[0]
    return replace(read_header(like), created_ns=created_ns, outcome=outcome, topics={}, notes={}, data_bytes=0)


def _mend(
    before: Inspection, header: RecordingHeader, data_path: Path, work: Path, box: Contents | None
) -> tuple[tuple[str, ...], Path]:
    """Make the mended recording below ``work``; returns what was done and its folder."""
    work.mkdir(parents=True)
    whole = _exact(before, header, data_path, work)
    if whole is not None:
        return whole
    return salvage(before, header, data_path, work, box)


def _exact(
    before: Inspection, header: RecordingHeader, data_path: Path, work: Path
) -> tuple[tuple[str, ...], Path] | None:
    """The data file as it was written, with fresh files beside it; None if that cannot be had."""
    how = []
    folder = work / header.name
    folder.mkdir()
    target = folder / f"{header.name}_0.mcap"
    is_sound = before.is_closed and not before.losses
    if before.is_data_exact or (is_sound and not header.data_bytes):
        _link(data_path, target)
    elif header.data_bytes and data_path.stat().st_size == header.data_bytes:
        at = _set_right(data_path, header.data_crc32, target)
        if at is None:
            return None
        how.append(f"one flipped bit in byte {at} of the data file set right; nothing is lost")
    else:
        return None
    _side_files(folder, target, header, how, before)
    return tuple(how), folder


def _link(source: Path, target: Path) -> None:
    """The same bytes under another name; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def _set_right(data_path: Path, crc32: int, target: Path) -> int | None:
    """Copy a file with its one flipped bit set right; the byte it is in, or None if that is not what happened."""
    data = mapped(data_path)
    with memoryview(data) as view:
        bit = locate_flip(view, crc32)
    if isinstance(data, mmap.mmap):
        data.close()
    if bit is None:
        return None
    shutil.copyfile(data_path, target)
    with target.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0] ^ 1 << bit % 8
        file.seek(bit // 8)
        file.write(bytes([byte]))
        file.flush()
        os.fsync(file.fileno())
    fixed = mapped(target)
    is_whole = not any(isinstance(item, Span) for item in scan(fixed))  # the sums inside must agree as well
    if isinstance(fixed, mmap.mmap):
        fixed.close()
    if not is_whole:
        target.unlink()
        return None
    return bit // 8


def _side_files(folder: Path, target: Path, header: RecordingHeader, how: list[str], before: Inspection) -> None:
    """Write recording.json and metadata.yaml for a data file that is whole."""
    alone = inspect_recording(folder)  # of the data file alone, since nothing is beside it yet
    types = {topic: kind for topic, kind in alone.channels.values()}
    counts = {topic: alone.found.get(before.topic(topic), alone.found.get(topic.lstrip("/"), 0)) for topic in types}
    index = index_text(target.name, types, counts, alone.span)
    data = mapped(target)
    with memoryview(data) as view:
        size, crc = len(view), zlib.crc32(view)
    if isinstance(data, mmap.mmap):
        data.close()
    digest = hashlib.sha256(index.encode()).hexdigest()
    relative = {before.topic(topic): topic for topic in types}
    topics = header.topics or {t: TopicRecord(types[a], counts[a]) for t, a in relative.items()}
    fresh = replace(header, topics=topics, data_bytes=size, data_crc32=crc, index_sha256=digest)
    if before.header_from != HEADER_FILE:
        how.append(f"{HEADER_FILE} written again from {before.header_from}")
    if any(INDEX_FILE in problem for problem in before.problems):
        how.append(f"{INDEX_FILE} written again")
    write_durably(folder / INDEX_FILE, index)
    write_durably(folder / HEADER_FILE, header_text(fresh))
    write_report(folder, how, before, {})
    sync_folder(folder)
