"""A policy that plans in its own way, put to work: warm, measured, and joined to its last plan by blending."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from il_core.config import Setup
from il_core.types import ActionChunk, Observation
from il_policy.serving import handover, joining
from il_policy.serving.acting import Report, WorkingPolicy
from il_policy.serving.anytime import LatencyWindow
from il_policy.serving.config import Handover, ServeConfig
from il_policy.serving.latency import lead_ns


class Planning(Protocol):
    """What movement primitives offer."""

    setup: Setup

    def reset(self, seed: int) -> None:
        """Begin a new rollout."""
        ...

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last observations."""
        ...


class PlainPolicy(WorkingPolicy):
    """Serves what has neither a network to export nor features to doubt."""

    def __init__(self, policy: Planning, name: str, config: ServeConfig, seed: int = 0) -> None:
        """Take the policy.

        Raises:
            ConfigError: a hand-over that needs a network's steps, or doubt that leads to more than a report.
        """
        self.setup, self._policy, self._name = policy.setup, policy, name
        self._handover = joining.chosen_plain(config)
        self.check_doubt(config.doubt)
        self.lead_ns = lead_ns(config, policy.setup.task)
        self.latency = LatencyWindow(int(config.latency_ms * 1e6), self.lead_ns)
        self.report = Report()
        self.reset(seed)

    @property
    def runtime(self) -> str:
        """Who computes."""
        return self._name

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout."""
        self._policy.reset(seed)
        self._previous: ActionChunk | None = None
        self._forget_acting()

    def warm_up(self) -> None:
        """Nothing: it is cheap from the first call."""

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan, and join the plan to the one before."""
        began = time.perf_counter()
        plan, previous = self._policy.predict(window), self._previous
        if self._handover is Handover.BLEND and previous is not None and previous.obs_ns < plan.obs_ns:
            plan = handover.blend(plan, previous, self.latency.p95_ns())
        self._previous = plan
        self.report = Report(1, milliseconds=1e3 * (time.perf_counter() - began))
        return plan
