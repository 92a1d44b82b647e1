"""The normaliser: a reversible map to [-1, 1] that survives constant and unseen dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from il_core.errors import NonFiniteError
from il_policy.normalizer import MinMaxNormalizer


def fitted(rows: np.ndarray) -> MinMaxNormalizer:
    norm = MinMaxNormalizer(rows.shape[1])
    norm.fit(rows)
    return norm


def test_inverse_undoes_forward() -> None:
    rows = np.random.default_rng(0).normal(3.0, [0.01, 1.0, 100.0], (200, 3))
    norm, x = fitted(rows), torch.from_numpy(rows).float()
    assert torch.allclose(norm.inverse(norm(x)), x, rtol=1e-5, atol=1e-5)


def test_the_data_fill_the_range_from_minus_one_to_one() -> None:
    rows = np.random.default_rng(0).normal(3.0, [0.01, 1.0, 100.0], (200, 3))
    y = fitted(rows)(torch.from_numpy(rows).float())
    assert y.amin(0).numpy() == pytest.approx(-1.0, abs=1e-3)
    assert y.amax(0).numpy() == pytest.approx(1.0, abs=1e-3)


def test_a_constant_dimension_is_not_blown_up() -> None:
    norm = fitted(np.full((10, 1), 0.5) + 1e-9 * np.arange(10)[:, None])
    assert norm(torch.tensor([[0.501]])).item() == pytest.approx(0.001, abs=1e-6)


def test_what_was_not_seen_becomes_the_neutral_zero() -> None:
    norm = fitted(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]]))
    y = norm(torch.tensor([[float("nan"), float("nan")], [3.0, 0.25]]))
    assert y.tolist() == [[0.0, 0.0], [1.0, 0.25]]


def test_infinity_in_the_data_is_refused() -> None:
    with pytest.raises(NonFiniteError, match="training data: first non-finite value at flat index 1"):
        fitted(np.array([[0.0], [np.inf]]))
