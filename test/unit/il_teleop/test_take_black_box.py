"""A killed recorder loses nothing it had received, although the disk held up every write."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import struct
import time

import pytest
from mcap.records import Chunk
from mcap.stream_reader import StreamReader

from il_core import topics
from il_core.clock import ManualClock
from il_core.errors import RecordingError
from il_core.store import box_files
from il_core.store.files import Sink
from il_core.store.inspect import REPAIR_FILE, inspect_recording
from il_core.store.msgdefs import encoder
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter
from il_core.store.repair import repair_recording
from il_core.types import Outcome
from il_teleop.take import Take
from il_teleop.topic_stats import TopicPlan, TopicStats

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
JOINTS = TopicPlan(topics.JOINT_STATES, "sensor_msgs/msg/JointState", "arm", 1000.0)
IMAGE = TopicPlan(topics.color("front"), "sensor_msgs/msg/Image", "camera", 30.0, is_image=True)
HEADER = RecordingHeader("pick_place", "fr3", "d" * 64, T0, operator="ada", namespace="/left")
SENT = 300


@pytest.fixture(autouse=True)
def shm(tmp_path, monkeypatch):
    """A folder in the place of /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(box_files, "FOLDER", folder)
    monkeypatch.setattr(box_files, "RING_BYTES", 8 << 20)
    monkeypatch.setattr(box_files, "_free", [])
    return folder


def begin(root, name="take", header=HEADER):
    stats = {plan.name: TopicStats(plan) for plan in (JOINTS, IMAGE)}
    return Take(RecordingWriter(root, header, ManualClock(T0), name), stats, 10**9)


