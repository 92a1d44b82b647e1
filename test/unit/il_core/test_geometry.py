"""Rotations and poses obey the group laws; every form decodes to the rotation it encodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from il_core import geometry as g
from il_core.errors import ShapeError

number = st.floats(-1.0, 1.0)
rotvecs = st.tuples(number, number, number).map(lambda w: np.pi * np.array(w) / max(1.0, np.linalg.norm(w)))
few = settings(max_examples=200, deadline=None)


@few
@given(rotvecs)
def test_rotvec_and_back_is_the_same_rotation(w):
    R = g.matrix_from_rotvec(w)
    assert np.allclose(R, Rotation.from_rotvec(w).as_matrix(), atol=1e-12)
    assert np.allclose(g.matrix_from_rotvec(g.rotvec_from_matrix(R)), R, atol=1e-7)
    assert np.linalg.norm(g.rotvec_from_matrix(R)) <= np.pi + 1e-12


@few
@given(rotvecs)
def test_quaternion_and_back_is_the_same_rotation(w):
    R = g.matrix_from_rotvec(w)
    q = g.quat_xyzw_from_matrix(R)
    assert q[3] >= 0.0
    assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-12)
    assert np.allclose(g.matrix_from_quat_xyzw(q), R, atol=1e-12)
    assert np.allclose(g.matrix_from_quat_xyzw(-q), R, atol=1e-12)  # the double cover


@few
@given(rotvecs)
def test_six_numbers_and_back_is_the_same_rotation(w):
    R = g.matrix_from_rotvec(w)
    r6 = g.rotation_6d_from_matrix(R)
    assert r6.shape == (6,)
    assert np.allclose(g.matrix_from_rotation_6d(r6), R, atol=1e-12)


@pytest.mark.parametrize("axis", np.vstack([np.eye(3), -np.eye(3), np.ones(3) / np.sqrt(3)]))
@pytest.mark.parametrize("angle", [0.0, 1e-13, 1e-7, np.pi / 2, np.pi - 1e-7, np.pi])
def test_hard_angles(axis, angle):
    R = g.matrix_from_rotvec(angle * axis)
    assert np.allclose(R.T @ R, np.eye(3), atol=1e-12)
    assert np.allclose(g.matrix_from_rotvec(g.rotvec_from_matrix(R)), R, atol=1e-7)
    assert np.linalg.norm(g.rotvec_from_matrix(R)) == pytest.approx(angle, abs=1e-7)


def test_any_six_numbers_give_a_rotation(rng):
    R = g.matrix_from_rotation_6d(rng.normal(size=(50, 6)))
    assert np.allclose(np.swapaxes(R, -1, -2) @ R, np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(R), 1.0)


@pytest.mark.parametrize("r6", [np.zeros(6), np.array([1.0, 0, 0, 2.0, 0, 0])])
def test_six_numbers_that_span_no_plane_are_refused(r6):
    with pytest.raises(ValueError, match="do not span a plane"):
        g.matrix_from_rotation_6d(r6)


def test_the_tool_down_quaternion_points_down():
    assert np.allclose(g.matrix_from_quat_xyzw([1.0, 0.0, 0.0, 0.0]), np.diag([1.0, -1.0, -1.0]))


@pytest.mark.parametrize("quat", [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0], [np.nan, 0.0, 0.0, 1.0]])
def test_a_quaternion_that_is_not_unit_is_refused(quat):
    with pytest.raises(ValueError, match="must have unit length"):
        g.matrix_from_quat_xyzw(quat)


def test_a_quaternion_of_three_numbers_is_refused():
    with pytest.raises(ShapeError, match=r"quat_xyzw: expected shape \(4,\), got \(3,\)"):
        g.matrix_from_quat_xyzw([0.0, 0.0, 1.0])


def test_a_pose_times_its_inverse_is_the_identity(rng):
    T = np.array([g.pose(rng.normal(size=3), g.matrix_from_rotvec(rng.normal(size=3))) for _ in range(20)])
    assert np.allclose(T @ g.inverse(T), np.eye(4), atol=1e-12)
    assert np.allclose(g.inverse(T[0]) @ T[0], np.eye(4), atol=1e-12)


def test_skew_is_the_cross_product(rng):
    a, b = rng.normal(size=(2, 3))
    assert np.allclose(g.skew(a) @ b, np.cross(a, b))
    assert np.array_equal(g.skew(a), -g.skew(a).T)


def test_interpolation_meets_both_ends_and_turns_evenly(rng):
    T_0, T_1 = (g.pose(rng.normal(size=3), g.matrix_from_rotvec(rng.normal(size=3))) for _ in range(2))
    assert np.allclose(g.interpolate_pose(T_0, T_1, 0.0), T_0, atol=1e-12)
    assert np.allclose(g.interpolate_pose(T_0, T_1, 1.0), T_1, atol=1e-9)
    half = g.interpolate_pose(T_0, T_1, 0.5)
    assert np.allclose(half[:3, 3], (T_0 + T_1)[:3, 3] / 2)
    first, second = T_0[:3, :3].T @ half[:3, :3], half[:3, :3].T @ T_1[:3, :3]
    assert np.allclose(first, second, atol=1e-9)


def test_interpolation_does_not_depend_on_the_base_frame(rng):
    T_a, T_0, T_1 = (g.pose(rng.normal(size=3), g.matrix_from_rotvec(rng.normal(size=3))) for _ in range(3))
    moved = g.interpolate_pose(T_a @ T_0, T_a @ T_1, 0.3)
    assert np.allclose(moved, T_a @ g.interpolate_pose(T_0, T_1, 0.3), atol=1e-9)
