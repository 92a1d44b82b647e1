"""What every policy at work offers, and how it executes its own plans for callers that want single actions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from il_core.config import Setup
from il_core.types import ActionChunk, ArmCommand, Observation
from il_policy.serving.anytime import Latency


@dataclass(frozen=True, slots=True)
class Report:
    """How the last plan came about.

    Attributes:
        steps: Denoising steps taken; 1 for policies without steps, 0 if no plan was asked of the network.
        frozen: Rows taken from the plan before.
        known: Rows the plan before covers.
        score: Doubt, 1 at the edge of what was demonstrated; NaN without calibration.
        is_in_doubt: Whether the score is above the limit.
        milliseconds: Time it took [ms].
    """

    steps: int = 0
    frozen: int = 0
    known: int = 0
    score: float = float("nan")
    is_in_doubt: bool = False
    milliseconds: float = 0.0


class WorkingPolicy:
    """A policy at work; implements ``il_core.ports.Policy``. Used by one thread at a time.

    Attributes:
        setup: Robot and task.
        latency: Told how late each plan came into force; plans are joined accordingly.
        report: How the last plan came about.
    """

    setup: Setup
    latency: Latency
    report: Report
    _seen: deque[Observation] | None = None
    _acting: ActionChunk | None = None

    @property
    def runtime(self) -> str:
        """Who computes, for reports."""
        raise NotImplementedError

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Do what makes first calls slow."""
        raise NotImplementedError

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first."""
        raise NotImplementedError

    def act(self, observation: Observation) -> ArmCommand:
        """What is wanted until the next tick: call it once per tick, in order.

        Plans anew every ``n_execute`` ticks, and whenever the plan in hand does not cover the next tick. An
        observation that is not later than the last one begins a new rollout.
        """
        task = self.setup.task
        if self._seen is not None and observation.tick_ns <= self._seen[-1].tick_ns:
            self.reset()  # the world began anew
            self._forget_acting()
        if self._seen is None:
            self._seen = deque([observation] * task.n_obs, maxlen=task.n_obs)
        else:
            self._seen.append(observation)
        wanted_ns = observation.tick_ns + task.dt_ns
        plan = self._acting
        # Half a tick: counted ticks and their rounded period differ by some nanoseconds.
        is_due = plan is None or observation.tick_ns - plan.obs_ns >= task.n_execute * task.dt_ns - task.dt_ns // 2
        if plan is None or is_due or not plan.start_ns <= wanted_ns <= plan.end_ns:
            plan = self._acting = self.predict(tuple(self._seen))
        gripper = plan.gripper_at(wanted_ns)
        return ArmCommand(wanted_ns, plan.at(wanted_ns), 1.0 if gripper is None else gripper)

    def _forget_acting(self) -> None:
        """Forget what :meth:`act` has seen and follows."""
        self._seen, self._acting = None, None
