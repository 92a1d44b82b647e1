"""A demonstration is planned to be driven again exactly, in pieces that overlap, and never made up."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from il_core import topics
from il_core.clock import ManualClock
from il_core.config import Setup, load_setup
from il_core.errors import EpisodeError, ShapeError, SpecMismatchError
from il_core.geometry import matrix_from_rotvec, pose, quat_xyzw_from_matrix, rotvec_from_matrix
from il_core.store.msgdefs import encoder
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter
from il_core.wire import JointMap
from il_teleop.dataset.hand_guided import import_hand_guided
from il_teleop.dataset.kinesthetic import future_poses, openings_in_force
from il_teleop.replay import STEP_NS, likeness, read_path, rows_of, windows

T0 = 1_700_000_000_000_000_000
POSE, JOINTS = "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/JointState"
SETUP = load_setup("pick_place")
DRAWINGS = Path(__file__).parents[3] / "data" / "panda_hand_guided" / "symbol_17.mat"


def shown(t_s: float) -> np.ndarray:
    """A tool on a circle that nods."""
    p = [0.45 + 0.1 * np.cos(2 * t_s), 0.1 * np.sin(2 * t_s), 0.3 + 0.02 * t_s]
    return pose(p, matrix_from_rotvec([0.0, 0.3 * np.sin(t_s), 0.0]) @ matrix_from_rotvec([np.pi, 0, 0]))


def stamp(t_ns: int) -> dict[str, object]:
    return {"stamp": dict(zip(("sec", "nanosec"), divmod(t_ns, 10**9), strict=True)), "frame_id": "base"}


def write(root: Path, seconds: float = 3.0, hole: tuple[float, float] = (9.0, 9.0), setup: Setup = SETUP) -> Recording:
    """A recording at 100 Hz with a gripper that closes in the middle."""
    writer = RecordingWriter(root, RecordingHeader("pick_place", "fr3", setup.digest, T0), ManualClock(T0))
    pose_bytes, joint_bytes = encoder(POSE), encoder(JOINTS)
    joints = JointMap(SETUP.robot)
    for topic, kind in ((topics.EE_POSE, POSE), (topics.TARGET_GRIPPER, JOINTS), (topics.JOINT_STATES, JOINTS)):
        writer.add_topic(topic, kind)
    names = joints.names_with_gripper
    n = len(names)
    q = [*SETUP.robot.q_home_rad, 0.04]
    state = {"name": names, "position": q, "velocity": [0.0] * n, "effort": [0.0] * n}
    writer.append(topics.JOINT_STATES, joint_bytes({"header": stamp(T0), **state}), T0, T0)
    for k in range(round(seconds * 100) + 1):
        t_s, t_ns = k / 100, T0 + k * 10_000_000
        if hole[0] < t_s < hole[1]:
            continue
        T = shown(t_s)
        p, o = dict(zip("xyz", map(float, T[:3, 3]), strict=True)), quat_xyzw_from_matrix(T[:3, :3])
        orientation = dict(zip("xyzw", map(float, o), strict=True))
        msg = {"header": stamp(t_ns), "pose": {"position": p, "orientation": orientation}}
        writer.append(topics.EE_POSE, pose_bytes(msg), t_ns, t_ns)
        opening = {"name": [names[-1]], "position": [0.04 if t_s < seconds / 2 else 0.0]}
        writer.append(topics.TARGET_GRIPPER, joint_bytes({"header": stamp(t_ns), **opening}), t_ns, t_ns)
    return Recording.open(writer.commit())


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    return write(tmp_path_factory.mktemp("shown"))


def test_the_path_is_the_one_recorded_with_its_link(recording):
    path = read_path(recording, SETUP)
    assert path.seconds == pytest.approx(3.0)
    np.testing.assert_allclose(path.T_base_ee[150], shown(1.5), atol=1e-9)
    np.testing.assert_allclose(path.q_start, SETUP.robot.q_home_rad)
    assert (path.gripper[0], path.gripper[-1]) == (1.0, 0.0)
    digest = hashlib.sha256(recording.data_path.read_bytes()).hexdigest()
    assert path.notes == {"replay_of": recording.header.name, "replay_of_sha256": digest}


@pytest.mark.parametrize("speed", [1.0, 0.5, 1.3])
def test_rows_are_the_path_at_the_speed_asked_for_and_rest_at_its_end(recording, speed):
    path = read_path(recording, SETUP)
    rows = rows_of(path, speed)
    for k in range(0, int(3.0 / speed / (STEP_NS / 1e9)), 7):
        wanted = shown(k * STEP_NS / 1e9 * speed)
        np.testing.assert_allclose(rows.T_base_ee_des[k][:3, 3], wanted[:3, 3], atol=2e-5)
        turned = rotvec_from_matrix(rows.T_base_ee_des[k][:3, :3].T @ wanted[:3, :3])
        assert np.linalg.norm(turned) < 1e-4
    rest = rows.T_base_ee_des[-30:, :3, 3]
    np.testing.assert_allclose(rest, np.broadcast_to(shown(3.0)[:3, 3], rest.shape), atol=1e-9)
    closing = int(np.argmin(rows.gripper_des)) * STEP_NS / 1e9 * speed
    assert closing == pytest.approx(1.5, abs=0.04)


def test_windows_agree_where_they_overlap_and_leave_no_row_out(recording):
    rows = rows_of(read_path(recording, SETUP))
    seen: dict[int, np.ndarray] = {}
    sent = []
    for send_ns, chunk in windows(rows, T0):
        sent.append(send_ns)
        assert chunk.obs_ns == send_ns < chunk.start_ns
        for k, T in enumerate(chunk.T_base_ee_des):
            row = (chunk.start_ns - T0) // STEP_NS + k
            np.testing.assert_array_equal(T, seen.setdefault(row, T))
    assert sorted(seen) == list(range(len(rows.T_base_ee_des)))
    assert sent == sorted(set(sent)), "each rests on a newer instant than the one before"
    assert max(np.diff(sent)) / 1e9 < 0.25


def test_a_lost_window_leaves_no_instant_without_a_plan(recording):
    rows = rows_of(read_path(recording, SETUP))
    chunks = [chunk for _, chunk in windows(rows, T0)]
    for lost in range(1, len(chunks) - 1):
        kept = [c for k, c in enumerate(chunks) if k != lost]
        ends = [max(c.end_ns for c in kept[: k + 1]) for k in range(len(kept))]
        assert all(following.start_ns <= end for following, end in zip(kept[1:], ends, strict=False))


def test_a_hole_in_the_path_is_never_crossed(tmp_path):
    with pytest.raises(EpisodeError, match="hole of 500 ms in the tool's path, limit 200 ms"):
        read_path(write(tmp_path, hole=(1.0, 1.5)), SETUP)


def test_a_recording_of_another_task_is_refused(recording):
    with pytest.raises(SpecMismatchError, match="name its task and robot with --task and --robot"):
        read_path(recording, load_setup("draw_symbol"))
    with pytest.raises(SpecMismatchError):
        read_path(recording, replace(SETUP, digest="0" * 64))


@pytest.mark.parametrize("speed", [0.0, -1.0, 2.1, float("nan")])
def test_speeds_nobody_means_are_refused(recording, speed):
    with pytest.raises(EpisodeError, match="speed must be in"):
        rows_of(read_path(recording, SETUP), speed)


def test_an_imported_hand_guided_drawing_can_be_replayed(tmp_path):
    setup = load_setup("draw_symbol")
    path = read_path(Recording.open(import_hand_guided(DRAWINGS, tmp_path, setup)[0]), setup)
    assert path.gripper is None
    assert path.q_start is None
    assert 1.0 < path.seconds < 120.0
    np.testing.assert_allclose(
        path.T_base_ee[:, :3, :3], np.broadcast_to(np.diag([1, -1, -1]), (len(path.stamps_ns), 3, 3)), atol=1e-12
    )


def test_likeness_finds_the_delay_and_tells_what_is_left(recording):
    path = read_path(recording, SETUP)
    t = np.arange(0, 3_500_000_000, 10_000_000)
    late = np.array([shown(min(max(x / 1e9 - 0.08, 0.0), 3.0)) for x in t])
    alike = likeness(path, t, late)
    assert alike.delay_s == pytest.approx(0.08, abs=0.005)
    assert alike.rms_mm < 0.5
    assert alike.rms_deg < 0.5
    late[:, 2, 3] += 0.004
    assert likeness(path, t, late).rms_mm == pytest.approx(4.0, rel=0.05)


def test_labels_are_the_pose_a_moment_later():
    stamps = np.arange(0, 2_000_000_000, 10_000_000)
    T = np.array([shown(t / 1e9) for t in stamps])
    ticks = np.arange(0, 1_500_000_000, 100_000_000)
    labels = future_poses(stamps, T, ticks, 105_000_000, 50_000_000)
    for tick, label in zip(ticks, labels, strict=True):
        np.testing.assert_allclose(label[:3, 3], shown(tick / 1e9 + 0.105)[:3, 3], atol=1e-4)


def test_labels_are_never_made_up():
    stamps = np.concatenate([np.arange(0, 500_000_000, 10_000_000), np.arange(900_000_000, 10**9, 10_000_000)])
    T = np.array([shown(t / 1e9) for t in stamps])
    with pytest.raises(EpisodeError, match="not measured for 510 ms that an action lies in"):
        future_poses(stamps, T, np.array([1_400_000_000]), 100_000_000, 50_000_000)
    with pytest.raises(EpisodeError, match="hole of 410 ms in the measured poses, limit 50 ms"):
        future_poses(stamps, T, np.array([600_000_000]), 100_000_000, 50_000_000)
    with pytest.raises(EpisodeError, match="rising stamps"):
        future_poses(stamps[::-1], T, np.array([0]), 0, 50_000_000)
    with pytest.raises(ShapeError, match="T_base_ee"):
        future_poses(stamps[1:], T, np.array([0]), 0, 50_000_000)


def test_openings_are_the_wish_in_force_not_its_average():
    stamps, openings = np.array([0, 10, 20]), np.array([1.0, 0.0, 1.0])
    np.testing.assert_array_equal(openings_in_force(stamps, openings, np.array([0, 4, 9, 15]), 5), [1.0, 1.0, 0.0, 1.0])
    with pytest.raises(EpisodeError, match="no opening of the gripper was known"):
        openings_in_force(stamps, openings, np.array([-9]), 5)
