"""Damage is noticed wherever it is, nothing but damage is lost, and what is lost is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import SeekingReader

from il_core.clock import ManualClock, SystemClock
from il_core.errors import RecordingError
from il_core.spec import CameraSpec, Mount
from il_core.store import mcap_writer, msgdefs
from il_core.store.inspect import REPAIR_FILE, inspect_recording
from il_core.store.mcap_records import Chunk, read_chunk
from il_core.store.mcap_scan import Span, scan
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter, list_recordings, relabel
from il_core.store.repair import repair_recording
from il_core.store.salvage import DAMAGE
from il_core.store.writer import CHUNK_AGE_NS, PARTIAL
from il_core.types import Outcome

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
JOINTS, IMAGE = "joint_states", "camera/front/color/image_raw"
GOLDEN = Path(__file__).parents[2] / "data" / "recording_v1"
CAMERA = CameraSpec("front", 8, 6, 30, 50.0, Mount.BASE, (1.0, 0.0, 0.5), (0.0, 0.0, 0.0, 1.0))
HEADER = RecordingHeader("pick_place", "fr3", "d" * 64, T0, operator="ada", cameras=(CAMERA,))
Raw = tuple[str, bytes, int, int]


def message(kind: str, stamp_ns: int, data: bytes = b"") -> bytes:
    sec, nanosec = divmod(stamp_ns, 10**9)
    values = {"header": {"stamp": {"sec": sec, "nanosec": nanosec}}, "position": [stamp_ns % 977 / 7], "data": data}
    return msgdefs.encoder(f"sensor_msgs/msg/{kind}")(values)


def fill(writer: RecordingWriter, n: int = 400) -> set[Raw]:
    rng = np.random.default_rng(0)
    writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
    writer.add_topic(IMAGE, "sensor_msgs/msg/Image")
    sent = set()
    for k in range(n):
        t = T0 + k * MS
        batch = [(JOINTS, message("JointState", t), t + 50_000, t)]
        if k % 33 == 0:
            batch.append((IMAGE, message("Image", t, rng.bytes(144)), t + 90_000, t))
        for item in batch:
            writer.append(*item)
            sent.add(item)
    return sent


def write(root: Path, header: RecordingHeader = HEADER) -> tuple[Path, set[Raw]]:
    writer = RecordingWriter(root, header, ManualClock(T0))
    sent = fill(writer)
    return writer.commit(Outcome.SUCCESS, {"weather": "dry"}), sent


def abandon(root: Path) -> tuple[Path, set[Raw]]:
    """What a recorder leaves that was killed."""
    writer = RecordingWriter(root / "x", HEADER, ManualClock(T0))
    sent = fill(writer)
    writer.flush()
    path = root / "pick_place" / writer.partial.name
    shutil.copytree(writer.partial, path)
    writer.discard()
    return path, sent


def read(path: Path) -> set[Raw]:
    return set(Recording.open(path).raw_messages())


def data_of(path: Path) -> Path:
    return next(path.glob("*.mcap"))


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def test_whole_recordings_of_this_and_the_first_release_pass(tmp_path):
    path, _ = write(tmp_path)
    found = inspect_recording(path)
    assert (found.problems, found.warnings, found.found) == ([], [], {JOINTS: 400, IMAGE: 13})
    golden = inspect_recording(next(GOLDEN.rglob("recording.json")).parent)
    assert golden.problems == []
    assert "has no digest (release 0.1)" in golden.warnings[0]
    relabel(path, Outcome.FAILURE)
    assert inspect_recording(path).is_whole
    with pytest.raises(RecordingError, match="is whole; there is nothing to repair"):
        repair_recording(path)


@pytest.fixture(params=["compressed", "plain"])
def chunks_are(request, monkeypatch):
    """Whether noisy pictures are too small for a chunk of their own, and are compressed with the rest, or go plain."""
    if request.param == "plain":
        monkeypatch.setattr(mcap_writer, "CHUNK_BYTES", 100)
    return request.param


def test_pictures_go_plain_where_that_is_tested(tmp_path, chunks_are):
    path, _ = write(tmp_path)
    with data_of(path).open("rb") as file:
        used = {index.compression for index in SeekingReader(file).get_summary().chunk_indexes}
    assert used == ({"lz4"} if chunks_are == "compressed" else {"lz4", ""})


@pytest.mark.usefixtures("chunks_are")
@pytest.mark.parametrize("name", ["data", "recording.json", "metadata.yaml"])
def test_every_single_flip_is_noticed_and_mended_without_loss(tmp_path, rng, name):
    path, sent = write(tmp_path / "a")
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    for _ in range(25):
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        copy = shutil.copytree(path, tmp_path / "b" / path.name)
        file = data_of(copy) if name == "data" else copy / name
        flip(file, int(rng.integers(8 * file.stat().st_size)))
        assert not inspect_recording(copy).is_whole
        done = repair_recording(copy)
        assert read(done.path) == sent
        assert inspect_recording(done.path).is_whole
        assert done.lost == {}
        assert (done.path, done.set_aside.name) == (copy, f"{path.name}.damaged")
        assert data_of(done.path).read_bytes() == before[data_of(path).name]
        assert (done.path / "metadata.yaml").read_bytes() == before["metadata.yaml"]
        assert Recording.open(done.path).header.outcome is Outcome.SUCCESS
        assert list_recordings(tmp_path / "b") == [done.path]


@pytest.mark.usefixtures("chunks_are")
@pytest.mark.parametrize("damage", ["cut off", "zeros", "noise", "cut out", "put in"])
def test_messages_of_chunks_that_were_not_hit_come_back_and_the_rest_is_told(tmp_path, rng, damage):
    path, sent = write(tmp_path / "a")
    whole = data_of(path).read_bytes()
    chunks = [c for c in scan(whole) if isinstance(c, Chunk)]
    for _ in range(15):
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        copy = shutil.copytree(path, tmp_path / "b" / path.name)
        start = int(rng.integers(8, len(whole)))
        end = len(whole) if damage == "cut off" else min(len(whole), start + int(rng.integers(1, 3000)))
        noise = rng.bytes(end - start)
        made, hit = {
            "cut off": (whole[:start], (start, end)),
            "zeros": (whole[:start] + bytes(end - start) + whole[end:], (start, end)),
            "noise": (whole[:start] + noise + whole[end:], (start, end)),
            "cut out": (whole[:start] + whole[end:], (start, end)),
            "put in": (whole[:start] + noise + whole[start:], (start - 1, start + 1)),
        }[damage]
        data_of(copy).write_bytes(made)
        intact = {m.data for c in chunks if c.end <= hit[0] or c.start >= hit[1] for m in c.messages}
        if inspect_recording(copy).is_whole:  # zeros over zeros
            assert made == whole
            continue
        done = repair_recording(copy)
        back = read(done.path)
        assert intact <= {m[1] for m in back}
        assert back <= sent
        header = Recording.open(done.path).header
        assert sum(done.lost.values()) == len(sent) - len(back)
        assert {t: r.lost[DAMAGE] for t, r in header.topics.items() if r.lost.get(DAMAGE)} == done.lost
        report = json.loads((done.path / REPAIR_FILE).read_text())
        if done.lost:
            assert report["lost"] == {JOINTS: 0, IMAGE: 0, **done.lost}
            assert any(loss["has_messages"] for loss in report["losses"])
        assert data_of(done.set_aside).read_bytes() == made


def test_a_lost_stretch_is_told_with_its_topic_time_and_count(tmp_path):
    path, sent = write(tmp_path)
    chunk = [c for c in scan(data_of(path).read_bytes()) if isinstance(c, Chunk)][5]
    for bit in (8 * (chunk.start + 100), 8 * (chunk.start + 120)):
        flip(data_of(path), bit)
    done = repair_recording(path)
    (loss,) = [x for x in done.before.losses if x.has_messages]
    assert (loss.from_ns, loss.to_ns) == (chunk.messages[0].log_ns, chunk.messages[-1].log_ns)
    assert loss.counts == done.lost
    assert sum(loss.counts.values()) == len(chunk.messages) == len(sent) - len(read(done.path))
    assert f"messages lost: {loss.counts[JOINTS]} of 'joint_states'" in str(loss)
    assert Recording.open(done.path).header.notes["repaired"].startswith(f"damaged; {len(chunk.messages)} messages")


def test_a_recording_that_a_crash_left_open_is_finished(tmp_path):
    path, sent = abandon(tmp_path)
    assert list_recordings(tmp_path) == []
    assert "was not closed" in inspect_recording(path).problems[0]
    done = repair_recording(path)
    assert read(done.path) == sent
    assert done.path.name == path.name.removesuffix(PARTIAL)
    header = Recording.open(done.path).header
    assert (header.outcome, header.operator, header.cameras) == (Outcome.UNLABELLED, "ada", (CAMERA,))
    assert list_recordings(tmp_path) == [done.path]


def test_without_any_copy_of_the_header_a_whole_recording_lends_its_own(tmp_path):
    path, sent = abandon(tmp_path)
    like, _ = write(tmp_path / "other")
    data = data_of(path).read_bytes()
    at = data.index(b"il_robot.opened")
    data_of(path).write_bytes(data[:at] + bytes(400) + data[at + 400 :])
    with pytest.raises(RecordingError, match="no copy of its header is left; name a whole recording .* --like"):
        repair_recording(path)
    done = repair_recording(path, like=like)
    assert read(done.path) == sent
    assert Recording.open(done.path).header.outcome is Outcome.UNLABELLED


def test_lost_side_files_are_written_again_from_the_data_file(tmp_path):
    path, sent = write(tmp_path, replace(HEADER, namespace="/left"))
    index = (path / "metadata.yaml").read_bytes()
    (path / "metadata.yaml").unlink()
    (path / "recording.json").unlink()
    done = repair_recording(path, out=tmp_path / "out")
    assert read(done.path) == sent
    assert (done.path / "metadata.yaml").read_bytes() == index
    assert Recording.open(done.path).header.notes == {"weather": "dry"}
    assert done.set_aside == path


def test_a_recording_that_is_being_written_is_left_alone(tmp_path):
    writer = RecordingWriter(tmp_path, HEADER, ManualClock(T0))
    fill(writer)
    writer.flush()
    assert "writing it right now" in inspect_recording(writer.partial).problems[0]
    with pytest.raises(RecordingError, match="writing it right now; repair it when that is done"):
        repair_recording(writer.partial)
    assert inspect_recording(writer.commit()).is_whole


def test_nothing_of_an_earlier_repair_is_overwritten(tmp_path):
    path, _ = write(tmp_path)
    path.with_name(f"{path.name}.damaged").mkdir()
    flip(data_of(path), 5000)
    with pytest.raises(RecordingError, match=r"\.damaged is in the way; move it or give another --out"):
        repair_recording(path)


def test_random_bytes_are_no_recording_and_no_crash(tmp_path, rng):
    for k in range(50):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / "x_0.mcap").write_bytes(rng.bytes(int(rng.integers(0, 3000))))
        (folder / "recording.json").write_bytes(rng.bytes(int(rng.integers(0, 300))))
        assert inspect_recording(folder).problems
        with pytest.raises(RecordingError):
            repair_recording(folder)
    with pytest.raises(RecordingError, match="is no folder of a recording"):
        inspect_recording(tmp_path / "nothing")


def test_a_chunk_without_a_sum_is_not_believed_and_a_bomb_not_unpacked(tmp_path):
    data = bytearray(data_of(write(tmp_path)[0]).read_bytes())
    chunk = next(c for c in scan(bytes(data)) if isinstance(c, Chunk))
    crc_at, size_at = chunk.start + 33, chunk.start + 25
    without = data.copy()
    without[crc_at : crc_at + 4] = bytes(4)
    assert read_chunk(bytes(without), chunk.start) is None
    bomb = data.copy()
    bomb[size_at : size_at + 8] = (1 << 40).to_bytes(8, "little")
    assert read_chunk(bytes(bomb), chunk.start) is None
    assert any(isinstance(item, Span) for item in scan(bytes(bomb)))


def test_messages_reach_the_file_within_the_age_of_a_chunk(tmp_path):
    steady = ManualClock()
    writer = RecordingWriter(tmp_path, HEADER, ManualClock(T0), steady=steady)
    writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")

    def on_disk() -> int:
        items = scan(data_of(writer.partial).read_bytes())
        return sum(len(c.messages) for c in items if isinstance(c, Chunk))

    writer.append(JOINTS, message("JointState", T0), T0, T0)
    steady.advance(CHUNK_AGE_NS - 1)
    writer.keep_fresh()
    assert on_disk() == 0
    steady.advance(1)
    writer.keep_fresh()
    assert on_disk() == 1
    for k in range(1, 101):  # by the messages' own times, however fast they are appended
        writer.append(JOINTS, message("JointState", T0 + k * MS), T0 + k * MS, T0 + k * MS)
        assert on_disk() >= k - CHUNK_AGE_NS // MS
    writer.append(JOINTS, message("JointState", T0), T0 - 10**9, T0)  # a clock that jumps back
    writer.append(JOINTS, message("JointState", T0), T0 - 10**9, T0)
    writer.flush()
    assert on_disk() == 103
    writer.discard()


def test_a_killed_writer_loses_no_committed_recording_and_little_of_the_running_one(tmp_path):
    reader, printer = os.pipe()
    pid = os.fork()
    if pid == 0:  # the child records until it is killed
        clock = SystemClock()
        for k in range(1000):
            writer = RecordingWriter(tmp_path, HEADER, clock, f"take_{k}")
            writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
            for n in range(200):
                now_ns = clock.now_ns()
                writer.append(JOINTS, message("JointState", now_ns), now_ns, now_ns)
                os.write(printer, f"{k} {n + 1} {now_ns}\n".encode())
                time.sleep(0.001)
                writer.keep_fresh()
            writer.commit()
            os.write(printer, f"{k} committed 0\n".encode())
    time.sleep(0.9)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(printer)
    with os.fdopen(reader) as pipe:
        said = [line.split() for line in pipe.read().splitlines()]
    committed = [k for k, n, _ in said if n == "committed"]
    assert committed
    for k in committed:
        assert len(read(tmp_path / "pick_place" / f"take_{k}")) == 200
    take, count, last_ns = said[-1]
    if count != "committed":
        path = tmp_path / "pick_place" / f"take_{take}"
        saved = read(path if path.exists() else repair_recording(path.with_name(path.name + PARTIAL)).path)
        assert int(last_ns) - max(log for *_, log, _ in saved) <= 50 * MS
        assert len(saved) >= int(count) - 50
