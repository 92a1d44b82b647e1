"""The tool as a free unit mass: on the model, at singular postures, and on the physics of the simulator."""

from dataclasses import replace

import numpy as np
import pinocchio as pin
import pytest

from il_control.laws.cartesian_impedance import pose_error
from il_control.laws.operational_space import INERTIA_MAX, OperationalGains, operational_space, task_inertia
from il_core.errors import ConfigError
from il_core.geometry import rotvec_from_matrix
from il_sim.plant import Plant

ZERO6, DT = np.zeros(6), 0.001
OMEGA = 10.0
GAINS = OperationalGains(np.full(6, OMEGA**2), np.full(6, 2 * OMEGA), np.full(6, 1.0))


def drift(model, v):
    """J' v: the tool's acceleration when no joint accelerates."""
    data, frame = model.model.createData(), model.model.getFrameId("fr3_tcp")
    pin.forwardKinematics(model.model, data, model.q, v, np.zeros(model.nq))
    return pin.getFrameClassicalAcceleration(model.model, data, frame, pin.LOCAL_WORLD_ALIGNED).vector


def torque(model, v, *, error=ZERO6, twist=ZERO6, acceleration=ZERO6, posture=None, gains=GAINS):
    posture = np.zeros(model.nq) if posture is None else posture
    args = (v, error, twist, acceleration, posture, gains, model.J_ee_aligned, drift(model, v))
    return operational_space(*args, model.mass_matrix(), model.bias)


def tool_acceleration(model, v, tau):
    """What the model's equations of motion make of a torque."""
    a = np.linalg.solve(model.mass_matrix(), tau - model.bias)
    return model.J_ee_aligned @ a + drift(model, v)


@pytest.fixture
def regular(model, random_q, rng):
    """A posture away from singularities, in motion; its velocities."""
    while True:
        v = rng.uniform(-1, 1, 7)
        model.update(random_q(), v)
        gram = model.J_ee_aligned @ np.linalg.solve(model.mass_matrix(), model.J_ee_aligned.T)
        if np.linalg.eigvalsh(gram)[0] > 1.0 / INERTIA_MAX:
            return v


def test_the_drift_is_the_rate_of_the_jacobian_along_the_motion(model, regular):
    v, h = regular, 1e-6
    q, bend = model.q.copy(), drift(model, v)
    jacobians = []
    for side in (-h, h):
        model.update(q + side * v, v)
        jacobians.append(model.J_ee_aligned.copy())
    np.testing.assert_allclose((jacobians[1] - jacobians[0]) @ v / (2 * h), bend, atol=1e-6)


def test_the_tool_gets_the_acceleration_of_a_unit_mass_in_every_axis(model, regular, rng):
    error, twist, acceleration = (rng.uniform(-0.5, 0.5, 6) for _ in range(3))
    tau = torque(model, regular, error=error, twist=twist, acceleration=acceleration)
    wanted = acceleration + GAINS.k_p * error + GAINS.k_d * (twist - model.J_ee_aligned @ regular)
    np.testing.assert_allclose(tool_acceleration(model, regular, tau), wanted, rtol=1e-9, atol=1e-9)


def test_the_posture_accelerates_the_tool_not_at_all_but_does_move_the_elbow(model, regular, rng):
    posture = rng.uniform(-20, 20, 7)
    plain, pulled = torque(model, regular), torque(model, regular, posture=posture)
    before, after = (tool_acceleration(model, regular, tau) for tau in (plain, pulled))
    np.testing.assert_allclose(after, before, atol=1e-8)
    assert np.abs(np.linalg.solve(model.mass_matrix(), pulled - plain)).max() > 1e-2


def test_the_error_acted_on_is_bounded(model, regular):
    gains = replace(GAINS, e_max=np.full(6, 0.1))
    far, near = (torque(model, regular, error=np.full(6, e), gains=gains) for e in (5.0, 0.1))
    np.testing.assert_array_equal(far, near)


def test_the_inertia_is_the_inverse_of_the_mobility_where_that_is_light_enough(rng):
    A = rng.normal(size=(6, 6))
    mobility = A @ A.T + 0.1 * np.eye(6)
    np.testing.assert_allclose(task_inertia(mobility) @ mobility, np.eye(6), atol=1e-10)


