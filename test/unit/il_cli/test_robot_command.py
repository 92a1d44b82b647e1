"""`il robot`: writes what it says, refuses what it must, and shows what there is."""

from __future__ import annotations

import shutil

import pytest

from il_cli.main import COMMANDS, run
from il_core.config import config_dir, load_robot

LINK = (
    '<link name="l{k}"><inertial><mass value="1"/>'
    '<inertia ixx="0.01" ixy="0" ixz="0" iyy="0.01" iyz="0" izz="0.01"/></inertial>'
    '<collision><geometry><sphere radius="0.05"/></geometry></collision></link>'
)
JOINT = (
    '<joint name="j{k}" type="revolute"><parent link="l{p}"/><child link="l{k}"/><origin xyz="0 0 0.25"/>'
    '<axis xyz="0 {a} {b}"/><limit lower="-2" upper="2" effort="50" velocity="2"/></joint>'
)


@pytest.fixture
def urdf(tmp_path):
    joints = "".join(JOINT.format(k=k, p=k - 1, a=k % 2, b=1 - k % 2) for k in range(1, 5))
    path = tmp_path / "My-Arm.urdf"
    path.write_text(f"<robot name='arm'>{''.join(LINK.format(k=k) for k in range(5))}{joints}</robot>")
    return path


def test_new_writes_four_files_that_load(urdf, tmp_path, capsys):
    assert run(["robot", "new", str(urdf), "--out", str(tmp_path / "robot")], COMMANDS) == 0
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("my_arm.*"))
    assert written == ["control/my_arm.yaml", "robot/my_arm.srdf", "robot/my_arm.urdf", "robot/my_arm.yaml"]
    robot, _ = load_robot(str(tmp_path / "robot" / "my_arm.yaml"))
    assert robot.joint_names == ("j1", "j2", "j3", "j4")
    out = capsys.readouterr().out
    assert "my_arm: 4 joints j1 .. j4, tool l4, gripper none" in out
    assert "check: no gripper joint behind the arm" in out


def test_files_that_exist_are_kept_unless_forced(urdf, tmp_path, capsys):
    command = ["robot", "new", str(urdf), "--out", str(tmp_path / "robot")]
    assert run(command, COMMANDS) == 0
    path = tmp_path / "robot" / "my_arm.yaml"
    path.write_text("mine")
    assert run(command, COMMANDS) == 1
    assert "exists already; choose another --name, or --force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run([*command, "--force", "--interface", "position"], COMMANDS) == 0
    assert "interface: position" in path.read_text()


def test_nothing_is_written_into_an_installed_copy_until_the_sources_are_named(urdf, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "install" / "share" / "il_robot" / "config" / "robot"
    copy.mkdir(parents=True)
    monkeypatch.setattr("il_core.config.config_dir", lambda: copy.parent)  # as after `colcon build`
    assert run(["robot", "new", str(urdf)], COMMANDS) == 1
    assert "is an installed copy" in capsys.readouterr().err
    assert not list(copy.iterdir())
    monkeypatch.undo()
    source = tmp_path / "src" / "config"
    (source / "robot").mkdir(parents=True)
    monkeypatch.setenv("IL_ROBOT_CONFIG", str(source))
    assert run(["robot", "new", str(urdf)], COMMANDS) == 0
    assert (source / "robot" / "my_arm.yaml").is_file() and (source / "control" / "my_arm.yaml").is_file()


def test_a_camera_is_not_calibrated_into_an_installed_copy(tmp_path, capsys):
    shutil.copytree(config_dir(), tmp_path / "share" / "il_robot" / "config")
    robot = tmp_path / "share" / "il_robot" / "config" / "robot" / "fr3.yaml"
    assert run(["calibrate-camera", "wrist", "--robot", str(robot)], COMMANDS) == 1  # before it looks for a graph
    assert f"{robot}: is an installed copy" in capsys.readouterr().err


def test_a_broken_urdf_is_one_sentence(tmp_path, capsys):
    path = tmp_path / "x.urdf"
    path.write_text("<robot")
    assert run(["robot", "new", str(path)], COMMANDS) == 1
    assert "not readable as URDF" in capsys.readouterr().err


def test_show_says_what_the_robot_takes(capsys):
    assert run(["robot", "show", "fr3"], COMMANDS) == 0
    out = capsys.readouterr().out
    assert "takes effort; tool fr3_tcp; gripper fr3_finger_joint1; 2 cameras" in out
    assert "fr3_joint7" in out
    assert run(["robot", "show", "fr4"], COMMANDS) == 1
    assert "did you mean 'fr3'" in capsys.readouterr().err
