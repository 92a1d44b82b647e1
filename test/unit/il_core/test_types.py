"""The nouns refuse what is malformed, cannot be changed, and plans interpolate by time."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from il_core.errors import NonFiniteError, PlanRangeError, ShapeError
from il_core.geometry import matrix_from_rotvec, pose
from il_core.types import (
    ActionChunk,
    ArmCommand,
    ArmState,
    CameraFrame,
    EePose,
    Episode,
    Intrinsics,
    Observation,
    Outcome,
)

T0, DT = 1_000_000_000, 100_000_000
OPTICS = Intrinsics(4, 3, 2.0, 2.0, 1.5, 1.0)


def test_arrays_are_copied_and_cannot_be_changed():
    q = np.zeros(2)
    state = ArmState(T0, q, q, q, 0.5)
    q[0] = 9.0
    assert state.q[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        state.q[0] = 1.0
    with pytest.raises(FrozenInstanceError):
        state.gripper = 0.0


def test_arm_state_refuses_unequal_lengths_nan_and_units_of_metres():
    with pytest.raises(ShapeError, match=r"ArmState.v, tau: expected shape \(2,\)"):
        ArmState(T0, [0, 0], [0], [0, 0], 0.5)
    with pytest.raises(NonFiniteError, match="ArmState.tau: first non-finite value at flat index 1"):
        ArmState(T0, [0, 0], [0, 0], [0, np.nan], 0.5)
    with pytest.raises(ShapeError, match="1-D and non-empty"):
        ArmState(T0, [], [], [], 0.5)
    with pytest.raises(ValueError, match=r"gripper must be in \[0, 1\], got 40"):
        ArmState(T0, [0], [0], [0], 40.0)


def test_poses_must_be_rigid():
    with pytest.raises(ShapeError, match=r"EePose.T_base_ee: expected shape \(..., 4, 4\)"):
        EePose(T0, np.eye(3))
    stretched = np.diag([1.0, 1.1, 1.0, 1.0])
    with pytest.raises(ValueError, match="rotation is not orthonormal"):
        EePose(T0, stretched)
    with pytest.raises(ValueError, match=r"gripper_des must be in \[0, 1\]"):
        ArmCommand(T0, np.eye(4), 1.2)


def test_pictures_must_fit_their_intrinsics():
    rgb, depth = np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), np.float32)
    frame = CameraFrame(T0, "eye", rgb, depth, OPTICS)
    assert not frame.rgb.flags.writeable
    with pytest.raises(ShapeError, match=r"eye.rgb: expected shape \(3, 4, 3\) uint8"):
        CameraFrame(T0, "eye", np.zeros((4, 3, 3), np.uint8), depth, OPTICS)
    with pytest.raises(ShapeError, match=r"eye.depth_m: expected shape \(3, 4\) float32"):
        CameraFrame(T0, "eye", rgb, np.zeros((3, 4)), OPTICS)


def joint_chunk(**changes):
    values = {"start_ns": T0, "dt_ns": DT, "obs_ns": T0 - DT, "q_des": [[0.0, 0.0], [1.0, 2.0], [3.0, 2.0]]}
    return ActionChunk(**{**values, **changes})


def test_a_plan_passes_its_rows_and_is_linear_between_them():
    chunk = joint_chunk(gripper_des=[0.0, 1.0, 1.0])
    assert (chunk.horizon, chunk.end_ns) == (3, T0 + 2 * DT)
    for k in range(3):
        assert np.array_equal(chunk.at(T0 + k * DT), chunk.q_des[k])
    assert np.allclose(chunk.at(T0 + DT // 4), [0.25, 0.5])  # a quarter of a 0.1 s step, not of a second
    assert chunk.gripper_at(T0 + DT // 4) == pytest.approx(0.25)
    assert joint_chunk().gripper_at(T0) is None


def test_a_plan_turns_along_the_geodesic():
    T = np.array([pose([0, 0, 0]), pose([1, 0, 0], matrix_from_rotvec([0, 0, 1.0]))])
    half = ActionChunk(T0, DT, T0, T_base_ee_des=T).at(T0 + DT // 2)
    assert np.allclose(half, pose([0.5, 0, 0], matrix_from_rotvec([0, 0, 0.5])))


@pytest.mark.parametrize(("t", "text"), [(T0 - 1, "0.0 ms before it starts"), (T0 + 3 * DT, "100.0 ms after it ends")])
def test_a_plan_is_not_extrapolated(t, text):
    with pytest.raises(PlanRangeError, match=f"plan sampled {text}; the caller must hold"):
        joint_chunk().at(t)


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="exactly one of q_des and T_base_ee_des"):
        joint_chunk(T_base_ee_des=np.eye(4)[None])
    with pytest.raises(ValueError, match="exactly one"):
        joint_chunk(q_des=None)
    with pytest.raises(ValueError, match="dt_ns must be positive, got 0"):
        joint_chunk(dt_ns=0)
    with pytest.raises(ShapeError, match=r"gripper_des: expected shape \(3,\), got \(2,\)"):
        joint_chunk(gripper_des=[0.0, 1.0])
    with pytest.raises(ShapeError, match=r"T_base_ee_des: expected shape \(H, 4, 4\)"):
        joint_chunk(q_des=None, T_base_ee_des=np.eye(4))
    with pytest.raises(NonFiniteError, match="q_des: first non-finite value at flat index 0"):
        joint_chunk(q_des=[[np.inf, 0.0]])


def test_an_episode_has_one_action_per_observation():
    o = Observation(T0, np.eye(4), None, {}, {"ee_pose": 0})
    Episode("e", (o, o), np.tile(np.eye(4), (2, 1, 1)), np.zeros(2), Outcome.SUCCESS, 10)
    with pytest.raises(ShapeError, match="Episode e actions: expected shape 2 rows"):
        Episode("e", (o, o), np.eye(4)[None], np.zeros(1), Outcome.SUCCESS, 10)
