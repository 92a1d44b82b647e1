"""gazebo.launch.py, started as people start it; stand-ins take the place of Gazebo, its bridge and ros2_control."""

import os
import shutil
import signal
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
GRAPH = ["bringup", "teleop", "recorder", "description", "controller"]
GRAPH += ["gazebo_camera", "gazebo", "gazebo_bridge", "gazebo_server"]


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
