"""How often to answer: an arm that takes positions moves as fast as the answers come."""

from __future__ import annotations

EARLY = 0.25  # of a period: the jitter of an arm that sends at just our rate


class Pace:
    """Lets no more states through than the control rate allows, however many an arm sends.

    A limit of speed is kept as so many radians per answer. Twice the answers would be twice the speed. An arm
    that sends fewer moves more slowly than it may.
    """

    def __init__(self, dt: float) -> None:
        """Set the control period [s]."""
        self._dt_ns = round(dt * 1e9)
        self._early_ns = round(EARLY * self._dt_ns)
        self._last_ns: int | None = None
        self._due_ns = 0

    def is_due(self, stamp_ns: int) -> bool:
        """Whether a state of this instant [ns] is to be answered; if so, it is taken for answered.

        After a pause, or a clock that was set, the next state is; what was missed is not made up for.
        """
        last_ns, late_ns = self._last_ns, stamp_ns - self._due_ns
        if last_ns is None or stamp_ns < last_ns or late_ns > self._dt_ns // 2:
            self._due_ns = stamp_ns
        elif late_ns < -self._early_ns or stamp_ns - last_ns < self._dt_ns - self._early_ns:
            return False
        self._due_ns += self._dt_ns
        self._last_ns = stamp_ns
        return True
