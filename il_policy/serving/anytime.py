"""As many denoising steps as the deadline allows, and how late plans come: both from measurement."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from il_core.stats import percentiles

KEEP = 100  # plans remembered: long enough for a percentile, short enough to follow a changing load
KEEP_COSTS = 20  # costs remembered: one slow plan, as the first is, must not make the next hundred bad
ENOUGH = 5  # before so many, the assumption counts
MARGIN = 0.8  # share of the deadline planned for: the next plan may cost more than the median of the last ones


class Latency(Protocol):
    """Who knows how late plans come."""

    def add(self, latency_ns: int) -> None:
        """Remember one plan's latency [ns]."""
        ...

    def p95_ns(self) -> int:
        """Latency to plan for [ns]."""
        ...


class LatencyWindow:
    """Sliding 95th percentile of the time from an observation to the plan made from it."""

    def __init__(self, assumed_ns: int, lead_ns: int = 0) -> None:
        """Begin with an assumption.

        Args:
            assumed_ns: Until enough plans were measured [ns].
            lead_ns: How much plans are sent ahead: so many more of their rows pass before they are in force [ns].
        """
        self._assumed_ns, self._lead_ns = assumed_ns, lead_ns
        self._ns: deque[int] = deque(maxlen=KEEP)

    def add(self, latency_ns: int) -> None:
        """Remember one plan's latency [ns].

        Raises:
            ValueError: it is negative: two clocks were mixed.
        """
        if latency_ns < 0:
            raise ValueError(f"a plan cannot come {-latency_ns / 1e6:.1f} ms before its observation; clocks differ")
        self._ns.append(latency_ns)

    def p95_ns(self) -> int:
        """The percentile, or the assumption while there is too little to say, and the lead [ns]."""
        if len(self._ns) < ENOUGH:
            return max([self._assumed_ns, *self._ns]) + self._lead_ns
        return int(percentiles(self._ns, 95)[0]) + self._lead_ns


class StepBudget:
    """Chooses the number of steps of the next plan so that it is ready in time."""

    def __init__(self, most: int, least: int, deadline_ms: float) -> None:
        """Begin with all steps, which is what the policy was trained to do.

        Args:
            most: Steps of full quality.
            least: Steps below which a late plan is better than a bad one.
            deadline_ms: Time for encoder and all steps [ms].
        """
        self._most, self._least, self._deadline_ms = most, min(least, most), deadline_ms
        self._step_ms: deque[float] = deque(maxlen=KEEP_COSTS)
        self._other_ms: deque[float] = deque(maxlen=KEEP_COSTS)

    def add(self, steps: int, steps_ms: float, other_ms: float) -> None:
        """Remember what a plan cost: all its steps together, and everything else [ms]."""
        self._step_ms.append(steps_ms / steps)
        self._other_ms.append(other_ms)

    def steps(self) -> int:
        """Steps for the next plan, in least..most."""
        if not self._step_ms:
            return self._most
        step_ms, other_ms = percentiles(self._step_ms, 50)[0], percentiles(self._other_ms, 50)[0]
        affordable = (MARGIN * self._deadline_ms - other_ms) / max(step_ms, 1e-6)
        return max(self._least, min(self._most, int(affordable)))
