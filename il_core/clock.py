"""Where time comes from: the only core module that reads a clock."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's wall clock, the clock ROS nodes use without ``use_sim_time``."""

    def now_ns(self) -> int:
        """Return the instant since the Unix epoch [ns]."""
        return time.time_ns()


class SteadyClock:
    """A clock that never jumps; for watchdogs and durations only."""

    def now_ns(self) -> int:
        """Return the instant since an arbitrary origin [ns]."""
        return time.monotonic_ns()


class ManualClock:
    """A clock moved by hand, for simulation and tests; it refuses to go backward."""

    def __init__(self, now_ns: int = 0) -> None:
        """Start at ``now_ns`` [ns]."""
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the instant last set [ns]."""
        return self._now_ns

    def advance(self, duration_ns: int) -> None:
        """Move forward by ``duration_ns`` [ns].

        Raises:
            ValueError: ``duration_ns`` is negative.
        """
        if duration_ns < 0:
            raise ValueError(f"a clock cannot go back: advance by {duration_ns} ns")
        self._now_ns += duration_ns


def tick_ns(start_ns: int, k: int, rate_hz: int) -> int:
    r"""Instant of tick k; counted, never accumulated, so it does not drift.

    .. math:: t_k = t_0 + \lfloor k \cdot 10^9 / f \rfloor
    """
    return start_ns + k * 1_000_000_000 // rate_hz
