"""Ticks are counted, so they do not drift; clocks go forward only."""

from __future__ import annotations

import pytest

from il_core.clock import ManualClock, SteadyClock, SystemClock, tick_ns

HOUR_S = 3600


@pytest.mark.parametrize("rate_hz", [1, 3, 7, 10, 30, 60, 1000])
def test_ticks_do_not_drift(rate_hz):
    assert tick_ns(5, HOUR_S * rate_hz, rate_hz) == 5 + HOUR_S * 1_000_000_000


def test_an_accumulated_period_would_drift():
    assert HOUR_S * 30 * (1_000_000_000 // 30) != HOUR_S * 1_000_000_000  # what counting avoids


@pytest.mark.parametrize("rate_hz", [3, 7, 30])
def test_ticks_are_one_period_apart_to_the_nanosecond(rate_hz):
    steps = {tick_ns(0, k + 1, rate_hz) - tick_ns(0, k, rate_hz) for k in range(1000)}
    assert steps <= {1_000_000_000 // rate_hz, 1_000_000_000 // rate_hz + 1}


def test_a_manual_clock_moves_when_told_and_never_back(clock):
    before = clock.now_ns()
    clock.advance(5)
    assert clock.now_ns() == before + 5
    with pytest.raises(ValueError, match="a clock cannot go back: advance by -1 ns"):
        clock.advance(-1)
    assert ManualClock().now_ns() == 0


def test_real_clocks_go_forward():
    for real in (SystemClock(), SteadyClock()):
        assert real.now_ns() <= real.now_ns()
