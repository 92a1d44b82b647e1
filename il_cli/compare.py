"""Several policies at the same scenes, blind and in random order, and what tells them apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_cli.rehearsal import Attempt, Rehearsal
from il_core.config import Setup
from il_core.metrics import arc_length, distance_to_path, resample
from il_core.stats import mcnemar, wilson95
from il_core.store.episodes import EpisodeStore
from il_core.types import Outcome
from il_core.visitation import coverage, kl_divergence
from il_policy import load

SPACING_M = 0.002  # between the points of resampled paths: where one lingers does not count more
MOST_POINTS = 4000  # of a visited distribution; a random choice of more would change the estimate in its third digit

Paths = list[NDArray[np.float64]]


@dataclass(slots=True)
class Candidate:
    """One policy that is compared.

    Attributes:
        name: Of its folder.
        attempts: By seed, in the order of the seeds.
        inference_ms: Time of every plan [ms].
    """

    name: str
    attempts: dict[int, Attempt] = field(default_factory=dict)
    inference_ms: list[float] = field(default_factory=list)

    @property
    def outcomes(self) -> list[bool]:
        """Successes in the order of the seeds."""
        return [self.attempts[seed].success for seed in sorted(self.attempts)]


def compare(
    setup: Setup,
    checkpoints: Sequence[Path],
    seeds: Sequence[int],
    limit_s: float,
    on_attempt: Callable[[Attempt], None] = lambda _: None,
) -> list[Candidate]:
    """Let every policy try every scene, in an order that favours none and follows from the seeds.

    Args:
        setup: Robot and task.
        checkpoints: Folders of the policies.
        seeds: Scenes, the same for all.
        limit_s: Longest attempt [s].
        on_attempt: Told of every attempt; does not learn whose it is.

    Raises:
        CheckpointError, SpecMismatchError: a policy cannot be used here.
        ConfigError, DeviceError: the task cannot be simulated.
    """
    names = distinct([path.name for path in checkpoints], [str(path) for path in checkpoints])
    policies = [load(path, setup) for path in checkpoints]
    candidates = [Candidate(name) for name in names]
    order = [(seed, k) for seed in seeds for k in range(len(policies))]
    random.Random(seeds[0]).shuffle(order)  # noqa: S311 - an order, not a secret
    for policy in policies:
        policy.warm_up()
    with Rehearsal(setup) as rehearsal:
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


def demonstrated(dataset: Path) -> Paths:
    """Tool paths of the successful episodes of a dataset, (N, 3) [m] each.

    Raises:
        EpisodeError: missing or damaged.
    """
    store = EpisodeStore.open(dataset)
    episodes = [store.episode(k) for k in range(len(store))]
    return [
        np.stack([observation.T_base_ee[:3, 3] for observation in episode.observations])
        for episode in episodes
        if episode.outcome is Outcome.SUCCESS
    ]


def summary(candidate: Candidate, shown: Paths, rate_hz: float) -> dict[str, Any]:
    """Figures of one policy, as the report holds them; those that need demonstrations only if there are some."""
    attempts = [candidate.attempts[seed] for seed in sorted(candidate.attempts)]
    successes = sum(a.success for a in attempts)
    good = [a for a in attempts if a.success]
    failed_at = [a.seconds for a in attempts if not a.success]
    figures: dict[str, Any] = {
        "name": candidate.name,
        "episodes": len(attempts),
        "successes": successes,
        "wilson95": list(wilson95(successes, len(attempts))),
        "seconds_to_success_median": float(np.median([a.seconds for a in good])) if good else None,
        "horizon_steps_mean": float(np.mean([a.seconds for a in attempts])) * rate_hz,
        "failures_end_at_s": failed_at,
    }
    if candidate.inference_ms:
        p50, p99 = np.percentile(candidate.inference_ms, [50, 99])
        figures["inference_ms"] = {"p50": float(p50), "p99": float(p99)}
    if shown:
        figures |= _against(shown, [a.path for a in attempts], [a.path for a in good])
    return figures


def _against(shown: Paths, tried: Paths, good: Paths) -> dict[str, Any]:
    """How attempts lie among the demonstrations."""
    reference, visited = _points(shown), _points(tried)
    figures: dict[str, Any] = {
        "coverage": coverage(visited, reference),
        "kl_demonstrations_to_policy_nat": kl_divergence(reference, visited),
        "kl_policy_to_demonstrations_nat": kl_divergence(visited, reference),
    }
    if good:
        nearest = [min(float(np.mean(distance_to_path(p, s))) for s in shown) for p in good]
        lengths = float(np.median([arc_length(p)[-1] for p in good]))
        figures |= {
            "path_to_nearest_demonstration_mm": 1e3 * float(np.median(nearest)),
            "path_length_ratio": lengths / float(np.median([arc_length(p)[-1] for p in shown])),
            "duration_ratio": float(np.median([len(p) for p in good]) / np.median([len(p) for p in shown])),
        }
    return figures


def _points(paths: Paths) -> NDArray[np.float64]:
    points = np.concatenate([resample(path, SPACING_M) for path in paths if len(path) > 1])
    if len(points) > MOST_POINTS:
        points = points[np.random.default_rng(0).choice(len(points), MOST_POINTS, replace=False)]
    return points


def pairs(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Every two policies at the same scenes: scenes only one of them mastered, and how likely that is by chance."""
    rows = []
    for a, b in combinations(candidates, 2):
        scenes = sorted(a.attempts.keys() & b.attempts.keys())  # where neither was skipped
        if not scenes:
            continue
        both = [(a.attempts[s].success, b.attempts[s].success) for s in scenes]
        rows.append(
            {
                "first": a.name,
                "second": b.name,
                "only_first": sum(x and not y for x, y in both),
                "only_second": sum(y and not x for x, y in both),
                "p": mcnemar(*zip(*both, strict=True)),
            }
        )
    return rows


def distinct(names: list[str], paths: list[str]) -> list[str]:
    """Folder names, or whole paths where two are alike."""
    return names if len(set(names)) == len(names) else paths


def to_json(candidates: Sequence[Candidate], shown: Paths, rate_hz: float, about: Mapping[str, Any]) -> dict[str, Any]:
    """The machine-readable report."""
    return {
        "format": 1,
        **about,
        "policies": [summary(c, shown, rate_hz) for c in candidates],
        "pairs": pairs(candidates),
        "attempts": [
            {"policy": c.name, "seed": a.seed, "success": a.success, "seconds": round(a.seconds, 2), "plans": a.plans}
            for c in candidates
            for a in (c.attempts[s] for s in sorted(c.attempts))
        ],
    }
