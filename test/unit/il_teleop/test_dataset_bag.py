"""Plain bags become recordings that build into the same episodes as if our recorder had made them."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from il_core import codec, topics  # noqa: E402
from il_core.config import from_mapping  # noqa: E402
from il_core.errors import ConfigError, RecordingError  # noqa: E402
from il_core.geometry import pose  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.store.msgdefs import encoder  # noqa: E402
from il_core.store.recording import Recording  # noqa: E402
from il_core.types import Outcome  # noqa: E402
from il_teleop.dataset import BuildOptions, build  # noqa: E402
from il_teleop.dataset.bag_in import BagMapping, import_bag  # noqa: E402

KEEP_ALL = BuildOptions(idle_keep_s=None)
MAP = {
    "joint_states": "/joint_states",
    "ee_pose": "/control/ee_pose",
    "target_pose": "/control/target_pose",
    "target_gripper": "/control/target_gripper",
    "cameras": {
        "eye": {
            "color": "/camera/eye/color/image_raw",
            "depth": "/camera/eye/aligned_depth_to_color/image_raw",
            "info": "/camera/eye/color/camera_info",
        }
    },
}
JOINTS, POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"


def mapping(**changes):
    return from_mapping(BagMapping, {**MAP, **changes}, "topics.yaml")


@pytest.fixture
def recording(tiny_setup, demo_events, write_recording):
    return write_recording(tiny_setup, demo_events)


@pytest.fixture
def bag(recording, tmp_path):
    """What `ros2 bag record` leaves: an index and a data file, nothing of ours."""
    folder = tmp_path / "plain_bag"
    folder.mkdir()
    for file in (next(recording.glob("*.mcap")), recording / "metadata.yaml"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def as_db3(recording, path, rename=lambda topic: topic):
    """The same messages in rosbag2's SQLite layout."""
    with sqlite3.connect(path) as out:
        out.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
        out.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
        opened = Recording.open(recording)
        numbers = {}
        for n, (topic, kind) in enumerate(opened.topics.items(), start=1):
            numbers[topic] = n
            out.execute("INSERT INTO topics VALUES (?, ?, ?, 'cdr')", (n, rename("/" + topic), kind))
        for topic, data, log_ns, _ in opened.raw_messages():
            out.execute(
                "INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)", (numbers[topic], log_ns, data)
            )
    return path


def write_db3(path, messages):
    """A bag of (topic, type, values, log_ns)."""
    with sqlite3.connect(path) as out:
        out.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
        out.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
        kinds = {topic: kind for topic, kind, _, _ in messages}
        for n, (topic, kind) in enumerate(kinds.items()):
            out.execute("INSERT INTO topics VALUES (?, ?, ?, 'cdr')", (n, topic, kind))
        for topic, kind, values, log_ns in messages:
            row = (list(kinds).index(topic), log_ns, encoder(kind)(values))
            out.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)", row)
    return path


def built(path, setup, out):
    build([path], setup, out, KEEP_ALL)
    return EpisodeStore.open(out, setup.digest).episode(0)


def parts(episode):
    """Everything of an episode that alignment decides, comparable bit for bit."""
    out = [episode.T_base_ee_des.tobytes(), episode.gripper_des.tobytes()]
    for o in episode.observations:
        frame = o.images["eye"]
        out += [o.tick_ns, dict(o.age_ns), o.T_base_ee.tobytes(), o.arm.q.tobytes(), o.arm.gripper]
        out += [frame.rgb.tobytes(), frame.depth_m.tobytes(), frame.intrinsics]
    return out


@pytest.mark.parametrize("form", ["folder", "mcap", "db3"])
def test_a_plain_bag_builds_into_the_same_episode_as_our_recording(tmp_path, tiny_setup, recording, bag, form):
    source = {"folder": bag, "mcap": next(bag.glob("*.mcap"))}.get(form) or as_db3(recording, tmp_path / "b.db3")
    path = import_bag(source, mapping(), tiny_setup, tmp_path / "in", outcome=Outcome.SUCCESS, operator="bob")
    header = Recording.open(path).header
    assert (header.outcome, header.operator, header.notes["imported_from"]) == (Outcome.SUCCESS, "bob", str(source))
    mine, other = built(recording, tiny_setup, tmp_path / "a"), built(path, tiny_setup, tmp_path / "b")
    assert len(mine.observations) >= 18
    assert parts(mine) == parts(other)


