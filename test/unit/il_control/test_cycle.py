"""The cycle: who drives, where to, and what happens when inputs go wrong."""

import numpy as np
import pytest

from il_control.arbiter import Source
from il_control.cycle import make_cycle
from il_control.safety import Reason
from il_core.errors import ConfigError
from il_core.geometry import pose
from il_core.types import ActionChunk, ArmCommand, ArmState

MS = 1_000_000
T0 = 1_000_000_000


@pytest.fixture
def cycle(setup):
    return make_cycle(setup)


@pytest.fixture
def home(setup):
    return np.array(setup.robot.q_home_rad)


def at(q, t_ms, *, age_ms=0):
    """State at ``t_ms`` after the start, and the instant it is used at."""
    stamp_ns = T0 + int((t_ms - age_ms) * MS)
    return ArmState(stamp_ns, q, np.zeros(7), np.zeros(7), 1.0), T0 + int(t_ms * MS)


def test_at_first_the_arm_is_held_where_it_is(cycle, home, model):
    report = cycle.step(*at(home, 0))
    model.update(home, np.zeros(7))
    np.testing.assert_allclose(report.setpoint.tau, model.bias, atol=0.2)
    np.testing.assert_allclose(report.T_base_ee_des, model.T_base_ee)
    assert report.source is Source.HOLD
    assert report.reasons == frozenset()


def test_teleoperation_drives_while_it_talks_and_then_the_arm_holds(cycle, home):
    T = cycle.step(*at(home, 0)).T_base_ee
    T_des = T @ pose([0.0, 0.0, 0.05])
    cycle.offer_command(ArmCommand(T0 + 1 * MS, T_des, 0.0))
    reports = [cycle.step(*at(home, t)) for t in range(1, 400)]
    assert reports[50].source is Source.TELEOP
    assert reports[50].setpoint.gripper == 0.0
    assert reports[-1].source is Source.HOLD
    stopped = next(r for r in reports if r.source is Source.HOLD)
    assert Reason.STALE_PLAN in stopped.reasons
    np.testing.assert_allclose(reports[-1].T_base_ee_des, T_des, atol=1e-3)  # keeps the last wish
    assert reports[-1].setpoint.gripper == 0.0


def test_a_stop_by_a_person_ends_all_that_was_asked_and_refuses_more_until_resumed(cycle, home):
    T = cycle.step(*at(home, 0)).T_base_ee
    T_des = T @ pose([0.0, 0.0, 0.05])
    for t in range(1, 50):
        cycle.offer_command(ArmCommand(T0 + t * MS, T_des, 1.0))
        report = cycle.step(*at(home, t))
    assert report.source is Source.TELEOP
    cycle.stop()
    for t in range(50, 300):
        cycle.offer_command(ArmCommand(T0 + t * MS, T_des, 1.0))
        report = cycle.step(*at(home, t))
    assert cycle.stop_causes == (Reason.OPERATOR_STOP,)
    np.testing.assert_allclose(report.setpoint.tau, cycle.step(*at(home, 300)).setpoint.tau, atol=1e-9)
    assert cycle.resume() == ""
    report = cycle.step(*at(home, 301))
    assert report.source is Source.HOLD
    np.testing.assert_allclose(report.T_base_ee_des, T, atol=1e-6)
    cycle.offer_command(ArmCommand(T0 + 302 * MS, T_des, 1.0))
    assert cycle.step(*at(home, 302)).source is Source.TELEOP


def test_targets_move_smoothly_at_every_change_of_source(cycle, home, config):
    T = cycle.step(*at(home, 0)).T_base_ee
    far = T @ pose([0.2, 0.0, 0.1])
    chunk = ActionChunk(
        start_ns=T0 + 300 * MS, dt_ns=100 * MS, obs_ns=T0 + 250 * MS, T_base_ee_des=np.stack([T, far, T, far])
    )
    cycle.offer_command(ArmCommand(T0 + 1 * MS, far, 1.0))
    cycle.offer_chunk(chunk)
    targets, torques = [], []
    for t in range(1, 900):
        report = cycle.step(*at(home, t))
        targets.append(report.T_base_ee_des[:3, 3])
        torques.append(report.setpoint.tau)
    speed = np.linalg.norm(np.diff(targets, axis=0), axis=1) * 1000
    assert speed.max() <= config.speed_max_m_s + 1e-6
    assert np.abs(np.diff(speed)).max() * 1000 <= config.acceleration_max_m_s2 * 1.01
    assert np.abs(np.diff(torques, axis=0)).max() <= 1.0 + 1e-9  # 1000 N·m/s