def test_a_singular_direction_is_let_go_of_continuously_and_alone(rng):
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    s_0, last = 1.0 / INERTIA_MAX, None
    for s in np.linspace(2 * s_0, 0.0, 400):
        inertia = task_inertia(axes @ np.diag([s, 0.3, 0.5, 1.0, 3.0, 9.0]) @ axes.T)
        felt = axes.T @ inertia @ axes
        np.testing.assert_allclose(np.diag(felt)[1:], [1 / 0.3, 2.0, 1.0, 1 / 3, 1 / 9], rtol=1e-9)
        np.testing.assert_allclose(felt - np.diag(np.diag(felt)), 0.0, atol=1e-8)
        assert -1e-9 <= felt[0, 0] <= INERTIA_MAX * (1 + 1e-9)
        assert last is None or abs(felt[0, 0] - last) < 0.01 * INERTIA_MAX
        last = felt[0, 0]
    assert last == pytest.approx(0.0, abs=1e-6)


def test_no_posture_asks_for_a_torque_without_bound(model, random_q, setup):
    """Stretched, folded or anywhere: 1 m/s² of the tool moves at most the heaviest inertia."""
    bound = 0.0
    for k in range(300):
        q = random_q()
        if k % 3 == 0:
            q[3] = 0.0  # stretched, beyond the limit of the joint
        model.update(q, np.zeros(7))
        tau = torque(model, np.zeros(7), acceleration=np.full(6, 1 / np.sqrt(6))) - model.bias
        bound = max(bound, np.linalg.norm(tau) / np.linalg.norm(model.J_ee_aligned, 2))
    assert bound <= INERTIA_MAX * (1 + 1e-9)


def test_an_arm_of_five_joints_moves_its_tool_as_it_can_and_does_not_push_where_it_cannot(rng):
    J, A = rng.normal(size=(6, 5)), rng.normal(size=(5, 5))
    mass, zero5 = A @ A.T + np.eye(5), np.zeros(5)
    for wanted, gains in ((J @ rng.normal(size=5), 1.0), (np.linalg.svd(J)[0][:, 5], 0.0)):
        tau = operational_space(zero5, ZERO6, ZERO6, wanted, zero5, GAINS, J, ZERO6, mass, zero5)
        np.testing.assert_allclose(J @ np.linalg.solve(mass, tau), gains * wanted, atol=1e-6)
        assert np.abs(tau).max() < 1e3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_error_along_one_axis_moves_the_simulated_tool_along_that_axis_alone(setup, model, axis):
    """And as the formula of the critically damped unit mass says, whatever the arm weighs there."""
    plant, step_m = Plant(setup, seed=3), 0.03
    start = plant.ee_pose()
    T_des = start.copy()
    T_des[axis, 3] += step_m
    aside, turned, off = [], [], []
    for k in range(600):
        state = plant.read()
        model.update(state.q, state.v)
        plant.apply(torque(model, state.v, error=pose_error(model.T_base_ee, T_des), posture=-2.0 * state.v))
        plant.step()
        T, t = plant.ee_pose(), (k + 1) * DT
        moved = T[:3, 3] - start[:3, 3]
        aside.append(np.abs(np.delete(moved, axis)).max())
        turned.append(np.linalg.norm(rotvec_from_matrix(T[:3, :3] @ start[:3, :3].T)))
        off.append(abs(moved[axis] - step_m * (1 - (1 + OMEGA * t) * np.exp(-OMEGA * t))))
    assert max(aside) < 0.01 * step_m
    assert max(turned) < 0.002
    assert max(off) < 0.01 * step_m


def test_gains_must_be_six_and_not_negative():
    with pytest.raises(ConfigError, match="k_d needs 6 finite values, none negative"):
        OperationalGains(np.ones(6), -np.ones(6), np.ones(6))
    with pytest.raises(ConfigError, match="k_p needs 6 finite values"):
        OperationalGains(np.ones(3), np.ones(6), np.ones(6))
