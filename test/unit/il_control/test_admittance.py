"""A virtual mass on a spring: statics, its exact response, passivity, and bounds that hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.laws.admittance import Admittance, AdmittanceConfig, dead_zone
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_rotvec, pose, rotvec_from_matrix

DT = 0.001
WIDE = {"offset_max_m": 1e6, "offset_max_rad": 1.0, "speed_max_m_s": 1e6, "speed_max_rad_s": 1e6}
OPEN = {"dead_zone_n": 0.0, "dead_zone_nm": 0.0}


def along(value, axis=0):
    wrench = np.zeros(6)
    wrench[axis] = value
    return wrench


def admittance(mass=5.0, damping=100.0, stiffness=500.0, dt=DT, **more):
    axes = {
        "mass_kg": (mass,) * 3,
        "damping_ns_m": (damping,) * 3,
        "stiffness_n_m": (stiffness,) * 3,
        "inertia_kg_m2": (mass / 25,) * 3,
        "damping_nms_rad": (damping / 25,) * 3,
        "stiffness_nm_rad": (stiffness / 25,) * 3,
    }
    return Admittance(AdmittanceConfig(**{**axes, **OPEN, **WIDE, **more}), dt)


def energy(a):
    return 0.5 * float(a.mass @ a.twist**2 + a.stiffness @ a.offset**2)


def test_the_static_deflection_is_force_over_stiffness():
    a, wrench = admittance(), np.array([10.0, -20.0, 5.0, 1.0, -2.0, 0.5])
    for _ in range(6000):
        a.step(wrench)
    np.testing.assert_allclose(a.offset, wrench / a.stiffness, rtol=1e-9)
    np.testing.assert_allclose(a.twist, 0.0, atol=1e-9)


@pytest.mark.parametrize("dt", [0.001, 0.05, 0.5])
def test_the_critically_damped_response_is_the_analytic_one_at_any_rate(dt):
    a, omega = admittance(dt=dt), 10.0
    for k in range(1, 11):
        x = a.step(along(50.0))[0]
        t = k * dt
        assert x == pytest.approx(0.1 * (1.0 - (1.0 + omega * t) * np.exp(-omega * t)), rel=1e-9)
        assert a.twist[0] == pytest.approx(0.1 * omega**2 * t * np.exp(-omega * t), rel=1e-9, abs=1e-12)


def test_without_a_spring_a_steady_push_ends_in_a_steady_speed():
    a = admittance(stiffness=0.0)
    for _ in range(2000):
        a.step(along(10.0))
    assert a.twist[0] == pytest.approx(0.1)


def test_it_is_stable_at_any_stiffness():
    for stiffness in (1e3, 1e6, 1e9):
        a = admittance(mass=1.0, damping=0.1, stiffness=stiffness)
        before = np.inf
        a.step(along(100.0))
        for _ in range(300):
            a.step(np.zeros(6))
            assert energy(a) <= before * (1 + 1e-9)
            before = energy(a)


WRENCHES = st.lists(
    st.tuples(st.lists(st.floats(-200, 200), min_size=6, max_size=6).map(np.array), st.integers(1, 60)),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=80)
@given(
    WRENCHES,
    st.floats(0.05, 20),
    st.floats(0.01, 300),
    st.floats(0, 5000),
    st.floats(1e-3, 0.3),
    st.floats(1e-2, 1.0),
    st.sampled_from([0.0, 5.0]),
)
def test_no_more_energy_comes_out_than_went_in_whatever_bound_is_hit(
    wrenches, mass, damping, stiffness, far, fast, dead
):
    """Also at each instant: work done on it is never less than what is in it."""
    limits = {"offset_max_m": far, "offset_max_rad": far, "speed_max_m_s": fast, "speed_max_rad_s": fast}
    a = admittance(mass, damping, stiffness, dead_zone_n=dead, dead_zone_nm=dead / 25, **limits)
    went_in = 0.0
    for wrench, hold in wrenches:
        for _ in range(hold):
            x = a.offset
            went_in += float(dead_zone(wrench, dead, dead / 25) @ (a.step(wrench) - x))
            assert energy(a) <= went_in + 1e-9 * (1.0 + abs(went_in))


@settings(deadline=None, max_examples=80)
@given(WRENCHES, st.floats(0.05, 20), st.floats(0.01, 300), st.floats(0, 5000))
def test_offset_and_speed_stay_within_their_limits(wrenches, mass, damping, stiffness):
    limits = {"offset_max_m": 0.05, "offset_max_rad": 0.2, "speed_max_m_s": 0.25, "speed_max_rad_s": 1.0}
    a = admittance(mass, damping, stiffness, **limits)
    for wrench, hold in wrenches:
        for _ in range(hold):
            before = a.offset
            after = a.step(wrench)
            assert np.all(np.abs(after) <= [0.05 + 1e-12] * 3 + [0.2 + 1e-12] * 3)
            for rate in (a.twist, (after - before) / DT):
                assert np.linalg.norm(rate[:3]) <= 0.25 * (1 + 1e-9)
                assert np.linalg.norm(rate[3:]) <= 1.0 * (1 + 1e-9)


def test_pushed_against_its_end_it_slides_along_and_comes_back_at_once():
    a = admittance(offset_max_m=0.02)
    for _ in range(3000):
        a.step(np.array([100.0, 5.0, 0, 0, 0, 0]))
    np.testing.assert_allclose(a.offset[:2], [0.02, 0.01], atol=1e-6)
    a.step(np.zeros(6))
    assert a.offset[0] < 0.02


@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6).map(np.array), st.floats(0, 20))
def test_the_dead_zone_shortens_and_never_turns(wrench, dead):
    left = dead_zone(wrench, dead, dead)
    for a, b in ((wrench[:3], left[:3]), (wrench[3:], left[3:])):
        assert np.linalg.norm(b) == pytest.approx(max(0.0, np.linalg.norm(a) - dead), abs=1e-9)
        assert a @ b == pytest.approx(np.linalg.norm(a) * np.linalg.norm(b), abs=1e-6)


def test_noise_below_the_dead_zone_moves_nothing(rng):
    a = Admittance(AdmittanceConfig(), DT)
    for _ in range(1000):
        a.step(rng.uniform(-1, 1, 6) * np.array([1.1, 1.1, 1.1, 0.1, 0.1, 0.1]))
    np.testing.assert_array_equal(a.offset, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_a_bad_wrench_counts_as_none_or_stays_within_the_limits(bad):
    a = Admittance(AdmittanceConfig(), DT)
    with np.errstate(all="ignore"):
        a.step(np.array([bad, bad, bad, 0, 0, 0]))
    assert np.isfinite(a.offset).all() and np.isfinite(a.twist).all()
    assert np.all(np.abs(a.offset) <= 0.25 * DT * (1 + 1e-9))


def test_the_compliant_pose_is_the_target_moved_and_turned_about_its_own_origin():
    a, T = admittance(), pose([0.4, 0.1, 0.3], matrix_from_rotvec([np.pi, 0, 0]))
    np.testing.assert_array_equal(a.pose(T), T)
    for _ in range(5000):
        a.step(np.array([50.0, 0, 0, 0, 0, 4.0]))
    moved = a.pose(T)
    np.testing.assert_allclose(moved[:3, 3] - T[:3, 3], [0.1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(rotvec_from_matrix(moved[:3, :3] @ T[:3, :3].T), [0, 0, 0.2], atol=1e-9)
    a.reset()
    np.testing.assert_array_equal(a.pose(T), T)
    np.testing.assert_array_equal(a.twist, 0.0)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"mass_kg": (1.0, 1.0)}, "'mass_kg' needs 3 values"),
        ({"mass_kg": (1.0, 0.0, 1.0)}, "'mass_kg' must be positive and finite"),
        ({"stiffness_n_m": (1.0, -1.0, 1.0)}, "'stiffness_n_m' must be not negative and finite"),
        ({"dead_zone_n": -1.0}, "dead_zone_n and dead_zone_nm must be finite and not negative"),
        ({"speed_max_m_s": 0.0}, "speed_max_rad_s must be positive and finite"),
        ({"offset_max_rad": 1.5}, "beyond 1 rad a rotation vector is no coordinate"),
    ],
)
def test_a_bad_setting_is_named(change, words):
    with pytest.raises(ConfigError, match=words):
        AdmittanceConfig(**change)


def test_the_control_period_must_be_positive():
    with pytest.raises(ConfigError, match="control period must be positive, got 0.0 s"):
        Admittance(AdmittanceConfig(), 0.0)
