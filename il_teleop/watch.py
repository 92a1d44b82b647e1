"""Does a stream still come, and often enough? One watch for every device that sends messages."""

from __future__ import annotations

from collections import deque

from il_core.errors import ConfigError

WINDOW_NS = 1_000_000_000  # rates are judged over a second


class Watch:
    """Remembers when messages came; says in words what is wrong with them."""

    def __init__(self, what: str, timeout_ms: float, rate_min_hz: float = 0.0, hint: str = "") -> None:
        """Nothing came yet.

        Args:
            what: What comes, for messages: ``Joy message``.
            timeout_ms: Longest silence [ms].
            rate_min_hz: Lowest rate over a second [Hz]; 0 = any.
            hint: Where to look if it never came.

        Raises:
            ConfigError: a limit that could never be met.
        """
        if timeout_ms <= 0 or rate_min_hz < 0:
            raise ConfigError("device watch", "need timeout_ms > 0 and rate_min_hz >= 0")
        self._what, self._hint = what, hint
        self._timeout_ns, self._rate_min_hz = int(timeout_ms * 1e6), rate_min_hz
        self._came: deque[int] = deque()
        self._first_ns = 0

    def beat(self, now_ns: int) -> None:
        """A message came; after a silence the rate is judged anew."""
        if self._came and not 0 <= now_ns - self._came[-1] <= self._timeout_ns:
            self._came.clear()
        if not self._came:
            self._first_ns = now_ns
        self._came.append(now_ns)
        while now_ns - self._came[0] > WINDOW_NS:
            self._came.popleft()

    def fault(self, now_ns: int) -> str:
        """What is wrong at this instant; empty if nothing is."""
        if not self._came:
            return f"no {self._what} yet{': ' if self._hint else ''}{self._hint}"
        age_ns = now_ns - self._came[-1]
        if age_ns > self._timeout_ns:
            return f"no {self._what} for {age_ns / 1e9:.1f} s"
        if self._rate_min_hz and now_ns - self._first_ns >= WINDOW_NS:
            n = sum(now_ns - t < WINDOW_NS for t in self._came)
            if n < self._rate_min_hz:
                return f"only {n} {self._what}s per second, {self._rate_min_hz:g} are needed"
        return ""
