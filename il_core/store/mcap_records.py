"""Single records of an MCAP file, believed only when a sum or their own shape proves them; https://mcap.dev/spec."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import lz4.frame  # type: ignore[import-untyped]
import zstandard

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK = 1 << 28  # bytes of one chunk in memory; ours are 64 KiB or one picture
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX = range(1, 8)
ATTACHMENT, STATISTICS, METADATA, DATA_END = 9, 11, 12, 15
HEAD_BYTES = 9  # opcode and length of any record
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time, size and CRC of the content
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_FOOTER_BYTES = HEAD_BYTES + 20 + len(MAGIC)
_DAMAGE = (RuntimeError, zstandard.ZstdError, ValueError, LookupError, EOFError, MemoryError, struct.error)
Data = bytes | mmap.mmap
Schemas = dict[int, tuple[str, str, bytes]]
Channels = dict[int, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message of a chunk whose CRC is right.

    Attributes:
        channel: Number of its channel.
        log_ns: Receive time [ns].
        publish_ns: Header stamp [ns].
        data: CDR bytes.
    """

    channel: int
    log_ns: int
    publish_ns: int
    data: bytes


@dataclass(slots=True)
class Chunk:
    """A chunk whose CRC is right.

    Attributes:
        start: First byte of its record.
        end: Byte after its record, its message indexes not included.
        messages: What is in it.
        index: Content that each message index must have, by channel.
        schemas: Type name, encoding and text by schema number.
        channels: Topic and schema number by channel number.
    """

    start: int
    end: int
    messages: list[RawMessage] = field(default_factory=list)
    index: dict[int, bytearray] = field(default_factory=dict)
    schemas: Schemas = field(default_factory=dict)
    channels: Channels = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """The tables at the end of a file, if their CRC is right.

    Attributes:
        schemas: Type name, encoding and text by schema number.
        channels: Topic and schema number by channel number.
        counts: Messages per channel number.
    """

    schemas: Schemas
    channels: Channels
    counts: dict[int, int]


def record(data: Data, at: int) -> tuple[int, int]:
    """Kind of the record at a position and the byte after it; kind 0 if there can be none."""
    if at + HEAD_BYTES > len(data):
        return 0, at
    kind, length = data[at], int.from_bytes(data[at + 1 : at + HEAD_BYTES], "little")
    end = at + HEAD_BYTES + length
    return (kind, end) if 1 <= kind <= 15 and end <= len(data) else (0, at)


def chunk_end(data: Data, at: int) -> int:
    """Byte after a chunk as the length of its content tells it; -1 if it cannot be.

    The length of the record says the same once more; a flip in one of them leaves the other.
    """
    name_at = at + HEAD_BYTES + _CHUNK_HEAD.size
    name_bytes = int.from_bytes(data[name_at : name_at + 4], "little")
    content_at = name_at + 4 + name_bytes + 8
    if name_bytes > 4 or content_at > len(data):
        return -1
    end = content_at + int.from_bytes(data[content_at - 8 : content_at], "little")
    return end if end <= len(data) else -1


def read_chunk(data: Data, at: int) -> Chunk | None:
    """The chunk at a position, if its CRC is right; None otherwise.

    A CRC of 0 means "none" in MCAP; such a chunk is not believed.
    """
    for end in dict.fromkeys((chunk_end(data, at), record(data, at)[1])):
        chunk = _chunk_until(data, at, end) if end > at else None
        if chunk is not None:
            return chunk
    return None


def _chunk_until(data: Data, at: int, end: int) -> Chunk | None:
    name_at = at + HEAD_BYTES + _CHUNK_HEAD.size + 4
    name_bytes = int.from_bytes(data[name_at - 4 : name_at], "little")
    if name_bytes > 4 or name_at + name_bytes + 8 > end or end - at > MAX_CHUNK:
        return None
    _, _, size, crc = _CHUNK_HEAD.unpack_from(data, at + HEAD_BYTES)
    compression, packed = data[name_at : name_at + name_bytes], data[name_at + name_bytes + 8 : end]
    if not crc or size > MAX_CHUNK:
        return None
    try:
        content = _unpacked(packed, compression, size)
        if content is None or zlib.crc32(content) != crc:
            return None
        return _parsed(content, Chunk(at, end))
    except _DAMAGE:
        return None


def chunk_times(data: Data, at: int) -> tuple[int, int] | None:
    """First and last log time that a chunk's head tells [ns]; not protected by any sum."""
    if at + HEAD_BYTES + _CHUNK_HEAD.size > len(data):
        return None
    first_ns, last_ns, _, _ = _CHUNK_HEAD.unpack_from(data, at + HEAD_BYTES)
    return (first_ns, last_ns) if first_ns <= last_ns else None


