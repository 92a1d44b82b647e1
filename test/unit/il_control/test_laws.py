"""Impedance laws: statics, projection, frames and energy."""

import numpy as np
import pytest

from il_control.laws.cartesian_impedance import (
    CartesianGains,
    cartesian_impedance,
    feed_forward,
    pose_error,
    task_damping,
    task_mobility,
)
from il_control.laws.joint_impedance import joint_impedance
from il_core.geometry import matrix_from_rotvec, pose

K = np.array([600.0, 500.0, 400.0, 30.0, 20.0, 10.0])
GAINS = CartesianGains(k_p=K, zeta=np.ones(6), e_max=np.full(6, 0.1), k_p_null=5.0, k_d_null=2.0)
ZERO6, ZERO7 = np.zeros(6), np.zeros(7)


@pytest.fixture
def posed(model, random_q):
    """The model at a random posture, at rest."""
    model.update(random_q(), ZERO7)
    return model


def law(model, *, v=ZERO7, error=ZERO6, twist=ZERO6, force_ff=ZERO6, k_d=ZERO6, posture=ZERO7, gains=GAINS):
    return cartesian_impedance(v, error, twist, force_ff, k_d, posture, gains, model.J_ee_aligned, model.bias)


def test_at_the_target_and_at_rest_both_laws_only_carry_the_arm(posed):
    np.testing.assert_allclose(law(posed), posed.bias, atol=1e-12)
    q = np.ones(7)
    np.testing.assert_array_equal(joint_impedance(q, ZERO7, q, ZERO7, q, q, posed.bias), posed.bias)


def test_static_force_is_stiffness_times_deflection(posed):
    error = np.array([0.01, -0.02, 0.03, 0.04, -0.05, 0.06])
    tau = law(posed, error=error) - posed.bias
    force = np.linalg.lstsq(posed.J_ee_aligned.T, tau, rcond=None)[0]
    np.testing.assert_allclose(force, K * error, rtol=1e-6)


def test_the_force_of_the_spring_is_bounded_by_the_error_bound(posed):
    tau = law(posed, error=np.full(6, 9.0)) - posed.bias
    force = np.linalg.lstsq(posed.J_ee_aligned.T, tau, rcond=None)[0]
    np.testing.assert_allclose(force, K * 0.1, rtol=1e-6)


def test_the_posture_torque_pushes_the_tool_with_no_force(posed, rng):
    posture = rng.uniform(-5, 5, 7)
    tau = law(posed, posture=posture) - posed.bias
    J = posed.J_ee_aligned
    assert np.abs(J @ tau).max() < 1e-3 * np.abs(J @ posture).max()
    assert np.linalg.norm(tau) <= np.linalg.norm(posture) + 1e-9


def test_damping_opposes_motion_and_vanishes_when_the_target_moves_along(posed, rng):
    v = rng.uniform(-1, 1, 7)
    k_d = np.full(6, 20.0)
    tau = law(posed, v=v, k_d=k_d) - posed.bias
    assert v @ tau < 0
    moving = law(posed, v=v, k_d=k_d, twist=posed.J_ee_aligned @ v) - posed.bias
    np.testing.assert_allclose(moving, ZERO7, atol=1e-9)


def test_task_damping_is_critical_for_a_point_mass():
    mass = 2.5
    J = np.eye(6)
    k_d = task_damping(task_mobility(J, mass * np.eye(6)), K, np.ones(6))
    np.testing.assert_allclose(k_d, 2 * np.sqrt(K * mass), rtol=1e-5)


def test_damping_never_chatters_even_where_the_arm_is_singular(model, random_q, setup):
    """The fastest decay of the tool stays far below the 2000 / s that 1 kHz can render at all."""
    for k in range(300):
        q = random_q()
        if k % 3 == 0:
            q[3] = setup.robot.q_max_rad[3]  # the elbow almost stretched
        model.update(q, ZERO7)
        mobility = task_mobility(model.J_ee_aligned, model.mass_matrix())
        k_d = task_damping(mobility, K, np.ones(6))
        assert np.linalg.eigvals(mobility @ np.diag(k_d)).real.max() < 300.0


def test_feed_forward_gives_the_moving_tool_the_acceleration_of_its_target(model, setup, rng):
    model.update(np.array(setup.robot.q_home_rad), rng.uniform(-0.5, 0.5, 7))
    mass = model.mass_matrix()
    mobility = task_mobility(model.J_ee_aligned, mass)
    wanted = np.array([0.5, -1.0, 0.8, 1.0, -0.5, 2.0])
    tau = law(model, force_ff=feed_forward(mobility, wanted, model.drift, GAINS)) - model.bias
    caused = model.J_ee_aligned @ np.linalg.solve(mass, tau)  # the tool's acceleration is this and the drift
    missing = wanted - model.drift
    assert np.linalg.norm(caused - missing) < 0.15 * np.linalg.norm(missing)


def test_feed_forward_is_no_stronger_than_the_spring_may_be(posed):
    mobility = task_mobility(posed.J_ee_aligned, posed.mass_matrix())
    force = feed_forward(mobility, np.full(6, 1e4), ZERO6, GAINS)
    assert np.all(np.abs(force) <= K * GAINS.e_max + 1e-9)


def test_pose_error_turns_the_measured_into_the_wanted_pose_and_is_equivariant(rng):
    T, T_des = (pose(rng.uniform(-1, 1, 3), matrix_from_rotvec(rng.uniform(-1, 1, 3))) for _ in range(2))
    e = pose_error(T, T_des)
    np.testing.assert_allclose(T[:3, 3] + e[:3], T_des[:3, 3])
    np.testing.assert_allclose(matrix_from_rotvec(e[3:]) @ T[:3, :3], T_des[:3, :3], atol=1e-12)
    A = pose(rng.uniform(-1, 1, 3), matrix_from_rotvec(rng.uniform(-1, 1, 3)))
    turned = pose_error(A @ T, A @ T_des)
    R = A[:3, :3]
    np.testing.assert_allclose(turned, [*(R @ e[:3]), *(R @ e[3:])], atol=1e-12)


def test_energy_of_arm_and_spring_never_grows_under_the_joint_law(model, setup):
    """Forward dynamics of the real arm, its joint spring, and no outside work."""
    q_des = np.array(setup.robot.q_home_rad)
    q, v = q_des + 0.2, np.zeros(7)
    k_p, k_d, dt = np.full(7, 50.0), np.full(7, 5.0), 2e-4
    energies = []
    for _ in range(2500):
        model.update(q, v)
        M = model.mass_matrix()
        energies.append(0.5 * v @ M @ v + 0.5 * k_p @ (q - q_des) ** 2)
        tau = joint_impedance(q, v, q_des, np.zeros(7), k_p, k_d, model.bias)
        v = v + dt * np.linalg.solve(M, tau - model.bias)
        q = q + dt * v
    # The discrete integrator may add energy of the order of dt; the law itself only removes it.
    assert np.diff(energies).max() < 1e-3 * energies[0]
    assert energies[-1] < 0.05 * energies[0]
