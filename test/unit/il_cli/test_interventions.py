"""Who drove while a policy was tried, from what the controller said."""

from __future__ import annotations

import pytest

from il_cli.interventions import Interventions, interventions

S = 1_000_000_000


def told(*events):
    return [(round(t * S), source) for t, source in events]


def counted(*events, begin_s=0.0, end_s=10.0):
    return interventions(told(*events), round(begin_s * S), round(end_s * S))


def test_a_policy_that_drives_alone_was_left_never():
    assert counted((-1, "hold"), (0.2, "policy"), (0.7, "policy"), (1.2, "policy")) == Interventions(0, 0.0, 0, 0.0)


def test_holding_before_the_first_plan_is_no_intervention_and_waiting_for_a_plan_is_one_without_a_person():
    found = counted((-1, "hold"), (2, "policy"), (4, "hold"), (4.5, "policy"))
    assert found == Interventions(1, pytest.approx(0.5), 0, 0.0)


def test_a_person_who_takes_over_is_counted_once_however_often_it_is_said():
    found = counted((0.1, "policy"), (3, "teleop"), (3.5, "teleop"), (4, "teleop"), (5, "policy"))
    assert found == Interventions(1, pytest.approx(2.0), 1, pytest.approx(2.0))


def test_a_person_and_what_follows_until_the_policy_is_back_are_one_time_away():
    found = counted((0.1, "policy"), (3, "hand guiding"), (5, "hold"), (6, "teleop"), (7, "policy"), (8, "hold"))
    assert found == Interventions(2, pytest.approx(6.0), 1, pytest.approx(3.0))


def test_who_drove_when_the_attempt_began_counts_and_what_came_after_its_end_does_not():
    found = counted((1, "policy"), (9, "teleop"), (11, "hold"), begin_s=5.0)
    assert found == Interventions(1, pytest.approx(1.0), 1, pytest.approx(1.0))


def test_messages_in_any_order_say_the_same():
    events = [(5, "policy"), (0.1, "policy"), (3, "teleop")]
    assert counted(*events) == counted(*sorted(events))


def test_where_nobody_told_that_the_policy_drove_nothing_is_known():
    assert counted() is None
    assert counted((-1, "hold"), (3, "teleop")) is None
