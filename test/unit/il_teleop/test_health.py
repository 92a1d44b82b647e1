"""Topics that go bad are named while recording, and takes that are useless are rejected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core import topics
from il_core.config import config_dir, load_yaml
from il_core.errors import ConfigError
from il_teleop.config import RecorderRules
from il_teleop.health import Health, RejectRule, WarnRule, rejection
from il_teleop.topic_stats import TopicPlan, TopicStats

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
PLAN = TopicPlan(topics.JOINT_STATES, "sensor_msgs/msg/JointState", "sim", 100.0)
OPTIONAL = TopicPlan(topics.TELEOP_POSE, "geometry_msgs/msg/PoseStamped", "teleop", None, is_required=False)
WARN = WarnRule(rate_share_min=0.8, age_max_ms=500.0, gap_max_ms=50.0, delay_max_ms=200.0)
RULE = RejectRule(lost_share_max=0.1, gap_max_ms=300.0, rate_share_min=0.5, seconds_min=0.5)


def fed(stats: TopicStats, n: int, *, start_ns: int = T0, every_ns: int = 10 * MS, delay_ns: int = MS) -> int:
    """Feed n regular messages; returns the instant after the last."""
    for k in range(n):
        t = start_ns + k * every_ns
        stats.arrive(t + delay_ns)
        stats.take(t, t + delay_ns)
    return start_ns + n * every_ns


def warned(stats: TopicStats, now_ns: int, health: Health | None = None) -> str:
    found = (health or Health(WARN)).warnings([stats], now_ns, is_recording=True)
    return found.get(stats.plan.name, "")


def test_the_shipped_rules_load_and_reject_only_what_no_dataset_could_use():
    rules = load_yaml(config_dir() / "teleop" / "recorder.yaml", RecorderRules)
    stats = TopicStats(PLAN)
    fed(stats, 200)
    assert rejection([stats], rules.reject) == ""
    assert rules.flow.countdown_s == 0.0


def test_a_healthy_topic_gives_no_warning_and_no_rejection():
    stats = TopicStats(PLAN)
    stats.measure_rate(T0)
    end_ns = fed(stats, 100)
    stats.measure_rate(end_ns)
    assert warned(stats, end_ns) == ""
    assert rejection([stats], RULE) == ""


def test_a_slow_topic_is_named_with_its_rate():
    stats = TopicStats(PLAN)
    stats.measure_rate(T0)
    end_ns = fed(stats, 50, every_ns=20 * MS)
    stats.measure_rate(end_ns)
    assert warned(stats, end_ns) == "50.0 Hz of 100 Hz"


def test_silence_is_a_warning_for_required_topics_only():
    stats, optional = TopicStats(PLAN), TopicStats(OPTIONAL)
    assert warned(stats, T0) == "no message yet"
    end_ns = fed(stats, 10)
    assert warned(stats, end_ns + 600 * MS) == "silent for 609 ms, limit 500 ms"
    assert warned(optional, T0) == ""


def test_losses_and_gaps_are_told_once_each():
    stats, health = TopicStats(PLAN), Health(WARN)
    now_ns = fed(stats, 10)
    assert warned(stats, now_ns, health) == ""
    stats.lose("transport", 3)
    assert warned(stats, now_ns, health) == "3 messages lost"
    assert warned(stats, now_ns, health) == ""
    now_ns = fed(stats, 10, start_ns=now_ns + 100 * MS)
    assert warned(stats, now_ns, health) == "hole of 110 ms, limit 50 ms"
    assert warned(stats, now_ns, health) == ""
    stats.begin()
    now_ns = fed(stats, 5, start_ns=now_ns)
    stats.lose("queue", 1)
    assert warned(stats, now_ns, health) == "1 messages lost", "a new take counts from zero"


@pytest.mark.parametrize("delay_ms", [-900, 900])
def test_clocks_that_disagree_are_told(delay_ms):
    stats = TopicStats(PLAN)
    fed(stats, 10, delay_ns=delay_ms * MS)
    assert f"stamps are {delay_ms} ms before their receipt" in warned(stats, stats.alive_ns)


def test_what_makes_a_take_useless_is_said_for_every_topic():
    stats = TopicStats(PLAN)
    assert rejection([stats], RULE) == "joint_states: no message"
    end_ns = fed(stats, 60)
    stats.lose("transport", 7)
    assert rejection([stats], RULE) == "joint_states: 7 of 67 messages lost"
    stats.begin()
    fed(stats, 60, start_ns=fed(stats, 10, start_ns=end_ns) + 400 * MS)
    assert rejection([stats], RULE) == "joint_states: hole of 410 ms, limit 300 ms"
    stats.begin()
    fed(stats, 20)
    assert rejection([stats], RULE) == "joint_states: 0.2 s long, at least 0.5 s are asked for"
    stats.begin()
    fed(stats, 20, every_ns=50 * MS)
    assert rejection([stats], RULE) == "joint_states: 20.0 Hz of 100 Hz"
    optional = TopicStats(OPTIONAL)
    assert rejection([optional], RULE) == ""
    optional.take(T0, T0)
    optional.lose("queue", 1)
    assert rejection([optional], RULE) == "teleop/target_pose: 1 of 2 messages lost"


@given(st.lists(st.integers(5, 15), min_size=2, max_size=60))
def test_jitter_is_the_standard_deviation_of_the_distances(steps_ms):
    stats, t = TopicStats(PLAN), T0
    stats.take(t, t)
    for step_ms in steps_ms:
        t += step_ms * MS
        stats.take(t, t)
    mean = sum(steps_ms) / len(steps_ms)
    wanted = (sum((s - mean) ** 2 for s in steps_ms) / len(steps_ms)) ** 0.5
    report = stats.synchronisation()
    assert report["jitter_ms"] == pytest.approx(wanted, abs=1e-3)
    assert report["rate_hz"] == pytest.approx(1000 / mean, abs=1e-3)
    assert report["gap_max_ms"] == max(steps_ms)


def test_published_is_received_and_lost():
    stats = TopicStats(PLAN)
    fed(stats, 5)
    for cause in ("transport", "queue", "write"):
        stats.lose(cause)
    assert stats.published == 8
    assert TopicStats(PLAN).synchronisation() == {"lost": 0}


@pytest.mark.parametrize("values", [(0.0, 500.0, 50.0, 200.0), (1.0, 500.0, 50.0, 200.0), (0.8, 500.0, 0.0, 200.0)])
def test_impossible_warnings_are_refused(values):
    with pytest.raises(ConfigError, match="recorder warn"):
        WarnRule(*values)


@pytest.mark.parametrize("values", [(1.0, 300.0, 0.5, 0.0), (0.1, 0.0, 0.5, 0.0), (0.1, 300.0, 1.0, 0.0)])
def test_impossible_rules_are_refused(values):
    with pytest.raises(ConfigError, match="recorder reject"):
        RejectRule(*values)
