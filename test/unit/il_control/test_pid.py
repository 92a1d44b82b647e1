"""Feedback for position and velocity interfaces: against the formulas, saturated, handed over."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.laws.pid import Pid, PidConfig
from il_core.errors import ConfigError, ShapeError

DT = 0.002
ZERO = np.zeros(2)


def pid(k_p=4.0, k_i=0.0, k_d=0.0, k_ff=1.0, output_max=100.0, **more):
    gains = [(value, value) for value in (k_p, k_i, k_d, k_ff, output_max)]
    return Pid(PidConfig(*gains, **more))


def drive(law, q, q_des, v_des, steps, dt=DT):
    """An arm that moves at exactly the velocity it is told."""
    path = [q]
    for k in range(steps):
        q = q + dt * law.step(q, q_des(k * dt), v_des(k * dt), dt)
        path.append(q)
    return np.array(path)


def still(value):
    return lambda t: np.full(2, value)


def test_a_step_with_the_proportional_gain_alone_decays_exponentially():
    path = drive(pid(), ZERO, still(1.0), still(0.0), 500)
    np.testing.assert_allclose(path[:, 0], 1.0 - (1.0 - 4.0 * DT) ** np.arange(501), rtol=1e-10)


def test_a_step_with_the_integral_gain_follows_the_analytic_response():
    """A velocity interface is an integrator: s^2 + k_p s + k_i, with the zero of the feedback."""
    k_p, k_i, dt = 6.0, 5.0, 1e-4
    path = drive(pid(k_p=k_p, k_i=k_i), ZERO, still(1.0), still(0.0), 20_000, dt)
    a, b = np.roots([1.0, k_p, k_i])
    t = np.arange(20_001) * dt
    analytic = 1.0 - (a * np.exp(a * t) - b * np.exp(b * t)) / (a - b)
    np.testing.assert_allclose(path[:, 0], analytic, atol=2e-3)


def test_a_constant_disturbance_is_integrated_away_and_only_then():
    for k_i, left in ((0.0, 0.2 / 4.0), (8.0, 0.0)):
        law, q = pid(k_i=k_i), ZERO
        for _ in range(4000):
            q = q + DT * (law.step(q, ZERO, ZERO, DT) + 0.2)
        np.testing.assert_allclose(q, left, atol=1e-6)


@pytest.mark.parametrize("k_d", [0.0, 0.3])
def test_a_target_that_moves_steadily_is_followed_without_lag(k_d):
    law = pid(k_d=k_d)
    law.reset(ZERO, ZERO, np.full(2, 0.5), np.full(2, 0.5))
    path = drive(law, ZERO, lambda t: np.full(2, 0.5 * t), still(0.5), 1500)
    np.testing.assert_allclose(path[-1], 0.5 * 1500 * DT, atol=1e-6)


def test_a_step_of_the_target_kicks_with_the_proportional_part_alone():
    with_d, without = pid(k_d=50.0), pid()
    for law in (with_d, without):
        law.step(ZERO, ZERO, ZERO, DT)
    np.testing.assert_array_equal(with_d.step(ZERO, np.ones(2), ZERO, DT), without.step(ZERO, np.ones(2), ZERO, DT))


def test_the_derivative_is_filtered_with_its_time_constant():
    law, rate, tau = pid(k_p=0.0, k_d=1.0, k_ff=0.0, filter_s=0.05), 0.3, 0.05
    seen = [-law.step(np.full(2, rate * k * DT), ZERO, ZERO, DT)[0] for k in range(200)]
    np.testing.assert_allclose(seen, rate * (1.0 - np.exp(-np.arange(200) * DT / tau)), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(
    st.floats(-50, 50),
    st.floats(0, 50),
    st.floats(0.01, 1.0),
    st.lists(st.floats(-10, 10), min_size=1, max_size=300),
)
def test_neither_the_output_nor_the_windup_grows_beyond_its_bound(start, k_i, tracking_s, targets):
    law = pid(k_i=k_i, output_max=0.7, tracking_s=tracking_s)
    law.integral = np.full(2, min(max(start, -0.7), 0.7))
    for target in targets:
        output = law.step(ZERO, np.full(2, target), ZERO, DT)
        assert np.all(np.abs(output) <= 0.7)
        # Led back, it is at most the bound, the proportional part and what comes in over T_t.
        assert np.all(np.abs(law.integral) <= 0.7 + 40.0 + k_i * 10.0 * (tracking_s + DT) + 1e-9)


def test_an_arm_that_was_held_for_long_leaves_saturation_as_soon_as_it_is_let_go():
    """The same law without anti-windup overshoots far; with it the overshoot is small and does not grow."""
    overshoots = []
    for held in (500, 5000):
        law = pid(k_p=4.0, k_i=8.0, output_max=0.5, tracking_s=0.05)
        for _ in range(held):
            law.step(ZERO, np.ones(2), ZERO, DT)
        overshoots.append(drive(law, ZERO, still(1.0), still(0.0), 6000)[:, 0].max() - 1.0)
    assert overshoots[0] == pytest.approx(overshoots[1], abs=1e-9)
    assert overshoots[0] < 0.2
    windup = pid(k_p=4.0, k_i=8.0, output_max=0.5, tracking_s=1e9)
    for _ in range(5000):
        windup.step(ZERO, np.ones(2), ZERO, DT)
    assert drive(windup, ZERO, still(1.0), still(0.0), 6000)[:, 0].max() - 1.0 > 1.0


@settings(deadline=None, max_examples=50)
@given(*[st.lists(st.floats(-3, 3), min_size=2, max_size=2).map(np.array) for _ in range(4)], st.floats(0, 10))
def test_taking_over_goes_on_from_the_output_before(q, q_des, v_des, output, k_i):
    law = pid(k_i=k_i, k_d=0.5)
    drive(law, ZERO, still(5.0), still(1.0), 20)
    law.reset(q, q_des, v_des, output)
    first = law.step(q, q_des, v_des, DT)
    np.testing.assert_allclose(first, output, atol=1e-12)
    later = law.step(q + v_des * DT, q_des + v_des * DT, v_des, DT)
    # One cycle: the integral of the error, or a share dt / T_t of what is to fade.
    faded = np.abs(output - v_des - 4.0 * (q_des - q)) * DT / 0.1
    assert np.all(np.abs(later - first) <= k_i * np.abs(q_des - q) * DT + faded + 1e-9)


def test_what_a_law_without_integral_took_over_fades():
    law = pid()
    law.reset(ZERO, ZERO, ZERO, np.full(2, 0.4))
    seen = [law.step(ZERO, ZERO, ZERO, DT)[0] for _ in range(300)]
    np.testing.assert_allclose(seen, 0.4 * np.exp(-np.arange(300) * DT / 0.1), rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_bad_number_holds_the_output_and_leaves_nothing_behind(bad):
    law, clean = pid(k_i=2.0, k_d=0.1), pid(k_i=2.0, k_d=0.1)
    for k in range(20):
        now = np.full(2, 0.01 * k)
        expected = clean.step(now, np.ones(2), ZERO, DT)
        np.testing.assert_array_equal(law.step(now, np.ones(2), ZERO, DT), expected)
        with np.errstate(all="ignore"):
            for i in range(3):
                inputs = [now, np.ones(2), ZERO]
                inputs[i] = np.array([0.0, bad])
                np.testing.assert_array_equal(law.step(*inputs, DT), expected)
        np.testing.assert_array_equal(law.step(now, np.ones(2), ZERO, 0.0), expected)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"k_i": -1.0}, "'k_i' must be finite and not negative"),
        ({"k_p": float("nan")}, "'k_p' must be finite"),
        ({"output_max": 0.0}, "output_max, filter_s and tracking_s must be positive"),
        ({"filter_s": 0.0}, "must be positive"),
    ],
)
def test_a_bad_gain_is_named(change, words):
    with pytest.raises(ConfigError, match=words):
        pid(**change)


def test_gains_must_be_one_per_joint_and_so_must_what_is_taken_over():
    with pytest.raises(ConfigError, match="'k_i' has 1 values, k_p has 2"):
        PidConfig((1.0, 1.0), (1.0,), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0))
    with pytest.raises(ShapeError, match=r"q_des: expected shape \(2,\), got \(3,\)"):
        pid().reset(ZERO, np.zeros(3), ZERO)
    with pytest.raises(ConfigError, match="cannot take over from q"):
        pid().reset(np.full(2, np.nan), ZERO, ZERO)
