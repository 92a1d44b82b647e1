"""What attempts of policies say in figures: success, horizon, fidelity to demonstrations, interventions, pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_cli.compare import Candidate
from il_cli.rehearsal import Attempt
from il_core.errors import ShapeError
from il_core.metrics import arc_length, distance_to_path, in_time, log_dimensionless_jerk, moving, resample
from il_core.stats import kaplan_meier, mcnemar, restricted_mean, wilson95
from il_core.store.episodes import EpisodeStore
from il_core.types import Outcome
from il_core.visitation import coverage, kl_divergence

SPACING_M = 0.002  # between the points of resampled paths: where one lingers does not count more
MOST_POINTS = 4000  # of a visited distribution; a random choice of more would change the estimate in its third digit
NEIGHBOUR = 5  # that the estimate of the divergence looks at; it needs more points than that

Paths = list[NDArray[np.float64]]
Places = tuple[NDArray[np.float64], NDArray[np.int64]]


def demonstrated(dataset: Path, rate_hz: float) -> Paths:
    """Tool paths of the successful episodes of a dataset, at the ticks of a task, (N, 3) [m] each.

    Args:
        dataset: Folder.
        rate_hz: Ticks per second of the task [Hz]; smoothness is compared at one rate only.

    Raises:
        EpisodeError: missing or damaged.
    """
    store = EpisodeStore.open(dataset)
    taught_hz = store.header.task.rate_hz
    episodes = [store.episode(k) for k in range(len(store)) if store.outcome(k) is Outcome.SUCCESS]
    paths = [np.stack([o.T_base_ee[:3, 3] for o in episode.observations]) for episode in episodes]
    if taught_hz == rate_hz:
        return paths
    return [in_time(np.arange(len(path)) / taught_hz, path, 1.0 / rate_hz) for path in paths]


def summary(candidate: Candidate, shown: Paths, rate_hz: float, limit_s: float) -> dict[str, Any]:
    """Figures of one policy, as the report holds them; those that need demonstrations only if there are some.

    Args:
        candidate: The policy and its attempts, at least one.
        shown: Tool paths of demonstrations at the ticks, (N, 3) [m] each.
        rate_hz: Ticks per second [Hz].
        limit_s: Longest attempt [s].
    """
    attempts = candidate.in_order
    good = [a for a in attempts if a.success]
    figures: dict[str, Any] = {
        "name": candidate.name,
        "episodes": len(attempts),
        "successes": len(good),
        "wilson95": list(wilson95(len(good), len(attempts))),
        "seconds_to_success_median": float(np.median([a.seconds for a in good])) if good else None,
        "steps_to_success": quantiles([a.seconds * rate_hz for a in good]),
        "horizon": horizon(attempts, rate_hz, limit_s),
        "failures_end_at_s": [a.seconds for a in attempts if not a.success],
        "lost": sum(a.is_lost for a in attempts),
        "motion": motion([a.path for a in good], rate_hz),
    }
    inference = candidate.inference()
    if inference is not None:
        figures["inference_ms"] = {"p50": inference[0], "p99": inference[1]}
    heard = [a for a in attempts if a.interventions is not None]
    if heard:
        figures["interventions"] = _interventions(heard)
    scores = [a.score for a in attempts if a.score is not None]
    if scores:
        figures["score"] = {"mean": float(np.mean(scores)), "count": len(scores)}
    if shown:
        figures |= _against(shown, [a.path for a in attempts], [a.path for a in good])
    return figures


def horizon(attempts: Sequence[Attempt], rate_hz: float, limit_s: float) -> dict[str, Any]:
    """How long a policy goes on without having failed.

    A failure is an event at its end: where the task was lost, a person ended it, or the limit came. A success counts
    as censored at the limit: nothing more would have happened. So fewer and later failures never shorten the mean; it
    cannot tell attempts that ran out of time from successes, which the last value of ``survival`` does.

    Returns:
        ``steps_to_failure_restricted_mean`` up to ``limit_steps`` (:func:`il_core.stats.restricted_mean`), and the
        Kaplan-Meier curve behind it: ``failure_steps`` and ``survival``.
    """
    last = [limit_s if a.success else min(a.seconds, limit_s) for a in attempts]
    steps, failed, limit = [s * rate_hz for s in last], [not a.success for a in attempts], limit_s * rate_hz
    instants, shares = kaplan_meier(steps, failed)
    return {
        "steps_to_failure_restricted_mean": restricted_mean(steps, failed, limit),
        "limit_steps": limit,
        "failure_steps": instants,
        "survival": shares,
    }


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Tenth, fiftieth and ninetieth percentile; None of nothing."""
    if not len(values):
        return None
    return dict(zip(("p10", "p50", "p90"), np.percentile(values, [10, 50, 90]).tolist(), strict=True))


