"""A recording is whole or refused: never silently short, never silently changed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from il_core.clock import ManualClock
from il_core.errors import ConfigError, RecordingError
from il_core.spec import CameraSpec, Mount
from il_core.store import msgdefs
from il_core.store.recording import (
    Recording,
    RecordingHeader,
    RecordingWriter,
    TopicRecord,
    list_recordings,
    relabel,
)
from il_core.types import Outcome
from il_core.wire import header_stamp_ns_from_cdr

T0 = 1_700_000_000_000_000_000
JOINTS, IMAGE = "joint_states", "camera/front/color/image_raw"
GOLDEN = Path(__file__).parents[2] / "data" / "recording_v1"
CAMERA = CameraSpec("front", 8, 6, 30, 50.0, Mount.BASE, (1.0, 0.0, 0.5), (0.0, 0.0, 0.0, 1.0))
HEADER = RecordingHeader("pick_place", "fr3", "d" * 64, T0, operator="ada", cameras=(CAMERA,))


def joint_bytes(stamp_ns: int, x: float = 0.0) -> bytes:
    sec, nanosec = divmod(stamp_ns, 10**9)
    header = {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": ""}
    values = {"header": header, "name": ["a", "b"], "position": [x, -x], "velocity": [], "effort": []}
    return msgdefs.encoder("sensor_msgs/msg/JointState")(values)


def image_bytes(stamp_ns: int, data: bytes) -> bytes:
    sec, nanosec = divmod(stamp_ns, 10**9)
    values = {"header": {"stamp": {"sec": sec, "nanosec": nanosec}}, "height": 6, "width": 8, "step": 24}
    return msgdefs.encoder("sensor_msgs/msg/Image")({**values, "encoding": "rgb8", "data": data})


def write(root: Path, n: int = 400, header: RecordingHeader = HEADER, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    writer = RecordingWriter(root, header, ManualClock(T0))
    writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
    writer.add_topic(IMAGE, "sensor_msgs/msg/Image")
    for k in range(n):
        t = T0 + k * 1_000_000
        writer.append(JOINTS, joint_bytes(t, k / 7), t + 50_000, t)
        if k % 33 == 0:
            writer.append(IMAGE, image_bytes(t, rng.bytes(6 * 24)), t + 90_000, t)
    return writer.commit(Outcome.SUCCESS, {"weather": "dry"})


def test_what_was_written_is_read_back_in_order_and_without_ros(tmp_path):
    recording = Recording.open(write(tmp_path))
    seen = list(recording.messages())
    assert [log for *_, log, _ in seen] == sorted(log for *_, log, _ in seen)
    joints = [(m, log, stamp) for topic, m, log, stamp in seen if topic == JOINTS]
    assert [stamp for *_, stamp in joints] == [T0 + k * 1_000_000 for k in range(400)]
    assert [m.position[0] for m, *_ in joints] == [k / 7 for k in range(400)]
    assert all(m.header.stamp.sec * 10**9 + m.header.stamp.nanosec == stamp for m, _, stamp in joints)
    assert recording.counts == {JOINTS: 400, IMAGE: 13}
    assert recording.topics[IMAGE] == "sensor_msgs/msg/Image"
    assert recording.header.notes == {"weather": "dry"}
    assert recording.header.cameras == (CAMERA,)


def test_images_come_out_as_the_bytes_that_went_in(tmp_path):
    expected = np.random.default_rng(0).bytes(6 * 24)
    _, image, _, _ = next(Recording.open(write(tmp_path)).messages([IMAGE]))
    assert isinstance(image.data, bytes)
    assert image.data == expected


def test_raw_messages_decode_to_the_same_as_decoded_ones(tmp_path):
    recording = Recording.open(write(tmp_path, 50))
    raw = [(topic, recording.decode(topic, data), log, stamp) for topic, data, log, stamp in recording.raw_messages()]
    assert raw == list(recording.messages())


def test_header_stamp_is_found_in_the_bytes_as_written():
    assert header_stamp_ns_from_cdr(joint_bytes(T0 + 123_456_789)) == T0 + 123_456_789


def test_equal_input_gives_equal_bytes(tmp_path):
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    assert a.name == b.name
    for path in sorted(a.iterdir()):
        assert path.read_bytes() == (b / path.name).read_bytes(), path.name


def test_index_is_what_ros2_bag_expects(tmp_path):
    path = write(tmp_path)
    info = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert info["storage_identifier"] == "mcap"
    assert info["message_count"] == 413
    assert info["relative_file_paths"] == [f"{path.name}_0.mcap"]
    topics = {t["topic_metadata"]["name"]: t for t in info["topics_with_message_count"]}
    assert topics["/joint_states"]["message_count"] == 400
    assert topics["/joint_states"]["topic_metadata"]["type"] == "sensor_msgs/msg/JointState"
    assert yaml.safe_load(topics["/joint_states"]["topic_metadata"]["offered_qos_profiles"])[0]["reliability"] == 1
    assert info["duration"]["nanoseconds"] == 399 * 1_000_000


def test_a_namespaced_robot_keeps_short_names_for_readers_and_full_ones_in_the_file(tmp_path):
    path = write(tmp_path, 5, replace(HEADER, namespace="/left"))
    assert "/left/joint_states" in (path / "metadata.yaml").read_text()
    assert {topic for topic, *_ in Recording.open(path).messages()} == {JOINTS, IMAGE}


def test_every_truncation_is_refused(tmp_path, rng):
    path = write(tmp_path)
    data = path / f"{path.name}_0.mcap"
    whole = data.read_bytes()
    for size in [0, 1, 8, len(whole) - 1, *rng.integers(2, len(whole), 200)]:
        data.write_bytes(whole[: int(size)])
        with pytest.raises(RecordingError, match=rf"has {size} bytes, {len(whole)} were written.*record it again"):
            Recording.open(path)


def test_every_flipped_bit_is_refused_before_the_first_message(tmp_path, rng):
    path = write(tmp_path)
    data = path / f"{path.name}_0.mcap"
    whole = data.read_bytes()
    for position in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[int(position)] ^= 1 << int(rng.integers(8))
        data.write_bytes(damaged)
        with pytest.raises(RecordingError, match="damaged: its checksum differs"):
            next(Recording.open(path).messages())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: {**v, "format_version": 2}, "format_version is 2, this release reads 1"),
        (lambda v: {k: x for k, x in v.items() if k != "format_version"}, "format_version is None"),
        (lambda v: {**v, "outcome": "great"}, "unknown value 'great'"),
        (lambda v: {k: x for k, x in v.items() if k != "spec_digest"}, "missing key 'spec_digest'"),
        (lambda v: {**v, "operater": ""}, "unknown key 'operater'; did you mean 'operator'"),
        (lambda v: [v], "holds a list, not a mapping"),
    ],
)
def test_a_wrong_header_is_refused_with_its_reason(tmp_path, change, message):
    path = write(tmp_path, 3)
    values = json.loads((path / "recording.json").read_text())
    (path / "recording.json").write_text(json.dumps(change(values)))
    with pytest.raises(RecordingError, match=message):
        Recording.open(path)


def test_a_cut_header_missing_data_and_missing_folder_are_refused(tmp_path):
    path = write(tmp_path, 3)
    with pytest.raises(RecordingError, match="no such folder"):
        Recording.open(tmp_path / "nothing")
    with pytest.raises(RecordingError, match="give the folder of one recording"):
        Recording.open(tmp_path)
    text = (path / "recording.json").read_text()
    (path / "recording.json").write_text(text[: len(text) // 2])
    with pytest.raises(RecordingError, match=r"recording.json is unreadable"):
        Recording.open(path)
    (path / "recording.json").write_text(text)
    (path / f"{path.name}_0.mcap").unlink()
    with pytest.raises(RecordingError, match="data file cannot be read"):
        Recording.open(path)


def test_unknown_topic_names_those_there_are(tmp_path):
    recording = Recording.open(write(tmp_path, 3))
    with pytest.raises(RecordingError, match="no topic 'joints'; it has camera/front/color/image_raw, joint"):
        list(recording.messages(["joints"]))


def test_nothing_is_listed_before_commit_and_nothing_remains_after_discard(tmp_path):
    writer = RecordingWriter(tmp_path, HEADER, ManualClock(T0))
    writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
    writer.append(JOINTS, joint_bytes(T0), T0, T0)
    assert list_recordings(tmp_path) == []
    with pytest.raises(RecordingError, match="never finished"):
        Recording.open(writer.partial)
    writer.discard()
    writer.discard()
    assert list(tmp_path.rglob("*.mcap")) == []
    with pytest.raises(RecordingError, match="is finished; make a new RecordingWriter"):
        writer.append(JOINTS, joint_bytes(T0), T0, T0)


def test_recordings_are_listed_oldest_first_and_unfinished_ones_left_out(tmp_path):
    paths = [write(tmp_path, 2, replace(HEADER, created_ns=T0 + k * 10**9)) for k in (3, 1, 2)]
    shutil.copytree(paths[0], tmp_path / "pick_place" / "x.partial")
    assert list_recordings(tmp_path) == [paths[1], paths[2], paths[0]]


def test_two_recordings_of_one_instant_do_not_overwrite_each_other(tmp_path):
    write(tmp_path, 2)
    with pytest.raises(RecordingError, match="exists already"):
        write(tmp_path, 2)


def test_relabel_changes_the_outcome_only(tmp_path):
    path = write(tmp_path, 5)
    before = Recording.open(path)
    relabel(path, Outcome.FAILURE)
    after = Recording.open(path)
    assert after.header == replace(before.header, outcome=Outcome.FAILURE)
    assert list(after.raw_messages()) == list(before.raw_messages())


def test_wrong_use_is_named(tmp_path):
    writer = RecordingWriter(tmp_path, HEADER, ManualClock(T0))
    with pytest.raises(RecordingError, match="'joint_states' was not announced"):
        writer.append(JOINTS, b"", T0, T0)
    writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
    with pytest.raises(RecordingError, match="announced twice"):
        writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
    with pytest.raises(ConfigError, match=r"no sensor_msgs/msg/JointStat.msg under .*install the package"):
        writer.add_topic("x", "sensor_msgs/msg/JointStat")
    with pytest.raises(ConfigError, match="expected a name like sensor_msgs/msg/JointState"):
        writer.add_topic("x", "JointState")
    writer.discard()


@pytest.fixture
def small_files():
    """Lets files grow to a given size only, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_stops_cleanly_wherever_it_happens(tmp_path, small_files, rng):
    earlier = write(tmp_path)
    size = Recording.open(earlier).header.data_bytes
    later = replace(HEADER, created_ns=T0 + 10**9)
    for limit in [1, 100, size - 1, *rng.integers(1, size, 20)]:
        small_files(int(limit))
        with pytest.raises(RecordingError, match=r"cannot write: .*free space.*earlier recordings are unt"):
            write(tmp_path, header=later)
        small_files(resource.RLIM_INFINITY)
        assert list_recordings(tmp_path) == [earlier]
        left = list(tmp_path.rglob("*.partial"))
        assert len(left) == (limit >= 100), "a writer that could not begin leaves nothing"
        for folder in left:
            shutil.rmtree(folder)
    assert sum(1 for _ in Recording.open(earlier).messages()) == 413