def message(k):
    """The k-th message: topic, bytes, receive time; each differs from all others."""
    stamp = {"sec": T0 // 10**9, "nanosec": k * MS}
    if k % 33 == 5:
        values = {"header": {"stamp": stamp}, "height": 48, "width": 64, "data": bytes([k % 251]) * 9216}
        return IMAGE.name, encoder(IMAGE.type)(values), T0 + k * MS
    return JOINTS.name, encoder(JOINTS.type)({"header": {"stamp": stamp}, "position": [k / 7] * 7}), T0 + k * MS


def killed_while_the_disk_blocks(root, writes):
    """Record in a process whose file takes so many writes and then blocks; kill it; returns what it received."""
    reader, teller = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            take = begin(root)
            write, numbers = Sink.write, itertools.count()

            def blocked(sink, *parts, **known):
                if next(numbers) >= writes:
                    time.sleep(60.0)
                write(sink, *parts, **known)

            Sink.write = blocked
            for k in range(10**6):
                take.receive(*message(k))
                os.write(teller, struct.pack("<I", k + 1))
                time.sleep(0.0005)
        finally:
            os._exit(1)
    os.close(teller)
    received = 0
    while received < SENT:
        (received,) = struct.unpack("<I", os.read(reader, 4))
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    while rest := os.read(reader, 4):
        (received,) = struct.unpack("<I", rest)
    os.close(reader)
    return received


def saved(path):
    return [(topic, data, log_ns) for topic, data, log_ns, _ in Recording.open(path).raw_messages()]


@pytest.mark.parametrize("writes", [0, 1, 2, 4, 12])
def test_what_was_received_is_there_in_order_byte_for_byte_although_no_write_came_back(tmp_path, writes):
    received = killed_while_the_disk_blocks(tmp_path, writes)
    partial = tmp_path / "pick_place" / "take.partial"
    in_file = sum(inspect_recording(partial).found.values())
    assert in_file < received - 50
    done = repair_recording(partial)
    found = saved(done.path)
    assert len(found) in (received, received + 1)  # killed between receiving and telling
    assert found == [message(k) for k in range(len(found))]
    assert done.lost == {}
    told = f"{len(found) - in_file} messages taken from the recorder's black box: "
    assert any(line.startswith(told) for line in done.how)
    assert told in (done.path / REPAIR_FILE).read_text()
    header = Recording.open(done.path).header
    assert (header.operator, header.namespace, header.outcome) == ("ada", "/left", Outcome.UNLABELLED)
    assert inspect_recording(done.path).is_whole


def test_what_did_not_fit_into_the_box_is_counted_as_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(box_files, "RING_BYTES", 48 << 10)
    received = killed_while_the_disk_blocks(tmp_path, 5)
    partial = tmp_path / "pick_place" / "take.partial"
    in_file = sum(inspect_recording(partial).found.values())
    done = repair_recording(partial)
    found = saved(done.path)
    assert in_file < len(found) < received
    assert found[:in_file] == [message(k) for k in range(in_file)]
    assert found[-50:] == [message(k) for k in range(found[-50][2] // MS % 1000, found[-1][2] // MS % 1000 + 1)]
    assert found[-1] in (message(received - 1), message(received))
    assert len(found) + sum(done.lost.values()) in (received, received + 1)
    assert json.loads((done.path / REPAIR_FILE).read_text())["lost"] == {IMAGE.name: 0, **done.lost}


def test_a_file_damaged_before_its_end_gets_only_what_came_after_it(tmp_path):
    received = killed_while_the_disk_blocks(tmp_path, 12)
    partial = tmp_path / "pick_place" / "take.partial"
    data_path = next(partial.glob("*.mcap"))
    data = bytearray(data_path.read_bytes())
    records = StreamReader(io.BytesIO(data), emit_chunks=True).records
    chunk = next(record for record in records if isinstance(record, Chunk)).data
    at = data.find(chunk) + len(chunk) // 2
    data[at] ^= 16
    data[at + 1] ^= 16
    data_path.write_bytes(data)
    before = inspect_recording(partial)
    in_file = sum(before.found.values())
    done = repair_recording(partial)
    found = saved(done.path)
    sent = [message(k) for k in range(received + 1)]
    assert sorted(found, key=sent.index) == found
    assert len(set(found)) == len(found) > in_file
    assert found[-1] in sent[-2:]
    assert len(found) + sum(done.lost.values()) in (received, received + 1)
    assert 0 < sum(done.lost.values()) < 100


def test_without_a_box_the_file_alone_is_repaired(tmp_path, monkeypatch):
    monkeypatch.setattr(box_files, "FOLDER", tmp_path / "nowhere")
    received = killed_while_the_disk_blocks(tmp_path, 5)
    done = repair_recording(tmp_path / "pick_place" / "take.partial")
    found = saved(done.path)
    assert 0 < len(found) < received
    assert found == [message(k) for k in range(len(found))]
    assert not any("black box" in line for line in done.how)


def test_a_recording_is_the_same_with_and_without_a_box(tmp_path, monkeypatch):
    def recorded(root):
        take = begin(root)
        for k in range(100):
            take.receive(*message(k))
        path = take.commit(Outcome.SUCCESS).result(10.0)
        return {p.name for p in path.iterdir()}, saved(path)

    files, messages = recorded(tmp_path / "a")
    monkeypatch.setattr(box_files, "FOLDER", tmp_path / "nowhere")
    monkeypatch.setattr(box_files, "_free", [])
    assert recorded(tmp_path / "b") == (files, messages)
    assert messages == [message(k) for k in range(100)]
    assert files == {"take_0.mcap", "metadata.yaml", "recording.json"}


@pytest.mark.parametrize("end", ["committed", "removed", "failed"])
def test_a_take_that_is_over_leaves_no_messages_behind(tmp_path, shm, end):
    take = begin(tmp_path)
    (box,) = shm.rglob("box_*")
    take.receive(*message(0))
    assert any(box.read_bytes()[:4])
    if end == "committed":
        take.commit(Outcome.SUCCESS).result(10.0)
    elif end == "removed":
        take.remove().result(10.0)
    else:
        take.error = RecordingError(tmp_path, "the disk is full")
        assert isinstance(take.commit(Outcome.SUCCESS).exception(10.0), RecordingError)
    assert not any(box.read_bytes()[:4]), "it names no recording any more"
    again = begin(tmp_path, "again")
    assert list(shm.rglob("box_*")) == [box], "the next take uses the same memory"
    again.remove().result(10.0)
