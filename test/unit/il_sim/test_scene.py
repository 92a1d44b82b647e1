"""What cannot be simulated is said with the name of the file; what is simulated has the right parts."""

import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from il_core.config import config_dir, load_setup
from il_core.errors import ConfigError
from il_sim.scene import R_OPTICAL_MUJOCO, build_model
from il_sim.tasks import make_task


def setup_with(tmp_path, *, urdf=None, srdf=None):
    setup = load_setup("pick_place")
    for name in ("fr3.urdf", "fr3.srdf"):
        shutil.copy(config_dir() / "robot" / name, tmp_path / name)
    if urdf is not None:
        (tmp_path / "fr3.urdf").write_text(urdf((tmp_path / "fr3.urdf").read_text()))
    if srdf is not None:
        (tmp_path / "fr3.srdf").write_text(srdf((tmp_path / "fr3.srdf").read_text()))
    return replace(setup, urdf_path=tmp_path / "fr3.urdf", srdf_path=tmp_path / "fr3.srdf")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda text: text[: len(text) // 2], "fr3.urdf"),
        (lambda text: text.replace("fr3_joint3", "elbow"), "fr3.urdf: no joint 'fr3_joint3'"),
        (lambda text: text.replace("fr3_tcp", "pen"), "fr3.urdf: no link 'fr3_tcp'"),
    ],
)
def test_a_broken_robot_description_names_the_file(tmp_path, broken, words):
    setup = setup_with(tmp_path, urdf=broken)
    with pytest.raises(ConfigError, match=words):
        build_model(setup, make_task("pick_place"))


def test_broken_collision_pairs_name_the_file(tmp_path):
    setup = setup_with(tmp_path, srdf=lambda text: text[:200])
    with pytest.raises(ConfigError, match="fr3.srdf: not a usable SRDF"):
        build_model(setup, make_task("pick_place"))


def test_an_unknown_task_suggests_the_one_meant():
    with pytest.raises(ConfigError, match="did you mean 'pick_place'"):
        make_task("pick_plaice")


def test_cameras_stand_where_the_robots_file_says():
    import mujoco

    from il_core.geometry import pose

    setup = load_setup("pick_place")
    model = build_model(setup, make_task("pick_place"))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    site = data.site(setup.robot.ee_frame)
    mounts = {"base": np.eye(4), "ee": pose(site.xpos, site.xmat.reshape(3, 3))}
    for camera in setup.robot.cameras:
        expected = mounts[camera.mount.value] @ camera.T_mount_optical
        seen = data.camera(camera.name)
        np.testing.assert_allclose(seen.xpos, expected[:3, 3], atol=1e-9)
        np.testing.assert_allclose(seen.xmat.reshape(3, 3), expected[:3, :3] @ R_OPTICAL_MUJOCO, atol=1e-9)


def test_links_that_are_said_never_to_meet_never_do():
    import mujoco

    setup = load_setup("pick_place")
    model = build_model(setup, make_task("pick_place"))
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    links = [model.body(b).name for b in model.geom_bodyid]
    pairs = {
        frozenset((pair.get("link1"), pair.get("link2")))
        for pair in ET.parse(setup.srdf_path).getroot().iter("disable_collisions")
        if pair.get("reason") == "Never"
    }
    n = len(links)
    tested = [(i, j) for i in range(n) for j in range(i + 1, n) if frozenset((links[i], links[j])) in pairs]
    assert len(tested) > 20
    joints = [model.joint(name).qposadr[0] for name in setup.robot.joint_names]
    for _ in range(1000):
        data.qpos[joints] = rng.uniform(setup.robot.q_min_rad, setup.robot.q_max_rad)
        mujoco.mj_kinematics(model, data)
        for i, j in tested:
            assert mujoco.mj_geomDistance(model, data, i, j, 0.1, None) > 0.0, (links[i], links[j])
