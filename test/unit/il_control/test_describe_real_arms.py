"""Robots out of the package example-robot-data, and those in config/robot: derived or shipped, all are sound.

The package is large (130 MB) and no dependency: `pip install example-robot-data`, or point
EXAMPLE_ROBOT_DATA at its folder ``robots``.
"""

from __future__ import annotations

import os
import site
from dataclasses import replace
from pathlib import Path

import pytest
from described_arm import DescribedArm

from il_control.config import ControlConfig, load_control_config
from il_control.describe import describe
from il_core.config import Setup, config_dir, load_robot, load_setup, load_yaml

SHARE = "cmeel.prefix/share/example-robot-data/robots"
ARMS = {  # file below the package's folder, tool that says which arm is meant, joints
    "panda_description/urdf/panda.urdf": ("", 7),
    "panda_description/urdf/panda_collision.urdf": ("", 7),
    "ur_description/urdf/ur3_robot.urdf": ("", 6),
    "ur_description/urdf/ur5_robot.urdf": ("", 6),
    "ur_description/urdf/ur10_robot.urdf": ("", 6),
    "kinova_description/robots/kinova.urdf": ("", 6),
    "xarm_description/urdf/xarm7.urdf": ("", 7),
    "so_arm_description/urdf/so100.urdf": ("", 5),
    "so_arm_description/urdf/so101.urdf": ("", 5),
    "z1_description/urdf/z1.urdf": ("", 6),
    "tiago_description/robots/tiago.urdf": ("", 7),
    "talos_data/robots/talos_full_v2.urdf": ("wrist_left_ft_tool_link", 7),
    "baxter_description/urdf/baxter.urdf": ("left_wrist", 7),
}
# The FR3's gains are for smooth targets: a bare step of 0.05 rad overshoots by 22 %.
SHIPPED = sorted({p.stem for p in (config_dir() / "robot").glob("*.yaml")} - {"fr3", "fr3_ft"})


def example_robots() -> Path | None:
    """Folder of the package's robots, if it is there."""
    places = [Path(p) / SHARE for p in site.getsitepackages()]
    if "EXAMPLE_ROBOT_DATA" in os.environ:
        places.insert(0, Path(os.environ["EXAMPLE_ROBOT_DATA"]))
    return next((p for p in places if p.is_dir()), None)


@pytest.mark.parametrize("file", ARMS)
def test_a_robot_is_derived_from_a_public_urdf_and_is_sound(tmp_path, file):
    folder = example_robots()
    if folder is None:
        pytest.skip("example-robot-data is not installed: `pip install example-robot-data` (130 MB)")
    ee_frame, n = ARMS[file]
    made = describe(folder / file, ee_frame=ee_frame)
    assert len(made.joint_names) == n
    for path, text in made.files(tmp_path / "robot").items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    robot, path = load_robot(str(tmp_path / "robot" / f"{made.name}.yaml"))
    setup = Setup(robot, load_setup("pick_place").task, path.parent / robot.urdf, path.parent / robot.srdf, "")
    DescribedArm(setup, load_yaml(tmp_path / "control" / f"{made.name}.yaml", ControlConfig)).assert_sound()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_robot_in_config_is_sound(name):
    robot, path = load_robot(name)
    setup = Setup(robot, load_setup("pick_place").task, path.parent / robot.urdf, path.parent / robot.srdf, "")
    # The gains of torque laws, also those of arms that take positions at their own, lower rate.
    DescribedArm(setup, replace(load_control_config(setup), rate_hz=1000)).assert_sound()
