"""Arms that take positions or velocities: they arrive, they stay inside every limit, and they refuse hands."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servo_arm import LAG_S, ServoArm, off

from il_control.arbiter import Source
from il_control.config import load_control_config
from il_control.laws.hand_guiding import GuidingMode
from il_control.reasons import Reason
from il_control.safety_config import Obstacle, ObstacleKind
from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_rotvec, pose
from il_core.spec import Interface
from il_core.types import ActionChunk, ArmState

MS = 1_000_000
ARMS = [
    ("ur5e", 500, Interface.POSITION),
    ("ur5e", 125, Interface.VELOCITY),
    ("xarm7", 250, Interface.POSITION),
    ("xarm7", 100, Interface.VELOCITY),
    ("so101", 50, Interface.POSITION),
    ("so101", 100, Interface.VELOCITY),
]
LOW_LINKS = ("base_link_inertia", "shoulder_link", "upper_arm_link", "forearm_link")
INTERFACES = (Interface.POSITION, Interface.VELOCITY)


def moved(T, p=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0)):
    return pose(T[:3, 3] + np.array(p), matrix_from_rotvec(turn) @ T[:3, :3])


def reachable(arm, rng, spread=0.4):
    """A pose the arm has near home."""
    return arm.pose_of(np.array(arm.robot.q_home_rad) + rng.uniform(-spread, spread, arm.robot.nq))


def reasons(reports):
    return set().union(*(r.reasons for r in reports))


@pytest.mark.parametrize("name, rate_hz, interface", ARMS)
def test_going_to_a_pose_arrives_within_a_millimetre_and_half_a_degree(name, rate_hz, interface, rng):
    arm = ServoArm(name, interface, rate_hz)
    arm.run(0.1)
    for _ in range(2):
        T_des = reachable(arm, rng)
        reports = arm.run(arm.cycle.go_to_pose(T_des) + 0.8)
        millimetres, degrees = off(arm.T, T_des)
        assert millimetres < 1.0
        assert degrees < 0.5
        assert Source.GO_TO in {r.source for r in reports}
        assert reasons(reports) == set()
    assert reports[-1].source is Source.HOLD


@pytest.mark.parametrize("name, rate_hz", [("ur5e", 125), ("xarm7", 100)])
@pytest.mark.parametrize("interface", INTERFACES)
def test_a_teleoperated_pose_is_followed_and_then_held(name, rate_hz, interface):
    arm = ServoArm(name, interface, rate_hz)
    arm.run(0.1)
    T_des = moved(arm.T, [0.03, 0.08, -0.05], [0.0, 0.1, 0.3])
    reports = arm.run(2.5, lambda: arm.talk(T_des))
    assert {r.source for r in reports} == {Source.TELEOP}
    millimetres, degrees = off(arm.T, T_des)
    assert millimetres < 1.0
    assert degrees < 0.5
    arm.run(1.0)
    assert arm.last.source is Source.HOLD
    assert off(arm.T, T_des)[0] < 1.0


def test_with_five_joints_the_position_is_exact_and_the_rotation_as_near_as_it_gets(rng):
    arm = ServoArm("so101", rate_hz=100)
    arm.run(0.1)
    T_near = reachable(arm, rng, 0.3)
    T_des = moved(T_near, turn=[0.0, 0.0, 0.2])  # five joints cannot have all six coordinates
    arm.run(3.0, lambda: arm.talk(T_des))
    millimetres, degrees = off(arm.T, T_des)
    assert millimetres < 0.1
    assert 0.5 < degrees < np.degrees(0.2) + 1.0
    # As near as it gets: no small motion of the joints that keeps the position brings the rotation nearer.
    q, best = arm.q.copy(), degrees
    for _ in range(300):
        other = arm.pose_of(q + rng.normal(0.0, 0.01, 5))
        if np.linalg.norm(other[:3, 3] - T_des[:3, 3]) < 2e-4:
            assert off(other, T_des)[1] > best - 0.35


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_joint_plan_is_followed_with_the_lag_of_the_mean_and_the_servo_only(interface):
    arm = ServoArm("ur5e", interface, 500)
    arm.run(0.1)
    q0 = arm.q.copy()
    rows = [q0 + np.array([0.3, -0.2, 0.2, 0.0, 0.1, 0.0]) * s for s in np.linspace(0.0, 1.0, 11)]
    reports = arm.follow(rows, 0.1, settle_s=0.5)
    assert Source.PLAN in {r.source for r in reports}
    np.testing.assert_allclose(arm.q, rows[-1], atol=1e-3)
    lag_s = 0.5 - np.interp(q0[0] + 0.15, arm.track[-len(reports) :, 0], arm.dt * np.arange(len(reports)))
    assert 0.0 < -lag_s < 0.5 * arm.config.servo.jerk_time_s + LAG_S + 0.01


def test_a_pose_plan_is_followed_along_its_line():
    arm = ServoArm("ur5e", rate_hz=500)
    arm.run(0.1)
    T = arm.T
    reports = arm.follow([moved(T, [0.0, 0.0, 0.015 * k]) for k in range(9)], 0.1, settle_s=0.5)
    p = np.array([r.T_base_ee[:3, 3] for r in reports]) - T[:3, 3]
    assert np.abs(p[:, :2]).max() < 5e-4
    assert p[-1, 2] == pytest.approx(0.12, abs=1e-4)
    assert {r.k_p for r in reports} == {None}


def test_the_posture_of_a_redundant_arm_goes_home_without_moving_the_tool():
    arm = ServoArm("xarm7", rate_hz=250)
    home = arm.q.copy()
    arm = ServoArm("xarm7", rate_hz=250, q=home + np.array([0.3, 0.0, -0.4, 0.0, 0.0, 0.0, 0.0]))
    arm.run(0.1)
    T, before = arm.T, np.linalg.norm(arm.q - home)
    arm.run(4.0, lambda: arm.talk(T))
    assert off(arm.T, T)[0] < 0.5
    assert np.linalg.norm(arm.q - home) < 0.95 * before
    assert np.abs(np.diff(np.array(arm.sent), axis=0)).max() < 0.5 * arm.dt  # the elbow does not swing


def outside(arm, sent):
    """How far what was sent left the limits of position, speed and acceleration; zero or less: nowhere."""
    robot = arm.robot
    q_min, q_max = np.array(robot.q_min_rad), np.array(robot.q_max_rad)
    v_max = np.array(robot.v_max_rad_s)
    a_max = np.array(robot.a_max_rad_s2 or [arm.config.acceleration_max_rad_s2] * robot.nq)
    if robot.interface is Interface.POSITION:
        v = np.diff(sent, axis=0) / arm.dt
        beyond = max((q_min - sent).max(), (sent - q_max).max())
    else:
        v, beyond = sent, 0.0
    a = np.diff(v, axis=0) / arm.dt
    return max(beyond, (np.abs(v) - v_max).max() / v_max.max(), (np.abs(a) - a_max).max() / a_max.max())


EVENTS = st.lists(
    st.tuples(st.sampled_from(["teleop", "poses", "postures", "go-to", "hold", "wait"]), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(EVENTS, st.sampled_from([("ur5e", 125), ("xarm7", 100), ("so101", 50)]), st.sampled_from(INTERFACES))
def test_nothing_outside_the_limits_ever_leaves_whatever_is_asked(events, which, interface):
    arm = ServoArm(which[0], interface, which[1])
    arm.run(0.05)
    for event, seed in events:
        rng = np.random.default_rng(seed)
        wild = moved(arm.T, rng.normal(0.0, 10.0 ** rng.integers(-2, 3), 3), rng.uniform(-3, 3, 3))
        postures = arm.q + rng.normal(0.0, 10.0 ** rng.integers(-2, 2), (3, arm.robot.nq))
        if event == "teleop":
            arm.run(0.3, lambda wild=wild: arm.talk(wild))
        elif event == "poses":
            arm.follow([arm.T, wild, arm.T], float(rng.uniform(0.05, 0.3)), settle_s=0.1)
        elif event == "postures":
            arm.follow(list(postures), float(rng.uniform(0.05, 0.3)), settle_s=0.1)
        elif event == "go-to":
            arm.cycle.go_to_posture(postures[0])
            arm.run(0.4)
        elif event == "hold":
            arm.cycle.hold()
        arm.run(0.1)
    assert outside(arm, np.array(arm.sent)) <= 1e-6


@pytest.mark.parametrize("what", ["position", "speed", "acceleration"])
def test_the_judge_sees_what_leaves_the_limits(what):
    arm = ServoArm("ur5e", rate_hz=125)
    q, dt = np.array(arm.robot.q_home_rad), arm.dt
    paths = {
        "position": [np.array(arm.robot.q_max_rad) + 1e-3] * 5,
        "speed": [q + 1.01 * np.array(arm.robot.v_max_rad_s) * dt * k for k in range(5)],
        "acceleration": [q, q, q + 1.01 * max(arm.robot.a_max_rad_s2) * dt**2],
    }
    assert outside(arm, np.array(paths[what])) > 1e-4


def test_the_reference_is_free_of_jerks_where_targets_jump():
    arm = ServoArm("ur5e", rate_hz=500)
    arm.run(0.1)
    arm.follow([arm.q, arm.q, arm.q + 0.4, arm.q - 0.2], 0.002, settle_s=1.0)
    arm.run(1.0, lambda: arm.talk(moved(arm.pose_of(arm.robot.q_home_rad), [0.1, 0.0, 0.1])))
    jerk = np.diff(np.array(arm.sent), 3, axis=0) / arm.dt**3
    a_max = min(arm.config.acceleration_max_rad_s2, *arm.robot.a_max_rad_s2)
    assert np.abs(jerk).max() <= 2.0 * arm.config.acceleration_max_rad_s2 / arm.config.servo.jerk_time_s + 1e-3
    assert np.abs(jerk).max() > 0.2 * a_max / arm.config.servo.jerk_time_s  # it did move


def test_a_jump_far_beyond_what_is_meant_is_refused():
    arm = ServoArm("ur5e", rate_hz=500)
    arm.run(0.1)
    q = arm.q.copy()
    reports = arm.run(0.3, lambda: arm.talk(moved(arm.T, [0.0, 0.0, 1.0])))
    assert Reason.TARGET_JUMP in reasons(reports)
    np.testing.assert_allclose(arm.q, q, atol=1e-9)


def test_the_face_of_the_workspace_is_reached_straight_and_left_at_once():
    free = ServoArm("ur5e", rate_hz=250)
    p = free.T[:3, 3]
    low, high = tuple((p - [1.0, 1.0, 0.05]).tolist()), tuple((p + [1.0, 1.0, 1.0]).tolist())
    arm = ServoArm("ur5e", rate_hz=250, safety=replace(free.config.safety, workspace_min_m=low, workspace_max_m=high))
    arm.run(0.1)
    T = arm.T
    reports = arm.run(2.0, lambda: arm.talk(moved(T, [0.0, 0.0, -0.2])))
    assert reasons(reports) == set()  # the gate had nothing to do
    np.testing.assert_allclose(arm.T[:3, 3], p - [0.0, 0.0, 0.05], atol=5e-4)
    arm.run(2.0, lambda: arm.talk(moved(T, [0.0, 0.0, 0.05])))
    assert off(arm.T, moved(T, [0.0, 0.0, 0.05]))[0] < 1.0


@pytest.mark.parametrize("interface", INTERFACES)
def test_before_an_obstacle_the_gate_stops_the_arm_and_nothing_winds_up_behind_it(interface):
    free = ServoArm("ur5e", rate_hz=500)
    table = Obstacle("shelf", ObstacleKind.HALF_SPACE, (0.0, 0.0, float(free.T[2, 3]) - 0.08), except_links=LOW_LINKS)
    safety = replace(free.config.safety, check_collisions=True, obstacles=(table,))
    arm = ServoArm("ur5e", interface, rate_hz=250, safety=safety)
    arm.run(0.1)
    T = arm.T
    reports = arm.run(2.0, lambda: arm.talk(moved(T, [0.0, 0.0, -0.2])))
    assert reasons(reports) & {Reason.COLLISION_NEAR, Reason.COLLISION_STOP}
    assert arm.T[2, 3] > T[2, 3] - 0.08
    assert np.abs(arm.T[:2, 3] - T[:2, 3]).max() < 0.05
    up = moved(T, [0.0, 0.0, 0.05])
    arm.run(2.5, lambda: arm.talk(up))
    assert off(arm.T, up)[0] < 1.0
    assert outside(arm, np.array(arm.sent)) <= 1e-6


@pytest.mark.parametrize("interface", INTERFACES)
def test_an_arm_let_out_of_a_protective_stop_does_not_leap(interface):
    arm = ServoArm("ur5e", interface, 500)
    arm.run(0.1)
    q = arm.q.copy()
    rows = [q, q + 0.8]
    arm.is_stuck = True
    reports = arm.follow(rows, 1.0, settle_s=0.2)
    if interface is Interface.POSITION:
        assert Reason.NOT_FOLLOWING in reasons(reports)
        far = max(np.abs(r.setpoint.q_des - q).max() for r in reports)
        assert far < arm.config.servo.following_error_max_rad + 0.01
    arm.is_stuck = False
    arm.run(0.5)
    assert arm.last.source is Source.HOLD
    leash = arm.config.servo.velocity_leash_rad
    np.testing.assert_allclose(arm.q, q, atol=1e-6 if interface is Interface.POSITION else 1.1 * leash)


def test_one_wrong_reading_of_an_encoder_moves_nothing():
    arm = ServoArm("ur5e", rate_hz=500)
    arm.run(0.1)
    q = arm.q.copy()
    glitch = ArmState(arm.now_ns, q + 0.6, np.zeros(6), np.zeros(6), 1.0)
    report = arm.cycle.step(glitch, arm.now_ns)
    arm.obey(report.setpoint)
    assert {Reason.STATE_JUMP, Reason.NOT_FOLLOWING} <= report.reasons
    arm.run(0.2)
    np.testing.assert_allclose(np.array(arm.sent[-100:]) - q, 0.0, atol=1e-9)


def test_a_hold_in_the_middle_of_a_motion_brakes_and_stays():
    arm = ServoArm("xarm7", rate_hz=250)
    arm.run(0.1)
    arm.cycle.go_to_posture(arm.q + 0.5)
    arm.run(0.6)
    assert np.abs(arm.v).max() > 0.1
    arm.cycle.hold()
    arm.run(0.5)
    still = arm.q.copy()
    arm.run(0.5)
    np.testing.assert_allclose(arm.q, still, atol=1e-6)
    assert outside(arm, np.array(arm.sent)) <= 1e-6


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_leaving_controller_brakes_the_arm_and_leaves_it_at_rest(interface):
    arm = ServoArm("ur5e", interface, 500)
    arm.run(0.1)
    arm.cycle.go_to_posture(arm.q + 0.5)
    arm.run(0.6)
    assert np.abs(arm.v).max() > 0.1
    for _ in range(150):  # 0.3 s
        arm.obey(arm.cycle.rest(ArmState(arm.now_ns, arm.q, arm.v, np.zeros(6), 1.0)))
    assert outside(arm, np.array(arm.sent)) <= 1e-6
    rest = np.diff(np.array(arm.sent[-3:]), axis=0) / arm.dt if interface is Interface.POSITION else arm.sent[-1]
    assert np.abs(rest).max() < 5e-3


def test_hands_stiffness_and_touch_are_refused_in_words():
    arm = ServoArm("ur5e", Interface.POSITION, 500)
    arm.run(0.1)
    assert "takes positions: it cannot be led by hand" in arm.cycle.request(Source.GUIDING, "asked")
    assert "takes positions: it cannot be led by hand" in arm.cycle.watch_touch(True)
    assert arm.cycle.watch_touch(False) == ""
    with pytest.raises(ConfigError, match="takes positions: it has no stiffness; write wrist.admittance"):
        arm.cycle.set_stiffness(np.full(6, 100.0))
    with pytest.raises(ConfigError, match="cannot be led by hand"):
        arm.cycle.set_guiding(GuidingMode.FREE)
    assert arm.step().source is Source.HOLD


def test_a_plan_with_a_stiffness_is_followed_all_the_same_by_an_arm_that_has_none():
    arm = ServoArm("ur5e", rate_hz=500)
    arm.run(0.1)
    T = moved(arm.T, [0.0, 0.0, 0.02])
    arm.follow([arm.T, T], 0.5, settle_s=0.5, k_p_des=np.full((2, 6), 100.0))
    assert off(arm.T, T)[0] < 1.0


@pytest.mark.parametrize(
    "name, words", [("touch", "'touch' is for torques"), ("friction", "'friction' is for torques")]
)
def test_settings_for_torques_are_refused_for_an_arm_that_takes_positions(name, words, tmp_path):
    setup = load_setup("draw_symbol", "xarm7")
    text = (setup.urdf_path.parents[1] / "control" / "xarm7.yaml").read_text()
    values = {
        "touch": "touch: {threshold_nm: [3, 3, 3, 3, 1, 1, 1]}\n",
        "friction": "friction: {coulomb_nm: [1, 1, 1, 1, 1, 1, 1], viscous_nms_rad: [0, 0, 0, 0, 0, 0, 0]}\n",
    }
    path = tmp_path / "bad.yaml"
    path.write_text(text + values[name])
    with pytest.raises(ConfigError, match=words):
        load_control_config(setup, path)


def test_the_plan_of_an_arm_with_another_number_of_joints_is_refused():
    arm = ServoArm("ur5e", rate_hz=500)
    arm.run(0.05)
    chunk = ActionChunk(arm.now_ns, 10 * MS, arm.now_ns, q_des=np.zeros((2, 7)))
    assert not arm.cycle.offer_chunk(chunk)
