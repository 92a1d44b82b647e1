"""No more answers than the control rate, however many states come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.pace import Pace

MS = 1_000_000


def answered(pace, stamps_ns):
    return [t for t in stamps_ns if pace.is_due(t)]


@pytest.mark.parametrize(
    "state_hz, rate_hz, expected", [(1000, 125, 125), (500, 500, 500), (250, 50, 50), (100, 500, 100)]
)
def test_states_are_answered_at_the_control_rate_or_as_they_come(state_hz, rate_hz, expected):
    stamps = [k * 1_000_000_000 // state_hz for k in range(4 * state_hz)]
    assert len(answered(Pace(1 / rate_hz), stamps)) == pytest.approx(4 * expected, abs=2)


def test_jitter_of_an_arm_at_just_our_rate_costs_no_answer(rng):
    stamps = [k * 2 * MS + int(rng.uniform(-0.1, 0.1) * 2 * MS) for k in range(5000)]
    assert len(answered(Pace(0.002), stamps)) == 5000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40 * MS), min_size=1, max_size=200), st.sampled_from([0.002, 0.008, 0.02]))
def test_answers_never_come_faster_than_the_rate_for_long(gaps_ns, dt):
    out = answered(Pace(dt), np.cumsum(gaps_ns).tolist())
    assert (np.diff(out) >= 0.75 * dt * 1e9 - 2).all()
    assert len(out) <= (out[-1] - out[0]) / (0.75 * dt * 1e9) + 1


def test_a_clock_that_was_set_back_does_not_silence_the_arm():
    pace = Pace(0.01)
    assert pace.is_due(10_000 * MS)
    assert pace.is_due(5 * MS)
    assert not pace.is_due(6 * MS)
    assert pace.is_due(15 * MS)
