"""Walks a possibly damaged MCAP file record by record, and finds its way again after damage.

Messages are taken only from chunks whose CRC is right. Memory stays bounded by the largest chunk.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from il_core.store import mcap_records as mcap
from il_core.store.mcap_records import HEAD_BYTES, MAGIC, Channels, Chunk, Data, Schemas, Summary

# The head of a chunk as our writer and rosbag2 make it: lengths below 4 GiB, a known compression.
_CHUNK_START = re.compile(
    rb"\x06.{4}\x00{4}.{20}\x00{4}.{4}(?:\x03\x00{3}lz4|\x04\x00{3}zstd|\x00{4}).{4}\x00{4}", re.DOTALL
)
_START_BYTES = 60  # longer than what the pattern matches


@dataclass(frozen=True, slots=True)
class Span:
    """A damaged stretch of a file.

    Attributes:
        start: First byte.
        end: Byte after the last.
        reason: What is wrong there.
        is_data: Whether messages were lost with it.
        log_ns: First and last receive time in it [ns], if the file still tells.
        counts: Messages in it per channel number; empty if the file does not tell.
    """

    start: int
    end: int
    reason: str
    is_data: bool = False
    log_ns: tuple[int, int] | None = None
    counts: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """A Metadata record; it has no CRC, so its texts must prove themselves."""

    name: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """Where the data ends.

    Attributes:
        is_closed: Whether the writer finished the data.
        summary: The tables after it, if their CRC is right.
    """

    is_closed: bool
    summary: Summary | None


def scan(data: Data) -> Iterator[Chunk | Span | Note | End]:
    """Everything in a file in the order of its bytes: what is whole, and what is not. Never raises, whatever the bytes.

    Args:
        data: The file, read or mapped.
    """
    at = 0
    if data[: len(MAGIC)] == MAGIC:
        at = len(MAGIC)
    else:
        yield Span(0, min(len(data), len(MAGIC)), "the file does not begin as an MCAP file does")
        at = min(len(data), len(MAGIC))
    is_closed = False
    while at < len(data) and not is_closed:
        kind, end = mcap.record(data, at)
        chunk = mcap.read_chunk(data, at) if data[at] == mcap.CHUNK else None
        if chunk is not None:
            yield chunk
            if end != chunk.end or mcap.chunk_end(data, at) != chunk.end:
                yield Span(at, at + HEAD_BYTES, "the length of a chunk is wrong")
            at = yield from _message_indexes(data, chunk)
            continue
        if kind not in (0, mcap.CHUNK, mcap.MESSAGE) and _next_chunk(data, at + 1, end) < 0:
            is_closed = kind == mcap.DATA_END and _next_chunk(data, end, len(data)) < 0
            if kind != mcap.DATA_END or is_closed:
                yield from _plain(data, kind, at, end)
                at = end
                continue
        after = _next_chunk(data, at + 1, len(data))
        after = _data_end(data, at) if after < 0 else after
        yield _lost(data, at, after)
        at = after
    summary = mcap.read_summary(data)
    if summary is None and is_closed:
        yield Span(at, len(data), "the summary at the end is damaged")
    yield End(is_closed, summary)


def tables(item: Chunk | End, schemas: Schemas, channels: Channels) -> None:
    """Take what an item says about schemas and channels."""
    source = item.summary if isinstance(item, End) else item
    if source is not None:
        schemas.update(source.schemas)
        channels.update(source.channels)


def _next_chunk(data: Data, at: int, end: int) -> int:
    """Where the next whole chunk begins before ``end``; -1 if there is none."""
    while at < end and (match := _CHUNK_START.search(data, at, end + _START_BYTES)) and match.start() < end:
        if mcap.read_chunk(data, match.start()) is not None:
            return match.start()
        at = match.start() + 1
    return -1


def _data_end(data: Data, at: int) -> int:
    """Where the data ends after the last whole chunk: the DataEnd record, or the end of the file."""
    found = data.find(b"\x0f\x04" + bytes(7), at + 1)
    return len(data) if found < 0 else found


def _message_indexes(data: Data, chunk: Chunk) -> Generator[Span, None, int]:
    """Compare the indexes after a chunk with what is in it; returns the byte after them."""
    at, rest = chunk.end, dict(chunk.index)
    while True:
        kind, end = mcap.record(data, at)
        if kind != mcap.MESSAGE_INDEX:
            break
        body = at + HEAD_BYTES
        channel = int.from_bytes(data[body : body + 2], "little")
        if channel not in rest or data[body + 6 : end] != bytes(rest[channel]):
            break
        del rest[channel]
        at = end
    if not rest or len(rest) == len(chunk.index) and kind not in (0, mcap.MESSAGE_INDEX):
        return at  # all there, or a file without message indexes
    end = at + sum(HEAD_BYTES + 6 + len(content) for content in rest.values())
    yield Span(at, min(end, len(data)), "the message index of a chunk is damaged")
    if end >= len(data):
        return len(data)
    return end if mcap.record(data, end)[0] else at


def _plain(data: Data, kind: int, at: int, end: int) -> Iterator[Span | Note]:
    """A record that is neither chunk nor message."""
    body = at + HEAD_BYTES
    if kind == mcap.METADATA:
        try:
            yield Note(*mcap.read_metadata(data, body, end))
        except ValueError:
            yield Span(at, end, "a metadata record is damaged")
    elif kind == mcap.ATTACHMENT and not mcap.is_attachment_whole(data, body, end):
        yield Span(at, end, "an attachment is damaged or has no CRC")
    elif kind == mcap.DATA_END:
        crc = int.from_bytes(data[body:end], "little")
        with memoryview(data) as view, view[:at] as before:
            if crc and zlib.crc32(before) != crc:
                yield Span(0, at, "the checksum of the data section differs")
    elif kind == mcap.MESSAGE_INDEX:
        yield Span(at, end, "a message index belongs to no chunk")


def _lost(data: Data, at: int, after: int) -> Span:
    """Describe what cannot be read from ``at`` on."""
    if data[at] == mcap.MESSAGE:
        return Span(at, after, "messages outside a chunk have no CRC and are not believed", is_data=True)
    if data[at] != mcap.CHUNK:
        what = "the file is cut off here" if after == len(data) else "bytes that are no record"
        return Span(at, after, what, is_data=True)
    for end in {mcap.record(data, at)[1], mcap.chunk_end(data, at)} - {at, -1}:
        counts = _index_counts(data, end, after)
        if counts:
            return Span(at, after, "a chunk is damaged", True, mcap.chunk_times(data, at), counts)
    reason = "a chunk is cut off" if after == len(data) else "a chunk is damaged"
    return Span(at, after, reason, True, mcap.chunk_times(data, at))


def _index_counts(data: Data, at: int, after: int) -> dict[int, int]:
    """Messages per channel as told by the indexes after a damaged chunk; empty unless they lead to ``after``."""
    counts: dict[int, int] = {}
    while at < after:
        kind, end = mcap.record(data, at)
        body = at + HEAD_BYTES
        if kind == mcap.MESSAGE_INDEX and end - body >= 6:
            counts[int.from_bytes(data[body : body + 2], "little")] = (end - body - 6) // 16
        elif kind not in (mcap.METADATA, mcap.ATTACHMENT):
            return {}
        at = end
    return counts if at == after else {}
