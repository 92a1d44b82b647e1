"""From a recorded force sensor to a dataset: turned and moved to the tool, old or missing data refused, and listed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from il_core import topics
from il_core.errors import EpisodeError
from il_core.spec import digest
from il_core.store.episodes import EpisodeStore
from il_teleop.dataset import BuildOptions, build
from il_teleop.dataset.check import check
from il_teleop.dataset.overview import overview

KEEP_ALL = BuildOptions(idle_keep_s=None)
START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def store_of(setup, recording, out, **kwargs):
    build([recording], setup, out, KEEP_ALL, **kwargs)
    return EpisodeStore.open(out, setup.digest)


def test_what_the_sensor_measured_is_stored_as_the_wrench_on_the_tool_in_base(
    tmp_path, felt_setup, felt_events, write_recording
):
    store = store_of(felt_setup, write_recording(felt_setup, felt_events), tmp_path / "ds")
    episode = store.episode(0)
    assert len(episode.observations) >= 18
    for o in episode.observations:
        k = (o.tick_ns - START_NS) // (2 * MS)
        assert o.age_ns["wrench"] == o.tick_ns - START_NS - 2 * k * MS
        # The sensor's x is the tool's y and its y the tool's -x; the tool points down: y and z of base are reversed.
        fx, fy, fz, tx, ty, tz = 0.01 * k, 1.0, -2.0, 0.1, 0.001 * k, 0.3
        force_tool, torque_sensor = [-fy, fx, fz], [-ty, tx, tz]
        lever_torque = [0.1 * force_tool[1], -0.1 * force_tool[0], 0.0]  # (0, 0, -0.1) x F
        torque_tool = np.add(torque_sensor, lever_torque)
        expected = [*np.multiply([1, -1, -1], force_tool), *np.multiply([1, -1, -1], torque_tool)]
        assert o.wrench == pytest.approx(expected, abs=1e-12)


def test_the_wrench_is_listed_and_a_dead_sensor_is_noticed(tmp_path, felt_setup, felt_events, write_recording):
    store = store_of(felt_setup, write_recording(felt_setup, felt_events), tmp_path / "ds")
    seen = overview(store)
    assert ("wrench", "(6,) N, N·m") in seen.shapes
    listed = {n.name: n for n in seen.numbers}
    assert {"wrench x [N]", "wrench about z [N·m]", "age wrench [ms]"} <= set(listed)
    assert listed["wrench z [N]"].min == listed["wrench z [N]"].max == pytest.approx(2.0)
    found = check(store)
    assert found.is_good
    assert "'wrench fz' is the same at every tick of every episode; check its sensor" in found.warnings
    assert not any("'wrench fy'" in w for w in found.warnings)


def test_a_recording_without_the_wrench_is_refused_by_name(tmp_path, felt_setup, demo_events, write_recording):
    with pytest.raises(EpisodeError, match="recorded nothing on wrist/wrench, which task 'tiny_pick' needs"):
        build([write_recording(felt_setup, demo_events)], felt_setup, tmp_path / "ds", KEEP_ALL)


def test_a_sensor_that_is_silent_for_a_while_parts_the_recording(tmp_path, felt_setup, felt_events, write_recording):
    silent = [e for e in felt_events if e[0] != topics.WRIST_WRENCH or not 800 <= (e[2] - START_NS) // MS < 1000]
    store = store_of(felt_setup, write_recording(felt_setup, silent), tmp_path / "ds")
    assert store.names == ("demo_1.1", "demo_1.2")
    assert "stream 'wrench': newest sample is" in store.header.episodes[0].notes["holes"]
    assert all(o.age_ns["wrench"] <= 40 * MS for i in range(2) for o in store.episode(i).observations)


def test_a_wrench_in_another_frame_rejects_the_recording(tmp_path, felt_setup, felt_events, write_recording):
    turned = [
        (*e[:3], {**e[3], "header": {**e[3]["header"], "frame_id": "other"}}) if e[0] == topics.WRIST_WRENCH else e
        for e in felt_events
    ]
    with pytest.raises(EpisodeError, match="wrist wrench is in frame 'other', the robot's file says 'ft'"):
        build([write_recording(felt_setup, turned)], felt_setup, tmp_path / "ds", KEEP_ALL)


def test_a_task_that_comes_to_observe_the_wrench_is_built_from_recordings_of_before(
    tmp_path, felt_setup, felt_events, write_recording
):
    blind = replace(felt_setup.task, wrench=False)
    before = replace(felt_setup, task=blind, digest=digest(felt_setup.robot, blind, "<robot/>"))
    recording = write_recording(before, felt_events)
    store = store_of(felt_setup, recording, tmp_path / "felt", recorded_as=before)
    assert store.episode(0).observations[0].wrench is not None
    assert store_of(before, recording, tmp_path / "blind").episode(0).observations[0].wrench is None
