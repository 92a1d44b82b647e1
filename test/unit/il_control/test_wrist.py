"""The force sensor at the wrist: another frame, a payload, an age; and an arm of positions made soft by it."""

from dataclasses import replace

import numpy as np
import pytest
from servo_arm import ServoArm

from il_control.arbiter import Source
from il_control.config import load_control_config
from il_control.laws.admittance import AdmittanceConfig
from il_control.laws.compensation import PayloadConfig
from il_control.model import ArmModel
from il_control.reasons import Reason
from il_control.servo_config import WristConfig
from il_control.wrist import Wrist
from il_core.errors import ConfigError, NonFiniteError, ShapeError

MS = 1_000_000
SOFT = AdmittanceConfig(dead_zone_n=0.5, dead_zone_nm=0.05)


@pytest.fixture
def wrist(setup, model):
    model.update(np.array(setup.robot.q_home_rad), np.zeros(7))
    return Wrist(WristConfig("fr3_link7"), model)


def test_a_force_far_from_the_tool_point_is_felt_there_with_its_lever(wrist, model, rng):
    wrench = rng.normal(size=6)
    assert wrist.offer(10 * MS, wrench)
    felt = wrist.wrench(20 * MS)
    T = model.frame_pose(model.frame_id("fr3_link7"))
    force = T[:3, :3] @ wrench[:3]
    np.testing.assert_allclose(felt[:3], force, atol=1e-12)
    # The power of any motion of the body is the same at both points.
    omega, velocity = rng.normal(size=3), rng.normal(size=3)
    at_sensor = velocity + np.cross(omega, T[:3, 3] - model.T_base_ee[:3, 3])
    power = force @ at_sensor + (T[:3, :3] @ wrench[3:]) @ omega
    assert felt @ np.concatenate([velocity, omega]) == pytest.approx(power, abs=1e-12)


def test_the_weight_of_the_payload_is_taken_off(setup, model):
    payload = PayloadConfig(0.8, (0.0, 0.0, 0.05))
    wrist = Wrist(WristConfig("fr3_tcp", payload=payload), model)
    model.update(np.array(setup.robot.q_home_rad), np.zeros(7))
    R, arm = model.T_base_ee[:3, :3], np.array(payload.com_ee_m)
    weight = np.array([0.0, 0.0, -0.8 * 9.81])
    in_sensor = np.concatenate([R.T @ weight, np.cross(arm, R.T @ weight)])
    wrist.offer(0, in_sensor)
    np.testing.assert_allclose(wrist.wrench(0), 0.0, atol=1e-12)


def test_what_is_too_old_or_from_the_future_or_never_came_is_no_estimate(wrist):
    assert wrist.wrench(0) is None
    wrist.offer(1000 * MS, np.ones(6))
    assert wrist.wrench(1050 * MS) is not None
    assert wrist.wrench(1051 * MS) is None
    assert wrist.wrench(900 * MS) is None
    assert not wrist.offer(999 * MS, np.zeros(6))
    wrist.forget()
    assert wrist.offer(10 * MS, np.zeros(6))


@pytest.mark.parametrize("value, error", [(np.ones(5), ShapeError), (np.full(6, np.nan), NonFiniteError)])
def test_what_is_no_wrench_is_refused(wrist, value, error):
    with pytest.raises(error, match="wrist wrench"):
        wrist.offer(0, value)


def test_a_frame_the_urdf_does_not_have_is_refused_with_the_nearest(model):
    with pytest.raises(ConfigError, match="no frame 'fr3_link77'; did you mean 'fr3_link7'"):
        Wrist(WristConfig("fr3_link77"), model)


def soft_arm(**changes):
    return ServoArm("ur5e", rate_hz=500, wrist=WristConfig("tool0", admittance=SOFT, **changes))


def push(arm, force_base):
    """Keep pushing: a measurement each cycle, in the sensor's frame."""
    force = arm.T[:3, :3].T @ np.array(force_base)
    arm.cycle.offer_wrench(arm.now_ns, np.concatenate([force, np.zeros(3)]))