def _unpacked(packed: bytes, compression: bytes, size: int) -> bytes | None:
    """Content of a chunk, never longer than a byte more than it says; None if the packed bytes do not end with it."""
    if compression == b"":
        return packed
    if compression == b"lz4":
        lz4_frame = lz4.frame.LZ4FrameDecompressor()
        content = bytes(lz4_frame.decompress(packed, max_length=size + 1))
        return content if lz4_frame.eof and not lz4_frame.unused_data else None
    if compression == b"zstd" and zstandard.get_frame_parameters(packed).content_size <= size:
        return bytes(zstandard.ZstdDecompressor().decompress(packed, size + 1, allow_extra_data=False))
    return None


def _parsed(content: bytes, chunk: Chunk) -> Chunk | None:
    """Fill a chunk with the records of its content; None if they do not fill it."""
    at = 0
    while at < len(content):
        kind, end = record(content, at)
        body = at + HEAD_BYTES
        if kind == 0:
            return None
        if kind == MESSAGE:
            channel, _, log_ns, publish_ns = _MESSAGE_HEAD.unpack_from(content, body)
            chunk.messages.append(RawMessage(channel, log_ns, publish_ns, content[body + _MESSAGE_HEAD.size : end]))
            chunk.index.setdefault(channel, bytearray()).extend(struct.pack("<QQ", log_ns, at))
        else:
            read_table(content, kind, body, end, chunk.schemas, chunk.channels)
        at = end
    return chunk


def read_table(data: Data, kind: int, body: int, end: int, schemas: Schemas, channels: Channels) -> None:
    """Take a Schema or Channel record into the tables; other kinds are left alone.

    Raises:
        ValueError, struct.error: the record is no such thing.
    """
    if kind == SCHEMA:
        number, at = int.from_bytes(data[body : body + 2], "little"), body + 2
        name, at = _string(data, at, end)
        encoding, at = _string(data, at, end)
        text, at = _bytes(data, at, end)
        schemas[number] = (name, encoding, text)
    elif kind == CHANNEL:
        number, schema = struct.unpack_from("<HH", data, body)
        topic, at = _string(data, body + 4, end)
        channels[number] = (topic, schema)


def read_metadata(data: Data, body: int, end: int) -> tuple[str, dict[str, str]]:
    """Name and texts of a Metadata record, which has no CRC.

    Raises:
        ValueError: its lengths do not fill it exactly.
    """
    name, at = _string(data, body, end)
    size, at = int.from_bytes(data[at : at + 4], "little"), at + 4
    if at + size != end:
        raise ValueError("lengths disagree")
    values = {}
    while at < end:
        key, at = _string(data, at, end)
        values[key], at = _string(data, at, end)
    return name, values


def is_attachment_whole(data: Data, body: int, end: int) -> bool:
    """Whether an attachment is what its CRC says; an attachment without one is not believed."""
    return end - body >= 4 and zlib.crc32(data[body : end - 4]) == int.from_bytes(data[end - 4 : end], "little")


def read_summary(data: Data) -> Summary | None:
    """The tables at the end of a file, if the footer is there and the summary's CRC is right; None otherwise."""
    foot = len(data) - _FOOTER_BYTES
    if foot < len(MAGIC) or data[-len(MAGIC) :] != MAGIC or record(data, foot) != (FOOTER, len(data) - len(MAGIC)):
        return None
    start, _, crc = struct.unpack_from("<QQI", data, foot + HEAD_BYTES)
    if not len(MAGIC) < start <= foot or zlib.crc32(data[start : foot + HEAD_BYTES + 16]) != crc:
        return None
    found = Summary({}, {}, {})
    try:
        for kind, body, end in _records(data, start, foot):
            read_table(data, kind, body, end, found.schemas, found.channels)
            if kind == STATISTICS:
                found.counts.update(struct.iter_unpack("<HQ", data[body + 46 : end]))
    except _DAMAGE:
        return None
    return found


def _records(data: Data, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Kind, body and end of consecutive records.

    Raises:
        ValueError: they do not fill the range.
    """
    while at < end:
        kind, after = record(data, at)
        if kind == 0 or after > end:
            raise ValueError("records do not fill the range")
        yield kind, at + HEAD_BYTES, after
        at = after


def _bytes(data: Data, at: int, end: int) -> tuple[bytes, int]:
    after = at + 4 + int.from_bytes(data[at : at + 4], "little")
    if after > end:
        raise ValueError("a length goes beyond its record")
    return data[at + 4 : after], after


def _string(data: Data, at: int, end: int) -> tuple[str, int]:
    text, after = _bytes(data, at, end)
    return text.decode("utf-8"), after