def test_changing_the_law_is_bump_free(cycle, home):
    report = cycle.step(*at(home, 0))
    last = report.setpoint.tau
    rows = np.stack([home, home + 0.1])
    cycle.offer_chunk(ActionChunk(start_ns=T0 + 10 * MS, dt_ns=500 * MS, obs_ns=T0, q_des=rows))
    sources = set()
    for t in range(1, 700):
        if t == 300:
            T = report.T_base_ee
            cycle.hold()
            cycle.offer_command(ArmCommand(T0 + 300 * MS, T, 1.0))
        report = cycle.step(*at(home, t))
        sources.add((report.source, report.q_des is None))
        assert np.abs(report.setpoint.tau - last).max() <= 1.0 + 1e-9
        last = report.setpoint.tau
    assert (Source.PLAN, False) in sources
    assert (Source.TELEOP, True) in sources


def test_a_finished_joint_plan_is_held_at_its_end(cycle, home):
    cycle.step(*at(home, 0))
    rows = np.stack([home, home + 0.01])
    cycle.offer_chunk(ActionChunk(start_ns=T0 + 10 * MS, dt_ns=100 * MS, obs_ns=T0, q_des=rows))
    for t in range(1, 600):
        report = cycle.step(*at(home, t))
    assert report.source is Source.HOLD
    np.testing.assert_allclose(report.q_des, home + 0.01, atol=1e-4)


def test_a_chunk_for_another_arm_is_refused(cycle):
    chunk = ActionChunk(start_ns=T0, dt_ns=MS, obs_ns=T0, q_des=np.zeros((2, 6)))
    assert not cycle.offer_chunk(chunk)


def test_an_older_command_never_replaces_a_newer_one(cycle):
    assert cycle.offer_command(ArmCommand(T0 + 2, np.eye(4), 1.0))
    assert not cycle.offer_command(ArmCommand(T0 + 1, np.eye(4), 1.0))


def test_wishes_made_before_a_hold_are_refused_and_later_ones_are_taken(cycle, home):
    T = cycle.step(*at(home, 100)).T_base_ee
    rows = np.stack([T, T])
    cycle.hold()
    assert not cycle.offer_command(ArmCommand(T0 + 99 * MS, T, 1.0))
    late = ActionChunk(start_ns=T0 + 150 * MS, dt_ns=100 * MS, obs_ns=T0 + 99 * MS, T_base_ee_des=rows)
    assert not cycle.offer_chunk(late)
    fresh = ActionChunk(start_ns=T0 + 150 * MS, dt_ns=100 * MS, obs_ns=T0 + 100 * MS, T_base_ee_des=rows)
    assert cycle.offer_chunk(fresh)
    assert cycle.offer_command(ArmCommand(T0 + 100 * MS, T, 1.0))


def test_a_command_from_the_future_neither_drives_nor_shuts_out_honest_ones(cycle, home):
    T = cycle.step(*at(home, 0)).T_base_ee
    cycle.offer_command(ArmCommand(T0 + 3_600_000 * MS, T @ pose([0.0, 0.0, 0.1]), 1.0))
    assert cycle.step(*at(home, 1)).source is Source.HOLD
    assert cycle.offer_command(ArmCommand(T0 + 1 * MS, T, 1.0))
    assert cycle.step(*at(home, 2)).source is Source.TELEOP


def test_joint_targets_beyond_the_limits_are_taken_to_the_limits(cycle, home, setup):
    cycle.step(*at(home, 0))
    rows = np.stack([home, home + 10.0])
    cycle.offer_chunk(ActionChunk(start_ns=T0 + 1 * MS, dt_ns=100 * MS, obs_ns=T0, q_des=rows))
    reports = [cycle.step(*at(home, t)) for t in range(1, 5000)]
    assert any(Reason.TARGET_LIMIT in r.reasons for r in reports)
    assert all(np.all(r.q_des < setup.robot.q_max_rad) for r in reports)


