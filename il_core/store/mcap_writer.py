"""Writes MCAP records to a sink, chunk by chunk; https://mcap.dev/spec.

The records around the messages are the mcap package's. Its own writer copies every picture four times, sums it twice
and compresses it whether or not that helps (docs/decisions/0013). Here a chunk goes to the kernel in the pieces its
messages came in, and a picture that compression leaves as it is goes plain.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import lz4.frame  # type: ignore[import-untyped]
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from il_core.store.crc import crc32_of_both
from il_core.store.files import Sink
from il_core.store.mcap_records import CHUNK, HEAD_BYTES, MAGIC, MESSAGE, MESSAGE_INDEX

# A chunk ends when it is this long. One of small messages is compressed; one that a longer message ended only if that
# makes it shorter by a quarter, which is tried again every hundredth time: what a camera sees changes.
CHUNK_BYTES = 64 * 1024
WORTH_IT, TRY_AGAIN = 0.75, 100
LZ4, PLAIN = "lz4", ""
_MESSAGE = struct.Struct("<BQHIQQ")  # kind, bytes, channel, sequence, log and publish time
_MESSAGE_BYTES = _MESSAGE.size - HEAD_BYTES
_CHUNK = struct.Struct("<BQQQQI")  # kind, bytes, first and last log time, size and CRC of the content
_INDEX = struct.Struct("<BQHI")  # kind, bytes, channel, bytes of the entries


class McapWriter:
    """One file being written, from its magic to its magic.

    Not thread-safe. A failed write leaves the file as far as it got.
    """

    def __init__(self, sink: Sink, profile: str, library: str) -> None:
        """Write the head of the file.

        Raises:
            OSError: the disk refuses, here and in every method.
        """
        self._sink = sink
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._chunk_indexes, self._metadata_indexes = RecordBuilder(), RecordBuilder()
        self._counts: dict[int, int] = {}
        self._chunks = self._metadata = 0
        self._span: tuple[int, int] | None = None  # first and last log time of the file
        self._plain_left: dict[int, int] = {}  # channel -> its pictures until compression is tried again
        self._open_chunk()
        sink.write(MAGIC + _bytes(Header(profile, library)))

    def _open_chunk(self) -> None:
        self._parts: list[bytes] = []  # content of the chunk, in order
        self._size = 0
        self._entries: dict[int, list[int]] = {}  # log time and place of its messages, alternately, by channel
        self._times: list[int] = []

    def register_schema(self, name: str, encoding: str, data: bytes) -> int:
        """Announce a type of messages.

        Returns:
            Its number.
        """
        self._schemas.append(Schema(id=len(self._schemas) + 1, data=data, encoding=encoding, name=name))
        self._put(_bytes(self._schemas[-1]))
        return len(self._schemas)

    def register_channel(self, topic: str, encoding: str, schema: int, metadata: Mapping[str, str]) -> int:
        """Announce a topic.

        Returns:
            Its number.
        """
        number = len(self._channels) + 1
        self._channels.append(
            Channel(id=number, topic=topic, message_encoding=encoding, metadata=dict(metadata), schema_id=schema)
        )
        self._counts[number] = 0
        self._put(_bytes(self._channels[-1]))
        return number

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    def add_message(self, channel: int, log_ns: int, data: bytes, publish_ns: int, crc32: int | None = None) -> bool:
        """Append a message to the open chunk, and end the chunk if it is long enough.

        Args:
            channel: Number of its topic.
            log_ns: Receive time [ns].
            data: CDR bytes; kept until the chunk has ended.
            publish_ns: Header stamp [ns].
            crc32: CRC of the data, if it is known.

        Returns:
            Whether the chunk has ended.

        Raises:
            ValueError: a time before 1970, which MCAP cannot hold.
        """
        if log_ns < 0 or publish_ns < 0:
            raise ValueError(f"time {min(log_ns, publish_ns)} ns is before 1970")
        entry = self._entries.setdefault(channel, [])
        entry += (log_ns, self._size)
        head = _MESSAGE.pack(MESSAGE, _MESSAGE_BYTES + len(data), channel, 0, log_ns, publish_ns)
        self._parts += (head, data)
        self._size += len(head) + len(data)
        self._times.append(log_ns)
        if self._size <= CHUNK_BYTES:
            return False
        if len(data) > CHUNK_BYTES:
            self._end_chunk(channel, crc32)
        else:
            self._end_chunk()
        return True

    def flush(self) -> None:
        """End the open chunk: what it holds is the kernel's then."""
        if self._times:
            self._end_chunk()

    def _end_chunk(self, picture_of: int | None = None, last_crc: int | None = None) -> None:
        """Write the chunk and its message indexes.

        Args:
            picture_of: Channel of the long message that ended it; None = all are small.
            last_crc: CRC of that message, if it is known.
        """
        crc = self._continued(0, last_crc)
        compression, content = self._packed(picture_of)
        first_ns, last_ns = min(self._times), max(self._times)
        name = compression.encode()
        packed_bytes = sum(map(len, content))
        body = _CHUNK.size - HEAD_BYTES + 4 + len(name) + 8 + packed_bytes
        head = _CHUNK.pack(CHUNK, body, first_ns, last_ns, self._size, crc)
        head += len(name).to_bytes(4, "little") + name + packed_bytes.to_bytes(8, "little")
        start, length = self._sink.bytes, HEAD_BYTES + body
        indexes, places = self._message_indexes(start + length)
        total = zlib.crc32(head, self._sink.crc32)
        total = zlib.crc32(content[0], total) if compression else self._continued(total, last_crc)
        for index in indexes:
            total = zlib.crc32(index, total)
        self._sink.write(head, *content, *indexes, crc32=total)
        ChunkIndex(
            chunk_length=length,
            chunk_start_offset=start,
            compression=compression,
            compressed_size=packed_bytes,
            message_end_time=last_ns,
            message_index_length=self._sink.bytes - start - length,
            message_index_offsets=places,
            message_start_time=first_ns,
            uncompressed_size=self._size,
        ).write(self._chunk_indexes)
        self._chunks += 1
        for channel, entries in self._entries.items():
            self._counts[channel] += len(entries) // 2
        known = self._span or (first_ns, last_ns)
        self._span = min(known[0], first_ns), max(known[1], last_ns)
        self._open_chunk()

    def _continued(self, crc: int, last_crc: int | None) -> int:
        """CRC of what came before and the content of the chunk."""
        for part in self._parts[:-1]:
            crc = zlib.crc32(part, crc)
        last = self._parts[-1]
        return zlib.crc32(last, crc) if last_crc is None else crc32_of_both(crc, last_crc, len(last))

    def _packed(self, picture_of: int | None) -> tuple[str, Sequence[bytes]]:
        """How the content is compressed, and its pieces."""
        left = self._plain_left.get(picture_of, 0) if picture_of is not None else 0
        if picture_of is not None and left:
            self._plain_left[picture_of] = left - 1
            return PLAIN, self._parts
        packed = lz4.frame.compress(b"".join(self._parts))
        if picture_of is not None and len(packed) > WORTH_IT * self._size:
            self._plain_left[picture_of] = TRY_AGAIN
            return PLAIN, self._parts
        return LZ4, (packed,)

    def _message_indexes(self, at: int) -> tuple[list[bytes], dict[int, int]]:
        """Message index of every channel of the chunk, and where each will begin in the file."""
        indexes, places = [], {}
        for channel, entries in self._entries.items():
            size = 8 * len(entries)
            index = _INDEX.pack(MESSAGE_INDEX, 6 + size, channel, size) + struct.pack(f"<{len(entries)}Q", *entries)
            indexes.append(index)
            places[channel], at = at, at + len(index)
        return indexes, places

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Write texts between the chunks."""
        record = _bytes(Metadata(name=name, metadata=dict(values)))
        MetadataIndex(offset=self._sink.bytes, length=len(record), name=name).write(self._metadata_indexes)
        self._sink.write(record)
        self._metadata += 1

    def finish(self) -> None:
        """Write what is left, then the tables by which readers find their way."""
        self.flush()
        self._sink.write(_bytes(DataEnd(self._sink.crc32)))
        start = self._sink.bytes
        groups = {
            Opcode.SCHEMA: b"".join(map(_bytes, self._schemas)),
            Opcode.CHANNEL: b"".join(map(_bytes, self._channels)),
            Opcode.STATISTICS: _bytes(self._statistics()),
            Opcode.CHUNK_INDEX: _end(self._chunk_indexes),
            Opcode.METADATA_INDEX: _end(self._metadata_indexes),
        }
        tables, offsets = b"", b""
        for kind, group in groups.items():
            offsets += _bytes(
                SummaryOffset(group_opcode=kind, group_start=start + len(tables), group_length=len(group))
            )
            tables += group
        summary = tables + offsets
        footer = _bytes(Footer(summary_start=start, summary_offset_start=start + len(tables), summary_crc=0))
        crc = zlib.crc32(footer[: HEAD_BYTES + 16], zlib.crc32(summary))
        self._sink.write(summary, footer[: HEAD_BYTES + 16], crc.to_bytes(4, "little"), MAGIC)

    def _statistics(self) -> Statistics:
        first_ns, last_ns = self._span or (0, 0)
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts={channel: n for channel, n in self._counts.items() if n},
            chunk_count=self._chunks,
            message_count=sum(self._counts.values()),
            message_end_time=last_ns,
            message_start_time=first_ns,
            metadata_count=self._metadata,
            schema_count=len(self._schemas),
        )


def _bytes(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return _end(builder)


def _end(builder: RecordBuilder) -> bytes:
    return bytes(builder.end())  # type: ignore[no-untyped-call]