def test_the_wrench_of_a_bag_is_taken_where_the_task_observes_it(tmp_path, felt_setup, felt_events, write_recording):
    recording = write_recording(felt_setup, felt_events)
    source = as_db3(recording, tmp_path / "b.db3")
    with pytest.raises(ConfigError, match="task 'tiny_pick' also needs wrench; the bag has .*wrist/wrench"):
        import_bag(source, mapping(), felt_setup, tmp_path / "in")
    path = import_bag(source, mapping(wrench="/wrist/wrench"), felt_setup, tmp_path / "in", outcome=Outcome.SUCCESS)
    mine, other = built(recording, felt_setup, tmp_path / "a"), built(path, felt_setup, tmp_path / "b")
    assert len(mine.observations) >= 18
    for a, b in zip(mine.observations, other.observations, strict=True):
        assert np.array_equal(a.wrench, b.wrench)


def test_joints_are_renamed_and_a_second_arm_is_left_out(tmp_path, tiny_setup, demo_events):
    def two_arms(values):
        names = ["left_a", "left_g", "left_b", "right_a"]
        at = dict(zip(values["name"], range(3), strict=True))
        order = [at["a"], at["g"], at["b"], at["a"]]
        picked = {f: [values[f][i] for i in order] for f in ("position", "velocity", "effort")}
        return {**values, "name": names, **picked}

    kinds = {topics.JOINT_STATES: JOINTS, topics.EE_POSE: POSE, topics.TARGET_POSE: POSE, topics.TARGET_GRIPPER: JOINTS}
    messages = [("/" + t, kinds[t], two_arms(v) if t == topics.JOINT_STATES else v, log)
                for t, log, _, v in demo_events if t in kinds]  # fmt: skip
    setup = replace(tiny_setup, task=replace(tiny_setup.task, cameras=()))
    names = {"left_a": "a", "left_b": "b", "left_g": "g"}
    path = import_bag(
        write_db3(tmp_path / "two.db3", messages), mapping(joint_names=names, cameras={}), setup, tmp_path / "in"
    )
    found = [m for _, m, _, _ in Recording.open(path).messages([topics.JOINT_STATES])]
    wanted = [v for t, _, _, v in demo_events if t == topics.JOINT_STATES]
    for msg, values in zip(found, wanted, strict=True):
        assert list(msg.name) == ["a", "b", "g"]
        assert dict(zip(msg.name, msg.position, strict=True)) == pytest.approx(
            dict(zip(values["name"], values["position"], strict=True))
        )


def test_poses_come_from_joints_where_the_bag_has_none(tmp_path, tiny_setup, demo_events):
    def forward(q):
        return pose([q[0], q[1], 0.5])

    states = [e for e in demo_events if e[0] == topics.JOINT_STATES]
    bare = [{**v, "velocity": [], "effort": []} for _, _, _, v in states]
    messages = [("/js", JOINTS, v, e[1]) for e, v in zip(states, bare, strict=True)]
    messages += [("/goal", JOINTS, v, e[1] + 1) for e, v in zip(states, bare, strict=True)]
    messages += [("/grip", JOINTS, v, log) for t, log, _, v in demo_events if t == topics.TARGET_GRIPPER]
    setup = replace(tiny_setup, task=replace(tiny_setup.task, cameras=()))
    chosen = from_mapping(
        BagMapping, {"joint_states": "/js", "target_joints": "/goal", "target_gripper": "/grip"}, "map"
    )
    source = write_db3(tmp_path / "joints.db3", messages)
    path = import_bag(source, chosen, setup, tmp_path / "in", forward=forward)
    recording = Recording.open(path)
    assert recording.header.notes["velocity"] == "the bag has none, stored as 0"
    for topic in (topics.EE_POSE, topics.TARGET_POSE):
        poses = [m.pose.position for _, m, _, _ in recording.messages([topic])]
        wanted = [dict(zip(v["name"], v["position"], strict=True)) for v in bare]
        assert np.allclose([(p.x, p.y, p.z) for p in poses], [(w["a"], w["b"], 0.5) for w in wanted])
    with pytest.raises(RecordingError, match="need the robot's kinematics to become poses"):
        import_bag(source, chosen, setup, tmp_path / "again")
    assert not list((tmp_path / "again").rglob("*.mcap"))


