"""Does this state follow from the last one? Clocks that were set, and arms that are suddenly elsewhere."""

from __future__ import annotations

import numpy as np

from il_control.reasons import Reason
from il_core.types import ArmState, Vector

JUMP_RAD = 0.02  # beyond what the speed limit allows: encoder noise and timing stay below
CLOCK_JUMP_NS = 1_000_000_000  # 1 s separates a late cycle from a clock that was set


class Continuity:
    """Remembers the last cycle.

    Attributes:
        state: Newest state; None before the first.
        now_ns: Instant of its cycle [ns].
        elapsed_s: Time between the last two states [s]; 0 before there were two.
    """

    def __init__(self, v_max: Vector, dt: float, max_state_age_ms: float) -> None:
        """Take the joints' speed limits, (nq,) [rad/s], the period [s] and the oldest state acted on [ms]."""
        self._v_max, self._dt = v_max, dt
        self._max_age_ns = max_state_age_ms * 1e6
        self.state: ArmState | None = None
        self.now_ns = 0
        self.elapsed_s = 0.0

    def check(self, state: ArmState, now_ns: int) -> set[Reason]:
        """Take the state of a cycle; say what is wrong with its instant or its place."""
        reasons: set[Reason] = set()
        if abs(now_ns - state.stamp_ns) > self._max_age_ns:
            reasons.add(Reason.STALE_STATE)
        before = self.state
        if before is not None:
            self.elapsed_s = (state.stamp_ns - before.stamp_ns) * 1e-9
            if not 0 <= now_ns - self.now_ns <= CLOCK_JUMP_NS:
                reasons.add(Reason.CLOCK_JUMP)
            if self._has_jumped(before, state):
                reasons.add(Reason.STATE_JUMP)
        self.state, self.now_ns = state, now_ns
        return reasons

    def _has_jumped(self, before: ArmState, state: ArmState) -> bool:
        """Whether a joint moved further than its speed limit allows: a reset, or an encoder at fault."""
        way = state.q - before.q
        if float(way @ way) <= JUMP_RAD**2:  # the usual case, decided quickly
            return False
        elapsed_s = max(self._dt, self.elapsed_s)
        return bool((np.abs(way) > 1.5 * self._v_max * min(elapsed_s, 1.0) + JUMP_RAD).any())
