"""A recording becomes an episode by the rules, or is listed with the reason; nothing is filled in."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from il_core import topics
from il_core.clock import tick_ns
from il_core.errors import EpisodeError, SpecMismatchError
from il_core.spec import ActionLabel, ActionSpec
from il_core.store.episodes import EpisodeStore
from il_core.types import Outcome
from il_teleop.dataset import BuildOptions, build
from il_teleop.dataset.align_recording import without_idle
from il_teleop.dataset.check import check

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
KEEP_ALL = BuildOptions(idle_keep_s=None)
SECOND = 1_000 * MS


def without(events, topic, start_ms, stop_ms):
    """Events less those of a topic stamped in an interval after the start."""
    lost = range(START_NS + start_ms * MS, START_NS + stop_ms * MS)
    return [e for e in events if not (e[0] == topic and e[2] in lost)]


def only(tmp_path, setup, recording, options=KEEP_ALL):
    build([recording], setup, tmp_path / "ds", options)
    return EpisodeStore.open(tmp_path / "ds", setup.digest).episode(0)


def reason(tmp_path, setup, recording, options=KEEP_ALL):
    with pytest.raises(EpisodeError, match="none of 1 recordings gave an episode") as caught:
        build([recording], setup, tmp_path / "ds", options)
    return str(caught.value)


def test_the_action_is_the_last_target_in_the_tick_that_follows(tmp_path, tiny_setup, demo_events, write_recording):
    episode = only(tmp_path, tiny_setup, write_recording(tiny_setup, demo_events))
    poses = sorted((e[2], e[3]["pose"]["position"]["x"]) for e in demo_events if e[0] == topics.TARGET_POSE)
    openings = sorted((e[2], e[3]["position"][0] / 0.04) for e in demo_events if e[0] == topics.TARGET_GRIPPER)
    t0 = episode.observations[0].tick_ns
    for k, (T, opening) in enumerate(zip(episode.T_base_ee_des, episode.gripper_des, strict=True)):
        window = (tick_ns(t0, k, 10), tick_ns(t0, k + 1, 10))
        assert T[0, 3] == [x for t, x in poses if window[0] < t <= window[1]][-1]
        assert opening == [g for t, g in openings if window[0] < t <= window[1]][-1]


def test_ticks_start_when_every_stream_has_a_sample(tmp_path, tiny_setup, demo_events, write_recording):
    events = without(demo_events, topics.JOINT_STATES, 0, 300)
    episode = only(tmp_path, tiny_setup, write_recording(tiny_setup, events))
    first = min(e[2] for e in events if e[0] == topics.JOINT_STATES)
    assert episode.observations[0].tick_ns == first
    assert episode.observations[0].age_ns["arm"] == 0


def test_label_next_measured_is_the_next_observation(tmp_path, make_setup, demo_events, write_recording):
    setup = make_setup(action=ActionSpec(ActionLabel.NEXT_MEASURED, rotation=False, gripper=False))
    episode = only(tmp_path, setup, write_recording(setup, demo_events))
    following = np.array([o.T_base_ee for o in episode.observations[1:]])
    assert np.array_equal(episode.T_base_ee_des[:-1], following)
    assert not episode.gripper_des.any()


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (topics.JOINT_STATES, "s after the start, stream 'arm': newest sample is .* ms old"),
        (topics.EE_POSE, "s after the start, stream 'ee_pose'"),
        (topics.color("eye"), "s after the start, stream 'camera/eye'"),
        (topics.TARGET_GRIPPER, "no target between the ticks"),
    ],
)
def test_a_short_hole_parts_the_recording_and_fills_nothing(
    tmp_path, tiny_setup, demo_events, write_recording, topic, expected
):
    recording = write_recording(tiny_setup, without(demo_events, topic, 700, 1100))
    report = build([recording], tiny_setup, tmp_path / "ds", KEEP_ALL)
    assert report.episodes == ("demo_1.1", "demo_1.2")
    store = EpisodeStore.open(tmp_path / "ds")
    assert check(store).is_good
    before, after = (store.episode(i).observations for i in range(2))
    assert after[0].tick_ns - before[-1].tick_ns >= 300 * MS
    assert re.search(expected, store.episode(0).notes["holes"])


@pytest.mark.parametrize("topic", [topics.JOINT_STATES, topics.color("eye"), topics.TARGET_POSE])
def test_a_long_hole_rejects_the_recording(tmp_path, tiny_setup, rng, make_events, write_recording, topic):
    recording = write_recording(tiny_setup, without(make_events(rng, 4.0), topic, 1000, 2600))
    assert "s in one piece are unusable: " in reason(tmp_path, tiny_setup, recording)


def test_a_stream_that_dies_a_moment_before_the_end_shortens_the_episode(
    tmp_path, tiny_setup, demo_events, write_recording
):
    episode = only(tmp_path, tiny_setup, write_recording(tiny_setup, without(demo_events, topics.EE_POSE, 1500, 9999)))
    assert len(episode.observations) == 16


def test_a_stream_that_dies_long_before_the_end_rejects_the_recording(
    tmp_path, tiny_setup, demo_events, write_recording
):
    recording = write_recording(tiny_setup, without(demo_events, topics.EE_POSE, 500, 9999))
    assert "1.3 s in one piece are unusable: 0.6 s after the start, stream 'ee_pose'" in reason(
        tmp_path, tiny_setup, recording
    )


def test_a_topic_that_was_never_recorded_is_named(tmp_path, tiny_setup, demo_events, write_recording):
    recording = write_recording(tiny_setup, without(demo_events, topics.TARGET_POSE, 0, 9999))
    assert "recorded nothing on control/target_pose, which task 'tiny_pick' needs" in reason(
        tmp_path, tiny_setup, recording
    )


def test_order_of_arrival_plays_no_part(tmp_path, tiny_setup, demo_events, write_recording):
    by_stamp = [(topic, stamp, stamp, msg) for topic, _, stamp, msg in sorted(demo_events, key=lambda e: e[2])]
    for name, events in (("late", demo_events), ("punctual", by_stamp)):
        recording = write_recording(tiny_setup, events, name=name)
        build([recording.rename(recording.with_name(name))], tiny_setup, tmp_path / name, KEEP_ALL)
    late, punctual = (EpisodeStore.open(tmp_path / n).header.episodes[0] for n in ("late", "punctual"))
    assert late.file_sha256 == punctual.file_sha256


def test_a_recording_of_another_robot_stops_the_build(tmp_path, tiny_setup, make_setup, demo_events, write_recording):
    recording = write_recording(make_setup(rate_hz=20), demo_events)
    with pytest.raises(
        SpecMismatchError, match="recording .*demo_1 .robot 'tiny'.* was made for spec .* record it again"
    ):
        build([recording], tiny_setup, tmp_path / "ds")
    assert not (tmp_path / "ds").exists()


def test_failures_are_left_out_unless_asked_for(tmp_path, tiny_setup, demo_events, write_recording):
    good = write_recording(tiny_setup, demo_events, name="good")
    bad = write_recording(tiny_setup, demo_events, Outcome.FAILURE, name="bad")
    report = build([good, bad], tiny_setup, tmp_path / "some")
    assert (report.episodes, report.damaged) == (("good",), ())
    assert report.rejected == {"bad": "its outcome is failure; include it with --include failure"}
    both = BuildOptions(include=(Outcome.SUCCESS, Outcome.FAILURE))
    assert build([good, bad], tiny_setup, tmp_path / "both", both).episodes == ("good", "bad")
    assert EpisodeStore.open(tmp_path / "both").outcome(1) is Outcome.FAILURE


def test_a_truncated_or_missing_recording_is_listed_and_the_others_are_built(
    tmp_path, tiny_setup, demo_events, write_recording
):
    good = write_recording(tiny_setup, demo_events, name="good")
    cut = write_recording(tiny_setup, demo_events, name="cut")
    data = next(cut.glob("*.mcap"))
    data.write_bytes(data.read_bytes()[:-1000])
    steps = []
    paths = [cut, tmp_path / "none", good]
    report = build(paths, tiny_setup, tmp_path / "ds", progress=lambda *step: steps.append(step))
    assert (report.episodes, report.damaged) == (("good",), ("cut", "none"))
    assert "it was truncated or changed" in report.rejected["cut"]
    assert "no such folder" in report.rejected["none"]
    assert steps == [(1, 3, "cut"), (2, 3, "none"), (3, 3, "good")]
    assert EpisodeStore.open(tmp_path / "ds").header.rejected == report.rejected


def test_changed_bytes_are_noticed(tmp_path, tiny_setup, demo_events, write_recording):
    recording = write_recording(tiny_setup, demo_events)
    file = next(recording.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    assert "checksum differs" in reason(tmp_path, tiny_setup, recording)


def test_no_recordings_is_an_error(tmp_path, tiny_setup):
    with pytest.raises(EpisodeError, match="no recordings given; make some with `il record`"):
        build([], tiny_setup, tmp_path / "ds")


def test_waiting_before_and_after_the_motion_is_dropped():
    x = np.concatenate([np.zeros(20), np.linspace(0.0, 0.3, 11), np.full(30, 0.3)])
    T = np.tile(np.eye(4), (len(x), 1, 1))
    T[:, 0, 3] = x
    kept = without_idle(T, np.ones(len(x)), keep=5)
    assert (kept.start, kept.stop) == (16, 36)  # motion in ticks 21..29, arrived at 30
    gripper = np.ones(len(x))
    gripper[40:] = 0.0  # closing the gripper is motion too
    assert without_idle(T, gripper, keep=5).stop == 46
    assert without_idle(T[:20], gripper[:20], keep=5) == slice(0, 20)  # never moved: nothing is known


def test_retiming_a_task_with_cameras_is_refused(tmp_path, tiny_setup, demo_events, write_recording):
    recording = write_recording(tiny_setup, demo_events)
    options = BuildOptions(path_speed_m_s=0.04)
    assert "path_speed_m_s forgets the timing of" in reason(tmp_path, tiny_setup, recording, options)


def test_a_built_dataset_passes_the_check(tmp_path, tiny_setup, demo_events, write_recording):
    build([write_recording(tiny_setup, demo_events)], tiny_setup, tmp_path / "ds", KEEP_ALL)
    findings = check(EpisodeStore.open(tmp_path / "ds"))
    assert findings.is_good
    assert findings.episodes[0].ticks == len(EpisodeStore.open(tmp_path / "ds").episode(0).observations)
    assert findings.episodes[0].age_max_ms["ee_pose"] <= 10.0


def test_the_check_finds_damage_jumps_and_dead_sensors(tmp_path, tiny_setup, demo_events, write_recording):
    episode = only(tmp_path, tiny_setup, write_recording(tiny_setup, demo_events))
    jumping = np.array(episode.T_base_ee_des)
    jumping[5, 0, 3] += 0.5
    late = [replace(o, tick_ns=o.tick_ns + k * MS, age_ns={s: a + k * MS for s, a in o.age_ns.items()})
            for k, o in enumerate(episode.observations)]  # fmt: skip
    store = EpisodeStore.create(tmp_path / "bad", tiny_setup)
    store.add(replace(episode, name="jumps", T_base_ee_des=jumping, gripper_des=np.ones(len(jumping))))
    store.add(replace(episode, name="late", observations=tuple(late), gripper_des=np.ones(len(jumping))))
    findings = check(store)
    assert not findings.is_good
    assert any("'late': ticks are not 10 Hz apart" in e for e in findings.errors)
    assert any("'jumps': the action jumps" in w for w in findings.warnings)
    assert any("'action gripper' is the same at every tick" in w for w in findings.warnings)
    store.file(0).write_bytes(b"rubbish")
    assert any("jumps.parquet: cannot be read" in e for e in check(store).errors)


def test_an_empty_dataset_fails_the_check(tmp_path, tiny_setup):
    assert "no episodes" in check(EpisodeStore.create(tmp_path / "ds", tiny_setup)).errors[0]


def test_a_gripper_that_moves_where_the_action_has_none_is_refused(tmp_path, make_setup, demo_events, write_recording):
    setup = make_setup(action=ActionSpec(ActionLabel.SETPOINT, rotation=True, gripper=False))
    told = reason(tmp_path, setup, write_recording(setup, demo_events))
    assert "the gripper was moved between" in told
    assert "'action.gripper: true'" in told
    openings = sorted(e[2] for e in demo_events if e[0] == topics.TARGET_GRIPPER)
    alone = [e for e in demo_events if e[0] != topics.TARGET_GRIPPER or e[2] == openings[0]]
    build([write_recording(setup, alone, name="alone")], setup, tmp_path / "alone")
