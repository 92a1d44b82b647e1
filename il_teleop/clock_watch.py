"""Notices that the clock which stamps a recording was set to another time."""

from __future__ import annotations

from il_core.clock import SteadyClock
from il_core.ports import Clock

STEP_NS = 10_000_000  # beyond this, a picture and a joint state of one instant are no longer aligned
CONFIRM = 3  # readings in a row; one alone may be a thread that was put to sleep between two clocks


class ClockWatch:
    """Compares the stamping clock with one that never jumps.

    Slow corrections (NTP slews by at most 0.5 ms/s) pass; a step does not.
    """

    def __init__(self, *, is_simulated: bool = False, steady: Clock | None = None) -> None:
        """Forget nothing yet.

        Args:
            is_simulated: The stamping clock has a pace of its own: only a jump back is a step.
            steady: A clock that never jumps; the machine's by default.
        """
        self._steady = steady or SteadyClock()
        self._is_simulated = is_simulated
        self._offset_ns: int | None = None
        self._last_ns: int | None = None
        self._odd = 0

    def check(self, now_ns: int) -> str:
        """Look at one reading.

        Args:
            now_ns: The stamping clock, read just now [ns].

        Returns:
            What happened, in words, once; empty while all is well.
        """
        if self._is_simulated:
            last, self._last_ns = self._last_ns, now_ns
            return "" if last is None or last - now_ns < STEP_NS else _words(now_ns - last)
        offset_ns = now_ns - self._steady.now_ns()
        if self._offset_ns is None:
            self._offset_ns = offset_ns
        step_ns = offset_ns - self._offset_ns
        if abs(step_ns) < STEP_NS:
            self._offset_ns, self._odd = offset_ns, 0
            return ""
        self._odd += 1
        if self._odd < CONFIRM:
            return ""
        self._offset_ns, self._odd = offset_ns, 0  # told once; the new time is the time from now on
        return _words(step_ns)


def _words(step_ns: int) -> str:
    way = "ahead" if step_ns > 0 else "back"
    return (
        f"the clock was set {abs(step_ns) / 1e9:.3f} s {way} while recording, so its stamps no longer agree; record "
        "this one again, and let chrony or ntpd slew the clock instead of stepping it"
    )
