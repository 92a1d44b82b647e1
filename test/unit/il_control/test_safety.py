"""The gate: what leaves it is finite and inside the limits, whatever went in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.config import load_control_config
from il_control.safety import Reason, SafetyGate
from il_core.config import load_setup
from il_core.types import ArmState

SETUP = load_setup("pick_place")
CONFIG = load_control_config(SETUP)
ROBOT = SETUP.robot
TAU_MAX = np.array(ROBOT.tau_max_nm)
TAU_STEP = np.array(ROBOT.tau_rate_max_nm_s) * CONFIG.dt
HOME = np.array(ROBOT.q_home_rad)
BIAS = np.array([0.0, -20.0, 1.0, 15.0, 0.5, 1.0, 0.1])
Z = np.zeros(7)
ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)
TORQUES = st.lists(ANY, min_size=0, max_size=9).map(np.array)
STATES = st.tuples(
    st.lists(st.floats(-4, 4), min_size=7, max_size=7), st.lists(st.floats(-20, 20), min_size=7, max_size=7)
)


@pytest.fixture
def gate():
    return SafetyGate(ROBOT, CONFIG)


def state(q=HOME, v=Z):
    return ArmState(stamp_ns=5, q=q, v=v, tau=Z, gripper=0.5)


def settled(gate, tau=BIAS, *, s=None, gripper=0.5, cycles=200):
    """Ask for the same torque until the rate limit no longer matters; returns setpoint and reasons."""
    for _ in range(cycles):
        reasons = set()
        setpoint = gate.setpoint(s or state(), tau, gripper, BIAS, reasons)
    return setpoint, reasons


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(STATES, TORQUES, TORQUES, ANY), min_size=1, max_size=6))
def test_nothing_leaves_outside_the_limits(cycles):
    gate = SafetyGate(ROBOT, CONFIG)
    last = None
    for (q, v), tau, bias, gripper in cycles:
        setpoint = gate.setpoint(state(np.array(q), np.array(v)), tau, gripper, bias, set())
        assert np.isfinite(setpoint.tau).all()
        assert np.all(np.abs(setpoint.tau) <= TAU_MAX + 1e-9)
        if last is not None:
            assert np.all(np.abs(setpoint.tau - last) <= TAU_STEP + 1e-9)
        assert 0.0 <= setpoint.gripper <= 1.0
        last = setpoint.tau


def test_what_is_within_the_limits_passes_unchanged_and_without_a_reason(gate):
    setpoint, reasons = settled(gate, BIAS + 1.0)
    np.testing.assert_array_equal(setpoint.tau, BIAS + 1.0)
    assert setpoint.stamp_ns == 5
    assert reasons == set()


@pytest.mark.parametrize("bad", [np.full(7, np.nan), np.full(7, np.inf), np.zeros(6), np.array(3.0)])
def test_a_torque_that_is_none_is_replaced_by_gravity_and_damping(gate, bad):
    setpoint, reasons = settled(gate, bad, s=state(v=np.full(7, 0.1)))
    np.testing.assert_allclose(setpoint.tau, BIAS - 0.1 * np.array(CONFIG.joint_damping_nms_rad))
    assert Reason.NON_FINITE in reasons


def test_a_stale_state_gets_gravity_and_damping_only(gate):
    reasons = {Reason.STALE_STATE}
    for _ in range(200):
        setpoint = gate.setpoint(state(), BIAS + 30.0, 0.5, BIAS, reasons)
    np.testing.assert_allclose(setpoint.tau, BIAS)


def test_torque_beyond_the_limit_is_clipped_joint_by_joint(gate):
    setpoint, reasons = settled(gate, np.full(7, 500.0))
    np.testing.assert_array_equal(setpoint.tau, TAU_MAX)
    assert Reason.TORQUE_LIMIT in reasons


def test_torque_steps_are_spread_over_cycles(gate):
    settled(gate)
    reasons = set()
    setpoint = gate.setpoint(state(), BIAS + 10.0, 0.5, BIAS, reasons)
    np.testing.assert_allclose(setpoint.tau, BIAS + TAU_STEP)
    assert reasons == {Reason.TORQUE_RATE}


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_near_a_position_limit_the_joint_is_pushed_back_and_never_on(gate, side):
    limit = np.array(ROBOT.q_max_rad if side > 0 else ROBOT.q_min_rad)
    q = HOME.copy()
    q[0] = limit[0]
    setpoint, reasons = settled(gate, BIAS + side * 20.0, s=state(q))
    assert side * (setpoint.tau[0] - BIAS[0]) < -5.0
    assert setpoint.tau[2] - BIAS[2] == pytest.approx(side * 20.0)  # other joints are left alone
    assert Reason.POSITION_LIMIT in reasons


def test_leaving_a_position_limit_is_allowed(gate):
    q = HOME.copy()
    q[0] = ROBOT.q_max_rad[0]
    setpoint, _ = settled(gate, BIAS - 20.0, s=state(q))
    assert setpoint.tau[0] <= BIAS[0] - 20.0


def test_above_the_speed_limit_the_joint_is_braked_and_never_pushed_on(gate):
    v = Z.copy()
    v[0] = 1.5 * ROBOT.v_max_rad_s[0]
    setpoint, reasons = settled(gate, BIAS + 20.0, s=state(v=v))
    assert setpoint.tau[0] < BIAS[0]
    assert Reason.VELOCITY_LIMIT in reasons


def test_a_gripper_target_that_is_no_number_leaves_it_where_it_was(gate):
    settled(gate, gripper=0.25)
    setpoint, reasons = settled(gate, gripper=float("nan"))
    assert setpoint.gripper == 0.25
    assert Reason.BAD_GRIPPER in reasons
    assert settled(gate, gripper=7.0)[0].gripper == 1.0