def test_a_stale_state_gets_no_spring(cycle, home, model):
    T = cycle.step(*at(home, 0)).T_base_ee
    cycle.offer_command(ArmCommand(T0 + 1 * MS, T @ pose([0.0, 0.0, 0.3]), 1.0))
    for t in range(1, 100):
        report = cycle.step(*at(home, t, age_ms=50))
    assert Reason.STALE_STATE in report.reasons
    model.update(home, np.zeros(7))
    np.testing.assert_allclose(report.setpoint.tau, model.bias, atol=1e-9)


@pytest.mark.parametrize("jump_ms", [-5_000, 10_000])
def test_a_clock_jump_forgets_plans_and_holds(cycle, home, jump_ms):
    T = cycle.step(*at(home, 10_000)).T_base_ee
    cycle.offer_command(ArmCommand(T0 + 10_001 * MS, T @ pose([0.0, 0.0, 0.1]), 1.0))
    assert cycle.step(*at(home, 10_002)).source is Source.TELEOP
    report = cycle.step(*at(home, 10_003 + jump_ms))
    assert Reason.CLOCK_JUMP in report.reasons
    assert report.source is Source.HOLD
    np.testing.assert_allclose(report.T_base_ee_des, report.T_base_ee)


def test_a_jump_of_the_measured_posture_is_held_at_the_new_one(cycle, home):
    cycle.step(*at(home, 0))
    report = cycle.step(*at(home + 0.3, 1))
    assert Reason.STATE_JUMP in report.reasons
    np.testing.assert_allclose(report.T_base_ee_des, report.T_base_ee)


def test_motion_within_the_speed_limit_is_no_jump(cycle, home, setup):
    cycle.step(*at(home, 0))
    fast = home + 0.9e-3 * np.array(setup.robot.v_max_rad_s)
    assert Reason.STATE_JUMP not in cycle.step(*at(fast, 1)).reasons


def test_the_last_command_carries_the_arm_and_brakes_it(cycle, home, model, config):
    cycle.step(*at(home, 0))
    v = np.full(7, 0.05)
    state = ArmState(T0, home, v, np.zeros(7), 1.0)
    for _ in range(100):
        setpoint = cycle.rest(state)
    model.update(home, v)
    np.testing.assert_allclose(setpoint.tau, model.gravity - v * np.array(config.joint_damping_nms_rad))


def test_going_to_a_pose_arrives_there_and_then_holds(cycle, home):
    T = cycle.step(*at(home, 0)).T_base_ee
    T_des = T @ pose([0.05, 0.0, 0.1])
    duration_s = cycle.go_to_pose(T_des)
    reports = [cycle.step(*at(home, t)) for t in range(1, int(1000 * duration_s) + 300)]
    assert reports[100].source is Source.GO_TO
    assert reports[-1].source is Source.HOLD
    np.testing.assert_allclose(reports[-1].T_base_ee_des, T_des, atol=1e-4)


def test_going_to_a_posture_arrives_there_and_then_holds(cycle, home):
    cycle.step(*at(home, 0))
    duration_s = cycle.go_to_posture(home + 0.2)
    reports = [cycle.step(*at(home, t)) for t in range(1, int(1000 * duration_s) + 300)]
    assert reports[100].source is Source.GO_TO
    np.testing.assert_allclose(reports[-1].q_des, home + 0.2, atol=1e-3)


def test_an_arm_that_was_never_seen_goes_nowhere(cycle):
    with pytest.raises(ConfigError, match="has not seen the arm yet"):
        cycle.go_to_pose(np.eye(4))


def test_a_person_at_the_device_takes_over_and_the_policy_must_be_asked_back(cycle, home):
    T = cycle.step(*at(home, 0)).T_base_ee
    rows = np.stack([T] * 20)
    cycle.offer_chunk(ActionChunk(start_ns=T0 + 1 * MS, dt_ns=100 * MS, obs_ns=T0, T_base_ee_des=rows))
    assert cycle.step(*at(home, 5)).source is Source.PLAN
    cycle.offer_command(ArmCommand(T0 + 6 * MS, T, 1.0))
    assert cycle.step(*at(home, 7)).source is Source.TELEOP
    assert cycle.step(*at(home, 900)).source is Source.HOLD
    assert cycle.request(Source.PLAN, "asked back") == ""
    report = cycle.step(*at(home, 901))
    assert report.source is Source.PLAN
    assert report.change.cause == "asked back"
