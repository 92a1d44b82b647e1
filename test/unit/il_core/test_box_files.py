"""A box is found for the recording it belongs to, once its process is dead, and is removed with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from il_core.store import box_files
from il_core.store.black_box import TABLE_BYTES

T0 = 1_700_000_000_000_000_000
TYPES = {"joint_states": "sensor_msgs/msg/JointState"}
MESSAGES = [bytes([k]) * 300 for k in range(20)]


@pytest.fixture(autouse=True)
def shm(tmp_path, monkeypatch):
    """A folder in the place of /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(box_files, "FOLDER", folder)
    monkeypatch.setattr(box_files, "RING_BYTES", 64 << 10)
    monkeypatch.setattr(box_files, "_free", [])
    return folder


def boxes(shm):
    return sorted(shm.rglob("box_*"))


def data_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "take_0.mcap").write_bytes(b"")
    return folder / "take_0.mcap"


def fill(data_path: Path):
    box = box_files.lend(data_path, "the header", TYPES)
    for k, data in enumerate(MESSAGES):
        box.put("joint_states", data, T0 + k, T0, zlib.crc32(data))
    return box


def in_killed_process(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_killed_process_leaves_its_messages(tmp_path, shm):
    data_path = data_file(tmp_path / "a.partial")
    in_killed_process(lambda: fill(data_path))
    found = box_files.read_box(data_path)
    assert [m.data for m in found.messages] == MESSAGES
    assert (found.header, found.types, found.totals) == ("the header", TYPES, {"joint_states": 20})
    os.rename(data_path.parent, tmp_path / "moved.partial")
    assert box_files.read_box(tmp_path / "moved.partial" / "take_0.mcap") == found
    (box,) = boxes(shm)
    assert box.stat().st_mode & 0o777 == 0o600
    assert box.parent.stat().st_mode & 0o777 == 0o700


def test_a_box_of_a_living_process_is_left_alone(tmp_path, shm):
    data_path = data_file(tmp_path / "a.partial")
    box = fill(data_path)
    assert box_files.read_box(data_path) is None
    in_killed_process(lambda: fill(data_file(tmp_path / "b.partial")))  # starts, so it removes what is not needed
    assert box.path in boxes(shm)
    box_files.give_back(box)


def test_a_box_of_another_recording_is_not_taken(tmp_path):
    data_path, other = data_file(tmp_path / "a.partial"), data_file(tmp_path / "b.partial")
    in_killed_process(lambda: fill(data_path))
    assert box_files.read_box(other) is None
    copy = shutil.copytree(data_path.parent, tmp_path / "copy.partial") / data_path.name
    assert box_files.read_box(copy) is None, "another file of that name, as a later boot would have it"
    renamed = data_path.rename(data_path.with_name("later_0.mcap"))
    assert box_files.read_box(renamed) is None, "another name for that inode, as a later recording would have it"
    assert box_files.read_box(tmp_path / "nothing" / "take_0.mcap") is None


def test_a_damaged_or_foreign_box_is_no_error(tmp_path, shm, rng):
    data_path = data_file(tmp_path / "a.partial")
    in_killed_process(lambda: fill(data_path))
    (box,) = boxes(shm)
    whole = box.read_bytes()
    for cut in (0, 3, 100, TABLE_BYTES, TABLE_BYTES + 5000):
        box.write_bytes(whole[:cut])
        found = box_files.read_box(data_path)
        assert found is None or [m.data for m in found.messages] == MESSAGES[: len(found.messages)]
    for _ in range(50):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole) if rng.random() < 0.5 else 600, 5):
            broken[at] ^= 1 << int(rng.integers(8))
        box.write_bytes(broken)
        found = box_files.read_box(data_path)
        assert found is None or {m.data for m in found.messages} <= set(MESSAGES)
    box.write_bytes(rng.bytes(len(whole)))
    assert box_files.read_box(data_path) is None
    box.unlink()
    box.mkdir()
    os.mkfifo(box.with_name("box_fifo"))  # opening it would wait for ever
    box.with_name("box_link").symlink_to("/dev/zero")
    assert box_files.read_box(data_path) is None
    assert box_files.prepare() == ""


def test_a_start_removes_boxes_of_dead_processes_without_a_recording(tmp_path, shm):
    kept, gone = data_file(tmp_path / "kept.partial"), data_file(tmp_path / "gone.partial")
    in_killed_process(lambda: fill(kept))
    in_killed_process(lambda: fill(gone))
    in_killed_process(box_files.prepare)  # died without a take
    assert len(boxes(shm)) == 3
    shutil.rmtree(gone.parent)
    assert box_files.prepare() == ""
    assert len(boxes(shm)) == 2  # this process's, and the one that is wanted
    assert [m.data for m in box_files.read_box(kept).messages] == MESSAGES


def test_a_take_that_is_over_leaves_nothing_and_its_memory_serves_the_next(tmp_path, shm):
    first, second = data_file(tmp_path / "a.partial"), data_file(tmp_path / "b.partial")

    def work():
        box_files.give_back(fill(first))
        box_files.give_back(box_files.lend(second, "", TYPES))

    in_killed_process(work)
    assert len(boxes(shm)) == 1
    assert box_files.read_box(first) is None
    assert box_files.read_box(second) is None


def test_two_takes_at_once_have_a_box_each(tmp_path, shm):
    first, second = fill(data_file(tmp_path / "a.partial")), fill(data_file(tmp_path / "b.partial"))
    assert first.path != second.path
    for box in (first, second):
        box_files.give_back(box)


def test_a_process_that_ends_takes_its_box_with_it(tmp_path, shm):
    code = (
        "import sys; from pathlib import Path; from il_core.store import box_files as b\n"
        "b.FOLDER = Path(sys.argv[1]); assert b.prepare() == ''; assert list(b.FOLDER.rglob('box_*'))"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code, str(shm)], check=True, cwd=root, env={"PYTHONPATH": str(root)})
    assert boxes(shm) == []


@pytest.mark.parametrize("problem", ["missing", "a file", "open to others", "full"])
def test_without_shared_memory_there_is_no_box_and_a_sentence_says_so(tmp_path, shm, monkeypatch, problem):
    if problem == "missing":
        monkeypatch.setattr(box_files, "FOLDER", shm / "missing")
    elif problem == "a file":
        monkeypatch.setattr(box_files, "FOLDER", data_file(tmp_path / "a"))
    elif problem == "open to others":
        (shm / f"il_robot_{os.getuid()}").mkdir()
        (shm / f"il_robot_{os.getuid()}").chmod(0o777)
    else:
        monkeypatch.setattr(box_files, "SPARE", 10**12)
    assert "recording works, but what waits for the disk is lost" in box_files.prepare()
    data_path = data_file(tmp_path / "a.partial")
    assert box_files.lend(data_path, "", TYPES) is None
    assert box_files.read_box(data_path) is None
    assert boxes(shm) == []
