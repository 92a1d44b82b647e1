"""A robot derived from a URDF can be loaded, held and moved; what cannot be one is told so."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import arms
import numpy as np
import pinocchio as pin
import pytest
import yaml
from described_arm import DescribedArm

from il_control.config import ControlConfig
from il_control.describe import Description, describe
from il_control.describe.body import Body
from il_control.describe.shapes import fit, from_inertia
from il_control.describe.tree import Tree, find_arm
from il_control.model import ArmModel
from il_core.config import Setup, load_robot, load_setup, load_yaml
from il_core.errors import ConfigError
from il_core.spec import Interface

FINGERS = (
    arms.link("left_finger")
    + arms.link("right_finger")
    + arms.joint("finger_a", "link6", "left_finger", kind="prismatic",
                 inside='<limit lower="0" upper="0.04" effort="20" velocity="0.1"/>')
    + arms.joint("finger_b", "link6", "right_finger", "0 -1 0", kind="prismatic",
                 inside='<limit lower="0" upper="0.04" effort="20" velocity="0.1"/>')
)  # fmt: skip


def made(tmp_path: Path, text: str, **options: object) -> Description:
    path = tmp_path / "arm.urdf"
    path.write_text(text)
    return describe(path, **options)  # type: ignore[arg-type]


def written(tmp_path: Path, description: Description) -> Setup:
    for path, text in description.files(tmp_path / "robot").items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    robot, path = load_robot(str(tmp_path / "robot" / f"{description.name}.yaml"))
    return Setup(robot, load_setup("pick_place").task, path.parent / robot.urdf, path.parent / robot.srdf, "")


def settings(tmp_path: Path, description: Description) -> ControlConfig:
    return load_yaml(tmp_path / "control" / f"{description.name}.yaml", ControlConfig)


def test_the_files_of_a_made_up_arm_load_and_its_limits_keep_the_urdfs(tmp_path):
    description = made(tmp_path, arms.urdf(arms.chain(6)), name="six")
    setup = written(tmp_path, description)
    robot = setup.robot
    assert robot.joint_names == tuple(f"joint{k}" for k in range(1, 7))
    assert robot.ee_frame == "tool0"
    assert robot.gripper_joint == ""
    assert min(robot.q_min_rad) >= -2.0 + 0.0499
    assert max(robot.q_max_rad) <= 2.0 - 0.0499
    assert max(robot.v_max_rad_s) <= 2.0
    assert max(robot.tau_max_nm) <= 200.0
    assert len(robot.a_max_rad_s2) == 6
    assert len(settings(tmp_path, description).joint_stiffness_nm_rad) == 6
    assert ArmModel(setup).nq == 6


def test_the_new_urdf_moves_like_the_old_one(tmp_path):
    text = arms.urdf(arms.chain(6), FINGERS)
    old = pin.buildModelFromXML(text)
    setup = written(tmp_path, made(tmp_path, text, name="six"))
    new = pin.buildModelFromUrdf(str(setup.urdf_path))
    rng = np.random.default_rng(0)
    for _ in range(5):
        q, v = rng.uniform(-1, 1, old.nq), rng.uniform(-1, 1, old.nv)
        other = np.zeros(new.nq)
        rate = np.zeros(new.nv)
        for name in list(old.names)[1:]:
            at = new.joints[new.getJointId(name)].idx_q
            other[at], rate[at] = (x[old.joints[old.getJointId(name)].idx_q] for x in (q, v))
        tau = pin.nonLinearEffects(old, old.createData(), q, v)
        tau_new = pin.nonLinearEffects(new, new.createData(), other, rate)
        np.testing.assert_allclose(np.sort(tau_new), np.sort(tau), atol=1e-6)


def test_two_equal_fingers_are_one_gripper(tmp_path):
    setup = written(tmp_path, made(tmp_path, arms.urdf(arms.chain(6), FINGERS), name="six"))
    assert setup.robot.gripper_joint == "finger_a"
    assert (setup.robot.gripper_closed_m, setup.robot.gripper_open_m) == (0.0, 0.04)
    mimic = ET.parse(setup.urdf_path).getroot().find("joint[@name='finger_b']/mimic")
    assert mimic is not None
    assert mimic.get("joint") == "finger_a"


def test_a_joint_that_turns_for_ever_gets_limits_and_a_warning(tmp_path):
    text = arms.urdf(arms.chain(6)).replace('name="joint6" type="revolute"', 'name="joint6" type="continuous"')
    description = made(tmp_path, text, name="six")
    robot = written(tmp_path, description).robot
    assert robot.q_max_rad[5] == pytest.approx(2 * np.pi - 0.05, abs=1e-3)
    assert any("no position limit for joint6" in w for w in description.warnings)


def test_missing_torque_limits_carry_the_arm_twice(tmp_path):
    text = arms.urdf(arms.chain(6)).replace(' effort="200"', ' effort="0"')
    description = made(tmp_path, text, name="six")
    setup = written(tmp_path, description)
    model = ArmModel(setup)
    assert any("no torque limit for joint1" in w for w in description.warnings)
    rng = np.random.default_rng(3)
    for q in rng.uniform(setup.robot.q_min_rad, setup.robot.q_max_rad, (100, 6)):
        model.update(q, np.zeros(6))
        assert np.all(np.abs(model.gravity) < setup.robot.tau_max_nm)


def test_an_arm_too_weak_for_its_weight_is_told(tmp_path):
    description = made(tmp_path, arms.urdf(arms.chain(6)).replace('effort="200"', 'effort="40"'), name="six")
    assert any(
        w.startswith("cannot carry its own weight in every posture: joint2 (36 of") for w in description.warnings
    )


def test_joints_that_are_not_the_arms_are_fixed_and_named(tmp_path):
    head = arms.link("head") + arms.joint("neck", "torso", "head")
    torso = arms.link("torso") + arms.joint("lift", "root", "torso", "0 0 1", kind="prismatic",
        inside='<limit lower="0.1" upper="0.4" effort="900" velocity="0.1"/>')  # fmt: skip
    description = made(tmp_path, arms.urdf(torso, head, arms.chain(6, root="torso")), name="torso")
    assert description.joint_names == tuple(f"joint{k}" for k in range(1, 7))
    root = ET.fromstring(description.urdf)
    lift = root.find("joint[@name='lift']")
    assert lift is not None
    assert lift.get("type") == "fixed"
    assert lift.find("origin").get("xyz").split()[2] == "0.4"  # type: ignore[union-attr] # 0.3 and its lower limit
    assert any("joint 'lift' is not part of the arm: fixed at 0.1" in w for w in description.warnings)


def test_names_taken_twice_and_a_second_base_are_resolved(tmp_path):
    text = arms.urdf(arms.chain(6)).replace('"link6"', '"joint6"').replace('"link1"', '"base"')
    setup = written(tmp_path, made(tmp_path, text, name="six"))
    names = [e.get("name") for e in ET.parse(setup.urdf_path).getroot().iter("link")]
    assert names.count("base") == 1
    assert {"base_frame", "joint6_link"} <= set(names)
    assert ArmModel(setup).nq == 6


def test_one_of_two_arms_is_chosen_by_its_tool(tmp_path):
    text = arms.urdf(arms.chain(6, "l_"), arms.chain(6, "r_"))
    with pytest.raises(
        ConfigError, match=r"2 chains of 6 joints may be the arm; choose one: --ee-frame l_tool0.*r_tool0"
    ):
        made(tmp_path, text)
    assert made(tmp_path, text, ee_frame="r_tool0").joint_names[0] == "r_joint1"


def test_the_interface_is_written(tmp_path):
    description = made(tmp_path, arms.urdf(arms.chain(6)), name="six", interface=Interface.POSITION)
    assert written(tmp_path, description).robot.interface is Interface.POSITION


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<robot", "not readable as URDF"),
        ("<model/>", "its root is <model>, not <robot>; expand xacro first"),
        ("<robot name='x'/>", "needs one root link, has 0"),
        (arms.urdf(), "no joint of this robot moves"),
        (arms.urdf(arms.joint("j", "root", "nowhere")), "joint 'j' has no child link 'nowhere'"),
        (arms.urdf(arms.chain(6)).replace(arms.INERTIAL, ""), "link 'link1' moves but has no mass and inertia"),
        (arms.urdf(arms.chain(6)).replace('lower="-2"', 'lower="x"'), "limit is not a number"),
    ],
)
def test_what_is_no_arm_is_told_so_in_a_sentence(tmp_path, text, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        made(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_frames_joints_and_names_that_do_not_exist_are_told(tmp_path):
    text = arms.urdf(arms.chain(6))
    with pytest.raises(ConfigError, match="no frame 'tool'; did you mean 'tool0'"):
        made(tmp_path, text, ee_frame="tool")
    with pytest.raises(ConfigError, match="no moving joint 'finger' behind the arm"):
        made(tmp_path, text, gripper_joint="finger")
    with pytest.raises(ConfigError, match="frame 'root' does not move"):
        made(tmp_path, text, ee_frame="root")
    with pytest.raises(ConfigError, match="use small letters"):
        made(tmp_path, text, name="My Arm")
    with pytest.raises(ConfigError, match="no such file"):
        describe(tmp_path / "absent.urdf")


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_made_up_arms_stay_still_and_settle(tmp_path, n):
    description = made(tmp_path, arms.urdf(arms.chain(n)), name="arm")
    arm = DescribedArm(written(tmp_path, description), settings(tmp_path, description))
    arm.assert_sound()


@pytest.mark.parametrize("seed", range(5))
def test_fitted_shapes_enclose_their_points(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(400, 3)) * [0.02, 0.05, 0.2] @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    shapes = fit(points)
    assert 1 <= len(shapes) <= 3
    inside = np.zeros(len(points), dtype=bool)
    for shape in shapes:
        T = shape.T_link_shape
        local = (points - T[:3, 3]) @ T[:3, :3]
        if shape.kind == "box":
            inside |= (np.abs(local) <= np.array(shape.size) / 2 + 1e-9).all(axis=1)
        elif shape.kind == "sphere":
            inside |= np.linalg.norm(local, axis=1) <= shape.size[0] + 1e-9
        else:
            radius, length = shape.size
            in_height = np.abs(local[:, 2]) <= length / 2 + 1e-9
            inside |= (np.linalg.norm(local[:, :2], axis=1) <= radius + 1e-9) & in_height
    assert inside.all()


def test_an_l_of_two_bars_needs_less_than_the_box_around_it():
    rng = np.random.default_rng(0)
    bars = [rng.uniform([0, 0, 0], [0.4, 0.05, 0.05], (300, 3)), rng.uniform([0, 0, 0], [0.05, 0.4, 0.05], (300, 3))]
    points = np.vstack(bars)
    assert sum(s.volume for s in fit(points)) < 0.75 * np.prod(np.ptp(points, axis=0))


def test_the_box_of_an_inertia_has_that_inertia():
    edges, mass = np.array([0.1, 0.2, 0.3]), 2.0
    squares = edges**2
    inertia = np.diag(mass / 12.0 * (squares.sum() - squares))
    assert sorted(from_inertia(mass, inertia, np.eye(4)).size) == pytest.approx(sorted(edges))


def test_disabled_pairs_are_few_and_the_rest_is_free_at_home(tmp_path):
    setup = written(tmp_path, made(tmp_path, arms.urdf(arms.chain(6)), name="six"))
    tree = Tree(setup.urdf_path)
    body = Body(setup.urdf_path, find_arm(tree), "tool0")
    pairs = body.disable()
    assert body.is_free(np.array(setup.robot.q_home_rad))
    assert {p.reason for p in pairs} <= {"Adjacent", "Always", "Coarse"}
    folded = np.array([0.0, 1.95, 1.95, 0.0, 1.95, 0.0])  # the hand reaches back to the base
    assert not all(body.is_free(folded * s) for s in (1.0, 0.95, 0.9, 0.85))


def test_every_value_of_the_yaml_has_its_reason_above_it(tmp_path):
    lines = made(tmp_path, arms.urdf(arms.chain(6)), name="six").robot.splitlines()
    for key in ("q_min_rad", "v_max_rad_s", "a_max_rad_s2", "tau_max_nm", "tau_rate_max_nm_s", "armature_kg_m2"):
        at = next(i for i, line in enumerate(lines) if line.startswith(key))
        assert lines[at - 1].startswith("# ")
    assert yaml.safe_load("\n".join(lines))["name"] == "six"


def test_the_gains_come_with_a_safety_section_that_says_what_it_leaves_open(tmp_path):
    described = made(tmp_path, arms.urdf(arms.chain(6)), interface=Interface.POSITION)
    file = tmp_path / "made.yaml"
    file.write_text(described.control)
    config = load_yaml(file, ControlConfig)
    assert config.safety.tool_speed_max_m_s == pytest.approx(1.5 * config.speed_max_m_s)
    assert not config.safety.is_contact_force_stated  # nobody's risk assessment is in a URDF
    assert config.rate_hz == 100
    # What is offered behind a # can be taken as it is.
    head, section = described.control.split("safety:\n")
    offered = re.sub(r"^  # (?=  |- |[a-z_]+_m: \[|obstacles:)", "  ", section, flags=re.MULTILINE)
    file.write_text(head + "safety:\n" + offered.replace("check_collisions: false", "check_collisions: true"))
    safety = load_yaml(file, ControlConfig).safety
    assert safety.obstacles[0].name == "table"
    assert safety.workspace_max_m == (0.5, 0.5, 0.8)
