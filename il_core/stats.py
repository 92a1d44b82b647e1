"""Small statistics that reports share."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt

import numpy as np

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal


def wilson95(successes: int, trials: int) -> tuple[float, float]:
    r"""Wilson score interval of a success rate, 95 %.

    .. math:: \frac{\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}}{1 + z^2/n}

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    Raises:
        ValueError: not 0 <= successes <= trials, or no trial.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"need 0 <= successes <= trials and trials > 0, got {successes} of {trials}")
    p, z2 = successes / trials, Z_95**2
    centre = p + z2 / (2 * trials)
    half = Z_95 * sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    scale = 1 + z2 / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def percentiles(values: Sequence[float], *q: float) -> list[float]:
    """Percentiles ``q`` in [0, 100] of the values.

    Raises:
        ValueError: no values, so that nothing was measured.
    """
    if len(values) == 0:
        raise ValueError("no values to take a percentile of: nothing was measured")
    return [float(p) for p in np.percentile(np.asarray(values, dtype=np.float64), q)]


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    r"""Two-sided p-value of equal success, from attempts at the same scenes; only scenes that differ count.

    .. math:: p = \min\left(1, 2 \sum_{i=0}^{\min(b, c)} \binom{b + c}{i} 2^{-(b + c)}\right)

    with :math:`b` scenes only the first mastered and :math:`c` only the second. Q. McNemar, "Note on the sampling
    error of the difference between correlated proportions or percentages", Psychometrika 1947, in its exact form.

    Raises:
        ValueError: not one outcome of each per scene.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"needs one outcome of each per scene, got {len(first)} and {len(second)}")
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    n = only_first + only_second
    return min(1.0, 2.0 * sum(comb(n, i) for i in range(min(only_first, only_second) + 1)) / 2.0**n)