def test_a_writer_that_cannot_begin_leaves_nothing_open(tmp_path, small_files):
    before = len(os.listdir("/proc/self/fd"))
    small_files(1)
    with pytest.raises(RecordingError, match="cannot write"):
        RecordingWriter(tmp_path, HEADER, ManualClock(T0))
    small_files(resource.RLIM_INFINITY)
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_stamp_before_1970_is_refused_with_its_topic_and_costs_nothing_else(tmp_path):
    writer = RecordingWriter(tmp_path, HEADER, ManualClock(T0))
    writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
    data = msgdefs.encoder("sensor_msgs/msg/JointState")({"position": [1.0]})
    writer.append(JOINTS, data, T0, T0)
    with pytest.raises(RecordingError, match=f"message of '{JOINTS}': time -1 ns is before 1970"):
        writer.append(JOINTS, data, T0, -1)
    writer.append(JOINTS, data, T0 + 1, T0 + 1)
    assert Recording.open(writer.commit()).counts == {JOINTS: 2}


def test_an_unwritable_root_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot write: Not a directory; free space or choose another"):
        RecordingWriter(tmp_path / "file", HEADER, ManualClock(T0))


def test_accounts_survive_the_file(tmp_path):
    writer = RecordingWriter(tmp_path, HEADER, ManualClock(T0))
    writer.add_topic(JOINTS, "sensor_msgs/msg/JointState")
    account = TopicRecord("sensor_msgs/msg/JointState", 0, {"transport": 2, "queue": 1, "write": 0}, 3, 1.5)
    path = writer.commit(topics={JOINTS: account})
    assert Recording.open(path).header.topics == {JOINTS: account}
    assert list(Recording.open(path).messages()) == []


def test_definitions_contain_every_type_they_refer_to():
    text = msgdefs.definition("trajectory_msgs/msg/MultiDOFJointTrajectory")
    for name in ("geometry_msgs/Quaternion", "builtin_interfaces/Duration", "std_msgs/Header"):
        assert f"MSG: {name}\n" in text


def test_the_golden_recording_of_version_1_still_opens():
    recording = Recording.open(next(GOLDEN.rglob("recording.json")).parent)
    messages = list(recording.messages())
    assert recording.header.format_version == 1
    assert recording.header.outcome is Outcome.SUCCESS
    assert recording.counts == {JOINTS: 40, IMAGE: 2}
    assert [m.position[0] for topic, m, *_ in messages if topic == JOINTS] == [k / 7 for k in range(40)]
