"""What the gate does for which reason, and how it stops: holding, compliantly, for good."""

from dataclasses import replace

import numpy as np
import pytest

from il_control.config import load_control_config
from il_control.inputs import Context, is_joint_jump, is_pose_jump
from il_control.reasons import DEFAULTS, FIXED, Behaviour, Reason, behaviour_table
from il_control.safety import SafetyGate
from il_control.safety_config import SafetyConfig
from il_core.config import config_dir, load_setup
from il_core.errors import ConfigError
from il_core.geometry import pose
from il_core.types import ArmState

MS = 1_000_000
T0 = 1_000_000_000_000
SETUP = load_setup("pick_place")
ROBOT = SETUP.robot
CONFIG = load_control_config(SETUP)
HOME = np.array(ROBOT.q_home_rad)
BIAS = np.array([0.0, -20.0, 1.0, 15.0, 0.5, 1.0, 0.1])
D = np.array(CONFIG.joint_damping_nms_rad)
K = np.array(CONFIG.joint_stiffness_nm_rad)
PUSH = np.array([30.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def gate_with(**safety):
    return SafetyGate(ROBOT, replace(CONFIG, safety=SafetyConfig(**safety)))


def run(gate, t_ms=0, *, cycles=150, q=HOME, v=None, tau=BIAS + PUSH, given=(), late_ms=0, target_ms=None, wrench=None):
    """Ask for the same for some cycles; returns the last setpoint and its reasons."""
    for k in range(cycles):
        now_ns = T0 + (t_ms + k) * MS
        state = ArmState(now_ns - late_ms * MS, q, np.zeros(7) if v is None else v, np.zeros(7), 0.5)
        target_ns = None if target_ms is None else now_ns - int(target_ms * MS)
        reasons = set(given)
        setpoint = gate.setpoint(state, tau, 0.5, BIAS, reasons, Context(now_ns, target_ns, wrench))
    return setpoint, reasons


def force(newton):
    return np.array([0.0, 0.0, newton, 0.0, 0.0, 0.0])


def test_every_reason_has_an_answer_and_a_sentence():
    assert set(DEFAULTS) == set(Reason)
    assert all(": " in r.value for r in Reason)


def test_every_reason_is_explained_in_the_manual():
    text = (config_dir().parent / "docs" / "safety.md").read_text()
    for reason, behaviour in DEFAULTS.items():
        line = next(x for x in text.splitlines() if f"`{reason.name}`" in x)
        assert behaviour.value.replace("_", " ") in line, reason


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in FIXED])
def test_answers_may_be_stronger_than_the_default_and_never_weaker(reason):
    for behaviour in Behaviour:
        if behaviour.strength >= DEFAULTS[reason].strength:
            assert behaviour_table({reason.name.lower(): behaviour})[reason] is behaviour
        else:
            with pytest.raises(ValueError, match="is weaker than its default"):
                behaviour_table({reason.name.lower(): behaviour})


def test_a_reason_that_is_none_or_has_one_answer_only_is_named():
    with pytest.raises(ValueError, match="unknown reason 'contact'; did you mean 'contact_force'"):
        behaviour_table({"contact": Behaviour.HOLD})
    with pytest.raises(ValueError, match="'torque_rate' is always answered by 'clip'"):
        behaviour_table({"torque_rate": Behaviour.HOLD})


def test_a_contact_above_the_limit_stops_the_arm_until_an_operator_resumes():
    gate = gate_with(contact_force_max_n=30.0)
    run(gate, wrench=force(20.0))
    assert not gate.is_stopped
    v = np.full(7, 0.1)
    setpoint, reasons = run(gate, 200, wrench=force(31.0), v=v)
    assert gate.is_stopped
    assert gate.causes == (Reason.CONTACT_FORCE,)
    assert gate.force_n == 31.0
    assert Reason.CONTACT_FORCE in reasons
    np.testing.assert_allclose(setpoint.tau, BIAS - 0.1 * D)
    assert "contact force above the limit" in gate.resume()  # still pressed: refused
    setpoint, reasons = run(gate, 400, wrench=force(0.0))
    np.testing.assert_allclose(setpoint.tau, BIAS)  # the cause is gone, the stop is not
    assert gate.is_stopped
    assert gate.resume() == ""
    assert not gate.is_stopped
    assert run(gate, 600, wrench=force(0.0))[0].tau[0] == pytest.approx(30.0)


def test_no_program_leaves_a_latched_stop_by_waiting_or_asking_for_something_else():
    gate = gate_with(contact_force_max_n=30.0)
    run(gate, wrench=force(50.0), cycles=1)
    for k in range(20):
        setpoint, _ = run(gate, 10 + 200 * k, wrench=force(0.0), tau=BIAS + (k - 10) * PUSH / 10)
        np.testing.assert_allclose(setpoint.tau, BIAS)


@pytest.mark.parametrize("wrench", [np.full(6, np.nan), np.full(6, np.inf), np.zeros(3)])
def test_a_force_that_is_no_number_counts_as_too_high(wrench):
    gate = gate_with(contact_force_max_n=30.0)
    assert Reason.CONTACT_FORCE in run(gate, wrench=wrench)[1]
    assert gate.is_stopped


def test_a_limit_without_an_estimate_holds_the_arm_and_says_so():
    setpoint, reasons = run(gate_with(contact_force_max_n=30.0), wrench=None)
    assert Reason.NO_WRENCH in reasons
    np.testing.assert_allclose(setpoint.tau, BIAS)


