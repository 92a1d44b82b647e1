"""Friction and payload: signs, formulas, and other people's dynamics of the same body."""

import mujoco
import numpy as np
import pinocchio as pin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.laws.compensation import (
    FrictionConfig,
    PayloadConfig,
    external_wrench,
    friction_torque,
    payload_torque,
    payload_wrench,
)
from il_core.errors import ConfigError
from il_sim.plant import Plant

PAYLOAD = PayloadConfig(1.3, (0.02, -0.03, 0.08))
FRICTION = FrictionConfig((2.0, 0.0), (0.5, 1.0))
SPEED = st.floats(-10, 10)


@settings(deadline=None)
@given(SPEED, SPEED)
def test_friction_is_odd_grows_with_speed_and_never_brakes(a, b):
    tau = friction_torque(np.array([a, b]), FRICTION)
    np.testing.assert_array_equal(friction_torque(np.array([-a, -b]), FRICTION), -tau)
    assert np.all(tau * [a, b] >= 0.0)
    faster = friction_torque(np.array([a + 0.1, b + 0.1]), FRICTION)
    assert np.all(faster > tau)


def test_friction_is_coulombs_and_viscous_beyond_the_smooth_range_and_none_at_rest():
    np.testing.assert_array_equal(friction_torque(np.zeros(2), FRICTION), 0.0)
    np.testing.assert_allclose(friction_torque(np.array([1.0, -2.0]), FRICTION), [2.5, -2.0], rtol=1e-9)
    assert friction_torque(np.array([0.05, 0.0]), FRICTION)[0] == pytest.approx(2.0 * np.tanh(1.0) + 0.025)


def test_a_compensated_joint_with_the_same_friction_coasts_and_does_not_run_away():
    """A joint of 0.5 kg·m² with friction of its own, 10 % of it left to stop it."""
    config, speed, dt = FrictionConfig((1.8,), (0.45,)), 1.0, 1e-3
    speeds = [speed]
    for _ in range(1000):
        compensation = friction_torque(np.array([speed]), config)[0]
        speed += dt * (compensation - 2.0 * np.tanh(speed / 0.05) - 0.5 * speed) / 0.5
        speeds.append(speed)
    assert np.all(np.diff(speeds) < 0.0)
    assert 0.4 < speed < 0.65  # without compensation it is at rest after 0.25 s


def test_the_payload_weighs_what_pinocchio_says_of_an_arm_with_that_body(model, random_q):
    heavy = pin.Model(model.model)
    frame = heavy.frames[heavy.getFrameId("fr3_tcp")]
    body = pin.Inertia(PAYLOAD.mass_kg, np.array(PAYLOAD.com_ee_m), np.eye(3) * 1e-3)
    heavy.appendBodyToJoint(frame.parentJoint, body, frame.placement)
    data = heavy.createData()
    for _ in range(50):
        model.update(random_q(), np.zeros(7))
        expected = pin.computeGeneralizedGravity(heavy, data, model.q) - model.gravity
        found = payload_torque(PAYLOAD, model.T_base_ee, model.J_ee_aligned)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_with_the_payload_known_the_simulated_arm_stays_where_it_is(setup, model):
    """MuJoCo's arm with a weight on its tool, its gravity and the payload's compensated, and nothing else."""
    sunk = []
    for payload in (PAYLOAD, PayloadConfig()):
        plant = Plant(setup, seed=1)
        start = plant.read().q
        for _ in range(300):
            state = plant.read()
            model.update(state.q, state.v)
            plant.apply(model.bias + payload_torque(payload, model.T_base_ee, model.J_ee_aligned))
            weight, com = np.array([0, 0, -9.81 * PAYLOAD.mass_kg]), model.T_base_ee[:3, :3] @ PAYLOAD.com_ee_m
            force = plant.data.qfrc_applied
            force[:] = 0.0
            body = plant.model.site_bodyid[plant.model.site("fr3_tcp").id]
            point = model.T_base_ee[:3, 3] + com
            mujoco.mj_applyFT(plant.model, plant.data, weight, np.zeros(3), point, body, force)
            plant.step()
        sunk.append(np.abs(plant.read().q - start).max())
    assert sunk[0] < 1e-4
    assert sunk[1] > 0.1


def test_a_sensor_that_carries_the_payload_shows_only_the_push(model, random_q, rng):
    model.update(random_q(), np.zeros(7))
    push = rng.uniform(-10, 10, 6)
    measured = push + payload_wrench(PAYLOAD, model.T_base_ee)
    np.testing.assert_allclose(external_wrench(measured, PAYLOAD, model.T_base_ee), push, atol=1e-12)


def test_the_payload_does_work_as_its_centre_of_mass_is_lifted(model, random_q, rng):
    """Torque times joint motion equals weight times height gained."""
    q, v, h = random_q(), rng.uniform(-1, 1, 7), 1e-6
    model.update(q, v)
    power = payload_torque(PAYLOAD, model.T_base_ee, model.J_ee_aligned) @ v
    heights = []
    for side in (-h, h):
        model.update(q + side * v, v)
        heights.append((model.T_base_ee @ [*PAYLOAD.com_ee_m, 1.0])[2])
    assert power == pytest.approx(1.3 * 9.81 * (heights[1] - heights[0]) / (2 * h), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: FrictionConfig((1.0,), (1.0, 1.0)), "coulomb_nm has 1 values, viscous_nms_rad 2"),
        (lambda: FrictionConfig((-1.0,), (1.0,)), "must be finite and not negative"),
        (lambda: FrictionConfig((1.0,), (1.0,), 0.0), "smooth_rad_s must be positive, got 0.0"),
        (lambda: PayloadConfig(-1.0), "mass_kg must be finite and not negative, got -1.0"),
        (lambda: PayloadConfig(1.0, (0.0, 0.0)), "com_ee_m needs 3 finite values"),
        (lambda: PayloadConfig(1.0, (0.0, 0.0, float("nan"))), "com_ee_m needs 3 finite values"),
    ],
)
def test_a_bad_setting_is_named(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
