"""Launch files run on the system's Python: `ros2` of a Debian package does not know the virtual environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from docs.launch_arguments import launch_arguments, launch_files

HERE = Path(__file__).parent
MORE = {"policy": ["checkpoint:=somewhere"], "bringup": ["checkpoint:=somewhere", "manage:=true", "console:=true"]}


def bare(file, *given, **variables):
    """Run a launch file where nothing is installed but ROS, numpy and yaml."""
    packages = str(Path(np.__file__).parents[1])
    command = [sys.executable, "-S", str(HERE / "bare_ros.py"), packages, str(file), *given]
    environment = {**os.environ, "PYTHONPATH": "", **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


@pytest.fixture
def gz(tmp_path):
    """A folder with a command `gz`."""
    (tmp_path / "gz").write_text("#!/bin/sh\n")
    (tmp_path / "gz").chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


@pytest.mark.parametrize("path", launch_files(), ids=lambda p: p.name.split(".")[0])
def test_a_launch_file_needs_no_more_than_ros_has(path, gz, tmp_path):
    name = path.name.split(".")[0]
    given = [*MORE.get(name, []), f"out:={tmp_path / 'out'}", "model:=ros2_control", "namespace:=left"]
    done = bare(path, *given, PATH=gz)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(json.loads(done.stdout)["arguments"]) == launch_arguments(path)  # the documentation is checked by these


def test_gazebos_file_starts_it_first_and_keeps_it_on_this_machine(gz, tmp_path):
    path = next(p for p in launch_files() if p.name.startswith("gazebo"))
    given = [f"out:={tmp_path / 'out'}", "model:=ros2_control", "namespace:=cell/left"]
    mine = {"GZ_IP": "10.0.0.7", "GZ_PARTITION": "mine", "GZ_SIM_SYSTEM_PLUGIN_PATH": "", "LD_LIBRARY_PATH": ""}
    unset = dict.fromkeys(mine, "")
    for before, expected in ((unset, {"GZ_IP": "127.0.0.1", "GZ_PARTITION": "cell_left"}), (mine, {})):
        done = bare(path, *given, PATH=gz, **before)
        assert done.returncode == 0, done.stderr[-2000:]
        processes = json.loads(done.stdout)["processes"]
        beside = ["gazebo_server", "gazebo_bridge", "gazebo", "gazebo_camera", "first_command"]
        assert [name for name, _ in processes] == [
            *beside,
            "controller",
            "description",
            "recorder",
            "teleop",
            "bringup",
        ]
        for _, variables in processes[:2]:
            assert {k: v for k, v in variables.items() if mine.get(k) != v and v} == expected
    parameters = yaml.safe_load((tmp_path / "out" / "params.yaml").read_text())
    assert parameters == {"/**/controller": {"ros__parameters": {"output": "forward"}}}


def test_a_launch_file_that_needs_more_is_found(tmp_path):
    (tmp_path / "more.launch.py").write_text("import json\nimport typer\n")
    done = bare(tmp_path / "more.launch.py")
    assert done.returncode == 1 and "No module named 'typer'" in done.stderr