def test_an_arm_that_takes_positions_gives_way_as_the_spring_says_and_comes_back():
    arm = soft_arm()
    push(arm, [0.0, 0.0, 0.0])
    p = arm.run(0.2, lambda: push(arm, [0.0, 0.0, 0.0]))[-1].T_base_ee[:3, 3]
    reports = arm.run(2.0, lambda: push(arm, [0.0, 20.5, 0.0]))
    moved = reports[-1].T_base_ee[:3, 3] - p
    np.testing.assert_allclose(moved, [0.0, 20.0 / 500.0, 0.0], atol=2e-4)
    assert {r.source for r in reports} == {Source.HOLD}
    back = arm.run(2.0, lambda: push(arm, [0.0, 0.0, 0.0]))[-1].T_base_ee[:3, 3]
    np.testing.assert_allclose(back, p, atol=2e-4)


def test_a_sensor_that_falls_silent_stops_the_arm_and_says_so():
    arm = soft_arm()
    arm.run(0.2, lambda: push(arm, [0.0, 0.0, 0.0]))
    arm.run(0.3, lambda: push(arm, [0.0, 30.0, 0.0]))
    assert np.abs(arm.v).max() > 0.01
    reports = arm.run(0.6)
    assert Reason.STALE_WRENCH in reports[-1].reasons
    assert np.abs(arm.v).max() < 1e-4


def test_a_contact_force_over_the_limit_stops_an_arm_of_positions_for_good():
    arm = soft_arm()
    safety = replace(arm.config.safety, contact_force_max_n=25.0)
    arm = ServoArm("ur5e", rate_hz=500, wrist=WristConfig("tool0"), safety=safety)
    arm.run(0.2, lambda: push(arm, [0.0, 0.0, 0.0]))
    arm.cycle.go_to_posture(arm.q + 0.4)
    arm.run(0.5, lambda: push(arm, [0.0, 0.0, 0.0]))
    assert arm.cycle.stop_causes == ()
    arm.run(0.02, lambda: push(arm, [0.0, 30.0, 0.0]))
    assert arm.cycle.stop_causes == (Reason.CONTACT_FORCE,)
    assert arm.cycle.contact_force_n == pytest.approx(30.0)
    arm.run(0.5, lambda: push(arm, [0.0, 0.0, 0.0]))
    assert np.abs(arm.v).max() < 1e-4
    assert arm.cycle.resume() == ""


def test_a_wrench_without_a_sensor_in_the_settings_is_refused():
    arm = ServoArm("ur5e", rate_hz=500)
    with pytest.raises(ConfigError, match="has no setting 'wrist'"):
        arm.cycle.offer_wrench(0, np.zeros(6))


def test_admittance_is_refused_for_an_arm_that_has_an_impedance(setup, tmp_path):
    text = (setup.urdf_path.parents[1] / "control" / "default.yaml").read_text()
    path = tmp_path / "bad.yaml"
    path.write_text(text + "wrist: {frame: fr3_link7, admittance: {}}\n")
    with pytest.raises(ConfigError, match="'wrist.admittance' is for arms that take positions or velocities"):
        load_control_config(setup, path)


def test_the_payload_of_the_model_weighs_what_the_law_says(setup, random_q):
    from il_control.laws.compensation import payload_torque

    payload = PayloadConfig(1.3, (0.02, -0.01, 0.06))
    bare, loaded = ArmModel(setup), ArmModel(setup, payload)
    for _ in range(20):
        q = random_q()
        bare.update(q, np.zeros(7))
        loaded.update(q, np.zeros(7))
        extra = payload_torque(payload, bare.T_base_ee, bare.J_ee_aligned)
        np.testing.assert_allclose(loaded.gravity - bare.gravity, extra, atol=1e-9)
        J = bare.J_ee_aligned.copy()
        lever = bare.T_base_ee[:3, :3] @ payload.com_ee_m
        J_com = J[:3] - np.cross(lever, J[3:].T).T
        np.testing.assert_allclose(loaded.mass_matrix() - bare.mass_matrix(), 1.3 * J_com.T @ J_com, atol=1e-9)
