"""Arms that take positions or velocities: within the limits, without a step, and stopping in time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.config import load_control_config
from il_control.inputs import Context
from il_control.model import ArmModel
from il_control.reasons import Reason
from il_control.safety import SafetyGate
from il_control.safety_config import SafetyConfig
from il_core.config import load_setup
from il_core.errors import ShapeError
from il_core.types import ArmState

SETUP = load_setup("pick_place")
ROBOT = replace(SETUP.robot, a_max_rad_s2=(10.0,) * 7)
CONFIG = replace(load_control_config(SETUP), safety=SafetyConfig(contact_force_max_n=30.0))
DT = CONFIG.dt
HOME = np.array(ROBOT.q_home_rad)
Q_MIN, Q_MAX = np.array(ROBOT.q_min_rad), np.array(ROBOT.q_max_rad)
V_MAX, A_MAX = np.array(ROBOT.v_max_rad_s), np.array(ROBOT.a_max_rad_s2)
CALM = Context(wrench=np.zeros(6))
HARD = Context(wrench=np.full(6, 100.0))
WILD = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=8).map(np.array)
NEAR = st.lists(st.floats(-6, 6), min_size=7, max_size=7).map(np.array)


def state(q=HOME, v=None):
    return ArmState(0, q, np.zeros(7) if v is None else v, np.zeros(7), 0.5)


@pytest.fixture
def gate():
    return SafetyGate(ROBOT, CONFIG)


def positions(gate, targets, q=HOME, context=CALM):
    """Positions sent for a list of targets, the first state's before them; and all reasons."""
    sent, reasons = [np.array(q)], set()
    for q_des in targets:
        sent.append(gate.position_setpoint(state(q), q_des, 0.5, reasons, context).q_des)
    return np.array(sent), reasons


def check(q):
    v = np.diff(q, axis=0) / DT
    a = np.diff(np.vstack([np.zeros(7), v]), axis=0) / DT
    assert np.isfinite(q).all()
    assert (np.abs(v) <= V_MAX + 1e-9).all()
    assert (np.abs(a) <= A_MAX + 1e-6).all()
    assert (q >= Q_MIN).all()
    assert (q <= Q_MAX).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(NEAR, WILD), st.integers(1, 200), st.booleans()), min_size=1, max_size=6))
def test_no_position_leaves_outside_the_limits_whatever_is_asked(steps):
    gate = SafetyGate(ROBOT, CONFIG)
    sent = [HOME]
    for q_des, cycles, is_pressed in steps:
        for _ in range(cycles):
            context = HARD if is_pressed else CALM
            sent.append(gate.position_setpoint(state(), q_des, 0.5, set(), context).q_des)
        gate.setpoint(state(), np.zeros(7), 0.5, np.zeros(7), set(), CALM)
        gate.resume()
    check(np.array(sent))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(NEAR, WILD), NEAR, st.integers(1, 50)), min_size=1, max_size=6))
def test_no_velocity_leaves_outside_the_limits_whatever_is_asked(steps):
    gate = SafetyGate(ROBOT, CONFIG)
    last = np.zeros(7)
    for v_des, q, cycles in steps:
        for _ in range(cycles):
            v = gate.velocity_setpoint(state(q), v_des, 0.5, set(), CALM).v_des
            assert (np.abs(v) <= V_MAX).all()
            assert (np.abs(v - last) <= A_MAX * DT + 1e-9).all()
            last = v


def test_a_smooth_motion_passes_unchanged_and_without_a_reason(gate):
    t = np.arange(2000)[:, None] * DT
    wanted = HOME + 0.1 * (1 - np.cos(2 * np.pi * 0.5 * t))
    sent, reasons = positions(gate, wanted)
    np.testing.assert_allclose(sent[1:], wanted, atol=1e-9)
    assert reasons == set()


@pytest.mark.parametrize("size", [1e-5, 1e-3, 0.1, 1.0])
def test_a_step_is_reached_without_overshoot_and_kept(gate, size):
    sent, reasons = positions(gate, [HOME + size] * 3000)
    check(sent)
    np.testing.assert_allclose(sent[-1], HOME + size, atol=1e-9)
    assert (sent <= HOME + size * 1.001 + 1e-6).all()
    assert Reason.ACCELERATION_LIMIT in reasons


