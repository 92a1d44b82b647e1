"""Looks at every byte of a recording and says what is damaged, what was lost with it, and what is left."""

from __future__ import annotations

import hashlib
import mmap
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from il_core.errors import RecordingError
from il_core.store import mcap_records as mcap
from il_core.store.damage import Inspection, Loss
from il_core.store.files import is_being_written
from il_core.store.header import HEADER_FILE, RecordingHeader, parse_header
from il_core.store.mcap_scan import Note, Span, scan, tables
from il_core.store.rosbag2_index import INDEX_FILE
from il_core.store.seal import mended_text, unseal
from il_core.store.writer import KEPT, OPENED, PARTIAL

REPAIR_FILE = "repair.json"
_BLOCK_BYTES = 1 << 24
_OURS = (HEADER_FILE, INDEX_FILE, REPAIR_FILE, f"{HEADER_FILE}.new")


def is_recording(folder: Path) -> bool:
    """Whether a folder is, or was meant to be, one recording."""
    return folder.is_dir() and ((folder / HEADER_FILE).exists() or any(folder.glob("*.mcap")))


def inspect_recording(path: Path | str) -> Inspection:
    """Read every byte of a recording, finished or not, and compare it with all its sums.

    Args:
        path: Folder of the recording.

    Raises:
        RecordingError: no folder of a recording, or it may not be read.
    """
    found = Inspection(Path(path))
    if not is_recording(found.path):
        raise RecordingError(found.path, "is no folder of a recording; name one, or a folder that holds some")
    try:
        _read_header(found)
        _find_data(found)
        found.is_running = found.data_path is not None and is_being_written(found.data_path)
        if found.is_running:
            found.problems.insert(0, "a recorder is writing it right now; ask again when it is done")
        notes = _read_data(found) if found.data_path is not None else {}
        _best_header(found, notes)
        _compare(found)
    except OSError as error:
        raise RecordingError(found.path, f"cannot be read ({error}); check its permissions and the disk") from error
    return found


