"""The frames of a robot: one tree without gaps, equal to the control model, fingers and cameras included."""

from __future__ import annotations

import numpy as np
import pytest

from il_control.describe.tree import Tree
from il_control.description import Description, describe_setup, optical_frame
from il_control.model import ArmModel
from il_core.config import config_dir, load_robot
from il_core.errors import ConfigError, ShapeError

ROBOTS = sorted(p.stem for p in (config_dir() / "robot").glob("*.yaml"))


def described(name):
    robot, path = load_robot(name)
    return robot, Description(robot, path.parent / robot.urdf), Tree(path.parent / robot.urdf)


def chained(description, q, opening):
    """Pose of every frame in base, from the transforms a listener of TF would get."""
    T = {description.base: np.eye(4)}
    edges = [*description.static, *description.moving(q, opening)]
    for _ in edges:  # each round places at least one more
        for edge in edges:
            if edge.parent in T and edge.child not in T:
                T[edge.child] = T[edge.parent] @ edge.T_parent_child
    return T


@pytest.mark.parametrize("name", ROBOTS)
def test_the_transforms_are_one_tree_over_all_links_and_cameras(name):
    robot, description, _ = described(name)
    q = np.array(robot.q_home_rad)
    children = [p.child for p in (*description.static, *description.moving(q, 0.5))]
    assert len(children) == len(set(children))  # a frame with two parents tears TF apart
    T = chained(description, q, 0.5)
    assert set(T) == {*description.links, *(optical_frame(c.name) for c in robot.cameras)}
    for link, T_base_link in description.poses(q, 0.5).items():
        np.testing.assert_allclose(T[link], T_base_link, atol=1e-12)


def test_the_tool_is_where_the_controller_says_it_is(setup, random_q):
    description, model = describe_setup(setup), ArmModel(setup)
    for _ in range(20):
        q = random_q()
        model.update(q, np.zeros(7))
        poses = description.poses(q, 0.3)
        np.testing.assert_allclose(poses["fr3_tcp"], model.T_base_ee, atol=1e-12)
        wrist = description.camera_poses(poses)["wrist"]
        np.testing.assert_allclose(wrist, model.T_base_ee @ setup.robot.camera("wrist").T_mount_optical, atol=1e-12)


@pytest.mark.parametrize("opening", [0.0, 0.25, 1.0])
def test_both_fingers_follow_the_opening_though_only_one_is_told(setup, opening):
    poses = describe_setup(setup).poses(np.array(setup.robot.q_home_rad), opening)
    apart = np.linalg.norm(poses["fr3_leftfinger"][:3, 3] - poses["fr3_rightfinger"][:3, 3])
    assert apart == pytest.approx(2 * 0.04 * opening, abs=1e-12)


def test_every_link_with_a_visible_primitive_has_a_shape_of_that_size(setup):
    description = describe_setup(setup)
    hand = [s for s in description.shapes if s.link == "fr3_hand"]
    assert [(s.kind, s.size_m) for s in hand] == [("box", (0.05, 0.2, 0.06))]
    np.testing.assert_allclose(hand[0].T_link_shape[:3, 3], [0.0, 0.0, 0.03])
    assert hand[0].rgba == (0.92, 0.92, 0.93, 1.0)
    assert {s.link for s in description.shapes} <= set(description.links)


def test_joints_nobody_tells_of_are_named(tmp_path, setup):
    text = setup.urdf_path.read_text().replace('<mimic joint="fr3_finger_joint1" multiplier="1" offset="0"/>', "")
    path = tmp_path / "loose.urdf"
    path.write_text(text)
    assert Description(setup.robot, path).unknown_joints == ("fr3_finger_joint2",)
    assert describe_setup(setup).unknown_joints == ()


def test_what_does_not_fit_is_refused_in_words(tmp_path, setup):
    with pytest.raises(ShapeError, match=r"q: expected shape \(7,\), got \(6,\)"):
        describe_setup(setup).poses(np.zeros(6), 1.0)
    path = tmp_path / "other.urdf"
    path.write_text(setup.urdf_path.read_text().replace("fr3_joint3", "elbow"))
    with pytest.raises(ConfigError, match="no joint 'fr3_joint3'; it has fr3_base_joint"):
        Description(setup.robot, path)


@pytest.mark.parametrize("name", ROBOTS)
def test_no_limit_in_use_is_wider_than_the_urdf_says(name):
    robot, _, tree = described(name)
    for k, joint in enumerate(tree.joints[n] for n in robot.joint_names):
        if joint.is_limited:
            assert joint.lower <= robot.q_min_rad[k] < robot.q_max_rad[k] <= joint.upper, joint.name
        assert robot.v_max_rad_s[k] <= joint.velocity, joint.name
        assert robot.tau_max_nm[k] <= joint.effort, joint.name
    if robot.gripper_joint:
        gripper = tree.joints[robot.gripper_joint]
        for end in (robot.gripper_closed_m, robot.gripper_open_m):
            assert gripper.lower <= end <= gripper.upper