def test_a_target_beyond_the_limits_ends_at_the_limit(gate):
    sent, reasons = positions(gate, [HOME + 9.0] * 6000)
    check(sent)
    np.testing.assert_allclose(sent[-1], Q_MAX, atol=1e-4)
    assert Reason.TARGET_LIMIT in reasons


def test_an_arm_found_beyond_a_limit_comes_back_and_goes_no_further(gate):
    beyond = HOME.copy()
    beyond[0] = Q_MAX[0] + 0.1
    sent, _ = positions(gate, [HOME + [9, 0, 0, 0, 0, 0, 0]] * 3000, q=beyond)
    assert sent[:, 0].max() <= beyond[0]
    assert sent[-1, 0] == pytest.approx(Q_MAX[0], abs=1e-4)
    v = np.diff(sent, axis=0) / DT
    assert (np.abs(np.diff(v, axis=0)) <= A_MAX * DT + 1e-6).all()


def test_a_contact_brakes_within_the_limits_and_stays_until_the_operator_resumes(gate):
    moving, _ = positions(gate, HOME + 0.5 * np.arange(600)[:, None] * DT)
    stopping, reasons = positions(gate, [HOME + 1.0] * 600, context=HARD)
    check(np.vstack([moving, stopping[1:]]))
    np.testing.assert_array_equal(stopping[-1], stopping[-100])
    assert Reason.CONTACT_FORCE in reasons
    assert gate.resume() != ""
    still, _ = positions(gate, [HOME + 1.0] * 100)
    np.testing.assert_array_equal(still[-1], stopping[-1])
    assert gate.resume() == ""
    assert (positions(gate, [HOME + 1.0] * 3000)[0][-1] > stopping[-1] + 0.1).all()


def test_a_velocity_towards_a_limit_is_braked_in_time(gate):
    q, v_sent = HOME.copy(), []
    for _ in range(4000):
        v = gate.velocity_setpoint(state(q), 9 * np.ones(7), 0.5, set(), CALM).v_des
        q = q + v * DT  # an arm that does as it is told
        v_sent.append(v)
        assert (q <= Q_MAX + 1e-9).all()
    np.testing.assert_allclose(q, Q_MAX, atol=1e-4)
    np.testing.assert_allclose(v, 0.0, atol=1e-3)
    assert (np.abs(np.diff(v_sent, axis=0)) <= A_MAX * DT + 1e-9).all()


def test_a_velocity_that_is_none_brings_the_arm_to_rest(gate):
    for v_des in [np.ones(7)] * 300 + [np.full(7, np.nan)] * 300:
        reasons = set()
        v = gate.velocity_setpoint(state(), v_des, 0.5, reasons, CALM).v_des
    np.testing.assert_array_equal(v, 0.0)
    assert Reason.NON_FINITE in reasons


def test_a_setpoint_carries_what_the_arm_takes_and_nothing_else(gate):
    setpoint = gate.position_setpoint(state(), HOME, 0.25, set(), CALM)
    assert setpoint.tau is None and setpoint.v_des is None and setpoint.gripper == 0.25
    setpoint = gate.velocity_setpoint(state(), HOME, 0.25, set(), CALM)
    assert setpoint.tau is None and setpoint.q_des is None


def test_without_any_posture_there_is_nothing_to_send(gate):
    with pytest.raises(ShapeError, match=r"ArmState.q: expected shape \(7,\), got \(6,\)"):
        gate.position_setpoint(ArmState(0, *[np.zeros(6)] * 3, 0.5), HOME, 0.5, set(), CALM)


@pytest.mark.parametrize("absurd", [1e308, -1e308, 1e160])
def test_an_absurd_velocity_is_forgotten_when_a_sound_one_follows(absurd):
    """A speed whose square overflows must not leave a NaN behind."""
    config = replace(CONFIG, safety=replace(CONFIG.safety, tool_speed_max_m_s=0.5))
    gate = SafetyGate(ROBOT, config, ArmModel(SETUP))
    for _ in range(300):
        assert np.isfinite(gate.velocity_setpoint(state(), np.full(7, absurd), 0.5, set(), CALM).v_des).all()
    for _ in range(600):
        v = gate.velocity_setpoint(state(), np.full(7, 0.01), 0.5, set(), CALM).v_des
    np.testing.assert_allclose(v, 0.01)
