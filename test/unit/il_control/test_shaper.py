"""Targets that never jump."""

import numpy as np
import pytest

from il_control.shaper import JointShaper, PoseShaper, VectorShaper, orthonormal
from il_core.geometry import matrix_from_rotvec, pose, rotvec_from_matrix

DT = 0.001
SPEED, ACCELERATION = 0.5, 5.0


def made(mean_of):
    s = PoseShaper(VectorShaper(0.04, SPEED, ACCELERATION, mean_of), VectorShaper(0.04, 1.5, 15.0, mean_of))
    s.reset(np.eye(4))
    return s


@pytest.fixture(params=[1, 20])
def shaper(request):
    return made(request.param)


def test_speed_and_acceleration_stay_bounded_whatever_is_asked(shaper, rng):
    before = np.zeros(6)
    for k in range(3000):
        if k % 100 == 0:
            T_des = pose(rng.uniform(-1, 1, 3), matrix_from_rotvec(rng.uniform(-3, 3, 3)))
            twist_des = rng.uniform(-5, 5, 6)
        shaper.step(T_des, twist_des, DT)
        assert np.linalg.norm(shaper.twist[:3]) <= SPEED + 1e-9
        assert np.linalg.norm(shaper.twist[3:]) <= 1.5 + 1e-9
        assert np.linalg.norm(shaper.twist[:3] - before[:3]) <= ACCELERATION * DT + 1e-9
        before = shaper.twist.copy()


def test_a_jump_is_reached_without_overshoot(shaper):
    T_des = pose([0.2, 0.0, 0.0], matrix_from_rotvec([0.0, 0.0, 0.5]))
    reached = []
    for _ in range(2000):
        shaper.step(T_des, np.zeros(6), DT)
        reached.append(shaper.T[0, 3])
    np.testing.assert_allclose(shaper.T, T_des, atol=1e-4)
    assert max(reached) < 0.2 + 1e-3


def test_a_moving_target_with_its_velocity_is_followed_without_lag(shaper):
    v = np.array([0.2, 0, 0, 0, 0, 0])
    for k in range(2000):
        shaper.step(pose([0.2 * DT * k, 0, 0]), v, DT)
    assert abs(shaper.T[0, 3] - 0.2 * DT * 1999) < 1e-3


def test_absurd_targets_and_rates_leave_nothing_behind(shaper):
    for T_des, twist in [(pose([1e308] * 3), np.full(6, np.inf)), (pose([-1e308, 1e308, 0]), np.full(6, -np.inf))]:
        shaper.step(T_des, twist, DT)
        assert np.isfinite(shaper.T).all() and np.isfinite(shaper.twist).all()
        assert np.isfinite(shaper.acceleration).all()
    for _ in range(2000):
        shaper.step(np.eye(4), np.zeros(6), DT)
    np.testing.assert_allclose(shaper.T, np.eye(4), atol=1e-4)


def test_acceleration_is_that_of_the_moving_target(shaper):
    for k in range(1500):
        t = DT * k
        T_des = pose([0.1 * np.cos(2 * t), 0.1 * np.sin(2 * t), 0.0])
        shaper.step(T_des, np.array([-0.2 * np.sin(2 * t), 0.2 * np.cos(2 * t), 0, 0, 0, 0]), DT)
    towards_centre = -0.4 * T_des[:3, 3] / 0.1  # v^2 / r
    np.testing.assert_allclose(shaper.acceleration[:3], towards_centre, atol=0.05)


def test_the_rotation_stays_a_rotation_over_a_long_run(shaper, rng):
    for _ in range(200):
        T_des = pose(np.zeros(3), matrix_from_rotvec(rng.uniform(-2, 2, 3)))
        for _ in range(50):
            shaper.step(T_des, np.zeros(6), DT)
    R = shaper.T[:3, :3]
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-12)


