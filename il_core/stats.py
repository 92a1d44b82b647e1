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


def kaplan_meier(times: Sequence[float], is_event: Sequence[bool]) -> tuple[list[float], list[float]]:
    r"""Share that lasts longer than each instant at which something ended.

    .. math:: \hat S(t) = \prod_{t_i \le t} \left(1 - \frac{d_i}{n_i}\right)

    with :math:`d_i` events at :math:`t_i` and :math:`n_i` that had neither ended nor been lost from sight before.
    E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations", JASA 1958.

    Args:
        times: When each was seen last, not negative.
        is_event: Whether it ended then; otherwise it is only known to have lasted so long (censored).

    Returns:
        Instants of events in order, and the share that lasts beyond each of them.

    Raises:
        ValueError: not one flag per instant, none at all, or a negative or infinite instant.
    """
    if len(times) != len(is_event) or not len(times):
        raise ValueError(f"needs one flag per instant, got {len(times)} instants and {len(is_event)} flags")
    at, ended = np.asarray(times, dtype=np.float64), np.asarray(is_event, dtype=bool)
    if not (np.isfinite(at).all() and (at >= 0.0).all()):
        raise ValueError(f"instants must be finite and not negative, got {at.min()} to {at.max()}")
    instants = np.unique(at[ended])
    factors = [1.0 - np.sum(ended & (at == t)) / np.sum(at >= t) for t in instants]
    return [float(t) for t in instants], [float(s) for s in np.cumprod(factors)]


def restricted_mean(times: Sequence[float], is_event: Sequence[bool], limit: float) -> float:
    r"""Mean time to the event, counted up to a limit: the area under the Kaplan-Meier curve.

    .. math:: \mu(L) = \int_0^L \hat S(t)\,dt

    P. Royston and M. K. B. Parmar, "Restricted mean survival time: an alternative to the hazard ratio for the design
    and analysis of randomized trials with a time-to-event outcome", BMC Medical Research Methodology 2013.

    Args:
        times: When each was seen last.
        is_event: Whether it ended then.
        limit: Longest time that counts, in the unit of ``times``.

    Raises:
        ValueError: see :func:`kaplan_meier`; or the limit is not positive.
    """
    if not limit > 0.0:
        raise ValueError(f"the limit must be positive, got {limit}")
    instants, shares = kaplan_meier(times, is_event)
    edges = np.minimum([0.0, *instants, limit], limit)
    return float(np.sum(np.diff(edges) * [1.0, *shares]))
