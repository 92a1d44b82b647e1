"""Intervals and percentiles that reports rest on."""

import numpy as np
import pytest
from scipy.stats import CensoredData, binomtest, ecdf

from il_core.stats import kaplan_meier, mcnemar, percentiles, restricted_mean, wilson95


@pytest.mark.parametrize("k, n", [(0, 20), (18, 20), (20, 20), (7, 300)])
def test_wilson_interval_agrees_with_scipys_own(k, n):
    theirs = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson95(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_wilson_interval_contains_the_rate_and_stays_in_the_unit_interval(rng):
    for _ in range(200):
        n = int(rng.integers(1, 400))
        k = int(rng.integers(0, n + 1))
        lo, hi = wilson95(k, n)
        assert 0.0 <= lo <= k / n <= hi <= 1.0


def test_wilson_interval_narrows_with_more_trials():
    widths = [np.diff(wilson95(9 * n, 10 * n))[0] for n in (1, 4, 16)]
    assert widths[0] > widths[1] > widths[2]


@pytest.mark.parametrize("k, n", [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ValueError, match=f"got {k} of {n}"):
        wilson95(k, n)


def test_percentiles_of_nothing_are_refused():
    with pytest.raises(ValueError, match="nothing was measured"):
        percentiles([], 50.0)


def test_percentiles_are_those_of_the_sorted_values():
    assert percentiles([3.0, 1.0, 2.0], 0, 50, 100) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("b, c", [(0, 0), (3, 3), (0, 6), (1, 9), (12, 4)])
def test_paired_p_value_agrees_with_the_exact_binomial_test(b, c):
    first = [True] * b + [False] * c + [True] * 5 + [False] * 5
    second = [False] * b + [True] * c + [True] * 5 + [False] * 5
    theirs = binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(first, second) == pytest.approx(theirs)


@pytest.mark.parametrize("first, second", [([], []), ([True], [True, False])])
def test_outcomes_that_are_not_paired_are_refused(first, second):
    with pytest.raises(ValueError, match="one outcome of each per scene"):
        mcnemar(first, second)


def test_survival_agrees_with_scipys_own(rng):
    for _ in range(20):
        times, ended = rng.integers(1, 8, 30).astype(float), rng.uniform(size=30) < 0.6
        theirs = ecdf(CensoredData.right_censored(times, ~ended)).sf
        instants, shares = kaplan_meier(times, ended)
        assert theirs.evaluate(instants) == pytest.approx(shares)
        assert restricted_mean(times, ended, 9.0) == pytest.approx(
            np.sum(theirs.evaluate(np.arange(0.0, 9.0, 0.5)) * 0.5)
        )


def test_without_censoring_the_restricted_mean_is_the_mean_up_to_the_limit(rng):
    times = rng.uniform(0.0, 10.0, 50)
    assert restricted_mean(times, [True] * 50, 20.0) == pytest.approx(times.mean())
    assert restricted_mean(times, [True] * 50, 4.0) == pytest.approx(np.minimum(times, 4.0).mean())


def test_what_never_fails_lasts_to_the_limit_and_earlier_failures_shorten():
    assert restricted_mean([3.0, 5.0], [False, False], 12.0) == 12.0
    late, early = (restricted_mean([12.0, 12.0, t], [False, False, True], 12.0) for t in (9.0, 2.0))
    assert 12.0 > late > early


def test_survival_needs_one_flag_per_instant_and_instants_in_the_future():
    with pytest.raises(ValueError, match="2 instants and 1 flags"):
        kaplan_meier([1.0, 2.0], [True])
    with pytest.raises(ValueError, match="got -1.0 to 2.0"):
        kaplan_meier([-1.0, 2.0], [True, True])
    with pytest.raises(ValueError, match="limit must be positive"):
        restricted_mean([1.0], [True], 0.0)
