"""The recorder's states: pure steps that never lose or double a take."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_core.types import Outcome
from il_teleop.recorder import Effect, Event, State, Status, step

events = st.lists(st.sampled_from(list(Event)), max_size=40)


def run(*sequence: Event) -> tuple[Status, list[Effect]]:
    status, effects = Status(), []
    for event in sequence:
        result = step(status, event, "the disk is full")
        status = result.status
        effects += result.effects
    return status, effects


def test_the_straight_way_opens_closes_and_commits_once():
    status, effects = run(Event.START, Event.STOP, Event.SUCCESS, Event.KEEP, Event.DONE)
    assert effects == [Effect.OPEN, Effect.CLOSE, Effect.COMMIT]
    assert (status.state, status.saved, status.discarded) == (State.IDLE, 1, 0)


@settings(deadline=None)
@given(events)
def test_every_opened_recording_is_committed_removed_or_set_aside_exactly_once_before_the_next(sequence: list[Event]):
    _, effects = run(*sequence)
    is_open = False
    for effect in effects:
        assert is_open is (effect is not Effect.OPEN)
        if effect is Effect.OPEN:
            is_open = True
        elif effect in (Effect.COMMIT, Effect.REMOVE, Effect.SET_ASIDE):
            is_open = False


@settings(deadline=None)
@given(events)
def test_a_label_never_passes_to_the_next_recording(sequence: list[Event]):
    status, _ = run(*sequence)
    result = step(status, Event.START)
    if not result.refusal:
        assert result.status.outcome is Outcome.UNLABELLED


@settings(deadline=None)
@given(events)
def test_a_refused_event_changes_nothing_and_says_what_to_do(sequence: list[Event]):
    status, _ = run(*sequence)
    for event in Event:
        result = step(status, event)
        if result.refusal:
            assert result.status == status
            assert result.effects == ()
            assert result.refusal.startswith(f"{event.value} refused: ")


@pytest.mark.parametrize(
    "before, event, message",
    [
        ([], Event.STOP, "nothing is being recorded; start first"),
        ([Event.START], Event.KEEP, "stop or discard it first"),
        ([Event.START, Event.STOP], Event.START, "keep or discard it first"),
        ([Event.START, Event.STOP, Event.KEEP], Event.START, "still being written"),
        ([Event.START, Event.DISCARD], Event.START, "still being removed"),
        ([Event.START, Event.FAILED], Event.START, "in fault .the disk is full.; remedy it, then"),
    ],
)
def test_refusals_name_the_next_step(before, event, message):
    status, _ = run(*before)
    assert re.search(message, step(status, event).refusal)


@pytest.mark.parametrize("before", [[], [Event.START], [Event.START, Event.STOP]])
def test_a_failure_leads_to_fault_from_anywhere_and_discard_clears_it(before):
    status, _ = run(*before, Event.FAILED)
    assert (status.state, status.reason) == (State.FAULT, "the disk is full")
    assert step(status, Event.DISCARD).status.state is State.IDLE
