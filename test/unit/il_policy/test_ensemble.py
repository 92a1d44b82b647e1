"""Temporal ensembling: same instants are averaged, by weight, and only those."""

from __future__ import annotations

import numpy as np
import pytest

from il_policy.heads.ensemble import TemporalEnsemble

DT = 100


def test_the_first_plan_passes_unchanged_and_rows_beyond_the_others_too() -> None:
    ensemble = TemporalEnsemble(3, 0.1, DT)
    first, second = np.arange(4.0)[:, None], np.arange(4.0)[:, None] + 10.0
    assert np.array_equal(ensemble.blend(0, first), first)
    assert ensemble.blend(2 * DT, second)[2:] == pytest.approx(second[2:])


def test_the_oldest_plan_weighs_most() -> None:
    ensemble = TemporalEnsemble(3, 0.5, DT)
    ensemble.blend(0, np.zeros((3, 1)))
    w = np.exp(-0.5)
    assert ensemble.blend(DT, np.ones((3, 1)))[:, 0] == pytest.approx([w / (1 + w)] * 2 + [1.0])


def test_plans_that_agree_about_every_instant_are_not_changed() -> None:
    ensemble = TemporalEnsemble(5, 0.01, DT)
    for k in range(8):
        rows = np.sin(np.arange(k, k + 6) / 3.0)[:, None]
        assert ensemble.blend(k * DT + 3, rows) == pytest.approx(rows)  # 3 ns of rounding do not matter


def test_only_so_many_plans_are_remembered_and_a_new_run_forgets() -> None:
    ensemble = TemporalEnsemble(1, 0.0, DT)
    for value in (9.0, 0.0, 2.0):
        blended = ensemble.blend(0, np.full((2, 1), value))
    assert blended[:, 0] == pytest.approx([1.0, 1.0])
    assert ensemble.blend(-DT, np.full((2, 1), 7.0))[:, 0].tolist() == [7.0, 7.0]
    off = TemporalEnsemble(0, 0.0, DT)
    off.blend(0, np.zeros((2, 1)))
    assert off.blend(DT, np.ones((2, 1)))[:, 0].tolist() == [1.0, 1.0]
