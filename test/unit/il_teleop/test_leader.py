"""A leader arm: its joints and back, its calibration, and its way to a tool pose."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from il_core.config import config_dir, from_mapping, load_setup, load_yaml
from il_core.errors import ConfigError, DeviceError, ShapeError
from il_teleop.devices.leader import LeaderGripper, LeaderJoint, LeaderLayout, LeaderMap
from il_teleop.kinematics import Chain, chain_of
from il_teleop.leader_calibration import calibrate, layout_text

ARM = ("a", "b", "c")
LAYOUT = LeaderLayout(
    {"c": LeaderJoint("m3", 1.0, 0.5, 2.0), "a": LeaderJoint("m1", -1.0, 0.1), "b": LeaderJoint("m2", 1.0, -3.0)},
    LeaderGripper("trigger", closed=0.8, open=-0.2),
)


def test_signs_offsets_scales_and_order_are_undone_by_the_inverse(rng):
    joints = LeaderMap(LAYOUT, ARM)
    for _ in range(100):
        q = rng.uniform(-3, 3, 3)
        np.testing.assert_allclose(joints.arm_from_leader(joints.leader_from_arm(q)), q, atol=1e-12)
    np.testing.assert_allclose(joints.arm_from_leader(np.array([1.0, 2.0, 0.25])), [-0.9, -1.0, 1.0])


def test_joints_are_found_by_name_in_any_order_among_others():
    joints = LeaderMap(LAYOUT, ARM)
    q, opening = joints.read(["m2", "x", "trigger", "m3", "m1"], [2.0, 9.0, -0.2, 0.25, 1.0])
    np.testing.assert_allclose(q, [-0.9, -1.0, 1.0])
    assert opening == 1.0
    assert joints.read(["m1", "m2", "m3", "trigger"], [0.0, 0.0, 0.0, 0.3])[1] == pytest.approx(0.5)
    assert joints.read(["m1", "m2", "m3", "trigger"], [0.0, 0.0, 0.0, 99.0])[1] == 0.0


@pytest.mark.parametrize(
    "names, positions, message",
    [
        (["m1", "m2", "trigger"], [0.0] * 3, r"no joint \['m3'\], it has .*leader.yaml"),
        (["m1", "m2", "m3", "trigger"], [0.0] * 3, "3 positions for 4 joints"),
        (["m1", "m2", "m3", "trigger"], [0.0, float("nan"), 0.0, 0.0], "no number; check its cables"),
    ],
)
def test_messages_that_cannot_be_used_are_refused_in_words(names, positions, message):
    with pytest.raises(DeviceError, match=message):
        LeaderMap(LAYOUT, ARM).read(names, positions)


def test_a_leader_for_another_arm_is_refused_with_what_is_missing():
    with pytest.raises(ConfigError, match=r"lacks \['d'\] and has unknown \['c'\]; run `il teleop calibrate-leader`"):
        LeaderMap(LAYOUT, ("a", "b", "d"))


@pytest.mark.parametrize("values", [{"sign": 0.5}, {"scale": 0.0}])
def test_joints_that_could_not_be_undone_are_refused(values):
    with pytest.raises(ConfigError, match="sign 1 or -1 and scale > 0"):
        LeaderJoint("m", **values)


def test_calibration_finds_signs_and_offsets_whole_turns_apart(rng):
    q_arm = rng.uniform(-1.5, 1.5, (4, 7))
    sign, offset = rng.choice([-1.0, 1.0], 7), rng.uniform(-3, 3, 7)
    turns = 2 * np.pi * rng.integers(-1, 2, (4, 7))  # encoders that count whole turns
    q_leader = sign * (q_arm - offset) + turns + rng.normal(0, 0.02, (4, 7))
    names = [f"m{k}" for k in range(7)]
    arm = [f"j{k}" for k in range(7)]
    layout, residuals = calibrate(q_leader, q_arm, names, arm, LeaderGripper())
    assert [layout.joints[n].sign for n in arm] == list(sign)
    np.testing.assert_allclose([layout.joints[n].offset_rad for n in arm], offset, atol=0.05)
    assert residuals.max() < 0.06
    read_back = LeaderMap(layout, arm).arm_from_leader(q_leader - turns)
    np.testing.assert_allclose(np.mod(read_back - q_arm + np.pi, 2 * np.pi) - np.pi, 0.0, atol=0.1)


def test_calibration_refuses_what_it_cannot_know(rng):
    q = rng.uniform(-1, 1, (3, 2))
    names = (["m1", "m2"], ["a", "b"], LeaderGripper())
    with pytest.raises(DeviceError, match="one posture tells no sign"):
        calibrate(q[:1], q[:1], *names)
    still = q.copy()
    still[:, 1] = 0.3
    with pytest.raises(DeviceError, match="b moved less than 0.2 rad"):
        calibrate(still, still, *names)
    swapped = np.array([[0.0, 0.0], [1.0, -0.3], [0.2, 1.4]])
    with pytest.raises(DeviceError, match="postures of leader and arm do not match in a .*, b "):
        calibrate(swapped[:, ::-1], swapped, *names)
    with pytest.raises(ShapeError, match="leader postures"):
        calibrate(q[:, :1], q, *names)


def test_a_written_calibration_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "leader.yaml"
    path.write_text(layout_text(LAYOUT, np.array([0.01, 0.02, 0.03])))
    assert load_yaml(path, LeaderLayout) == LAYOUT


def test_the_shipped_leader_fits_the_shipped_arm():
    layout = load_yaml(config_dir() / "teleop" / "leader.yaml", LeaderLayout)
    names = load_setup("pick_place").robot.joint_names
    q = np.arange(7.0)
    np.testing.assert_array_equal(LeaderMap(layout, names).arm_from_leader(q), q)


def test_a_trigger_without_a_way_is_refused():
    with pytest.raises(ConfigError, match="closed and open must differ"):
        from_mapping(LeaderGripper, yaml.safe_load("{name: t, closed: 1.0, open: 1.0}"), "test")


def test_a_chain_with_an_unknown_joint_or_link_is_refused():
    setup = load_setup("pick_place")
    with pytest.raises(ConfigError, match="no link 'nose'"):
        Chain(setup.urdf_path, setup.robot.joint_names, "nose")
    with pytest.raises(ConfigError, match="joint 'fr3_joint7' moves and is not one of"):
        Chain(setup.urdf_path, setup.robot.joint_names[:6], setup.robot.ee_frame)
    with pytest.raises(ShapeError, match="q"):
        chain_of(setup).pose(np.zeros(3))


def test_a_chain_computed_by_hand(tmp_path):
    urdf = tmp_path / "two.urdf"
    urdf.write_text(
        """<robot name="two"><link name="base"/><link name="up"/><link name="out"/><link name="tip"/>
        <joint name="turn" type="revolute"><parent link="base"/><child link="up"/>
          <origin xyz="0 0 1"/><axis xyz="0 0 2"/></joint>
        <joint name="slide" type="prismatic"><parent link="up"/><child link="out"/>
          <origin xyz="1 0 0" rpy="0 1.5707963267948966 0"/><axis xyz="0 0 1"/></joint>
        <joint name="end" type="fixed"><parent link="out"/><child link="tip"/><origin xyz="0 0 0.5"/></joint></robot>"""
    )
    T = Chain(urdf, ["slide", "turn"], "tip").pose(np.array([0.25, np.pi / 2]))
    np.testing.assert_allclose(T[:3, 3], [0.0, 1.75, 1.0], atol=1e-12)
    np.testing.assert_allclose(T[:3, :3] @ [0, 0, 1], [0, 1, 0], atol=1e-12)
