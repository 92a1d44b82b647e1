"""A clock set to another time is noticed; one that is slewed, or a thread that slept, is not."""

from __future__ import annotations

import pytest

from il_core.clock import ManualClock
from il_teleop.clock_watch import CONFIRM, STEP_NS, ClockWatch

T0 = 1_700_000_000_000_000_000
MS = 1_000_000


def watch(*, is_simulated=False):
    steady = ManualClock(5 * MS)
    return ClockWatch(is_simulated=is_simulated, steady=steady), steady


@pytest.mark.parametrize(("step_ns", "words"), [(3_600 * 10**9, "3600.000 s ahead"), (-20 * MS, "0.020 s back")])
def test_a_step_is_told_once_with_its_size_and_direction(step_ns, words):
    clock_watch, steady = watch()
    said = []
    for k in range(100):
        steady.advance(20 * MS)
        said.append(clock_watch.check(T0 + k * 20 * MS + (step_ns if k >= 50 else 0)))
    assert [k for k, text in enumerate(said) if text] == [50 + CONFIRM - 1]
    assert words in said[50 + CONFIRM - 1]
    assert "record this one again" in said[50 + CONFIRM - 1]


def test_a_clock_that_is_slewed_all_day_is_no_step():
    clock_watch, steady = watch()
    for k in range(100_000):  # 0.5 ms/s, a whole second in the end
        steady.advance(20 * MS)
        assert clock_watch.check(T0 + int(k * 20 * MS * 1.0005)) == ""


def test_a_thread_that_slept_between_the_clocks_is_no_step():
    clock_watch, steady = watch()
    for k in range(100):
        steady.advance(20 * MS)
        assert clock_watch.check(T0 + k * 20 * MS - (200 * MS if k % 10 == 5 else 0)) == ""


def test_a_simulated_clock_may_have_any_pace_but_not_go_back():
    clock_watch, _ = watch(is_simulated=True)
    assert [clock_watch.check(t) for t in (0, 10**9, 10**9, 50 * 10**9)] == [""] * 4
    assert "back while recording" in clock_watch.check(50 * 10**9 - 2 * STEP_NS)
    assert clock_watch.check(50 * 10**9 - STEP_NS) == ""
