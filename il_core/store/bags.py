"""Anybody's rosbag2 folders and MCAP files, message by message, without ROS."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.reader import SeekingReader
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory
from zstandard import ZstdError

from il_core.errors import ConfigError, RecordingError, nearest
from il_core.store.msgdefs import definition

_DAMAGE = (McapError, ZstdError, RuntimeError, struct.error, ValueError, LookupError, EOFError, sqlite3.Error)
_MAX_RECORD = 1 << 30  # a record that claims more than 1 GB is damage, not a message


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One message of a bag.

    Attributes:
        topic: Its topic, as in the bag.
        data: CDR bytes with their encapsulation header.
        log_ns: Receive time [ns].
    """

    topic: str
    data: bytes
    log_ns: int


class Bag:
    """A rosbag2 folder, or a single ``.mcap`` or ``.db3`` file.

    Attributes:
        path: The folder or file.
        types: Message type per topic.
        counts: Messages per topic.
    """

    def __init__(self, path: Path) -> None:
        """Read what it holds.

        Raises:
            RecordingError: missing, damaged, or of a kind this cannot read.
        """
        self.path = path
        self._files = _files(path)
        self.types: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self._schemas: dict[str, Schema] = {}
        for file in self._files:
            self._look(file)

    def _look(self, file: Path) -> None:
        try:
            (_look_db3 if file.suffix == ".db3" else _look_mcap)(file, self)
        except _DAMAGE as error:
            raise RecordingError(
                file, f"is damaged ({error}); copy the bag again, or try `ros2 bag reindex`"
            ) from error
        except OSError as error:
            raise RecordingError(file, f"cannot be read ({error})") from error

    def note(self, topic: str, kind: str, count: int, schema: Schema | None) -> None:
        """Take in what one file says about a topic.

        Raises:
            RecordingError: its files differ in the type of a topic.
        """
        if self.types.setdefault(topic, kind) != kind:
            raise RecordingError(self.path, f"topic '{topic}' is {self.types[topic]} and {kind}; split the bag")
        self.counts[topic] = self.counts.get(topic, 0) + count
        if schema is not None:
            self._schemas.setdefault(topic, schema)

    def require(self, topic: str, kinds: Sequence[str]) -> str:
        """Type of a topic.

        Raises:
            RecordingError: there is no such topic, or it is of another type; lists those there are.
        """
        if topic not in self.types:
            have = ", ".join(f"{t} ({k}, {self.counts[t]})" for t, k in sorted(self.types.items()))
            raise RecordingError(
                self.path, f"has no topic '{topic}'; {nearest(topic, list(self.types))}. It has {have}"
            )
        if self.types[topic] not in kinds:
            problem = f"topic '{topic}' is {self.types[topic]}, expected {' or '.join(kinds)}"
            raise RecordingError(self.path, f"{problem}; map another topic")
        return self.types[topic]

    def messages(self, topics: Sequence[str]) -> Iterator[BagMessage]:
        """Messages of some topics, file by file in order of receive time.

        Raises:
            RecordingError: the bag is damaged.
        """
        for file in self._files:
            read = _read_db3 if file.suffix == ".db3" else _read_mcap
            try:
                yield from read(file, topics)
            except _DAMAGE as error:
                raise RecordingError(file, f"is damaged ({error}); copy the bag again") from error
            except OSError as error:
                raise RecordingError(file, f"cannot be read ({error})") from error

    def decoder(self, topic: str) -> Callable[[bytes], Any]:
        """Decoder of a topic's messages, by the definition in the bag or else the installed one.

        Raises:
            RecordingError: the definition is unknown.
        """
        kind = self.types[topic]
        schema = self._schemas.get(topic)
        if schema is None or schema.encoding != "ros2msg" or not schema.data:
            try:
                schema = Schema(id=1, name=kind, encoding="ros2msg", data=definition(kind).encode())
            except ConfigError as error:
                raise RecordingError(self.path, f"does not say what {kind} is: {error}") from error
        found = DecoderFactory().decoder_for("cdr", schema)
        if found is None:
            raise RecordingError(self.path, f"type {kind} is described by '{schema.encoding}', not ros2msg")

        def decode(data: bytes) -> Any:  # noqa: ANN401 - message-shaped
            try:
                return found(data)
            except _DAMAGE as error:
                raise RecordingError(self.path, f"a message of '{topic}' cannot be decoded ({error})") from error

        return decode


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise RecordingError(path, "no such bag; give a rosbag2 folder, or an .mcap or .db3 file")
    found = sorted(p for p in path.iterdir() if p.suffix in (".mcap", ".db3")) if path.is_dir() else [path]
    packed = sorted(p.name for p in path.iterdir() if p.suffix == ".zstd") if path.is_dir() else []
    if packed or path.suffix == ".zstd":
        raise RecordingError(path, "is compressed file by file; unpack it with `zstd -d`, or with `ros2 bag convert`")
    if not found or found[0].suffix not in (".mcap", ".db3"):
        raise RecordingError(path, "holds no .mcap or .db3 file; give the folder that has metadata.yaml")
    return found


def _look_mcap(file: Path, bag: Bag) -> None:
    with file.open("rb") as stream:
        summary = SeekingReader(stream, record_size_limit=_MAX_RECORD).get_summary()
    if summary is None or summary.statistics is None:
        raise ValueError("it has no summary: its writer was stopped")
    for channel in summary.channels.values():
        schema = summary.schemas.get(channel.schema_id)
        if channel.message_encoding == "cdr":
            count = summary.statistics.channel_message_counts.get(channel.id, 0)
            bag.note(channel.topic, schema.name if schema else "", count, schema)


def _read_mcap(file: Path, topics: Sequence[str]) -> Iterator[BagMessage]:
    with file.open("rb") as stream:
        reader = SeekingReader(stream, validate_crcs=True, record_size_limit=_MAX_RECORD)
        for _, channel, message in reader.iter_messages(list(topics)):
            yield BagMessage(channel.topic, message.data, message.log_time)


def _database(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def _look_db3(file: Path, bag: Bag) -> None:
    with closing(_database(file)) as database:
        counts: Mapping[int, int] = dict(database.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id"))
        for number, name, kind, form in database.execute("SELECT id, name, type, serialization_format FROM topics"):
            if form == "cdr":
                bag.note(str(name), str(kind), counts.get(number, 0), None)


def _read_db3(file: Path, topics: Sequence[str]) -> Iterator[BagMessage]:
    with closing(_database(file)) as database:
        names = {number: name for number, name in database.execute("SELECT id, name FROM topics") if name in topics}
        marks = ",".join("?" * len(names))
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp"
        for number, stamp, data in database.execute(query, list(names)):
            yield BagMessage(names[number], bytes(data), int(stamp))
