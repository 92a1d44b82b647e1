"""gazebo.launch.py, started as people start it; stand-ins take the place of Gazebo, its bridge and ros2_control."""

import json
import os
import shutil
import signal
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

PREFIXES = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
if not any((p / "lib" / "il_robot" / "il").exists() for p in PREFIXES):
    pytest.skip("il_robot is not installed: run colcon build and source install/setup.bash", allow_module_level=True)
if shutil.which("ros2") is None:
    pytest.skip("there is no command ros2: it comes with a sourced ROS 2", allow_module_level=True)

from launched import Ros2Launch, is_gone, wait_for_signs_of_life  # noqa: E402 - needs ROS

from il_core.config import load_setup  # noqa: E402
from il_core.graph import GraphOptions, graph  # noqa: E402
from il_sim.gazebo.arm_side import ArmSide  # noqa: E402
from il_sim.gazebo.config import load_gazebo_config  # noqa: E402

TASK = "draw_symbol"
PACKAGES = {"ros_gz_bridge": "parameter_bridge", "controller_manager": "spawner"}
EMPTY = ("gz_ros2_control", "forward_command_controller")
GRAPH = ["bringup", "teleop", "recorder", "description", "controller"]
GRAPH += ["gazebo_camera", "gazebo", "gazebo_bridge", "gazebo_server"]
LIMIT_S = 30.0


class StandIns:
    """The programs of others, and what they have written down."""

    def __init__(self, folder):
        self.folder, self.prefix = folder / "seen", folder / "prefix"
        self.folder.mkdir()
        self._program(self.prefix / "bin" / "gz", "gz")
        index = self.prefix / "share/ament_index/resource_index/packages"
        index.mkdir(parents=True)
        for package in (*PACKAGES, *EMPTY):
            (index / package).touch()
        for package, executable in PACKAGES.items():
            self._program(self.prefix / "lib" / package / executable, executable)

    def _program(self, path, name):
        path.parent.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("gazebo_stand_in.py")
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {name} "$@"\n')
        path.chmod(0o755)

    def seen(self, name):
        file = self.folder / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def wait(self, condition, what, launched):
        end = time.monotonic() + LIMIT_S
        while not condition():
            launched.check()
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s; {launched.text()[-2000:]}"
            time.sleep(0.05)


@pytest.fixture
def others(tmp_path, monkeypatch):
    found = StandIns(tmp_path)
    monkeypatch.setenv("GAZEBO_STAND_IN", str(found.folder))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{found.prefix}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}")
    monkeypatch.setenv("PATH", f"{found.prefix / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("GZ_IP", "GZ_PARTITION"):
        monkeypatch.delenv(name, raising=False)
    return found


def assert_gone(pids):
    """No process is left; init takes a moment to forget those whose parent is gone."""
    end = time.monotonic() + 5.0
    while left := [pid for pid in pids if not is_gone(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.02)


def gravity():
    """Gravity compensation at home of the joints the stand-in hears."""
    setup = load_setup(TASK)
    side = ArmSide(setup, load_gazebo_config())
    side.take(1, side.names, [*setup.robot.q_home_rad, 0.04, 0.04], np.zeros(9))
    return dict(zip(setup.robot.joint_names, side.rest(), strict=True))


def test_torques_reach_gazebo_and_ctrl_c_ends_it_last_leaving_gravity_compensation(others, tmp_path):
    out = tmp_path / "a folder"
    arguments = {"task": TASK, "out": out, "gz_args": "-v 4", "sigterm_timeout": "30"}
    described = graph("all", GraphOptions(task=TASK, sim=False, use_sim_time=True, monitor=True))
    with Ros2Launch("gazebo", arguments, tmp_path) as launched:
        wait_for_signs_of_life(described, launched.check)
        gz = others.seen("gz")
        assert gz["words"] == ["sim", "-r", "-s", "--headless-rendering", "-v", "4", str(out / "world.sdf")]
        assert gz["variables"]["GZ_IP"] == others.seen("bridge")["variables"]["GZ_IP"] == "127.0.0.1"
        pids = launched.pids()
        assert set(pids) == set(GRAPH) and pids["gazebo_server"] == gz["pid"]
        launched.interrupt()
        status, order = launched.ended()
        assert status == 0, launched.text()[-3000:]
        assert order == GRAPH
        assert_gone([*pids.values(), gz["child"]])
    forces, expected = others.seen("bridge_at_the_end")["forces"], gravity()
    for joint in ("fr3_joint2", "fr3_joint4"):
        assert forces[joint] == pytest.approx(expected[joint], abs=0.2)


def test_with_ros2_control_the_controller_is_started_by_the_first_torques_and_gazebos_death_ends_all(others, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/recorder: {ros__parameters: {operator: Ada}}\n")
    arguments = {"task": TASK, "out": "out", "model": "ros2_control", "namespace": "left", "params": mine}
    arguments["sigterm_timeout"] = "30"
    with Ros2Launch("gazebo", arguments, tmp_path) as launched:
        others.wait(lambda: others.seen("spawner"), "the spawner", launched)
        others.wait(lambda: others.seen("bridge").get("first"), "torques", launched)
        bridge, spawner = others.seen("bridge"), others.seen("spawner")
        assert bridge["first"] < spawner["at"]
        more = ["--controller-manager", "/left/controller_manager"]
        assert spawner["words"][:3] == ["forward_effort_controller", *more]
        assert bridge["name"] == "/left/gazebo_bridge" and bridge["variables"]["GZ_PARTITION"] == "left"
        assert ET.fromstring(bridge["urdf"]).find("ros2_control") is not None
        world = ET.parse(tmp_path / "out" / "world.sdf").getroot()
        plugin = world.find(".//plugin[@filename='gz_ros2_control-system']")
        assert plugin.findtext("ros/namespace") == "/left"
        gz, pids = others.seen("gz"), launched.pids()
        os.kill(gz["pid"], signal.SIGKILL)
        status, _ = launched.ended()
        assert status == 1
        assert "graph goes down: 'gazebo_server' ended with signal SIGKILL" in launched.text()
        assert_gone([*pids.values(), gz["child"]])
