"""Kinematics and dynamics against their definitions."""

from dataclasses import replace

import numpy as np
import pytest

from il_control.model import ArmModel
from il_core.errors import ConfigError
from il_core.geometry import rotvec_from_matrix

STEP = 1e-6  # [rad]


def test_jacobian_is_the_derivative_of_the_pose(model, random_q):
    for _ in range(20):
        q = random_q()
        model.update(q, np.zeros(7))
        J, T = model.J_ee_aligned.copy(), model.T_base_ee.copy()
        for k in range(7):
            model.update(q + STEP * np.eye(7)[k], np.zeros(7))
            moved = model.T_base_ee
            linear = (moved[:3, 3] - T[:3, 3]) / STEP
            angular = rotvec_from_matrix(moved[:3, :3] @ T[:3, :3].T) / STEP
            np.testing.assert_allclose(J[:, k], [*linear, *angular], atol=1e-5)


def test_drift_is_the_acceleration_of_the_tool_at_constant_joint_velocity(model, random_q, rng):
    q, v, h = random_q(), rng.uniform(-1.0, 1.0, 7), 1e-5
    twists = []
    for side in (-1.0, 1.0):
        model.update(q + side * h * v, v)
        twists.append(model.J_ee_aligned @ v)
    model.update(q, v)
    np.testing.assert_allclose(model.drift, (twists[1] - twists[0]) / (2 * h), atol=1e-6)


def test_bias_at_rest_is_gravity_and_gravity_is_the_slope_of_potential_energy(model, random_q):
    import pinocchio as pin

    for _ in range(10):
        q = random_q()
        model.update(q, np.zeros(7))
        np.testing.assert_allclose(model.bias, model.gravity, atol=1e-9)
        energies = [
            [pin.computePotentialEnergy(model.model, model.data, q + s * STEP * np.eye(7)[k]) for s in (-1, 1)]
            for k in range(7)
        ]
        slope = np.diff(energies, axis=1)[:, 0] / (2 * STEP)
        np.testing.assert_allclose(model.gravity, slope, atol=1e-5)


def test_mass_matrix_is_symmetric_and_positive_and_carries_the_armature(model, setup, random_q):
    for _ in range(20):
        model.update(random_q(), np.zeros(7))
        M = model.mass_matrix()
        np.testing.assert_array_equal(M, M.T)
        assert np.linalg.eigvalsh(M).min() > 0.9 * min(setup.robot.armature_kg_m2)


def test_a_broken_urdf_is_named_with_the_parsers_words(setup, tmp_path):
    path = tmp_path / "broken.urdf"
    path.write_text("<robot name='x'><link name='a'>")
    with pytest.raises(ConfigError, match=r"broken\.urdf: not a usable URDF"):
        ArmModel(replace(setup, urdf_path=path))


def test_a_missing_tool_frame_lists_the_frames_there_are(setup):
    robot = replace(setup.robot, ee_frame="fr3_tpc")
    with pytest.raises(ConfigError, match="did you mean 'fr3_tcp'"):
        ArmModel(replace(setup, robot=robot))