def mapped(path: Path) -> mmap.mmap | bytes:
    """Content of a file without reading it into memory."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _read_header(found: Inspection) -> None:
    file = found.path / HEADER_FILE
    is_unfinished = found.path.suffix == PARTIAL
    if not file.exists():
        words = "was not closed: the recorder was killed or is still writing" if is_unfinished else "is missing"
        found.problems.append(f"{found.path.name if is_unfinished else HEADER_FILE} {words}")
        return
    if is_unfinished:
        found.problems.append(f"{found.path.name} was not closed: the recorder was killed while finishing it")
    data = file.read_bytes()
    try:
        found.header, found.header_from = parse_header(data, found.path), HEADER_FILE
        if not unseal(data).has_digest:
            found.warnings.append(f"{HEADER_FILE} has no digest (release 0.1); a change of it may go unnoticed")
        return
    except RecordingError as error:
        found.problems.append(error.problem)
    mended = mended_text(data)
    if mended is not None:
        found.header, found.header_from = parse_header(mended, found.path), f"{HEADER_FILE}, one flipped bit set right"


def _find_data(found: Inspection) -> None:
    files = sorted(found.path.glob("*.mcap"))
    if found.header is not None:
        name = f"{found.header.name}_0.mcap"
        found.data_path = next((f for f in files if f.name == name), None)
    if found.data_path is None and len(files) == 1:
        found.data_path = files[0]
    if found.data_path is None:
        found.problems.append(f"its data file is missing; it holds {[f.name for f in files] or 'no MCAP file'}")
    for extra in sorted(found.path.iterdir()):
        if extra != found.data_path and extra.name not in _OURS:
            found.warnings.append(f"{extra.name} does not belong to the recording")


def _read_data(found: Inspection) -> dict[str, dict[str, str]]:
    """Walk the data file; returns its notes."""
    assert found.data_path is not None
    data = mapped(found.data_path)
    try:
        return _walk(found, data)
    finally:
        if isinstance(data, mmap.mmap):
            data.close()


def _walk(found: Inspection, data: mcap.Data) -> dict[str, dict[str, str]]:
    schemas: mcap.Schemas = {}
    channels: mcap.Channels = {}
    counts: dict[int, int] = {}
    notes: dict[str, dict[str, str]] = {}
    spans: list[Span] = []
    first_ns, last_ns = [], []
    for item in scan(data):
        if isinstance(item, mcap.Chunk):
            tables(item, schemas, channels)
            for message in item.messages:
                counts[message.channel] = counts.get(message.channel, 0) + 1
            first_ns.append(min((m.log_ns for m in item.messages), default=0))
            last_ns.append(max((m.log_ns for m in item.messages), default=0))
        elif isinstance(item, Span):
            spans.append(item)
        elif isinstance(item, Note):
            notes[item.name] = item.values
        else:
            tables(item, schemas, channels)
            found.is_closed = item.is_closed
    found.channels = _channel_table(schemas, channels, notes)
    found.texts = {name: text.decode("utf-8", "replace") for name, kind, text in schemas.values() if kind == "ros2msg"}
    found.span = (min(first_ns, default=0), max(last_ns, default=0))
    absolute = {number: topic for number, (topic, _) in found.channels.items()}
    found.found = {absolute.get(number, f"channel {number}"): n for number, n in counts.items()}
    found.losses = [_loss(span, absolute) for span in spans]
    if found.header is not None and found.header.data_bytes:
        found.is_data_exact = _sums(found, data, found.header)
    return notes


def _channel_table(
    schemas: mcap.Schemas, channels: mcap.Channels, notes: Mapping[str, Mapping[str, str]]
) -> dict[int, tuple[str, str]]:
    """Topic and type per channel: what chunks and summary tell, and what the notes know beyond that."""
    table: dict[int, tuple[str, str]] = {}
    for name in (OPENED, KEPT):
        try:
            sealed = unseal(notes.get(name, {}).get("channels", "").encode())
            rows = sealed.values["channels"] if sealed.has_digest and not sealed.problem else []
            table |= {k: (str(topic), str(kind)) for k, (topic, kind) in enumerate(rows, 1)}
        except (ValueError, KeyError, TypeError):
            continue
    for number, (topic, schema) in channels.items():
        table[number] = (topic, schemas[schema][0] if schema in schemas else table.get(number, ("", ""))[1])
    return table


def _loss(span: Span, absolute: Mapping[int, str]) -> Loss:
    counts = {absolute.get(number, f"channel {number}"): n for number, n in span.counts.items()}
    from_ns, to_ns = span.log_ns or (None, None)
    return Loss(span.start, span.end - 1, span.reason, span.is_data, from_ns, to_ns, counts)


def _sums(found: Inspection, data: mcap.Data, header: RecordingHeader) -> bool:
    """Compare size and CRC of the data file with the header."""
    if len(data) != header.data_bytes:
        found.problems.append(f"data file has {len(data)} bytes, {header.data_bytes} were written")
        return False
    crc = 0
    for at in range(0, len(data), _BLOCK_BYTES):
        crc = zlib.crc32(data[at : at + _BLOCK_BYTES], crc)
    if crc != header.data_crc32:
        found.problems.append("data file is damaged: its checksum differs")
    return crc == header.data_crc32


def _best_header(found: Inspection, notes: Mapping[str, Mapping[str, str]]) -> None:
    """Take the header from the data file if the one beside it cannot be read; then name topics by it."""
    for name, words in ((KEPT, "the data file, as of keeping; later labels are lost"), (OPENED, "the data file")):
        if found.header is None and "header" in notes.get(name, {}):
            try:
                found.header = parse_header(notes[name]["header"].encode(), found.path)
                found.header_from = words
            except RecordingError as error:
                found.warnings.append(f"the copy of the header in the data file: {error.problem}")
    found.found = {found.topic(t): n for t, n in found.found.items()}
    for k, loss in enumerate(found.losses):
        found.losses[k] = replace(loss, counts={found.topic(t): n for t, n in loss.counts.items()})


def _compare(found: Inspection) -> None:
    """Compare what is there with what the header says."""
    if found.data_path is not None and not found.is_closed and found.path.suffix != PARTIAL:
        found.losses.append(_missing_end(found, found.data_path.stat().st_size))
    found.problems += [str(loss) for loss in found.losses]
    if found.header is None:
        found.problems.append("no copy of its header is left")
        return
    if not found.header.data_bytes:  # the copy in the data file does not know what came after it
        return
    for topic, n in found.lost.items():
        total = found.header.topics[topic].received
        found.problems.append(f"topic '{topic}': {n} of {total} messages cannot be read")
    for topic, n in found.found.items():
        if topic not in found.header.topics or n > found.header.topics[topic].received:
            found.problems.append(f"topic '{topic}' has more messages than {HEADER_FILE} knows")
    _compare_index(found, found.header)


def _missing_end(found: Inspection, size: int) -> Loss:
    """What is not there any more after the last byte; its counts, if all else that is lost is counted."""
    spans = [loss for loss in found.losses if loss.has_messages]
    counts = found.lost if all(loss.counts for loss in spans) else {}
    for loss in spans:
        counts = {t: n - loss.counts.get(t, 0) for t, n in counts.items()}
    counts = {t: n for t, n in counts.items() if n > 0}
    return Loss(size, size, "the end of the file is missing", True, found.span[1] or None, None, counts)


def _compare_index(found: Inspection, header: RecordingHeader) -> None:
    """Compare metadata.yaml with its digest, or, if it has none, with what it must say."""
    file = found.path / INDEX_FILE
    if not file.exists():
        found.problems.append(f"{INDEX_FILE} is missing")
        return
    data = file.read_bytes()
    if header.index_sha256:
        if hashlib.sha256(data).hexdigest() != header.index_sha256:
            found.problems.append(f"{INDEX_FILE} was changed after it was written")
        return
    try:
        info = yaml.safe_load(data)["rosbag2_bagfile_information"]
        topics = {t["topic_metadata"]["name"]: t["message_count"] for t in info["topics_with_message_count"]}
        agrees = topics == {header.absolute(t): r.received for t, r in header.topics.items()}
        agrees &= info["relative_file_paths"] == [f"{header.name}_0.mcap"] and info["message_count"] == sum(
            topics.values()
        )
    except (yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError, AttributeError):
        agrees = False
    if not agrees:
        found.problems.append(f"{INDEX_FILE} does not say what {HEADER_FILE} says")
