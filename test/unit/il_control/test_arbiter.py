"""Who drives: laws that hold whatever is asked for in whatever order."""

import hypothesis.strategies as st
from hypothesis import given

from il_control.arbiter import RANK, Arbiter, Source

TALKERS = [Source.PLAN, Source.REPLAY, Source.GO_TO, Source.TELEOP]
ACTIVE = st.sets(st.sampled_from(TALKERS))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("choose"), ACTIVE),
        st.tuples(st.just("request"), st.sampled_from(list(Source))),
        st.tuples(st.just("release"), st.sampled_from(list(Source))),
    ),
    max_size=40,
)


def test_the_highest_in_rank_drives_and_a_person_takes_over_from_a_policy():
    arbiter = Arbiter()
    assert arbiter.choose({Source.PLAN}) is Source.PLAN
    assert arbiter.choose({Source.PLAN, Source.TELEOP}) is Source.TELEOP
    assert arbiter.change.cause == "teleop began and comes before policy"


def test_nobody_starts_because_another_stopped():
    arbiter = Arbiter()
    arbiter.choose({Source.PLAN, Source.TELEOP})
    assert arbiter.choose({Source.PLAN}) is Source.HOLD, "the policy was preempted"
    assert arbiter.change.cause == "teleop fell silent"
    assert arbiter.choose(set()) is Source.HOLD
    assert arbiter.choose({Source.PLAN}) is Source.PLAN, "it fell silent and began anew"


def test_a_request_brings_a_preempted_source_back():
    arbiter = Arbiter()
    arbiter.choose({Source.PLAN, Source.TELEOP})
    arbiter.choose({Source.PLAN})
    assert arbiter.request(Source.PLAN, "asked for by the operator") == ""
    assert arbiter.choose({Source.PLAN}) is Source.PLAN
    assert arbiter.change.cause == "asked for by the operator"


def test_a_claim_keeps_others_out_even_while_the_claimer_is_silent():
    arbiter = Arbiter()
    arbiter.request(Source.TELEOP)
    assert arbiter.choose({Source.PLAN}) is Source.HOLD
    assert "teleop has claimed the arm" in arbiter.request(Source.PLAN)
    assert arbiter.release(Source.TELEOP)
    assert arbiter.choose({Source.PLAN}) is Source.HOLD, "it talked all the while: it must be asked for"
    arbiter.request(Source.PLAN)
    assert arbiter.choose({Source.PLAN}) is Source.PLAN


def test_hand_guiding_drives_by_request_only_and_before_all_others():
    arbiter = Arbiter()
    arbiter.choose({Source.TELEOP})
    arbiter.request(Source.GUIDING, "touched: joint 4")
    assert arbiter.choose({Source.TELEOP}) is Source.GUIDING
    assert arbiter.change.cause == "touched: joint 4"
    arbiter.release(Source.GUIDING)
    assert arbiter.choose({Source.TELEOP}) is Source.HOLD


def test_releasing_what_has_no_part_changes_nothing():
    arbiter = Arbiter()
    arbiter.choose({Source.PLAN})
    assert not arbiter.release(Source.TELEOP)
    assert not arbiter.release(Source.HOLD)
    assert arbiter.choose({Source.PLAN}) is Source.PLAN


def test_releasing_a_source_that_still_talks_stops_it():
    arbiter = Arbiter()
    arbiter.choose({Source.PLAN})
    assert arbiter.release(Source.PLAN)
    assert arbiter.choose({Source.PLAN}) is Source.HOLD


def test_an_order_that_changed_nothing_explains_nothing_later():
    arbiter = Arbiter()
    arbiter.clear("asked to hold")
    arbiter.choose(set())
    arbiter.choose({Source.GO_TO})
    assert arbiter.change.cause == "go-to began"


def test_a_request_explains_the_hand_over_when_it_comes():
    arbiter = Arbiter()
    arbiter.request(Source.TELEOP, "asked for by ada")
    arbiter.choose(set())
    arbiter.choose({Source.TELEOP})
    assert arbiter.change.cause == "asked for by ada"


@given(STEPS)
def test_the_driver_talks_and_outranks_the_rest_or_was_claimed_or_they_were_released(steps):
    arbiter = Arbiter()
    released = set()
    for what, value in steps:
        if what == "request":
            arbiter.request(value)
            released.discard(value)
        elif what == "release":
            if arbiter.release(value):
                released.add(value)
        else:
            before, change = arbiter.source, arbiter.change
            source = arbiter.choose(value)
            assert source is Source.HOLD or source in value or source is arbiter.claim is Source.GUIDING
            assert arbiter.claim in (None, source) or source is Source.HOLD
            if source is not before:
                assert (arbiter.change.before, arbiter.change.after) == (before, source) and arbiter.change.cause
                took_over = before in value and source is not Source.HOLD
                allowed = RANK[source] > RANK[before] or arbiter.claim is source or before in released
                assert not took_over or allowed
            else:
                assert arbiter.change is change
            released &= value
            # Asked again with nothing changed, it answers the same.
            assert arbiter.choose(value) is source
