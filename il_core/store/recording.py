"""Recordings on disk: rosbag2 folders with MCAP data, read lazily and without ROS."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.reader import SeekingReader
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory
from zstandard import ZstdError

from il_core.errors import RecordingError
from il_core.store.files import sync_folder, write_durably
from il_core.store.header import (
    FORMAT_VERSION,
    HEADER_FILE,
    RecordingHeader,
    TopicRecord,
    header_text,
    read_header,
)
from il_core.store.writer import DAMAGED, PARTIAL, TRASH, RecordingWriter
from il_core.types import Outcome

__all__ = [
    "FORMAT_VERSION",
    "Recording",
    "RecordingHeader",
    "RecordingWriter",
    "TopicRecord",
    "list_recordings",
    "relabel",
]

# What mcap, its decompressors (lz4: RuntimeError) and the decoder raise on broken bytes.
_DAMAGE = (McapError, ZstdError, RuntimeError, struct.error, ValueError, LookupError, EOFError)
_BLOCK_BYTES = 1 << 20


class Recording:
    """One finished recording; messages are read when asked for."""

    def __init__(self, path: Path, header: RecordingHeader) -> None:
        """Use :meth:`open`."""
        self.path = path
        self.header = header
        self._is_verified = False
        self._decoders: dict[str, Callable[[bytes], Any]] = {}

    @classmethod
    def open(cls, path: Path | str) -> Recording:
        """Check that a recording is complete and of a known version.

        Raises:
            RecordingError: missing, unfinished, truncated or of an unknown version; says what to do.
        """
        folder = Path(path)
        recording = cls(folder, read_header(folder))
        try:
            size = recording.data_path.stat().st_size
        except OSError as error:
            raise RecordingError(folder, f"its data file cannot be read ({error}); restore it") from error
        if size != recording.header.data_bytes:
            raise RecordingError(
                folder,
                f"data file has {size} bytes, {recording.header.data_bytes} were written; "
                "it was truncated or changed: copy it again, see what `il dataset repair` saves, or record it again",
            )
        return recording

    @property
    def data_path(self) -> Path:
        """The MCAP file."""
        return self.path / f"{self.header.name}_0.mcap"

    @property
    def topics(self) -> dict[str, str]:
        """Message type per topic."""
        return {name: topic.type for name, topic in self.header.topics.items()}

    @property
    def counts(self) -> dict[str, int]:
        """Messages on disk per topic."""
        return {name: topic.received for name, topic in self.header.topics.items()}

    def messages(self, topics: Sequence[str] | None = None) -> Iterator[tuple[str, Any, int, int]]:
        """Yield decoded messages in order of receive time.

        Args:
            topics: Topics wanted, named as in ``il_core/topics.py``; all by default.

        Yields:
            Topic, message-shaped object (fields as in ROS, byte arrays as bytes), receive time [ns],
            header stamp [ns].

        Raises:
            RecordingError: unknown topic, or the file is damaged.
        """
        for topic, data, log_ns, publish_ns in self.raw_messages(topics):
            yield topic, self.decode(topic, data), log_ns, publish_ns

    def raw_messages(self, topics: Sequence[str] | None = None) -> Iterator[tuple[str, bytes, int, int]]:
        """Like :meth:`messages`, the messages still serialised; :meth:`decode` those you need.

        A 1 kHz topic of which few samples are used is read ten times faster this way.
        """
        for topic in topics or ():
            if topic not in self.header.topics:
                raise RecordingError(
                    self.path, f"has no topic '{topic}'; it has {', '.join(sorted(self.header.topics))}"
                )
        self.verify()
        names = {self.header.absolute(topic): topic for topic in topics or self.header.topics}
        try:
            with self.data_path.open("rb") as file:
                reader = SeekingReader(file, validate_crcs=True)
                for schema, channel, message in reader.iter_messages(list(names)):
                    topic = names[channel.topic]
                    if topic not in self._decoders and schema is not None:
                        self._decoders[topic] = self._decoder(schema)
                    yield topic, message.data, message.log_time, message.publish_time
        except _DAMAGE as error:
            raise RecordingError(self.path, f"data file is damaged ({error}); record it again") from error
        except OSError as error:
            raise RecordingError(self.path, f"data file cannot be read ({error})") from error

    def decode(self, topic: str, data: bytes) -> Any:  # noqa: ANN401 - message-shaped
        """Decode one message that :meth:`raw_messages` yielded.

        Raises:
            RecordingError: the bytes do not fit the topic's definition.
        """
        try:
            return self._decoders[topic](data)
        except _DAMAGE as error:
            raise RecordingError(self.path, f"a message of '{topic}' cannot be decoded ({error})") from error

    def _decoder(self, schema: Schema) -> Callable[[bytes], Any]:
        decoder = DecoderFactory().decoder_for("cdr", schema)
        if decoder is None:
            raise RecordingError(self.path, f"type {schema.name} is described by '{schema.encoding}', not ros2msg")
        return decoder

    def verify(self) -> None:
        """Compare every byte of the data with the checksum taken while writing; once per object.

        Raises:
            RecordingError: the data changed since.
        """
        if self._is_verified:
            return
        crc = 0
        try:
            with self.data_path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    crc = zlib.crc32(block, crc)
        except OSError as error:
            raise RecordingError(self.path, f"data file cannot be read ({error})") from error
        if crc != self.header.data_crc32:
            raise RecordingError(
                self.path,
                "data file is damaged: its checksum differs; copy it again, see what `il dataset repair` saves, "
                "or record it again",
            )
        self._is_verified = True


def list_recordings(root: Path | str) -> list[Path]:
    """Folders of all finished recordings below a root (or a task's folder), oldest first.

    Unfinished ones (``.partial``), damaged ones set aside by a repair (``.damaged``) and deleted ones (in
    ``.trash``) are left out.
    """
    # os.walk, unlike rglob, takes no offence at folders that a recorder renames meanwhile.
    found = []
    for folder, inside, files in os.walk(root):
        inside[:] = [name for name in inside if not name.endswith((PARTIAL, DAMAGED)) and name != TRASH]
        if HEADER_FILE in files and not folder.endswith((PARTIAL, DAMAGED)):
            found.append(Path(folder))
    return sorted(found, key=lambda p: (p.name, p))


def relabel(path: Path | str, outcome: Outcome) -> RecordingHeader:
    """Change the outcome of a finished recording, durably.

    Returns:
        The new header.
    """
    folder = Path(path)
    header = replace(Recording.open(folder).header, outcome=outcome)
    fresh = folder / f"{HEADER_FILE}.new"
    try:
        write_durably(fresh, header_text(header))
        os.replace(fresh, folder / HEADER_FILE)
        sync_folder(folder)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RecordingError(folder, f"cannot write the label: {error.strerror or error}; it is unchanged") from error
    return header
