"""What every policy at work offers, and how it executes its own plans for callers that want single actions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from il_core.config import Setup
from il_core.errors import ConfigError
from il_core.types import ActionChunk, ArmCommand, Observation
from il_policy.serving.anytime import Latency
from il_policy.serving.config import Doubt, ServeConfig
from il_policy.translate import Rhythm, Seen


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
        act: What doubt leads to; it acted on this plan if ``is_in_doubt``.
        limit: Score that counts as doubt.
    """

    steps: int = 0
    frozen: int = 0
    known: int = 0
    score: float = float("nan")
    is_in_doubt: bool = False
    milliseconds: float = 0.0
    act: Doubt = Doubt.REPORT
    limit: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class JointCommand:
    """What a policy of joint actions wants at one instant; ``ArmCommand`` is for tool poses.

    Attributes:
        stamp_ns: The instant [ns].
        q_des: Joint posture, (nq,) [rad].
        gripper_des: Opening in [0, 1].
    """

    stamp_ns: int
    q_des: NDArray[np.float64]
    gripper_des: float


class Acting(Generic[Seen]):
    """Follows its own plans, for callers that want single actions. Used by one thread at a time.

    Attributes:
        latency: Told how late each plan came into force; plans are joined accordingly.
        report: How the last plan came about.
        lead_ns: How much earlier a row is sent than it is wanted, because the arm comes that much later [ns].
    """

    latency: Latency
    report: Report
    lead_ns: int = 0
    _seen: deque[Seen] | None = None
    _acting: ActionChunk | None = None

    @property
    def runtime(self) -> str:
        """Who computes, for reports."""
        raise NotImplementedError

    @property
    def rhythm(self) -> Rhythm:
        """When it looks and plans."""
        raise NotImplementedError

    @property
    def why_sure(self) -> str:
        """Why it never doubts, and what to do about it; empty if it can."""
        reason = f"the policy ({self.runtime}) has no features to compare with demonstrations"
        return f"{reason}; serve it with doubt: report"

    def doubt_as(self, config: ServeConfig) -> None:
        """Let doubt lead to what ``config`` says, from the next plan on.

        Raises:
            ConfigError: to more than a report, and this policy never doubts; nothing is changed.
        """
        self.check_doubt(config.doubt)

    def check_doubt(self, act: Doubt) -> None:
        """Refuse what would do nothing.

        Raises:
            ConfigError: doubt shall lead to more than a report, and this policy never doubts.
        """
        if act is not Doubt.REPORT and self.why_sure:
            raise ConfigError("serving: doubt", f"got '{act.value}', but {self.why_sure}")

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Do what makes first calls slow."""
        raise NotImplementedError

    def predict(self, window: Sequence[Seen]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first."""
        raise NotImplementedError

    def followed(self, observation: Seen) -> tuple[ActionChunk, int]:
        """The plan in force after an observation, and the instant of it that is wanted next, the lead included [ns].

        Plans anew every ``n_execute`` ticks, and whenever the plan in hand does not cover the next tick. An
        observation that is not later than the last one begins a new rollout.
        """
        rhythm = self.rhythm
        if self._seen is not None and observation.tick_ns <= self._seen[-1].tick_ns:
            self.reset()  # the world began anew
            self._forget_acting()
        if self._seen is None:
            self._seen = deque([observation] * rhythm.n_obs, maxlen=rhythm.n_obs)
        else:
            self._seen.append(observation)
        wanted_ns = observation.tick_ns + rhythm.dt_ns + self.lead_ns
        plan = self._acting
        # Half a tick: counted ticks and their rounded period differ by some nanoseconds.
        due_ns = rhythm.n_execute * rhythm.dt_ns - rhythm.dt_ns // 2
        is_due = plan is None or observation.tick_ns - plan.obs_ns >= due_ns
        if plan is None or is_due or not plan.start_ns <= wanted_ns <= plan.end_ns:
            plan = self._acting = self.predict(tuple(self._seen))
        return plan, wanted_ns

    def _forget_acting(self) -> None:
        """Forget what :meth:`followed` has seen and follows."""
        self._seen, self._acting = None, None


class WorkingPolicy(Acting[Observation]):
    """An arm's policy at work; implements ``il_core.ports.Policy``.

    Attributes:
        setup: Robot and task.
    """

    setup: Setup

    @property
    def rhythm(self) -> Rhythm:
        """The task's."""
        task = self.setup.task
        return Rhythm(task.n_obs, task.n_execute, task.dt_ns)

    def instruct(self, text: str) -> None:
        """Say what to do from the next plan on; empty = the task file's instruction.

        Raises:
            ConfigError: this policy was not trained to listen.
        """
        if text:
            step = "train it with observe.language, or leave the instruction empty"
            raise ConfigError("instruction", f"got '{text}', but the policy ({self.runtime}) does not listen; {step}")

    def act(self, observation: Observation) -> ArmCommand | JointCommand:
        """What is wanted until the next tick: call it once per tick, in order; see :meth:`followed`."""
        plan, wanted_ns = self.followed(observation)
        gripper = plan.gripper_at(wanted_ns)
        opening = 1.0 if gripper is None else gripper
        kind = ArmCommand if plan.q_des is None else JointCommand
        return kind(wanted_ns - self.lead_ns, plan.at(wanted_ns), opening)
