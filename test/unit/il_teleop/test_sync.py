"""The synchronisation report finds what was injected, and finds nothing in a healthy episode."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core import topics
from il_core.store.recording import Recording
from il_teleop.review.sync import StampLog, SyncLimits, report_of, sync_report

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
COLOR = topics.color("eye")


def log_of(stamps_ns, age_ns=2 * MS):
    log = StampLog()
    for stamp, age in zip(stamps_ns, np.broadcast_to(age_ns, len(stamps_ns)), strict=True):
        log.append(int(stamp), int(stamp + age))
    return log


def grid(rate_hz, seconds=2.0, phase_ns=0):
    return START_NS + phase_ns + (np.arange(int(rate_hz * seconds)) * 1e9 / rate_hz).astype(np.int64)


def healthy():
    return {COLOR: log_of(grid(30)), topics.JOINT_STATES: log_of(grid(1000)), topics.EE_POSE: log_of(grid(100))}


def test_a_healthy_episode_has_no_problem_and_the_rates_it_was_made_with():
    report = sync_report(healthy(), {COLOR: 30.0})
    assert report.problems == ()
    assert report.health == 1.0
    assert report.reference == COLOR
    for topic, rate_hz in ((COLOR, 30.0), (topics.JOINT_STATES, 1000.0), (topics.EE_POSE, 100.0)):
        assert report.topics[topic].rate_hz == pytest.approx(rate_hz, rel=1e-6)
        assert report.topics[topic].gaps == 0
        assert report.topics[topic].jitter_ms.max < 1e-3


@given(st.sets(st.integers(1, 57), max_size=20))
def test_every_message_taken_out_is_counted_as_missing(lost):
    kept = np.delete(grid(30), sorted(lost))
    sync = sync_report({COLOR: log_of(kept)}, {COLOR: 30.0}).topics[COLOR]
    assert sync.missing == len(lost)
    assert sync.count + sync.missing == 60
    assert (sync.gaps > 0) == bool(lost)


def test_a_hole_is_named_with_its_length():
    stamps = healthy()
    times = grid(30)
    stamps[COLOR] = log_of(times[(times < START_NS + 500 * MS) | (times > START_NS + 1000 * MS)])
    report = sync_report(stamps, {COLOR: 30.0})
    assert report.topics[COLOR].gap_max_ms == pytest.approx(533.3, abs=34)
    assert any(p.startswith(f"{COLOR}: a hole of 5") for p in report.problems)


def test_age_is_receive_time_minus_stamp_and_its_spread_is_exact():
    ages = np.arange(60) * MS
    sync = sync_report({COLOR: log_of(grid(30), ages)}).topics[COLOR]
    assert (sync.age_ms.p50, sync.age_ms.max, sync.age_min_ms) == (29.5, 59.0, 0.0)


def test_skew_is_the_distance_to_the_nearest_sample():
    stamps = {COLOR: log_of(grid(30)), topics.depth("eye"): log_of(grid(30, phase_ns=7 * MS))}
    skew = sync_report(stamps, reference=COLOR).topics[topics.depth("eye")].skew_ms
    assert skew.p50 == pytest.approx(7.0, abs=1e-3)
    assert skew.max == pytest.approx(7.0, abs=1e-3)


def test_jitter_is_measured_from_the_median_interval():
    times = grid(100)
    times[50] += 3 * MS
    sync = sync_report({topics.EE_POSE: log_of(times)}).topics[topics.EE_POSE]
    assert sync.jitter_ms.max == pytest.approx(3.0, abs=1e-3)
    assert sync.jitter_ms.p50 == 0.0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s | {COLOR: log_of(grid(30), 250 * MS)}, f"{COLOR}: messages come 250 ms late"),
        (lambda s: s | {COLOR: log_of(grid(30), -9 * MS)}, "stamped 9.0 ms after it was received: clocks disagree"),
        (lambda s: s | {COLOR: log_of(grid(20))}, f"{COLOR}: 20.0 Hz, expected 30.0 Hz"),
        (lambda s: s | {COLOR: StampLog()}, f"{COLOR}: no message"),
        (lambda s: s | {topics.EE_POSE: log_of(np.roll(grid(100), 1))}, f"{topics.EE_POSE}: 1 stamps go backward"),
    ],
)
def test_each_fault_is_one_sentence_that_names_its_topic(change, expected):
    problems = sync_report(change(healthy()), {COLOR: 30.0}).problems
    assert any(expected in p for p in problems), problems


def test_topics_that_rest_when_nobody_drives_are_not_blamed_for_it():
    times = np.concatenate([grid(50, 0.5), grid(50, 0.5, phase_ns=1500 * MS)])
    report = sync_report(healthy() | {topics.TELEOP_POSE: log_of(times)}, {COLOR: 30.0})
    assert report.topics[topics.TELEOP_POSE].gap_max_ms > 900
    assert report.problems == ()


def test_a_topic_that_this_arm_does_not_use_may_be_silent():
    silent = {topics.TARGET_GRIPPER: StampLog(), topics.EFFORT_SETPOINT: StampLog(), "x": StampLog()}
    assert sync_report(healthy() | silent, {COLOR: 30.0}).problems == ()
    gone = sync_report(healthy() | {topics.JOINT_STATES: StampLog()}, {COLOR: 30.0})
    assert gone.problems == (f"{topics.JOINT_STATES}: no message",)


def test_messages_without_stamps_have_no_age_instead_of_a_wrong_one():
    log = StampLog()
    for t in grid(10):
        log.append(0, int(t))
    sync = sync_report({"sim/success": log}).topics["sim/success"]
    assert (sync.is_stamped, sync.age_ms, sync.age_min_ms) == (False, None, None)
    assert sync.rate_hz == pytest.approx(10.0)


def test_nothing_recorded_is_not_healthy():
    assert sync_report({}).health == 0.0
    assert sync_report({COLOR: StampLog()}, {COLOR: 30.0}).problems == (f"{COLOR}: no message",)


@pytest.mark.parametrize("count", [1, 2])
def test_a_topic_of_one_or_two_messages_is_no_error(count):
    sync = sync_report(healthy() | {"x": log_of(grid(10)[:count])}).topics["x"]
    assert sync.count == count


def test_an_unknown_reference_is_refused():
    with pytest.raises(ValueError, match="reference 'no' was not recorded"):
        sync_report(healthy(), reference="no")


def test_limits_decide_what_is_a_problem():
    stamps = {COLOR: log_of(np.delete(grid(30), [10]))}
    assert sync_report(stamps, {COLOR: 30.0}, limits=SyncLimits(missing_share_max=0.01)).problems
    assert not sync_report(stamps, {COLOR: 30.0}, limits=SyncLimits(missing_share_max=0.05)).problems


def test_the_report_of_a_recording_is_that_of_its_stamps(tiny_setup, demo_events, write_recording):
    recording = Recording.open(write_recording(tiny_setup, demo_events))
    report = report_of(recording)
    assert {t: s.count for t, s in report.topics.items()} == recording.counts
    assert 0.0 <= report.topics[COLOR].age_ms.p50 <= 20.0
    assert json.loads(json.dumps(asdict(report), allow_nan=False))["reference"] == COLOR
