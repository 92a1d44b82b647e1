"""Files that the mcap package reads back whole, sums included, with pictures compressed only where that helps."""

import os
import zlib
from pathlib import Path

import pytest
from mcap.reader import SeekingReader
from mcap.records import Chunk, DataEnd
from mcap.stream_reader import StreamReader

from il_core.store.files import MOST_PARTS, Sink
from il_core.store.mcap_writer import CHUNK_BYTES, LZ4, PLAIN, TRY_AGAIN, McapWriter

T0 = 1_700_000_000_000_000_000
PICTURE = 3 * CHUNK_BYTES


class File:
    """One file, and what was put into it."""

    def __init__(self, path: Path) -> None:
        self.path, self.sink, self.put = path, Sink(path), []
        self.writer = McapWriter(self.sink, "ros2", "test")
        schema = self.writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        self.channels = {t: self.writer.register_channel(t, "cdr", schema, {"a": "b"}) for t in ("/small", "/eye")}

    def add(self, topic: str, data: bytes, *, is_summed: bool = False) -> bool:
        log_ns = T0 + len(self.put) * 1_000_000
        self.put.append((topic, data, log_ns, log_ns - 7))
        crc32 = zlib.crc32(data) if is_summed else None
        return self.writer.add_message(self.channels[topic], log_ns, data, log_ns - 7, crc32)

    def finish(self) -> None:
        self.writer.finish()
        self.sink.close(durable=True)

    def read(self) -> list[tuple[str, bytes, int, int]]:
        with self.path.open("rb") as file:
            reader = SeekingReader(file, validate_crcs=True)
            return [(c.topic, m.data, m.log_time, m.publish_time) for _, c, m in reader.iter_messages()]

    def records(self) -> list:
        with self.path.open("rb") as file:
            return list(StreamReader(file, emit_chunks=True, validate_crcs=True).records)

    @property
    def compressions(self) -> list[str]:
        return [r.compression for r in self.records() if isinstance(r, Chunk)]


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "x.mcap")


@pytest.mark.parametrize("is_summed", [False, True])
def test_what_was_put_is_read_by_the_mcap_package_with_every_sum_right(file, rng, is_summed):
    for _ in range(300):
        is_picture = rng.random() < 0.1
        data = rng.bytes(PICTURE) if is_picture else bytes(int(rng.integers(0, 2000)))
        file.add("/eye" if is_picture else "/small", data, is_summed=is_summed)
        if rng.random() < 0.05:
            file.writer.flush()
    file.writer.add_metadata("said", {"by": "nobody", "to": "nobody"})
    file.finish()
    assert file.read() == file.put
    ends = [r for r in file.records() if isinstance(r, DataEnd)]
    assert [bool(end.data_section_crc) for end in ends] == [True], "the reader has compared it"
    assert zlib.crc32(file.path.read_bytes()) == file.sink.crc32
    assert file.path.stat().st_size == file.sink.bytes
    with file.path.open("rb") as stream:
        summary = SeekingReader(stream).get_summary()
        assert summary.statistics.channel_message_counts == {
            n: sum(t == topic for t, *_ in file.put) for topic, n in file.channels.items()
        }
        assert summary.statistics.message_start_time == T0
        assert summary.statistics.message_end_time == file.put[-1][2]
        assert [m.metadata for m in SeekingReader(stream).iter_metadata()] == [{"by": "nobody", "to": "nobody"}]


def test_a_file_without_messages_is_one_too(file):
    file.finish()
    assert file.read() == []
    with file.path.open("rb") as stream:
        assert [c.topic for c in SeekingReader(stream).get_summary().channels.values()] == ["/small", "/eye"]


def test_pictures_that_do_not_get_smaller_go_plain_and_are_tried_again(file, rng):
    noise, flat = rng.bytes(PICTURE), bytes(PICTURE)
    assert file.add("/eye", flat)
    for _ in range(3):
        file.add("/eye", noise)
    for _ in range(TRY_AGAIN - 1):
        file.add("/eye", flat)  # nobody looks
    file.finish()
    assert file.compressions == [LZ4, *[PLAIN] * (TRY_AGAIN + 1), LZ4]
    assert file.read() == file.put


def test_small_messages_are_compressed_as_a_whole(file):
    while not file.add("/small", bytes(500)):
        pass
    file.finish()
    assert file.compressions == [LZ4]
    assert file.path.stat().st_size < CHUNK_BYTES // 4


def test_a_plain_chunk_of_more_pieces_than_the_kernel_takes_at_once(file, rng):
    for _ in range(2):
        for _ in range(MOST_PARTS):
            file.add("/small", b"")
        file.add("/eye", rng.bytes(PICTURE), is_summed=True)
    file.finish()
    assert file.compressions == [PLAIN, PLAIN]
    assert file.read() == file.put


def test_a_write_cut_short_goes_on_where_it_stopped(tmp_path, monkeypatch, rng):
    whole = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, parts: whole(fd, [b"".join(parts)[:1000]]))
    file = File(tmp_path / "x.mcap")
    for _ in range(5):
        file.add("/eye", rng.bytes(PICTURE))
    file.finish()
    assert file.read() == file.put


def test_nothing_is_written_behind_a_write_that_failed(file, monkeypatch, rng):
    file.add("/eye", rng.bytes(PICTURE))
    written, whole = file.sink.bytes, os.writev

    def refused(fd, parts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", refused)
    with pytest.raises(OSError, match="No space left"):
        file.add("/eye", rng.bytes(PICTURE))
    monkeypatch.setattr(os, "writev", whole)
    with pytest.raises(OSError, match="No space left"):
        file.writer.finish()
    assert file.path.stat().st_size == written


def test_plain_pictures_lie_in_the_file_as_they_are(file, rng):
    pictures = [rng.bytes(PICTURE) for _ in range(3)]
    for data in pictures:
        file.add("/eye", data)
    file.finish()
    content = file.path.read_bytes()
    assert [content.count(data) for data in pictures] == [1, 1, 1]
