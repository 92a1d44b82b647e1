"""Stiffness at run time makes no energy, whatever is wanted; without the tank it does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.control.passivity import passivity
from il_control.laws.energy_tank import EnergyTank, ScheduleConfig, StiffnessSchedule, TankConfig
from il_core.errors import ConfigError

DT = 0.001
SOFT, STIFF = np.array([200.0] * 3 + [10.0] * 3), np.array([2000.0] * 3 + [60.0] * 3)
ZERO = np.zeros(6)
FAST = ScheduleConfig(k_p_rate=(1e7,) * 6)
NUMBER = st.floats(allow_nan=True, allow_infinity=True)
SIX = st.lists(NUMBER, min_size=6, max_size=6).map(np.array)


def schedule(config=FAST, tank=None, k_p=SOFT):
    return StiffnessSchedule(config, EnergyTank(tank or TankConfig()), k_p)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), NUMBER), max_size=60))
def test_the_level_stays_between_floor_and_cap_whatever_is_booked(bookings):
    tank = EnergyTank(TankConfig())
    for is_draw, energy in bookings:
        if is_draw:
            assert 0.0 <= tank.draw(energy) <= 1.0
        else:
            tank.add(energy)
        assert tank.config.floor_j <= tank.level_j <= tank.config.cap_j
        assert tank.debt_j >= 0.0


def test_a_draw_takes_what_it_grants_and_a_debt_is_paid_first():
    tank = EnergyTank(TankConfig(floor_j=1.0, initial_j=3.0, cap_j=5.0))
    assert tank.draw(0.5) == 1.0 and tank.level_j == 2.5
    assert tank.draw(6.0) == 0.25 and tank.level_j == 1.0
    tank.add(-2.0)
    assert (tank.level_j, tank.debt_j, tank.available_j) == (1.0, 2.0, 0.0)
    tank.add(1.5)
    assert tank.draw(0.1) == 0.0
    tank.add(1.0)
    assert (tank.level_j, tank.debt_j) == (1.5, 0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(SIX, SIX, SIX, SIX), min_size=1, max_size=20), st.floats(1e-5, 0.1))
def test_no_input_breaks_a_bound_or_the_floor(inputs, dt):
    schedule_, config = schedule(ScheduleConfig()), ScheduleConfig()
    with np.errstate(all="ignore"):
        for wanted, error, twist, k_d in inputs:
            before = schedule_.k_p
            after = schedule_.step(wanted, error, twist, k_d, dt, wanted[0])
            assert np.all(after >= config.k_p_min) and np.all(after <= config.k_p_max)
            assert np.all(np.abs(after - before) <= np.array(config.k_p_rate) * dt * (1 + 1e-9) + 1e-9)
            assert np.isfinite(schedule_.drawn_j)
            assert config.zeta[0] <= schedule_.zeta <= config.zeta[1]
            assert 0.1 <= schedule_.tank.level_j <= 4.0


def test_the_energy_drawn_is_the_integral_of_half_e_dk_e_and_the_tank_has_lost_it(rng):
    """A tank so large that nothing overflows and nothing is refused, a tool at rest."""
    tank = TankConfig(floor_j=0.0, initial_j=1e6, cap_j=2e6)
    schedule_, integral = schedule(ScheduleConfig(), tank), 0.0
    for _ in range(2000):
        error, before = rng.normal(size=6) * 0.05, schedule_.k_p
        after = schedule_.step(rng.uniform(0, 3500, 6), error, ZERO, ZERO, DT)
        integral += 0.5 * float((after - before) @ error**2)
    assert abs(integral) > 1.0
    assert schedule_.drawn_j == pytest.approx(integral, rel=1e-9)
    assert 1e6 - schedule_.tank.level_j == pytest.approx(integral, rel=1e-6)


def test_stiffening_goes_as_far_as_the_tank_pays_and_on_when_the_damper_has_filled_it():
    schedule_ = schedule(tank=TankConfig(floor_j=0.1, initial_j=0.5, cap_j=10.0))
    error = np.array([0.1, 0, 0, 0, 0, 0])
    k_p = schedule_.step(STIFF, error, ZERO, ZERO, DT)
    assert k_p[0] == pytest.approx(200.0 + 0.4 / (0.5 * 0.1**2))
    assert schedule_.tank.level_j == pytest.approx(0.1)
    k_d, twist = np.full(6, 50.0), np.array([0.2, 0, 0, 0, 0, 0])
    for _ in range(500):  # 50 N·s/m at 0.2 m/s take 2 W, less what the sampled spring makes
        later = schedule_.step(STIFF, error, twist, k_d, DT)
    made = 500 * 0.5 * 290.0 * (0.2 * DT) ** 2
    assert later[0] == pytest.approx(k_p[0] + (1.0 - 2.0 * DT - made) / (0.5 * 0.1**2), rel=0.02)


def test_stiffness_is_free_where_the_spring_is_not_loaded():
    schedule_ = schedule(tank=TankConfig(floor_j=0.1, initial_j=0.1, cap_j=1.0))
    np.testing.assert_allclose(schedule_.step(STIFF, ZERO, ZERO, ZERO, DT), STIFF)


def test_a_ramp_takes_its_time_and_so_does_the_damping_ratio():
    schedule_ = schedule(ScheduleConfig(k_p_rate=(1000.0,) * 6, zeta_rate=2.0))
    for _ in range(100):
        k_p = schedule_.step(STIFF, ZERO, ZERO, ZERO, DT, 0.5)
    assert k_p[0] == pytest.approx(300.0)
    assert schedule_.zeta == pytest.approx(0.8)


def test_a_clipped_spring_costs_what_its_own_potential_gains():
    """The energy of pulling the spring out by hand, its force bounded at e_max, at both stiffnesses."""
    e_max, reach = 0.02, 0.3
    config = replace(FAST, e_max=(e_max,) * 6)
    schedule_ = schedule(config, TankConfig(0.0, 1e3, 2e3))
    schedule_.step(STIFF, np.array([reach, 0, 0, 0, 0, 0]), ZERO, ZERO, DT)
    e = np.linspace(0.0, reach, 100_001)
    work = np.trapezoid((STIFF[0] - SOFT[0]) * np.minimum(e, e_max), e)
    assert schedule_.drawn_j == pytest.approx(work, rel=1e-6)


def test_what_the_tank_takes_in_is_what_a_sampled_damped_mass_loses(rng):
    """Kinetic and spring energy plus the tank's stay the same to the last digits, at a coarse rate too."""
    dt, mass, k_d = 0.01, 2.0, np.full(6, 15.0)
    schedule_ = schedule(tank=TankConfig(floor_j=0.0, initial_j=10.0, cap_j=1e3))
    x, v = rng.normal(size=6) * 0.1, rng.normal(size=6)
    total = []
    for _ in range(300):
        k_p = schedule_.step(SOFT + rng.uniform(0, 50, 6), -x, -v, k_d, dt)
        total.append(schedule_.tank.level_j + 0.5 * mass * v @ v + 0.5 * k_p @ x**2)
        a = (-k_p * x - k_d * v) / mass
        x, v = x + v * dt + 0.5 * a * dt**2, v + a * dt
    assert schedule_.tank.debt_j == 0.0
    np.testing.assert_allclose(total, total[0], rtol=1e-12)


