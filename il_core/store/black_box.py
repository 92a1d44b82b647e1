"""A ring of the messages received last, in memory that outlives the recorder: written here, and read here.

A record is a key, a head and the message, under one CRC. The key is drawn for each take: what an earlier take left in
the ring does not carry it. Records are found by their key wherever they are, so a reader needs no order of bytes, and
a record half written or half overwritten is told by its CRC. Where the memory comes from: ``box_files.py``.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from il_core.store.seal import seal, unseal

VERSION = 2  # of what follows; another one is not read
TABLE_BYTES = 64 << 10  # before the ring: which recording it belongs to
LARGEST = 4  # a message longer than this part of the ring is left out of it
_SIZE = struct.Struct("<I")
_KEY_BYTES = 8
_HEAD = struct.Struct("<HHIIIqq")  # topic, flags, place among all, number within its topic, bytes, log_ns, publish_ns
_CRC_BYTES = 4
_BEFORE_DATA = _KEY_BYTES + _HEAD.size + _CRC_BYTES
_LEFT_OUT = 1  # flag: the message was too large


@dataclass(frozen=True, slots=True)
class BoxMessage:
    """A message in a black box.

    Attributes:
        topic: Its topic.
        number: How many of its topic the take received before it.
        data: CDR bytes.
        log_ns: Receive time [ns].
        publish_ns: Header stamp [ns].
    """

    topic: str
    number: int
    data: bytes
    log_ns: int
    publish_ns: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a black box says about a recording.

    Attributes:
        header: Header of the recording as of its start, as text.
        types: Message type by topic, in the order of announcement.
        messages: The last ones received, in order.
        totals: Messages received per topic, as far as the box tells.
    """

    header: str
    types: dict[str, str]
    messages: list[BoxMessage]
    totals: dict[str, int]

    def beyond(self, counts: Mapping[str, int], newest_ns: Mapping[str, int] | None = None) -> list[BoxMessage]:
        """Messages that the data file lacks.

        Args:
            counts: Messages per topic in the data file.
            newest_ns: For a file with a hole, where numbers say nothing: its last receive time per topic [ns].
        """
        if newest_ns is None:
            return [m for m in self.messages if m.number >= counts.get(m.topic, 0)]
        return [m for m in self.messages if m.topic not in newest_ns or m.log_ns > newest_ns[m.topic]]


class BlackBox:
    """A ring of messages for one take after another.

    Not thread-safe: one thread puts.
    """

    def __init__(self, path: Path, memory: mmap.mmap) -> None:
        """Empty, without a take.

        Args:
            path: The file that is mapped.
            memory: The whole of it; the ring is what lies behind the table.
        """
        self.path = path
        self._memory = memory
        self._end = len(memory)
        self._at = TABLE_BYTES
        self._key = b""
        self._received = 0
        self._topics: dict[str, int] = {}
        self._numbers: list[int] = []

    def begin(self, data_path: Path, header: str, types: Mapping[str, str]) -> None:
        """Start to keep the messages of a take.

        Args:
            data_path: Its data file.
            header: Text of its header.
            types: Message type by topic.

        Raises:
            OSError: no such file, or the texts are too long.
        """
        self.end()
        self._key, self._at, self._received = os.urandom(_KEY_BYTES), TABLE_BYTES, 0
        self._topics = {topic: k for k, topic in enumerate(types)}
        self._numbers = [0] * len(types)
        found = data_path.stat()
        table = {"version": VERSION, "data": str(data_path.absolute()), "device": found.st_dev, "inode": found.st_ino,
                 "key": self._key.hex(), "header": header, "types": list(types.items())}  # fmt: skip
        text = seal(table).encode()
        if _SIZE.size + len(text) > TABLE_BYTES:
            raise OSError(errno.EMSGSIZE, "the header is too long for the black box", str(data_path))
        self._memory[: _SIZE.size + len(text)] = _SIZE.pack(len(text)) + text

    def put(self, topic: str, data: bytes, log_ns: int, publish_ns: int, crc32: int) -> None:
        """Keep a message, whose CRC is known, until the ring has come round; costs a copy."""
        k = self._topics[topic]
        number = self._numbers[k]
        self._numbers[k] = number + 1
        flags = 0
        if len(data) * LARGEST > self._end - TABLE_BYTES:
            data, flags, crc32 = b"", _LEFT_OUT, 0
        head = _HEAD.pack(k, flags, self._received, number, len(data), log_ns, publish_ns)
        self._received += 1
        at = self._at
        data_at = at + _BEFORE_DATA
        end = data_at + len(data)
        if end > self._end:
            at, data_at, end = TABLE_BYTES, TABLE_BYTES + _BEFORE_DATA, TABLE_BYTES + _BEFORE_DATA + len(data)
        self._memory[data_at:end] = data
        self._memory[at:data_at] = self._key + head + _sum(head, crc32)
        self._at = end

    def end(self) -> None:
        """Forget the take: it is on disk, or unwanted."""
        self._memory[: _SIZE.size] = bytes(_SIZE.size)


def _sum(head: bytes, data_crc32: int) -> bytes:
    """CRC of a record, of its head and the CRC of its data."""
    return zlib.crc32(head + data_crc32.to_bytes(_CRC_BYTES, "little")).to_bytes(_CRC_BYTES, "little")


def contents_of(memory: bytes, table: Mapping[str, Any]) -> Contents:
    """What is whole in a ring.

    Args:
        memory: The whole file, or what is left of it.
        table: Its table, from :func:`table_of`.

    Raises:
        ValueError, LookupError, TypeError: the table is not one of ours.
    """
    key, types = bytes.fromhex(table["key"]), [(str(topic), str(kind)) for topic, kind in table["types"]]
    found: dict[int, BoxMessage] = {}
    totals: dict[str, int] = {}
    at = memory.find(key, TABLE_BYTES)
    while 0 <= at <= len(memory) - _BEFORE_DATA:
        head = memory[at + _KEY_BYTES : at + _KEY_BYTES + _HEAD.size]
        k, flags, place, number, size, log_ns, publish_ns = _HEAD.unpack(head)
        data_at = at + _BEFORE_DATA
        data = memory[data_at : data_at + size]
        is_whole = len(data) == size and memory[data_at - _CRC_BYTES : data_at] == _sum(head, zlib.crc32(data))
        if is_whole and k < len(types) and log_ns >= 0 and publish_ns >= 0:
            topic = types[k][0]
            totals[topic] = max(totals.get(topic, 0), number + 1)
            if not flags & _LEFT_OUT:
                found[place] = BoxMessage(topic, number, data, log_ns, publish_ns)
        at = memory.find(key, at + 1)
    return Contents(str(table["header"]), dict(types), [found[place] for place in sorted(found)], totals)


def table_of(start: bytes) -> dict[str, Any]:
    """Which recording a box belongs to.

    Args:
        start: The first ``TABLE_BYTES`` of it.

    Raises:
        ValueError: to none, or the text is damaged.
    """
    size = int.from_bytes(start[: _SIZE.size], "little")
    sealed = unseal(start[_SIZE.size : _SIZE.size + size])
    if sealed.problem or not sealed.has_digest:
        raise ValueError(sealed.problem or "no digest")
    if sealed.values.get("version") != VERSION:
        raise ValueError(f"version {sealed.values.get('version')}, not {VERSION}")
    return sealed.values