def movements(paths: Paths, rate_hz: float) -> dict[str, list[float]]:
    """Timing and smoothness of every tool path at the ticks that moves, rest at both ends left out.

    Returns:
        ``duration_s``, ``length_m``, ``mean_speed_m_s`` and ``log_dimensionless_jerk``
        (:func:`il_core.metrics.log_dimensionless_jerk`); the last only of paths for which it is defined.
    """
    moved = [path for path in map(moving, paths) if len(path) > 1]
    seconds = [(len(path) - 1) / rate_hz for path in moved]
    lengths = [float(arc_length(path)[-1]) for path in moved]
    return {
        "duration_s": seconds,
        "length_m": lengths,
        "mean_speed_m_s": [m / s for m, s in zip(lengths, seconds, strict=True)],
        "log_dimensionless_jerk": [s for path in moved if (s := _smoothness(path, rate_hz)) is not None],
    }


def motion(paths: Paths, rate_hz: float) -> dict[str, dict[str, float] | None]:
    """Quantiles of :func:`movements`; None where no path moves."""
    return {name: quantiles(values) for name, values in movements(paths, rate_hz).items()}


def _smoothness(path: NDArray[np.float64], rate_hz: float) -> float | None:
    """None where it is not defined: too few points, or no change of speed."""
    try:
        return log_dimensionless_jerk(path, 1.0 / rate_hz)
    except ValueError:
        return None


def _interventions(heard: Sequence[Attempt]) -> dict[str, Any]:
    """Over the attempts of which it is known who drove."""
    told = [a.interventions for a in heard if a.interventions is not None]
    return {
        "attempts": len(told),
        "count": sum(i.count for i in told),
        "seconds": sum(i.seconds for i in told),
        "by_people": sum(i.by_people for i in told),
        "seconds_by_people": sum(i.seconds_by_people for i in told),
        "successes_without_people": sum(
            a.success and a.interventions is not None and not a.interventions.by_people for a in heard
        ),
    }


def _against(shown: Paths, tried: Paths, good: Paths) -> dict[str, Any]:
    """How attempts lie among the demonstrations."""
    (reference, _), (visited, _) = places = _points(shown), _points(tried)
    is_enough = min(len(reference), len(visited)) > NEIGHBOUR
    figures: dict[str, Any] = {
        "coverage": coverage(visited, reference) if is_enough else None,
        "kl_demonstrations_to_policy_nat": _divergence(*places),
        "kl_policy_to_demonstrations_nat": _divergence(*reversed(places)),
    }
    good = [path for path in good if len(path)]
    if good:
        nearest = [min(float(np.mean(distance_to_path(p, s))) for s in shown) for p in good]
        lengths = float(np.median([arc_length(p)[-1] for p in good]))
        figures |= {
            "path_to_nearest_demonstration_mm": 1e3 * float(np.median(nearest)),
            "path_length_ratio": lengths / float(np.median([arc_length(p)[-1] for p in shown])),
            "duration_ratio": float(np.median([len(p) for p in good]) / np.median([len(p) for p in shown])),
        }
    return figures


def _points(paths: Paths) -> Places:
    """Places that were visited, (N, 3) [m], none if nothing moved, and the number of the path each is on, (N,)."""
    each = [resample(path, SPACING_M) for path in paths if len(path) > 1]
    points = np.concatenate([np.zeros((0, 3)), *each])
    numbers = np.repeat(np.arange(len(each)), [len(path) for path in each])
    if len(points) > MOST_POINTS:
        some = np.random.default_rng(0).choice(len(points), MOST_POINTS, replace=False)
        points, numbers = points[some], numbers[some]
    return points, numbers


def _divergence(of: Places, from_: Places) -> float | None:
    """Of one set of paths from another; None of too few points, or of a single path."""
    try:
        return kl_divergence(of[0], from_[0], NEIGHBOUR, of[1])
    except ShapeError:
        return None


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
