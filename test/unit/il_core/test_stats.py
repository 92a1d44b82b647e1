"""Intervals and percentiles that reports rest on."""

import numpy as np
import pytest
from scipy.stats import binomtest

from il_core.stats import mcnemar, percentiles, wilson95


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
