"""Frames of a camera driver in those of the robot: one parent each, both optical frames in one place."""

from __future__ import annotations

import numpy as np

from il_control.camera_frames import joined
from il_control.description import Placed
from il_core.geometry import matrix_from_rotvec, pose

OURS, ROBOT = "camera_front_optical", {"base", "tool", "camera_front_optical", "camera_wrist_optical"}
T_ROOT_BODY = pose([0.1, 0.0, 0.02], matrix_from_rotvec(np.array([0.0, 0.2, 0.0])))
T_BODY_OPTICAL = pose([0.0, 0.01, 0.0], matrix_from_rotvec(np.array([-1.2, 1.2, -1.2])))
DRIVER = {
    "front_left": Placed("front_root", "front_left", T_ROOT_BODY),
    "front_optical": Placed("front_left", "front_optical", T_BODY_OPTICAL),
}


def test_the_root_of_a_drivers_frames_is_placed_so_that_both_optical_frames_agree():
    placed = joined(OURS, "front_optical", DRIVER, ROBOT)
    assert (placed.parent, placed.child) == (OURS, "front_root")
    np.testing.assert_allclose(placed.T_parent_child @ T_ROOT_BODY @ T_BODY_OPTICAL, np.eye(4), atol=1e-12)


def test_a_frame_the_driver_says_nothing_of_is_ours_itself():
    placed = joined(OURS, "front_optical", {}, ROBOT)
    assert (placed.parent, placed.child) == (OURS, "front_optical")
    np.testing.assert_array_equal(placed.T_parent_child, np.eye(4))


def test_frames_that_are_in_place_already_are_left_alone():
    assert joined(OURS, OURS, DRIVER, ROBOT) is None
    by_hand = {**DRIVER, "front_root": Placed("tool", "front_root", np.eye(4))}
    assert joined(OURS, "front_optical", by_hand, ROBOT) is None
    circle = {**DRIVER, "front_root": Placed("front_optical", "front_root", np.eye(4))}
    assert joined(OURS, "front_optical", circle, ROBOT) is None
