"""Temporal ensembling: same instants are averaged, by weight, and only those; rows here are joint targets."""

from __future__ import annotations

import numpy as np
import pytest

from il_core.types import ActionChunk
from il_policy.serving.handover import Ensemble

DT = 100


def add(ensemble: Ensemble, start_ns: int, rows: np.ndarray) -> np.ndarray:
    return ensemble.add(ActionChunk(start_ns, DT, start_ns, q_des=rows)).rows


def test_the_first_plan_passes_unchanged_and_rows_beyond_the_others_too() -> None:
    ensemble = Ensemble(4, 0.1)
    first, second = np.arange(4.0)[:, None], np.arange(4.0)[:, None] + 10.0
    assert np.array_equal(add(ensemble, 0, first), first)
    assert add(ensemble, 2 * DT, second)[2:] == pytest.approx(second[2:])


def test_the_oldest_plan_weighs_most() -> None:
    ensemble = Ensemble(4, 0.5)
    add(ensemble, 0, np.zeros((3, 1)))
    w = np.exp(-0.5)
    assert add(ensemble, DT, np.ones((3, 1)))[:, 0] == pytest.approx([w / (1 + w)] * 2 + [1.0])


def test_plans_that_agree_about_every_instant_are_not_changed() -> None:
    ensemble = Ensemble(6, 0.01)
    for k in range(8):
        rows = np.arange(k, k + 6)[:, None] / 3.0
        assert add(ensemble, k * DT, rows) == pytest.approx(rows)


def test_only_so_many_plans_are_remembered_and_a_new_run_forgets() -> None:
    ensemble = Ensemble(2, 0.0)
    for value in (9.0, 0.0, 2.0):
        blended = add(ensemble, 0, np.full((2, 1), value))
    assert blended[:, 0] == pytest.approx([1.0, 1.0])
    assert add(ensemble, -DT, np.full((2, 1), 7.0))[:, 0].tolist() == [7.0, 7.0]
    off = Ensemble(1, 0.0)
    add(off, 0, np.zeros((2, 1)))
    assert add(off, DT, np.ones((2, 1)))[:, 0].tolist() == [1.0, 1.0]