def test_compressed_pictures_are_unpacked_and_missing_depth_is_no_measurement(tmp_path, tiny_setup, demo_events):
    kinds = {"/color": "sensor_msgs/msg/CompressedImage", "/info": "sensor_msgs/msg/CameraInfo"}
    messages, pictures = [], []
    for topic, log_ns, _, values in demo_events:
        if topic == topics.color("eye"):
            rgb = np.frombuffer(values["data"], np.uint8).reshape(6, 8, 3)
            pictures.append(rgb)
            packed = {"header": values["header"], "format": "png", "data": codec.encode_rgb(rgb)}
            messages.append(("/color", kinds["/color"], packed, log_ns))
        elif topic == topics.camera_info("eye"):
            messages.append(("/info", kinds["/info"], values, log_ns))
        elif topic in (topics.EE_POSE, topics.TARGET_POSE):
            messages.append(("/" + topic, POSE, values, log_ns))
        elif topic in (topics.JOINT_STATES, topics.TARGET_GRIPPER):
            messages.append(("/" + topic, JOINTS, values, log_ns))
    chosen = mapping(cameras={"eye": {"color": "/color", "info": "/info"}})
    path = import_bag(
        write_db3(tmp_path / "c.db3", messages), chosen, tiny_setup, tmp_path / "in", outcome=Outcome.SUCCESS
    )
    stored = [bytes(m.data) for _, m, _, _ in Recording.open(path).messages([topics.color("eye")])]
    assert stored == [p.tobytes() for p in pictures]
    episode = built(path, tiny_setup, tmp_path / "ds")
    assert not any(o.images["eye"].depth_m.any() for o in episode.observations)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ee_pose": "/control/ee_pos"}, "no topic '/control/ee_pos'; did you mean '/control/ee_pose'.* It has /"),
        ({"ee_pose": "/joint_states"}, "is sensor_msgs/msg/JointState, expected geometry_msgs/msg/PoseStamped"),
        ({"joint_names": {"a": "x"}}, "joint states: lack \\['a'\\]; they have .*give 'joint_names'"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path, tiny_setup, bag, change, sentence):
    with pytest.raises(RecordingError, match=sentence):
        import_bag(bag, mapping(**change), tiny_setup, tmp_path / "in")
    assert not list((tmp_path / "in").rglob("*.mcap"))


def test_what_the_task_needs_and_the_mapping_lacks_is_listed_with_what_the_bag_has(tmp_path, tiny_setup, bag):
    with pytest.raises(ConfigError, match="also needs cameras.eye, joint_states, target_pose .*the bag has /camera"):
        import_bag(bag, BagMapping(), tiny_setup, tmp_path / "in")


def test_files_that_are_no_bags_say_so(tmp_path, tiny_setup):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mcap").write_text("hello")
    (tmp_path / "text.db3").write_text("hello" * 500)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.mcap.zstd").write_text("x")
    for name, sentence in {
        "no": "no such bag; give a rosbag2 folder",
        "empty": "holds no .mcap or .db3 file",
        "text.mcap": "is damaged",
        "text.db3": "is damaged",
        "packed": "is compressed file by file; unpack it",
    }.items():
        with pytest.raises(RecordingError, match=sentence):
            import_bag(tmp_path / name, mapping(), tiny_setup, tmp_path / "in")


def test_truncated_bags_are_refused_at_every_length(tmp_path, tiny_setup, bag):
    file = next(bag.glob("*.mcap"))
    data = file.read_bytes()
    for size in range(0, len(data), max(1, len(data) // 25)):
        file.write_bytes(data[:size])
        with pytest.raises(RecordingError):
            import_bag(bag, mapping(), tiny_setup, tmp_path / "in")
