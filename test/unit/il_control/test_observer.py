"""The momentum observer on the simulated arm: silent in motion, right about a push, and in time."""

import numpy as np
import pytest

from il_control.observer import GAP_S, MomentumObserver, tool_wrench
from il_core.errors import ConfigError
from il_sim.plant import Plant

DT = 1e-3
STIFFNESS = np.array([300.0, 300.0, 300.0, 300.0, 80.0, 80.0, 80.0])


class Rig:
    """The arm swinging about home under a joint law, in empty space, with an observer watching."""

    def __init__(self, setup, model, gain_per_s=200.0):
        self.plant, self.model = Plant(setup), model
        self.plant.model.geom_contype[:] = self.plant.model.geom_conaffinity[:] = 0
        self.observer = MomentumObserver(model, gain_per_s)
        self.home, self.k = self.plant.read().q, 0

    def run(self, steps, swing_rad=0.0, damping=0.0):
        """Estimates and torques of the motors, of some steps; damping is that of the joints' friction."""
        estimates, taus = [], []
        for _ in range(steps):
            state = self.plant.read()
            estimates.append(self.observer.update(state.q, state.v, state.tau - damping * state.v, DT))
            taus.append(state.tau)
            self.model.update(state.q, state.v)
            q_des = self.home + swing_rad * np.sin(4.0 * self.k * DT + np.arange(7)) * min(1.0, self.k * DT)
            self.plant.apply(STIFFNESS * (q_des - state.q) - 0.1 * STIFFNESS * state.v + self.model.bias)
            self.plant.step()
            self.k += 1
        return np.array(estimates), np.array(taus)


def test_with_an_exact_model_nothing_is_imagined_in_motion(setup, model):
    rig = Rig(setup, model)
    estimates, taus = rig.run(3000, swing_rad=0.5)
    assert np.abs(taus).max() > 20.0
    assert np.abs(estimates).max() < 0.2  # 1 % of it: the engine integrates half implicitly


def test_a_push_is_measured_in_every_joint_and_as_a_force_at_the_tool(setup, model):
    rig = Rig(setup, model)
    rig.run(200)
    force = np.array([10.0, -15.0, 8.0])
    rig.plant.push(force)
    estimates, _ = rig.run(3000)
    expected = model.J_ee_aligned[:3].T @ force
    np.testing.assert_allclose(estimates[-1], expected, rtol=0.01, atol=0.02)
    wrench = tool_wrench(estimates[-1], model.J_ee_aligned)
    np.testing.assert_allclose(wrench, [*force, 0.0, 0.0, 0.0], rtol=0.05, atol=0.3)


def test_a_push_is_measured_in_motion(setup, model):
    rig = Rig(setup, model)
    rig.run(1500, swing_rad=0.5)
    rig.plant.push([0.0, 20.0, 0.0])
    estimates, _ = rig.run(500, swing_rad=0.5)
    expected = model.J_ee_aligned[1] * 20.0  # where the arm is at the end
    assert np.abs(estimates[-1] - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("gain_per_s", [50.0, 200.0])
def test_the_estimate_rises_with_the_time_constant_of_the_gain(setup, model, gain_per_s):
    rig = Rig(setup, model, gain_per_s)
    rig.run(200)
    rig.plant.push([0.0, 20.0, 0.0])
    steps = round(1.0 / gain_per_s / DT)
    estimates, _ = rig.run(steps + 1)
    share = estimates[-1] @ model.J_ee_aligned[1] / (20.0 * model.J_ee_aligned[1] @ model.J_ee_aligned[1])
    assert share == pytest.approx(1.0 - np.exp(-1.0), rel=0.03)


def test_joint_damping_is_an_external_torque_unless_it_is_taken_off(setup, model):
    damping = 3.0
    seen, told = Rig(setup, model), Rig(setup, model)
    for rig in (seen, told):
        joints = [rig.plant.model.joint(n).dofadr[0] for n in setup.robot.joint_names]
        rig.plant.model.dof_damping[joints] = damping
    blind, _ = seen.run(2000, swing_rad=0.5)
    corrected, _ = told.run(2000, swing_rad=0.5, damping=damping)
    assert np.abs(blind).max() > 3.0
    assert np.abs(corrected).max() < 0.15


def test_the_opening_of_the_gripper_does_not_matter(setup, model):
    rig = Rig(setup, model)
    rig.run(200)
    rig.plant.grip(0.0)
    estimates, _ = rig.run(500)
    assert np.abs(estimates).max() < 0.05


def test_a_gap_or_a_repeated_stamp_leaves_the_estimate_as_it_was(setup, model):
    observer = MomentumObserver(model)
    q = np.array(setup.robot.q_home_rad)
    model.update(q, np.zeros(7))
    for _ in range(100):
        observer.update(q, np.zeros(7), model.gravity, DT)
    assert not observer.tau_ext.round(9).any()
    for dt in (0.0, -DT, 2 * GAP_S, float("nan")):
        assert not observer.update(q, np.ones(7), model.gravity, dt).round(9).any()
        assert observer.alpha == 0.0


def test_it_is_stable_at_any_gain(model, setup):
    observer = MomentumObserver(model, gain_per_s=1e5)
    q = np.array(setup.robot.q_home_rad)
    model.update(q, np.zeros(7))
    for _ in range(50):
        observer.update(q, np.zeros(7), model.gravity + 2.0, DT)
    np.testing.assert_allclose(observer.tau_ext, -2.0)


def test_a_reset_forgets_the_push(model, setup):
    observer = MomentumObserver(model)
    q = np.array(setup.robot.q_home_rad)
    for _ in range(50):
        observer.update(q, np.zeros(7), np.zeros(7), DT)
    assert np.abs(observer.tau_ext).max() > 1.0
    observer.reset()
    assert not observer.tau_ext.any()
    assert not observer.update(q, np.zeros(7), np.zeros(7), DT).any()


def test_a_gain_that_is_not_positive_is_refused(model):
    with pytest.raises(ConfigError, match="gain_per_s must be positive, got 0"):
        MomentumObserver(model, gain_per_s=0.0)


def test_the_wrench_stays_finite_where_the_arm_is_singular(model):
    J = model.J_ee_aligned.copy()
    J[1] = J[0]
    assert np.isfinite(tool_wrench(np.full(7, 10.0), J)).all()
