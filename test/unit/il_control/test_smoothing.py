"""The moving mean: inside every box its reference stays in, free of jerks, and exactly there in the end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.smoothing import MovingMean

DT, DURATION_S = 0.002, 0.05


def bang_bang(rng, n, a_max):
    """A reference that only ever speeds up or brakes as hard as it may."""
    a = a_max * rng.choice([-1.0, 1.0], n).repeat(7)[:n]
    return np.cumsum(np.cumsum(a) * DT) * DT


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_neither_position_speed_nor_acceleration_leaves_the_reference_s_range(seed):
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.zeros(60), bang_bang(rng, 300, 10.0)])
    mean = MovingMean(1, DURATION_S, DT)
    mean.begin(np.zeros(1))
    out = np.array([mean.step(np.array([q]))[0] for q in rows])
    for order in range(3):
        a, b = np.diff(rows, order), np.diff(out, order)
        slack = 1e-12 + 1e-9 * np.abs(a).max()
        assert b.min() >= a.min() - slack
        assert b.max() <= a.max() + slack
    jerk = np.diff(out, 3) / DT**3
    assert np.abs(jerk).max() <= 2.0 * 10.0 / DURATION_S + 1e-3


def test_it_arrives_exactly_and_without_overshoot():
    mean = MovingMean(2, DURATION_S, DT)
    mean.begin(np.array([0.1, 0.2]))
    for _ in range(round(DURATION_S / DT)):
        q = mean.step(np.array([0.3, -0.1]))
        assert q[0] <= 0.3 + 1e-12
    np.testing.assert_allclose(q, [0.3, -0.1], atol=1e-15)
    mean.step(np.array([0.3, -0.1]))
    np.testing.assert_allclose(mean.v, 0.0, atol=1e-12)


def test_it_goes_on_from_a_place_and_a_velocity_without_a_step():
    v = np.array([0.4, -0.2])
    mean = MovingMean(2, DURATION_S, DT)
    q = mean.begin(np.array([1.0, 2.0]), v)
    for k in range(1, 100):
        q = q + v * DT
        np.testing.assert_allclose(mean.step(q), np.array([1.0, 2.0]) + k * DT * v, atol=1e-12)
        np.testing.assert_allclose(mean.v, v, atol=1e-9)


@pytest.mark.parametrize("duration_s", [0.0, DT])
def test_a_time_of_a_period_or_less_changes_nothing(duration_s, rng):
    mean = MovingMean(3, duration_s, DT)
    q = rng.normal(size=3)
    assert (mean.begin(q) == q).all()
    q = rng.normal(size=3)
    np.testing.assert_array_equal(mean.step(q), q)
