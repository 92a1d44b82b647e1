"""Several policies at the same scenes, blind and in random order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from il_cli.rehearsal import MS, Attempt, Rehearsal
from il_core.config import Setup
from il_policy import load
from il_policy.serving.config import ServeConfig
from il_sim.randomise import Randomisation

LATENCY_MS = 100.0  # of inference, as a small computer needs it
UNHURRIED_MS = 1e9  # deadline of a plan that always gets all its steps


@dataclass(slots=True)
class Candidate:
    """One policy that is compared.

    Attributes:
        name: Of its folder.
        attempts: By seed, in the order in which they were made.
        inference_ms: Time of every plan [ms].
        inference_p50_p99: Median and 99 % of these times where only they are known [ms].
    """

    name: str
    attempts: dict[int, Attempt] = field(default_factory=dict)
    inference_ms: list[float] = field(default_factory=list)
    inference_p50_p99: tuple[float, float] | None = None

    @property
    def in_order(self) -> list[Attempt]:
        """Attempts in the order of the seeds."""
        return [self.attempts[seed] for seed in sorted(self.attempts)]

    def inference(self) -> tuple[float, float] | None:
        """Median and 99 % of the time of a plan [ms]; None if nobody measured."""
        if not self.inference_ms:
            return self.inference_p50_p99
        p50, p99 = np.percentile(self.inference_ms, [50, 99])
        return float(p50), float(p99)


def compare(
    setup: Setup,
    checkpoints: Sequence[Path],
    seeds: Sequence[int],
    limit_s: float,
    on_attempt: Callable[[Attempt], None] = lambda _: None,
    randomise: Randomisation | None = None,
    serving: ServeConfig | None = None,
) -> list[Candidate]:
    """Let every policy try every scene, in an order that favours none and follows from the seeds.

    Every plan has all its denoising steps, however long they take: the machine's load plays no part.

    Args:
        setup: Robot and task.
        checkpoints: Folders of the policies.
        seeds: Scenes, the same for all.
        limit_s: Longest attempt [s].
        on_attempt: Told of every attempt; does not learn whose it is.
        randomise: What else than the places of objects the seed varies; None = nothing.
        serving: How the policies are served; None = as by default. Its deadline does not count, nor the latency it
            assumes: both are known here.

    Raises:
        CheckpointError, SpecMismatchError: a policy cannot be used here.
        ConfigError, DeviceError: the task cannot be simulated.
    """
    names = distinct([path.name for path in checkpoints], [str(path) for path in checkpoints])
    settings = replace(serving or ServeConfig(), deadline_ms=UNHURRIED_MS, latency_ms=LATENCY_MS)
    policies = [load(path, setup, config=settings) for path in checkpoints]
    candidates = [Candidate(name) for name in names]
    order = [(seed, k) for seed in seeds for k in range(len(policies))]
    random.Random(seeds[0]).shuffle(order)  # noqa: S311 - an order, not a secret
    for policy in policies:
        policy.warm_up()
    with Rehearsal(setup, round(LATENCY_MS * MS), randomise=randomise) as rehearsal:
        for seed, k in order:
            policy, candidate = policies[k], candidates[k]
            policy.reset(seed)

            def plan(window: Any, policy: Any = policy, candidate: Candidate = candidate) -> Any:  # noqa: ANN401
                chunk = policy.predict(window)
                candidate.inference_ms.append(policy.report.milliseconds)
                return chunk

            candidate.attempts[seed] = rehearsal.attempt(plan, seed, limit_s)
            on_attempt(candidate.attempts[seed])
    return candidates


def distinct(names: list[str], paths: list[str]) -> list[str]:
    """Folder names, or whole paths where two are alike."""
    return names if len(set(names)) == len(names) else paths
