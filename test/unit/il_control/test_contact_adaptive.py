"""Soft when something unplanned is met, stiff when it is gone, without chatter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.laws.contact_adaptive import ContactAdaptive, ContactConfig
from il_control.laws.energy_tank import EnergyTank, ScheduleConfig, StiffnessSchedule, TankConfig
from il_core.errors import ConfigError

DT, ZERO = 0.001, np.zeros(6)
CONFIG = ContactConfig()
SOFT, FREE = np.array(CONFIG.k_p_soft), np.array(CONFIG.k_p_free)


def along(value, axis=0):
    x = np.zeros(6)
    x[axis] = value
    return x


def hold(law, seconds, wrench=ZERO, wanted=ZERO, error=ZERO, acceleration=ZERO):
    for _ in range(round(seconds / DT)):
        k_p = law.step(wrench, wanted, error, acceleration, DT)
    return k_p


@pytest.mark.parametrize("wrench", [along(-11.0), along(2.1, 4)])
def test_a_force_nobody_planned_softens_within_the_time_set_and_its_end_stiffens(wrench):
    law = ContactAdaptive(CONFIG)
    np.testing.assert_array_equal(hold(law, 0.1), FREE)
    np.testing.assert_array_equal(hold(law, 0.004, wrench), FREE)
    assert not law.is_contact
    np.testing.assert_allclose(hold(law, 0.051, wrench), SOFT)
    assert law.is_contact
    np.testing.assert_allclose(hold(law, 0.299), SOFT)
    np.testing.assert_allclose(hold(law, 0.7), FREE)


def test_a_planned_force_is_no_contact_and_its_absence_is():
    law, press = ContactAdaptive(CONFIG), along(30.0, 2)
    np.testing.assert_array_equal(hold(law, 1.0, press, press, along(-0.03, 2)), FREE)
    np.testing.assert_allclose(hold(law, 0.1, ZERO, press), SOFT)


def test_what_the_model_may_be_wrong_by_while_accelerating_is_no_contact():
    law, wrench = ContactAdaptive(CONFIG), along(13.0)
    hold(law, 0.1, wrench, acceleration=along(5.0))
    assert not law.is_contact
    hold(law, 0.1, wrench, acceleration=along(2.0))
    assert law.is_contact


def test_between_the_thresholds_everything_stays_as_it_is():
    free, soft = ContactAdaptive(CONFIG), ContactAdaptive(CONFIG)
    hold(soft, 0.1, along(20.0))
    for law, k_p in ((free, FREE), (soft, SOFT)):
        np.testing.assert_allclose(hold(law, 2.0, along(7.0)), k_p)


def test_noise_around_the_threshold_does_not_chatter(rng):
    """Ten seconds of 3 N of noise on 8 N, then on nothing: one change each at most, and none before its time."""
    law, changes, was = ContactAdaptive(CONFIG), [], False
    for mean, seconds in ((8.0, 10.0), (25.0, 5.0), (0.0, 10.0)):
        for _ in range(round(seconds / DT)):
            wrench = along(mean) + rng.normal(size=6) * [1.0, 1.0, 1.0, 0.1, 0.1, 0.1]
            law.step(wrench, ZERO, ZERO, ZERO, DT)
            if law.is_contact != was:
                was = law.is_contact
                changes.append(mean)
    assert changes == [25.0, 0.0]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-40, 40), min_size=1, max_size=100), st.floats(0, 0.05))
def test_two_changes_are_never_closer_than_the_times_to_confirm_them(forces, off):
    law, last, was, t = ContactAdaptive(CONFIG), None, False, 0.0
    for force in forces:
        for _ in range(20):
            k_p, t = law.step(along(force), ZERO, along(off), ZERO, DT), t + DT
            assert np.all(k_p >= SOFT - 1e-9) and np.all(k_p <= FREE + 1e-9)
            if law.is_contact != was:
                needed = CONFIG.confirm_s if law.is_contact else CONFIG.release_s
                assert last is None or t - last >= needed - 1e-6
                was, last = law.is_contact, t


def press_on_a_wall(config, noise, rng, seconds=6.0):
    """A tool of 4 kg whose target runs into a wall it knows nothing of and stays 20 mm inside, then leaves.

    Returns how often the state changed while it pressed, and the force at the end of pressing; the law, after.
    """
    law = ContactAdaptive(config)
    bounds = ScheduleConfig(k_p_min=config.k_p_soft)
    schedule = StiffnessSchedule(bounds, EnergyTank(TankConfig()), np.array(config.k_p_free))
    x, v, k_d, changes, was, pressed = -0.05, 0.0, np.zeros(6), 0, False, 0.0
    for k in range(round(seconds / DT)):
        t = k * DT
        x_des = min(-0.05 + 0.1 * t, 0.02) if t < seconds - 2.0 else -0.05
        v_des = 0.1 if t < 0.7 else 0.0
        wall = -20_000.0 * x - 40.0 * v if x > 0.0 else 0.0
        felt = along(wall) + noise * rng.normal(size=6)
        error, twist = along(x_des - x), along(v_des - v)
        k_p = schedule.step(law.step(felt, ZERO, error, ZERO, DT), error, twist, k_d, DT)
        k_d = 2.0 * np.sqrt(4.0 * k_p)
        v += DT * (k_p[0] * (x_des - x) + k_d[0] * (v_des - v) + wall) / 4.0
        x += DT * v
        if t < seconds - 2.0:
            changes += law.is_contact != was
            was, pressed = law.is_contact, -wall
    return changes, pressed, law


def test_a_target_that_stays_inside_a_wall_does_not_set_off_a_cycle_of_soft_and_stiff(rng):
    changes, force, law = press_on_a_wall(CONFIG, 0.3, rng)
    assert changes == 1
    # Less than `off_share`: the force alone would say that nothing touches any more.
    assert force == pytest.approx(150.0 * 0.02, rel=0.05), "a sixth of what the free spring would press with"
    assert not law.is_contact and law.softness == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_estimate_that_is_none_changes_nothing(bad):
    free, soft = ContactAdaptive(CONFIG), ContactAdaptive(CONFIG)
    hold(soft, 0.1, along(20.0))
    for law, k_p in ((free, FREE), (soft, SOFT)):
        np.testing.assert_allclose(hold(law, 1.0, np.full(6, bad)), k_p)
        np.testing.assert_allclose(hold(law, 1.0, along(5.0), error=np.full(6, bad)), k_p)
    hold(soft, 1.0)
    soft.reset()
    np.testing.assert_array_equal(hold(soft, DT), FREE)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"k_p_soft": (1.0,)}, "k_p_soft and k_p_free need 6 values"),
        ({"k_p_soft": (2000.0,) * 6}, "need 0 <= k_p_soft <= k_p_free"),
        ({"off_share": 1.0}, "off_share must be between 0 and 1, got 1.0"),
        ({"on_n": 0.0}, "on_n must be positive and finite, got 0.0"),
        ({"confirm_s": -1.0}, "confirm_s and mass_error_kg must be finite and not negative"),
    ],
)
def test_a_bad_setting_is_named(change, words):
    with pytest.raises(ConfigError, match=words):
        replace(CONFIG, **change)
