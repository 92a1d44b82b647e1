"""Writes one recording: chunk by chunk to a ``.partial`` folder, renamed when it is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from il_core.clock import SteadyClock
from il_core.errors import RecordingError
from il_core.ports import Clock
from il_core.store.files import Sink, sync_folder, write_durably
from il_core.store.header import HEADER_FILE, RecordingHeader, TopicRecord, header_text, recording_name
from il_core.store.mcap_writer import McapWriter
from il_core.store.msgdefs import definition
from il_core.store.rosbag2_index import INDEX_FILE, index_text
from il_core.store.seal import seal
from il_core.types import Outcome

PARTIAL = ".partial"
DAMAGED = ".damaged"
TRASH = ".trash"  # folder of what a reviewer deleted
# A chunk ends at this age, or at the size that mcap_writer.py sets, whichever comes first. What is in a chunk is lost
# with the process; what was written is the kernel's, and survives it. 20 ms leaves 30 of the 50 ms we promise to the
# queue before it; what a slower disk leaves in memory is in the take's black box (box_files.py).
CHUNK_AGE_NS = 20_000_000
# The data file tells by itself what it holds, should the files beside it be lost.
OPENED, KEPT = "il_robot.opened", "il_robot.kept"
LIBRARY = "il_robot"
T = TypeVar("T")


class RecordingWriter:
    """One recording being written; ends in :meth:`commit` or :meth:`discard`.

    Not thread-safe: one thread appends.
    """

    def __init__(
        self,
        root: Path,
        header: RecordingHeader,
        clock: Clock,
        name: str | None = None,
        steady: Clock | None = None,
    ) -> None:
        """Create ``<root>/<task>/<name>.partial``.

        Args:
            root: Folder of all recordings.
            header: What is known before the first message.
            clock: Tells the start time unless ``header.created_ns`` is given.
            name: Folder name; ``<utc>_<id>`` made from start time and spec by default.
            steady: Tells how long messages wait in an open chunk; the machine's by default.

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
        self._steady = steady or SteadyClock()
        self._chunk_log_ns: int | None = None  # receive time of the first message in the open chunk
        self._chunk_since_ns = 0  # the same on the steady clock
        self._is_described = False
        self._is_open = True
        self._data_file = f"{name}_0.mcap"
        if self.path.exists():
            raise RecordingError(self.path, "exists already; choose another name or root")
        self._sink = self._guard(self._create)
        try:
            self._writer = self._guard(lambda: McapWriter(self._sink, profile="ros2", library=LIBRARY))
        except RecordingError:
            self.discard()
            raise

    @property
    def types(self) -> dict[str, str]:
        """Message type per topic."""
        return self._types

    @property
    def data_path(self) -> Path:
        """The MCAP file while it is being written."""
        return self.partial / self._data_file

    def _create(self) -> Sink:
        self.partial.mkdir(parents=True)
        return Sink(self.data_path)

    def add_topic(self, topic: str, type_name: str, text: str | None = None) -> None:
        """Announce a topic; one that never gets a message is kept with count 0.

        Args:
            topic: Name as in ``il_core/topics.py``, relative to the robot's namespace.
            type_name: Such as ``sensor_msgs/msg/JointState``.
            text: Its definition in MCAP's ``ros2msg`` form; the installed one by default.

        Raises:
            ConfigError: the type's definition is not installed.
            RecordingError: announced twice, or the disk is full.
        """
        self._check_open()
        if topic in self._channels:
            raise RecordingError(self.partial, f"topic '{topic}' is announced twice")
        if type_name not in self._schemas:
            data = (definition(type_name) if text is None else text).encode()
            self._schemas[type_name] = self._guard(lambda: self._writer.register_schema(type_name, "ros2msg", data))
        schema = self._schemas[type_name]
        # An empty profile list is valid and leaves the player's QoS at its default.
        metadata = {"offered_qos_profiles": ""}
        self._channels[topic] = self._guard(
            lambda: self._writer.register_channel(self.header.absolute(topic), "cdr", schema, metadata)
        )
        self._types[topic] = type_name
        self.counts[topic] = 0

    def append(self, topic: str, data: bytes, log_ns: int, publish_ns: int, crc32: int | None = None) -> None:
        """Append one serialised message (CDR with its encapsulation header).

        Args:
            topic: An announced topic.
            data: The message as received.
            log_ns: Receive time [ns].
            publish_ns: Header stamp [ns].
            crc32: CRC of the data, if it is known.

        Raises:
            RecordingError: unknown topic, a stamp before 1970, or the disk is full; earlier recordings are untouched.
        """
        self._check_open()
        channel = self._channels.get(topic)
        if channel is None:
            raise RecordingError(self.partial, f"topic '{topic}' was not announced; call add_topic first")
        try:
            self._add(channel, log_ns, data, publish_ns, crc32)
        except OSError as error:
            raise self._refused(error) from error
        except ValueError as error:
            problem = f"message of '{topic}': {error}; correct its publisher's clock"
            raise RecordingError(self.partial, problem) from error
        self.counts[topic] += 1
        self._first.setdefault(topic, log_ns)
        self._last[topic] = max(log_ns, self._last.get(topic, log_ns))

    def _add(self, channel: int, log_ns: int, data: bytes, publish_ns: int, crc32: int | None) -> None:
        if not self._is_described:
            self._describe(OPENED)
            self._is_described = True
        if self._writer.add_message(channel, log_ns, data, publish_ns, crc32):
            self._chunk_log_ns = None
        elif self._chunk_log_ns is None:
            self._chunk_log_ns, self._chunk_since_ns = log_ns, self._steady.now_ns()
        elif abs(log_ns - self._chunk_log_ns) >= CHUNK_AGE_NS:  # abs: clocks get stepped
            self._end_chunk()

    def _end_chunk(self) -> None:
        self._writer.flush()
        self._chunk_log_ns = None

    def _describe(self, name: str) -> None:
        """Write into the data file what the files beside it say, as far as it is known."""
        channels = [[self.header.absolute(topic), self._types[topic]] for topic in self._channels]
        self._writer.add_metadata(name, {"header": header_text(self.header), "channels": seal({"channels": channels})})

    def keep_fresh(self) -> None:
        """End a chunk that has been open for too long; call it every few milliseconds.

        Raises:
            RecordingError: the disk is full; earlier recordings are untouched.
        """
        if self._chunk_log_ns is not None and self._steady.now_ns() - self._chunk_since_ns >= CHUNK_AGE_NS:
            self.flush()

    def flush(self) -> None:
        """Hand all messages to the kernel, where they survive the end of this process.

        Raises:
            RecordingError: the disk is full; earlier recordings are untouched.
        """
        if self._is_open:
            self._guard(self._end_chunk)

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
        account = dict(topics) if topics is not None else {t: self._account(t) for t in self.counts}
        self.header = replace(
            self.header, outcome=outcome, notes={**self.header.notes, **(notes or {})}, topics=account
        )
        self._guard(self._finish)
        span = (min(self._first.values(), default=0), max(self._last.values(), default=0))
        absolute = self.header.absolute
        types = {absolute(t): kind for t, kind in self._types.items()}
        counts = {absolute(t): n for t, n in self.counts.items()}
        index = index_text(self._data_file, types, counts, span)
        self.header = replace(
            self.header,
            data_bytes=self._sink.bytes,
            data_crc32=self._sink.crc32,
            index_sha256=hashlib.sha256(index.encode()).hexdigest(),
        )
        self._guard(lambda: self._publish(header_text(self.header), index))
        self._is_open = False
        return self.path

    def _finish(self) -> None:
        self._writer.flush()
        self._describe(KEPT)
        self._writer.finish()
        self._sink.close(durable=True)

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

    def set_aside(self) -> Path:
        """End without finishing: what could be written stays in the partial folder, for a repair.

        Returns:
            That folder; it is removed if no message came.
        """
        if self._is_open and any(self.counts.values()):
            self._is_open = False
            with suppress(OSError):  # the disk may be what failed
                self._writer.flush()
            with suppress(OSError):
                self._sink.close(durable=True)
        self.discard()
        return self.partial

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
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> RecordingError:
        return RecordingError(
            self.partial,
            f"cannot write: {error.strerror or error}; free space or choose another root; "
            "earlier recordings are untouched",
        )