def test_joints_keep_their_own_limits_and_arrive(rng):
    v_max = np.array([0.5, 1.0, 2.0])
    shaper = JointShaper(0.04, v_max, 15.0)
    shaper.reset(np.zeros(3))
    q_des, before = rng.uniform(-1, 1, 3), np.zeros(3)
    for _ in range(4000):
        shaper.step(q_des, np.zeros(3), DT)
        assert np.all(np.abs(shaper.v) <= v_max + 1e-12)
        assert np.all(np.abs(shaper.v - before) <= 15.0 * DT + 1e-12)
        before = shaper.v
    np.testing.assert_allclose(shaper.q, q_des, atol=1e-3)


def test_orthonormal_mends_rounding():
    R = matrix_from_rotvec([0.3, -0.2, 0.9]) + 1e-6
    mended = orthonormal(R)
    assert np.abs(mended.T @ mended - np.eye(3)).max() < 1e-3 * np.abs(R.T @ R - np.eye(3)).max()
    assert np.linalg.norm(rotvec_from_matrix(mended @ R.T)) < 1e-5


def jerks(rows):
    """Largest third difference of a path, (n, k), per second cubed."""
    return np.linalg.norm(np.diff(rows, 3, axis=0), axis=1).max() / DT**3


def test_the_jerk_is_bounded_whatever_is_asked(rng):
    """2 a / T, for the way and for the turning; without the mean it is not."""
    found = {}
    for mean_of in (1, 20):
        shaper, p, omega = made(mean_of), [], []
        for k in range(4000):
            if k % 77 == 0:
                T_des = pose(rng.uniform(-0.3, 0.3, 3), matrix_from_rotvec(rng.uniform(-3, 3, 3)))
                twist_des = rng.uniform(-1, 1, 6)
            shaper.step(T_des, twist_des, DT)
            p.append(shaper.T[:3, 3].copy())
            omega.append(shaper.twist[3:])
        found[mean_of] = jerks(np.array(p)), np.linalg.norm(np.diff(omega, 2, axis=0), axis=1).max() / DT**2
    assert found[20][0] <= 2.0 * ACCELERATION / (20 * DT) + 1e-3
    assert found[20][1] <= 2.0 * 15.0 / (20 * DT) + 1e-3
    assert found[1][0] > 5.0 * found[20][0]


@pytest.mark.parametrize("angle", [0.1, 1.5, 3.1])
def test_a_large_turn_arrives_exactly_and_stays(angle):
    shaper = made(20)
    T_des = pose([0.1, 0.0, 0.0], matrix_from_rotvec(np.array([0.6, -0.8, 0.0]) * angle))
    for _ in range(5000):
        shaper.step(T_des, np.zeros(6), DT)
    np.testing.assert_allclose(shaper.T, T_des, atol=1e-9)
    assert np.abs(shaper.twist).max() < 1e-9


def test_it_goes_on_with_the_twist_it_is_given():
    shaper, twist = made(20), np.array([0.2, 0.1, 0.0, 0.3, 0.0, 0.0])
    shaper.reset(np.eye(4), twist)
    for k in range(1, 200):
        shaper.step(pose(twist[:3] * DT * k, matrix_from_rotvec(twist[3:] * DT * k)), twist, DT)
        np.testing.assert_allclose(shaper.twist, twist, atol=0.01)
    np.testing.assert_allclose(shaper.T[:3, 3], twist[:3] * DT * 199, atol=3e-4)


def test_joints_are_free_of_jerks_too_and_arrive(rng):
    v_max, rows = np.array([0.5, 1.0, 2.0]), []
    shaper = JointShaper(0.04, v_max, 15.0, 20)
    for k in range(4000):
        if k % 150 == 0:
            q_des, v_des = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3)
        if k > 2500:
            q_des, v_des = np.array([0.1, -0.2, 0.3]), np.zeros(3)
        shaper.step(q_des, v_des, DT)
        rows.append(shaper.q)
        assert (np.abs(shaper.v) <= v_max + 1e-9).all()
    assert np.abs(np.diff(rows, 3, axis=0)).max() / DT**3 <= 2.0 * 15.0 / (20 * DT) + 1e-3
    np.testing.assert_allclose(rows[-1], [0.1, -0.2, 0.3], atol=1e-6)
