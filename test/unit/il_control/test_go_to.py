"""Motions of the controller's own: exact ends, straight ways, and no limit ever exceeded."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from il_control.go_to import JointMotion, MotionLimits, PoseMotion
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_rotvec, pose, rotvec_from_matrix

MS = 1_000_000
LIMITS = MotionLimits(np.array([1.0, 2.0, 0.5]), np.array([4.0, 4.0, 2.0]), np.array([40.0, 60.0, 30.0]))
LINEAR, ANGULAR = MotionLimits(0.25, 1.0, 10.0), MotionLimits(0.8, 3.0, 30.0)
POSTURES = hnp.arrays(np.float64, 3, elements=st.floats(-3.0, 3.0))
TURNS = hnp.arrays(np.float64, 3, elements=st.floats(-1.5, 1.5))


def times(motion):
    return range(0, motion.end_ns + 6 * MS, 3 * MS)


@settings(deadline=None, max_examples=20)
@given(POSTURES, POSTURES)
def test_a_joint_motion_arrives_and_keeps_every_limit(q, q_des):
    motion = JointMotion(0, q, q_des, LIMITS)
    wishes = [motion.wish(t) for t in times(motion)]
    np.testing.assert_allclose(wishes[0].q_des, q, atol=1e-9)
    np.testing.assert_allclose(wishes[-1].q_des, q_des, atol=1e-9)
    v = np.array([w.rate_des for w in wishes])
    a, slack = np.diff(v, axis=0) / 3e-3, 1e-6
    jerk = np.diff(a, axis=0) / 3e-3
    assert (np.abs(v) <= LIMITS.velocity + slack).all()
    assert (np.abs(a) <= LIMITS.acceleration + slack).all()
    assert (np.abs(jerk) <= LIMITS.jerk + 1e-3).all()


@settings(deadline=None, max_examples=20)
@given(POSTURES, TURNS)
def test_a_pose_motion_is_a_straight_line_and_a_turn_about_one_axis(p, turn):
    T = pose([0.4, 0.1, 0.3], matrix_from_rotvec([np.pi, 0.0, 0.0]))
    T_des = pose(T[:3, 3] + 0.2 * p, matrix_from_rotvec(turn) @ T[:3, :3])
    motion = PoseMotion(0, T, T_des, LINEAR, ANGULAR)
    np.testing.assert_allclose(motion.wish(motion.end_ns).T_base_ee_des, T_des, atol=1e-9)
    for t in times(motion):
        wish = motion.wish(t)
        done, way = wish.T_base_ee_des[:3, 3] - T[:3, 3], T_des[:3, 3] - T[:3, 3]
        np.testing.assert_allclose(np.cross(done, way), 0.0, atol=1e-9)
        turned = rotvec_from_matrix(wish.T_base_ee_des[:3, :3] @ T[:3, :3].T)
        np.testing.assert_allclose(np.cross(turned, turn), 0.0, atol=1e-6)
        assert np.linalg.norm(wish.rate_des[:3]) <= LINEAR.velocity + 1e-9
        assert np.linalg.norm(wish.rate_des[3:]) <= ANGULAR.velocity + 1e-9


def test_the_twist_is_the_derivative_of_the_pose():
    T = pose([0.4, 0.0, 0.3])
    T_des = pose([0.5, 0.2, 0.2], matrix_from_rotvec([0.3, -0.5, 0.8]))
    motion = PoseMotion(0, T, T_des, LINEAR, ANGULAR)
    for t in range(10 * MS, motion.end_ns - 10 * MS, 50 * MS):
        before, after = motion.wish(t - MS // 10).T_base_ee_des, motion.wish(t + MS // 10).T_base_ee_des
        twist = motion.wish(t).rate_des
        np.testing.assert_allclose((after[:3, 3] - before[:3, 3]) / 2e-4, twist[:3], atol=1e-4)
        np.testing.assert_allclose(rotvec_from_matrix(after[:3, :3] @ before[:3, :3].T) / 2e-4, twist[3:], atol=1e-3)


def test_the_quickest_of_its_kind():
    """A long way at full speed takes distance / speed plus the time of both ramps."""
    motion = JointMotion(0, np.zeros(1), np.array([10.0]), MotionLimits(1.0, 4.0, 40.0))
    ramp_s = 1.0 / 4.0 + 4.0 / 40.0  # to reach v under a and j
    assert motion.end_ns * 1e-9 == pytest.approx(10.0 / 1.0 + ramp_s, abs=1e-6)


def test_nowhere_to_go_is_over_at_once():
    assert JointMotion(0, np.zeros(3), np.zeros(3), LIMITS).end_ns < 10 * MS


@pytest.mark.parametrize(
    ("q_des", "limits", "words"),
    [
        (np.full(3, np.nan), LIMITS, "not a finite number"),
        (np.zeros(2), LIMITS, "posture of 2 joints for an arm of 3"),
        (np.ones(3), MotionLimits(0.0, 1.0, 1.0), "positive velocity"),
    ],
)
def test_what_cannot_be_planned_is_refused(q_des, limits, words):
    with pytest.raises(ConfigError, match=words), np.errstate(divide="ignore"):
        JointMotion(0, np.zeros(3), q_des, limits)