def test_a_jump_of_the_target_fills_no_tank():
    schedule_ = schedule()
    level = schedule_.tank.level_j
    schedule_.step(SOFT, ZERO, ZERO, np.full(6, 100.0), DT)
    schedule_.step(SOFT, np.full(6, 0.5), ZERO, np.full(6, 100.0), DT)
    assert schedule_.tank.level_j == level


def test_a_gap_or_a_clock_set_back_fills_no_tank_and_turns_no_ramp():
    schedule_ = schedule(ScheduleConfig())
    level, twist, k_d = schedule_.tank.level_j, np.ones(6), np.full(6, 100.0)
    schedule_.step(SOFT, ZERO, twist, k_d, DT)
    for dt in (5.0, -1.0, 0.0):
        k_p = schedule_.step(STIFF if dt < 0 else SOFT, ZERO, twist, k_d, dt)
        np.testing.assert_array_equal(k_p, SOFT)
    assert schedule_.tank.level_j == level


def test_ten_thousands_of_random_wishes_make_no_energy_with_the_tank_and_do_without():
    found = passivity(100_000, seed=7)
    assert found["floor_margin_j"] >= 0.0
    assert found["tank_violations"] == 0 and found["tank_debt_j"] == 0
    assert found["tank_extracted_j"] <= 1e-9
    assert found["plain_violations"] > 0
    assert found["plain_extracted_j"] > 0.1, "the surroundings get more out of the plain law than was in it"


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: TankConfig(floor_j=2.0), "need 0 <= floor_j <= initial_j <= cap_j"),
        (lambda: TankConfig(cap_j=float("nan")), "all finite; got"),
        (lambda: ScheduleConfig(k_p_min=(1.0,)), "k_p_min needs 6 values"),
        (lambda: ScheduleConfig(k_p_min=(9e9,) * 6), "need 0 <= k_p_min <= k_p_max, got 9000000000.0 and 3000.0"),
        (lambda: ScheduleConfig(k_p_rate=(0.0,) * 6), "k_p_rate, e_max and zeta_rate must be positive"),
        (lambda: ScheduleConfig(zeta=(1.0, 0.5)), "zeta needs 0 < least <= greatest"),
        (lambda: schedule(k_p=np.full(6, np.nan)), "need six finite values of k_p"),
    ],
)
def test_a_bad_setting_is_named(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
