"""An arm's policy at work, without ROS: observations in, plans or single actions out, on any runtime."""

from __future__ import annotations

from dataclasses import dataclass

from il_core.config import Setup
from il_core.types import Observation
from il_policy.config import ActionEncoding
from il_policy.observe_config import Language, ObserveConfig
from il_policy.serving.acting import WorkingPolicy
from il_policy.serving.config import ServeConfig
from il_policy.serving.latency import lead_ns
from il_policy.serving.planner import Machine, Planner
from il_policy.transforms import NOTHING_MORE
from il_policy.translate import ArmTranslator


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a served policy is made of.

    Attributes:
        setup: Robot and task.
        action_encoding: What the numbers of a row mean.
        observed_ticks: Ticks of proprioception used.
        machine: What computes.
        observe: Inputs beyond the task's.
    """

    setup: Setup
    action_encoding: ActionEncoding
    observed_ticks: int
    machine: Machine
    observe: ObserveConfig = NOTHING_MORE


class ServedPolicy(Planner[Observation], WorkingPolicy):
    """Implements ``il_core.ports.Policy``, and executes its own plans for callers that want single actions.

    Plans continue one another: each is made knowing the one before and how late it will come into force.
    Used by one thread at a time.
    """

    def __init__(self, parts: Parts, config: ServeConfig, seed: int = 0) -> None:
        """Take the parts; see :func:`il_policy.load`."""
        self.setup, self.parts = parts.setup, parts
        self._arm = ArmTranslator(parts.setup, parts.action_encoding, parts.observed_ticks, parts.observe)
        super().__init__(parts.machine, self._arm, config, seed, lead_ns(config, parts.setup.task))

    def instruct(self, text: str) -> None:
        """Say what to do from the next plan on; empty = the task file's instruction.

        Raises:
            ConfigError: it was not trained to listen.
        """
        if self.parts.observe.language == Language.NONE:
            super().instruct(text)
        self._arm.instruct(text)
