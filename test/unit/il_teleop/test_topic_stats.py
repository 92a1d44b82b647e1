"""The recorder's account of every topic: gaps, losses, rates, silence, and what is planned."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recorder_world import HEADER, PLAN, T0  # noqa: E402 - needs the path

from il_core import topics  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.store import msgdefs  # noqa: E402
from il_teleop.recorder import Status  # noqa: E402
from il_teleop.recorder_report import status_of  # noqa: E402
from il_teleop.topic_stats import TopicStats, plan_topics, silence_text, silent_topic  # noqa: E402


def test_missing_messages_are_seen_as_gaps_and_jitter_is_not(rng):
    stats = TopicStats(PLAN)
    stamps = [k * 1_000_000 + int(rng.integers(-200_000, 200_000)) for k in range(2000)]
    missing = {100, 101, 500, 1500}  # three holes
    for k, stamp in enumerate(stamps):
        if k not in missing:
            stats.take(T0 + stamp, T0 + stamp)
    assert stats.gaps == 3
    assert stats.received == 1996


def test_what_was_taken_but_is_not_on_disk_counts_as_lost_in_writing():
    stats = TopicStats(PLAN)
    for k in range(11):
        stats.take(T0 + k * 1_000_000, T0 + k * 1_000_000)
    stats.lose("transport", 2)
    record = stats.record(written=9)
    assert record.received + sum(record.lost.values()) == 11 + 2
    assert record.lost == {"transport": 2, "queue": 0, "write": 2}
    assert record.seconds == pytest.approx(0.010)


def test_live_rate_counts_messages_whether_recorded_or_not():
    stats = TopicStats(PLAN)
    stats.measure_rate(T0)
    for k in range(50):
        stats.arrive(T0 + k * 10_000_000)
    stats.measure_rate(T0 + 500_000_000)
    assert stats.rate_hz == pytest.approx(100.0)
    assert stats.received == 0


def test_only_required_topics_can_be_silent_and_the_text_names_topic_and_node():
    optional = TopicStats(replace(PLAN, name="teleop/target_pose", is_required=False))
    stats = TopicStats(PLAN)
    assert silent_topic([optional, stats], T0, 10**9) is stats
    assert silence_text(stats, T0, []) == (
        "topic 'joint_states' is silent: no message yet, nobody publishes it; "
        "expected from node 'sim': start it or see its log"
    )
    stats.arrive(T0)
    assert silent_topic([optional, stats], T0 + 10**9, 10**9) is None
    assert silent_topic([optional, stats], T0 + 10**9 + 1, 10**9) is stats
    assert "no message for 3.0 s, publishers: sim;" in silence_text(stats, T0 + 3 * 10**9, ["sim"])


def test_the_plan_has_every_camera_of_the_task_and_what_was_asked_of_the_arm():
    setup = load_setup("pick_place")
    plans = {p.name: p for p in plan_topics(setup, 1000.0)}
    for camera in setup.task.cameras:
        assert plans[topics.color(camera)].is_required
        assert plans[topics.depth(camera)].rate_hz == setup.robot.camera(camera).rate_hz
        assert topics.camera_info(camera) in plans
    assert {topics.TARGET_POSE, topics.TARGET_GRIPPER, topics.EFFORT_SETPOINT, topics.EE_POSE} <= set(plans)
    assert not plans[topics.TELEOP_POSE].is_required
    for plan in plans.values():
        msgdefs.definition(plan.type)


def test_status_names_lost_messages_and_silence():
    stats = {PLAN.name: TopicStats(PLAN)}
    session = SimpleNamespace(status=Status(), stats=stats, backlog_bytes=0, path=None, header=HEADER)
    assert status_of(session, T0, "")[:2] == ("OK", "idle")
    assert status_of(session, T0, "topic 'x' is silent")[:2] == ("WARN", "topic 'x' is silent")
    stats[PLAN.name].lose("queue", 4)
    level, message, values = status_of(session, T0, "")
    assert (level, message) == ("WARN", "idle: 4 messages lost")
    assert values["lost:joint_states"] == 4


def test_the_plan_has_who_drives_and_how_stiff_without_waiting_for_it():
    plans = {p.name: p for p in plan_topics(load_setup("pick_place"), 1000.0)}
    for name in (topics.CONTROL_SOURCE, topics.STIFFNESS, topics.DIAGNOSTICS):
        assert not plans[name].is_required
    assert plans[topics.STIFFNESS].publisher == "controller"


def test_a_force_sensor_is_recorded_and_waited_for_where_the_task_observes_it(tiny_setup, felt_setup):
    unseen = replace(felt_setup, task=replace(felt_setup.task, wrench=False))
    required = [
        {p.name: p.is_required for p in plan_topics(s, 1000.0)}.get(topics.WRIST_WRENCH)
        for s in (tiny_setup, unseen, felt_setup)
    ]
    assert required == [None, False, True]
