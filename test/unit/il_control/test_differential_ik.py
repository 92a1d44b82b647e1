"""Inverse kinematics of velocities: exact where it can be, tasks in order, joints in bounds, calm at singularities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_control.laws.differential_ik import damped_inverse, joint_velocity

FREE = np.full(7, 1e3)


def jacobian(rng, m=6, n=7):
    return rng.normal(0.0, 0.5, (m, n))


def test_the_tool_moves_as_wanted_and_the_null_space_as_near_to_the_posture_as_that_leaves(rng):
    for _ in range(50):
        J, rate, posture = jacobian(rng), rng.normal(size=6), rng.normal(size=7)
        v = joint_velocity([(J, rate)], posture, -FREE, FREE, singular=1e-4)
        np.testing.assert_allclose(J @ v, rate, atol=1e-8)
        _, _, Vt = np.linalg.svd(J)
        null = Vt[-1]
        np.testing.assert_allclose(null @ v, null @ posture, atol=1e-8)


def test_the_first_task_is_done_whatever_the_second_wants(rng):
    for _ in range(50):
        J, rate = jacobian(rng, 6, 5), rng.normal(size=6)  # five joints: position before rotation
        v = joint_velocity([(J[:3], rate[:3]), (J[3:], rate[3:])], np.zeros(5), -FREE[:5], FREE[:5], singular=1e-4)
        np.testing.assert_allclose(J[:3] @ v, rate[:3], atol=1e-6)
        for _ in range(20):  # and no other velocity that does it is nearer to the second
            step = rng.normal(0.0, 0.05, 5)
            step -= np.linalg.pinv(J[:3]) @ (J[:3] @ step)
            assert np.linalg.norm(J[3:] @ (v + step) - rate[3:]) >= np.linalg.norm(J[3:] @ v - rate[3:]) - 1e-6


def test_a_joint_at_its_bound_leaves_the_rest_to_the_others(rng):
    done = 0
    for _ in range(100):
        J, rate = jacobian(rng), rng.normal(0.0, 0.3, 6)
        wanted = joint_velocity([(J, rate)], np.zeros(7), -FREE, FREE, singular=1e-4)
        bound = FREE.copy()
        k = int(np.argmax(np.abs(wanted)))
        bound[k] = 0.5 * abs(wanted[k])
        v = joint_velocity([(J, rate)], np.zeros(7), -bound, bound, singular=1e-4)
        assert abs(v[k]) <= bound[k]
        done += np.allclose(J @ v, rate, atol=1e-6)
    assert done == 100  # seven joints, one held: six are left for six coordinates


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-6.0, 6.0), st.integers(4, 7))
def test_velocities_never_leave_their_bounds(seed, size, n):
    rng = np.random.default_rng(seed)
    low, high = -rng.uniform(0.0, 2.0, n), rng.uniform(0.0, 2.0, n)
    J, rate = jacobian(rng, 6, n), rng.normal(size=6) * 10.0**size
    v = joint_velocity([(J[:3], rate[:3]), (J[3:], rate[3:])], rng.normal(size=n) * 10.0**size, low, high)
    assert (v >= low).all()
    assert (v <= high).all()


@pytest.mark.parametrize("s", [0.0, 1e-12, 1e-3, 0.05])
def test_a_lost_direction_asks_for_no_speed_beyond_the_damping(s):
    J = np.diag([1.0, 1.0, 1.0, 1.0, 1.0, s])
    v = damped_inverse(J, 0.05) @ np.ones(6)
    np.testing.assert_allclose(v[:5], 1.0)
    assert abs(v[5]) <= 1.0 / 0.05 + 1e-9
    assert abs(v[5]) == pytest.approx(s / 0.05**2, rel=1e-9)


def test_it_is_the_pseudoinverse_away_from_singularities(rng):
    J = jacobian(rng)
    np.testing.assert_allclose(damped_inverse(J, 1e-6), np.linalg.pinv(J), atol=1e-9)
