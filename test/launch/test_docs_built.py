"""Commands of the documentation that build something: the workspace, the launch packages, the list of dependencies."""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import pytest

from docs.blocks import ROOT, shell_blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

BUILD, SOURCES = shell_blocks("build"), os.environ.get("SOURCES", "")
# What a shell has that sourced nothing: neither ROS, nor a virtual environment, nor options of a make around it.
OF_ROS = (
    "_ROS_",
    "AMENT_",
    "COLCON_",
    "CMAKE_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "ROS_DISTRO",
    "VIRTUAL_ENV",
)
OF_MAKE = ("MAKE", "MFLAGS", "ARGS")


def shell(lines, folder, without=OF_MAKE):
    """Run lines in one shell, as typed; give what they print."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    if set(OF_ROS) <= set(without):
        places = environment["PATH"].split(os.pathsep)
        environment["PATH"] = os.pathsep.join(p for p in places if not Path(p).is_relative_to(ROOT))
    environment["ROOT"] = str(ROOT)
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace as the README builds it, and what ROS then says of the package."""
    if find_spec("colcon_core") is None or shutil.which("ros2") is None:
        pytest.skip("there is no colcon or no command ros2: see docs/launch_tests.md")
    folder = tmp_path_factory.mktemp("ws")
    (folder / "src").mkdir()
    (block,) = [b for b in BUILD if any("colcon build" in line for line in b.lines)]
    asked = [
        "ros2 pkg prefix il_robot",
        "ros2 pkg executables il_robot",
        "head -1 $(ros2 pkg prefix il_robot)/lib/il_robot/il",
    ]
    return folder, shell([*block.lines, "echo '=== built'", *asked], folder).partition("=== built\n")[2].splitlines()


def test_the_workspace_of_the_readme_is_built_and_sourced(workspace):
    folder, (prefix, *executables, interpreter) = workspace
    assert Path(prefix) == folder / "install" / "il_robot"
    assert {"il_robot controller_node", "il_robot policy_node", "il_robot recorder_node"} <= set(executables)
    assert interpreter == f"#!{folder}/src/il_robot/.venv/bin/python", "nodes run on the Python of make setup"


def test_the_launch_packages_are_built_from_their_sources(workspace):
    if not SOURCES:
        pytest.skip("which folder holds the sources? make test-launch SOURCES=<folder>")
    (block,) = [b for b in BUILD if any("test-launch" in line for line in b.lines)]
    here = workspace[0] / "src" / "il_robot"
    lines = [f"export SOURCES={(ROOT / SOURCES).resolve()}", *block.lines]
    said = shell(lines, here, without=(*OF_ROS, *OF_MAKE))
    assert "test/launch/test_launched_graphs.py::" in said, "launch_pytest is there"
    assert str(here / ".venv-launch/install/il_robot") in shell(
        [". .venv-launch/setup.sh", "ros2 pkg prefix il_robot"], here, without=(*OF_ROS, *OF_MAKE)
    )


@pytest.mark.parametrize(("distro", "system"), [("jazzy", "noble"), ("kilted", "noble"), ("lyrical", "resolute")])
def test_every_dependency_is_a_package_of_its_distribution(distro, system, tmp_path):
    if shutil.which("rosdep") is None:
        pytest.skip("there is no command rosdep: sudo apt install python3-rosdep")
    if subprocess.run(["rosdep", "db"], capture_output=True, check=False).stdout == b"":
        pytest.skip("rosdep knows no packages yet: sudo rosdep init; rosdep update")
    (tmp_path / "src/il_robot").mkdir(parents=True)
    shutil.copy(ROOT / "package.xml", tmp_path / "src/il_robot")
    line = next(line for b in shell_blocks("apt") for line in b.lines if line.startswith("rosdep install"))
    line = line.replace("jazzy", distro) + f" --simulate --reinstall --os ubuntu:{system}"
    packages = [text.split()[-1] for text in shell([line], tmp_path, without=(*OF_ROS, *OF_MAKE)).splitlines()[1:]]
    depends = [
        e.text or "" for e in ET.parse(tmp_path / "src/il_robot/package.xml").iter() if e.tag.endswith("_depend")
    ]
    ours = {name for name in depends if not name.startswith("python3-")}
    assert {p for p in packages if p.startswith("ros-")} == {f"ros-{distro}-{n.replace('_', '-')}" for n in ours}
    assert len(packages) == len(depends)


def test_every_block_of_this_kind_is_run():
    kinds = [next(w for w in ("colcon build", "test-launch") if w in b.body) for b in BUILD]
    assert sorted(kinds) == ["colcon build", "test-launch"]
