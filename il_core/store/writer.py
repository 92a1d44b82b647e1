"""Writes one recording: chunk by chunk to a ``.partial`` folder, renamed when it is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar, cast

from mcap.writer import CompressionType, Writer

from il_core.errors import RecordingError
from il_core.ports import Clock
from il_core.store.header import HEADER_FILE, RecordingHeader, TopicRecord, header_text
from il_core.store.msgdefs import definition
from il_core.store.rosbag2_index import INDEX_FILE, index_text
from il_core.types import Outcome

PARTIAL = ".partial"
CHUNK_BYTES = 64 * 1024  # what a killed recorder can lose: 30 ms of two cameras, 0.1 s of joint states
LIBRARY = "il_robot"
T = TypeVar("T")


class _Sink:
    """Unbuffered file that counts and checks what passes, so that each chunk reaches the kernel."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self.bytes = 0
        self.crc32 = 0

    def write(self, data: bytes) -> int:
        """Write all of it."""
        rest = memoryview(data)
        while rest:
            n = os.write(self._fd, rest)
            self.crc32 = zlib.crc32(rest[:n], self.crc32)
            self.bytes += n
            rest = rest[n:]
        return len(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self.bytes

    def close(self, *, durable: bool) -> None:
        """Close, after fsync if ``durable``; a second call does nothing."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)


class RecordingWriter:
    """One recording being written; ends in :meth:`commit` or :meth:`discard`.

    Not thread-safe: one thread appends.
    """

    def __init__(self, root: Path, header: RecordingHeader, clock: Clock, name: str | None = None) -> None:
        """Create ``<root>/<task>/<name>.partial``.

        Args:
            root: Folder of all recordings.
            header: What is known before the first message.
            clock: Tells the start time unless ``header.created_ns`` is given.
            name: Folder name; ``<utc>_<id>`` made from start time and spec by default.

        Raises:
            RecordingError: the folder cannot be created or exists.
        """
        created_ns = header.created_ns or clock.now_ns()
        name = name or recording_name(header.task, header.spec_digest, created_ns)
        self.header = replace(header, created_ns=created_ns, name=name)
        self.path = root / header.task / name
        self.partial = self.path.with_name(name + PARTIAL)
        self.counts: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._types: dict[str, str] = {}
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._is_open = True
        self._data_file = f"{name}_0.mcap"
        if self.path.exists():
            raise RecordingError(self.path, "exists already; choose another name or root")
        self._sink = self._guard(self._create)
        self._writer = Writer(
            cast("object", self._sink),  # type: ignore[arg-type]  # needs write and tell only
            chunk_size=CHUNK_BYTES,
            compression=CompressionType.LZ4,  # half the CPU of zstd for 1.4 times the size (2 cores, 320x240)
        )
        self._guard(lambda: self._writer.start(profile="ros2", library=LIBRARY))

    def _create(self) -> _Sink:
        self.partial.mkdir(parents=True)
        return _Sink(self.partial / self._data_file)

    def add_topic(self, topic: str, type_name: str) -> None:
        """Announce a topic; one that never gets a message is kept with count 0.

        Args:
            topic: Name as in ``il_core/topics.py``, relative to the robot's namespace.
            type_name: Such as ``sensor_msgs/msg/JointState``.

        Raises:
            ConfigError: the type's definition is not installed.
            RecordingError: announced twice, or the disk is full.
        """
        self._check_open()
        if topic in self._channels:
            raise RecordingError(self.partial, f"topic '{topic}' is announced twice")
        if type_name not in self._schemas:
            text = definition(type_name).encode()
            self._schemas[type_name] = self._guard(lambda: self._writer.register_schema(type_name, "ros2msg", text))
        schema = self._schemas[type_name]
        # An empty profile list is valid and leaves the player's QoS at its default.
        metadata = {"offered_qos_profiles": ""}
        self._channels[topic] = self._guard(
            lambda: self._writer.register_channel(self.header.absolute(topic), "cdr", schema, metadata)
        )
        self._types[topic] = type_name
        self.counts[topic] = 0

    def append(self, topic: str, data: bytes, log_ns: int, publish_ns: int) -> None:
        """Append one serialised message (CDR with its encapsulation header).

        Args:
            topic: An announced topic.
            data: The message as received.
            log_ns: Receive time [ns].
            publish_ns: Header stamp [ns].

        Raises:
            RecordingError: unknown topic, or the disk is full; earlier recordings are untouched.
        """
        self._check_open()
        channel = self._channels.get(topic)
        if channel is None:
            raise RecordingError(self.partial, f"topic '{topic}' was not announced; call add_topic first")
        self._guard(lambda: self._writer.add_message(channel, log_ns, data, publish_ns))
        self.counts[topic] += 1
        self._first.setdefault(topic, log_ns)
        self._last[topic] = max(log_ns, self._last.get(topic, log_ns))

    def commit(
        self,
        outcome: Outcome = Outcome.UNLABELLED,
        notes: Mapping[str, str] | None = None,
        topics: Mapping[str, TopicRecord] | None = None,
    ) -> Path:
        """Finish, make durable and publish the recording.

        Args:
            outcome: The operator's judgement.
            notes: Added to the header's notes.
            topics: Account per topic; without it, all that was appended and nothing lost.

        Returns:
            Folder of the finished recording.

        Raises:
            RecordingError: the disk is full; the partial folder is left for :meth:`discard`.
        """
        self._check_open()
        self._guard(self._writer.finish)
        self._guard(lambda: self._sink.close(durable=True))
        account = dict(topics) if topics is not None else {t: self._account(t) for t in self.counts}
        self.header = replace(
            self.header,
            outcome=outcome,
            notes={**self.header.notes, **(notes or {})},
            topics=account,
            data_bytes=self._sink.bytes,
            data_crc32=self._sink.crc32,
        )
        span = (min(self._first.values(), default=0), max(self._last.values(), default=0))
        absolute = self.header.absolute
        types = {absolute(t): kind for t, kind in self._types.items()}
        counts = {absolute(t): n for t, n in self.counts.items()}
        index = index_text(self._data_file, types, counts, span)
        self._guard(lambda: self._publish(header_text(self.header), index))
        self._is_open = False
        return self.path

    def _account(self, topic: str) -> TopicRecord:
        seconds = (self._last.get(topic, 0) - self._first.get(topic, 0)) / 1e9
        return TopicRecord(self._types[topic], self.counts[topic], seconds=seconds)

    def _publish(self, header: str, index: str) -> None:
        """Write the side files durably, then rename: a reader sees all or nothing."""
        write_durably(self.partial / INDEX_FILE, index)
        write_durably(self.partial / HEADER_FILE, header)
        sync_folder(self.partial)
        os.rename(self.partial, self.path)
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the unfinished recording; harmless after :meth:`commit` and when called twice."""
        if not self._is_open:
            return
        self._is_open = False
        sink = getattr(self, "_sink", None)
        if sink is not None:
            sink.close(durable=False)
        shutil.rmtree(self.partial, ignore_errors=True)

    def _check_open(self) -> None:
        if not self._is_open:
            raise RecordingError(self.path, "is finished; make a new RecordingWriter for the next one")

    def _guard(self, action: Callable[[], T]) -> T:
        """Translate what the file system refuses."""
        try:
            return action()
        except OSError as error:
            raise RecordingError(
                self.partial,
                f"cannot write: {error.strerror or error}; free space or choose another root; "
                "earlier recordings are untouched",
            ) from error


def recording_name(task: str, spec_digest: str, created_ns: int) -> str:
    """``<utc>_<id>``: sortable by time; the id keeps two robots' recordings apart."""
    utc = datetime.fromtimestamp(created_ns // 1_000_000_000, tz=timezone.utc)
    identity = hashlib.sha256(f"{task}|{spec_digest}|{created_ns}".encode()).hexdigest()[:6]
    return f"{utc:%Y%m%dT%H%M%S}{created_ns // 1_000_000 % 1000:03d}_{identity}"


def write_durably(path: Path, text: str) -> None:
    """Write a small file and wait until it is on disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