def test_a_mode_with_people_needs_the_contact_force_written_down_if_only_as_not_monitored():
    with pytest.raises(ConfigError, match="'safety.contact_force_max_n' is missing and 'hand guiding' demands it") as e:
        SafetyConfig().demand_contact_force("hand guiding")
    assert "config/control/" in str(e.value)
    for stated in (30.0, None):
        SafetyConfig(contact_force_max_n=stated).demand_contact_force("hand guiding")
    assert Reason.CONTACT_FORCE not in run(gate_with(contact_force_max_n=None), wrench=force(900.0))[1]


def test_holding_is_stiff_and_where_the_arm_was_when_it_began():
    gate = gate_with()
    run(gate, target_ms=10)
    run(gate, 200, target_ms=60)
    setpoint, reasons = run(gate, 400, target_ms=60, q=HOME + 0.01)
    assert Reason.STALE_TARGET in reasons
    np.testing.assert_allclose(setpoint.tau, BIAS - 0.01 * K)
    assert run(gate, 600, target_ms=10)[0].tau[0] == pytest.approx(30.0)


@pytest.mark.parametrize("age_ms, is_stale", [(0, False), (49, False), (51, True), (-49, False), (-51, True)])
def test_a_streamed_target_counts_for_fifty_milliseconds(age_ms, is_stale):
    assert (Reason.STALE_TARGET in run(gate_with(), target_ms=age_ms)[1]) == is_stale


def test_a_reason_to_hold_that_the_caller_gives_is_left_to_the_caller():
    assert run(gate_with(), given=[Reason.STALE_PLAN])[0].tau[0] == pytest.approx(30.0)
    strict = gate_with(behaviours={"stale_plan": Behaviour.COMPLIANT_STOP})
    np.testing.assert_allclose(run(strict, given=[Reason.STALE_PLAN])[0].tau, BIAS)


def test_a_late_state_is_met_by_damping_and_an_older_one_after_a_newer_too():
    gate = gate_with()
    run(gate)
    setpoint, reasons = run(gate, 200, late_ms=21)
    assert Reason.STALE_STATE in reasons
    np.testing.assert_allclose(setpoint.tau, BIAS)
    gate = gate_with()
    run(gate, late_ms=0)
    state = ArmState(T0 + 140 * MS, HOME, np.zeros(7), np.zeros(7), 0.5)
    reasons = set()
    gate.setpoint(state, BIAS, 0.5, BIAS, reasons, Context(T0 + 150 * MS))
    assert Reason.STALE_STATE in reasons


@pytest.mark.parametrize("jump_ms", [-1, -10_000, 5_000])
def test_a_clock_that_jumps_is_noticed_once_and_then_trusted(jump_ms):
    gate = gate_with()
    run(gate, 20_000)
    later = 20_149 + jump_ms
    assert Reason.CLOCK_JUMP in run(gate, later, cycles=1)[1]
    assert run(gate, later + 1)[1] == set()


def test_any_reason_can_be_made_to_stop_for_good():
    gate = gate_with(behaviours={"velocity_limit": Behaviour.LATCHED_STOP})
    run(gate)
    assert Reason.VELOCITY_LIMIT in run(gate, 200, v=np.full(7, 5.0))[1]
    assert gate.causes == (Reason.VELOCITY_LIMIT,)
    run(gate, 400)
    assert gate.resume() == ""


def test_a_state_of_another_size_leaves_the_last_torque_in_reach():
    gate = gate_with()
    before, _ = run(gate)
    reasons = set()
    state = ArmState(T0 + 150 * MS, np.zeros(6), np.zeros(6), np.zeros(6), 0.5)
    setpoint = gate.setpoint(state, np.zeros(6), 0.5, np.zeros(6), reasons, Context(T0 + 150 * MS))
    np.testing.assert_array_equal(setpoint.tau, before.tau)
    assert Reason.NON_FINITE in reasons


def test_a_first_target_far_from_the_arm_is_told_from_a_near_one():
    c = SafetyConfig(first_target_max_m=0.25, first_target_max_rad=1.0)
    assert not is_joint_jump(HOME, HOME + 0.99, c)
    assert is_joint_jump(HOME, HOME - 1.01, c)
    assert is_joint_jump(HOME, HOME * np.nan, c)
    T = pose([0.4, 0.1, 0.3])
    assert not is_pose_jump(T, T @ pose([0.0, 0.24, 0.0]), c)
    assert is_pose_jump(T, T @ pose([0.0, 0.26, 0.0]), c)
    turn = lambda a: pose([0.0] * 3, [[np.cos(a), -np.sin(a), 0.0], [np.sin(a), np.cos(a), 0.0], [0.0, 0.0, 1.0]])  # noqa: E731
    assert not is_pose_jump(T, T @ turn(0.99), c)
    assert is_pose_jump(T, T @ turn(-1.01), c)
    assert is_pose_jump(T, T * np.nan, c)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"contact_force_max_n": -1.0}, "contact_force_max_n must be positive"),
        ({"stop_distance_m": 0.05}, "slow_distance_m must exceed stop_distance_m"),
        ({"approach_speed_max_m_s": 1.0}, "is too fast for 0.02 m.*at most 0.25"),
        ({"workspace_min_m": (0.0, 0.0, 0.0)}, "give both of workspace_min_m and workspace_max_m"),
        ({"workspace_min_m": (0.0, 0.0, 1.0), "workspace_max_m": (1.0, 1.0, 1.0)}, "min below max"),
    ],
)
def test_settings_that_cannot_be_safe_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        SafetyConfig(**values)
