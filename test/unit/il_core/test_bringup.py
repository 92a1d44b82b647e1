"""Bringing a graph up: what comes next, and the sentence for whatever is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from il_core import topics
from il_core.bringup import (
    BringUp,
    NodeView,
    RateMeter,
    TopicView,
    Transition,
    Verdict,
    expected_topics,
    watched_only,
)
from il_core.graph import GraphOptions, graph

THERE = NodeView(is_there=True)
UNCONFIGURED, INACTIVE, ACTIVE = (replace(THERE, state=s) for s in ("unconfigured", "inactive", "active"))
FLOWS = TopicView(1000.0, 0.001, ("sim",))
TASK = GraphOptions(task="draw_symbol")  # no cameras


@pytest.fixture
def record():
    return BringUp(graph("record", TASK))


def flowing(bringup, *but):
    return {name: FLOWS for name in bringup.topics if name not in but}


def test_everything_that_is_there_is_configured_at_once_and_nothing_activated(record):
    nodes = {"sim": THERE, "controller": UNCONFIGURED, "recorder": UNCONFIGURED}
    verdict = record.judge(nodes, {})
    assert verdict.steps == {"controller": Transition.CONFIGURE, "recorder": Transition.CONFIGURE}
    assert verdict.reasons["teleop"] == "teleop is not running"
    assert verdict.reasons["controller"] == "controller is unconfigured: configure comes next"


def test_a_controller_without_joint_states_waits_and_says_for_what(record):
    nodes = {"sim": THERE, "controller": INACTIVE}
    silent = replace(FLOWS, age_s=2.14)
    verdict = record.judge(nodes, {topics.JOINT_STATES: silent})
    assert "controller" not in verdict.steps
    assert verdict.reasons["controller"] == "controller is inactive: waits for 'joint_states', silent for 2.1 s"
    assert verdict.reasons["sim"] == "sim sends nothing on 'joint_states', silent for 2.1 s"


def test_a_topic_that_never_came_names_who_should_send_it(record):
    nodes = {"controller": INACTIVE}
    assert "never received, nobody publishes it" in record.judge(nodes, {}).reasons["controller"]
    heard = {topics.JOINT_STATES: TopicView(publishers=("franka",))}
    assert "never received, though franka publishes it" in record.judge(nodes, heard).reasons["controller"]


def test_who_steers_the_arm_is_activated_after_its_controller_speaks(record):
    nodes = {"sim": THERE, "controller": INACTIVE, "recorder": INACTIVE, "teleop": INACTIVE}
    arm_only = {topics.JOINT_STATES: FLOWS}
    assert record.judge(nodes, arm_only).steps == {
        "controller": Transition.ACTIVATE,
        "recorder": Transition.ACTIVATE,
    }
    verdict = record.judge({**nodes, "controller": ACTIVE, "recorder": ACTIVE}, flowing(record))
    assert verdict.steps == {"teleop": Transition.ACTIVATE}
    assert set(verdict.reasons) == {"teleop"}


def test_a_policy_waits_for_its_pictures():
    bringup = BringUp(graph("policy", GraphOptions(checkpoint="somewhere")))
    nodes = {"controller": ACTIVE, "policy": INACTIVE}
    missing = topics.depth("wrist")
    assert f"waits for '{missing}'" in bringup.judge(nodes, flowing(bringup, missing)).reasons["policy"]
    assert bringup.judge(nodes, flowing(bringup)).steps == {"policy": Transition.ACTIVATE}


def test_all_is_ready_when_every_node_is_active_and_heard(record):
    nodes = {"sim": THERE, **dict.fromkeys(("controller", "recorder", "teleop"), ACTIVE)}
    verdict = record.judge(nodes, flowing(record))
    assert not verdict.steps and not verdict.reasons


def test_an_active_controller_that_falls_silent_is_explained_by_what_it_waits_for(record):
    nodes = {"sim": THERE, "controller": ACTIVE}
    reason = record.judge(nodes, {}).reasons["controller"]
    assert reason.startswith("controller sends nothing on 'control/ee_pose'")
    assert "it waits for 'joint_states', never received" in reason


def test_a_failed_transition_is_tried_again_later_and_its_reason_told(record):
    failed = replace(UNCONFIGURED, failed_s=1.0, problem="cannot configure: no such task")
    verdict = record.judge({"controller": failed}, {})
    assert not verdict.steps
    assert verdict.reasons["controller"] == "controller is unconfigured: cannot configure: no such task"
    again = record.judge({"controller": replace(failed, failed_s=5.0)}, {})
    assert again.steps == {"controller": Transition.CONFIGURE}


def test_a_node_that_somebody_took_down_is_left_to_them(record):
    verdict = record.judge({"controller": replace(INACTIVE, was_active=None)}, flowing(record))
    assert not verdict.steps and "has not said yet" in verdict.reasons["controller"]
    verdict = record.judge({"controller": replace(INACTIVE, was_active=True)}, flowing(record))
    assert not verdict.steps
    assert verdict.reasons["controller"] == "controller is inactive: somebody took it down"


def test_a_node_is_asked_one_thing_at_a_time(record):
    busy = replace(UNCONFIGURED, doing=Transition.CONFIGURE, doing_s=12.3)
    verdict = record.judge({"controller": busy, "recorder": THERE}, {})
    assert not verdict.steps
    assert verdict.reasons["controller"] == "controller is asked to configure, for 12.3 s"
    assert verdict.reasons["recorder"] == "recorder does not answer what state it is in"


def test_a_missing_service_of_a_node_without_a_life_cycle_is_named(record):
    nodes = {"sim": replace(THERE, services=(topics.SIM_RESET,))}
    assert record.judge(nodes, flowing(record)).reasons["sim"] == "sim does not offer service 'sim/reset'"


def test_pictures_of_a_foreign_driver_are_expected_under_its_names():
    described = graph("policy", GraphOptions(sim=False, cameras="zed", checkpoint="somewhere"))
    remaps = described.node("policy").remaps
    ours = topics.color("front")
    assert remaps[ours] in expected_topics(described) and ours not in expected_topics(described)


def test_pictures_that_are_not_received_count_as_long_as_somebody_publishes_them():
    bringup = BringUp(graph("policy", GraphOptions(checkpoint="somewhere")))
    nodes, color = {"controller": ACTIVE, "policy": INACTIVE}, topics.color("front")
    shut = TopicView(None, None, ("sim_camera",), "published; pictures are not received")
    assert bringup.judge(nodes, {**flowing(bringup), color: shut}).steps == {"policy": Transition.ACTIVATE}
    assert shut.words == "published; pictures are not received"
    reason = bringup.judge(nodes, {**flowing(bringup), color: replace(shut, publishers=())}).reasons["policy"]
    assert f"waits for '{color}', never received, nobody publishes it" in reason


def test_nodes_that_are_only_watched_are_asked_for_nothing_and_missed_when_silent():
    bringup = BringUp(watched_only(graph("record", TASK)))
    nodes = {n.name: THERE for n in bringup.nodes}
    assert bringup.judge(nodes, flowing(bringup)) == Verdict({}, {})
    verdict = bringup.judge({**nodes, "teleop": NodeView()}, flowing(bringup, topics.EE_POSE))
    assert not verdict.steps and verdict.reasons["teleop"] == "teleop is not running"
    assert verdict.reasons["controller"].startswith("controller sends nothing on 'control/ee_pose'")


class TestRateMeter:
    """Rate and age by the numbers of the newest messages and the instants they came."""

    def test_a_steady_stream_has_its_rate_though_few_of_its_messages_are_looked_at(self):
        meter = RateMeter()
        for k in range(1, 11):  # looked at twice a second, a thousand messages a second
            meter.add(b"sim", 700 + 500 * k, k * 500_000_000 - 1_000_000)
            view = meter.view(k * 500_000_000)
        assert view.rate_hz == pytest.approx(1000.0)
        assert view.age_s == pytest.approx(0.001) and view.silence == "" and view.words == "1000.0 Hz"

    def test_a_stream_that_stopped_has_no_rate_and_an_age(self):
        meter = RateMeter()
        meter.add(b"sim", 5, 0)
        for k in range(1, 31):
            view = meter.view(k * 100_000_000)
        assert view.rate_hz == 0.0
        assert view.silence == view.words == "silent for 3.0 s"

    def test_publishers_are_counted_apart_and_one_that_restarts_costs_nothing(self):
        meter = RateMeter()
        for k in range(1, 21):
            meter.add(*((b"left", 10 * k) if k % 2 else (b"right", 1000 + 10 * k)), at_ns=k * 100_000_000)
            view = meter.view(k * 100_000_000)
        assert view.rate_hz == pytest.approx(180.0, abs=10.0)  # each makes 20 in 0.2 s
        before = meter.count
        meter.add(b"left again", 1, 2_100_000_000)
        assert meter.count == before + 1

    def test_messages_without_numbers_have_an_age_and_no_invented_rate(self):
        meter = RateMeter()
        meter.add(b"", None, 1_000_000_000)
        view = meter.view(1_200_000_000, ("driver",))
        assert view.rate_hz is None and view.age_s == pytest.approx(0.2) and view.words == "messages come"
