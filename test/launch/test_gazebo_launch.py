"""What gazebo.launch.py would start; test_gazebo_launched.py starts it, with stand-ins for Gazebo."""

import importlib.util
import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS 2, not with the wheels")
if not any((Path(p) / "lib/il_robot/il").exists() for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
    pytest.skip("il_robot is not installed: run colcon build and source install/setup.bash", allow_module_level=True)

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction  # noqa: E402

from il_cli.ros import launch_gazebo, launch_graph  # noqa: E402
from il_core.errors import ConfigError, GraphError, SecurityError  # noqa: E402
from launch import LaunchContext  # noqa: E402 - needs launch

FILE = Path(__file__).parents[2] / "launch" / "gazebo.launch.py"


@pytest.fixture(autouse=True)
def gz(tmp_path, monkeypatch):
    """A command `gz`, the packages of others by name, and none of Gazebo's variables."""
    command = tmp_path / "bin" / "gz"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    index = tmp_path / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    for package in (*launch_gazebo.BRIDGED, *launch_gazebo.CONTROLLED):
        (index / package).touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}")
    for name in ("GZ_IP", "GZ_PARTITION", "GZ_SIM_SYSTEM_PLUGIN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return command


@pytest.fixture
def file():
    spec = importlib.util.spec_from_file_location("gazebo_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def launched(file, **given):
    """Context and actions of a launch with these arguments, without running them."""
    description, context = file.generate_launch_description(), LaunchContext()
    context.launch_configurations.update(given)
    actions = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.visit(context)
        elif isinstance(entity, OpaqueFunction):
            actions += entity.execute(context) or []
    return context, actions


def executables(actions):
    return [a.node_executable for a in actions if hasattr(a, "node_executable")]


def words(process, context, first=0, end=None):
    """Words of a process's command line, without prefix."""
    return ["".join(s.perform(context) for s in part) for part in process.cmd[first:end]]


def variables(process, context):
    pairs = process.additional_env
    return {"".join(s.perform(context) for s in k): "".join(s.perform(context) for s in v) for k, v in pairs}


def gazebo_of(actions):
    [found] = [a for a in actions if isinstance(a, ExecuteProcess) and not hasattr(a, "node_executable")][:1]
    return found


BESIDE = ["parameter_bridge", "gazebo_node", "gazebo_camera_node"]
GRAPH = ["controller_node", "description_node", "recorder_node", "teleop_node", "bringup_node"]


def test_every_argument_is_explained(file):
    described = {a.name: a.description for a in file.generate_launch_description().get_launch_arguments()}
    assert {"task", "robot", "seed", "view", "checkpoint", "namespace", "model", "out", "gz_args"} <= set(described)
    assert all(described.values())


def test_gazebo_the_bridge_and_our_nodes_come_before_the_controller_and_end_after_it(file, tmp_path):
    _, actions = launched(file, out=str(tmp_path / "out"), seed="3")
    assert executables(actions) == [*BESIDE, *GRAPH]
    processes = [a for a in actions if isinstance(a, ExecuteProcess)]
    assert processes[0] is gazebo_of(actions)
    assert [len(p.later) for p in processes] == list(range(len(processes) - 1, -1, -1))
    assert (tmp_path / "out/world.sdf").exists() and (tmp_path / "out/bridge.yaml").exists()


def test_gazebo_runs_the_world_that_was_written_without_a_window_unless_asked(file, tmp_path, gz):
    out = tmp_path / "a folder"  # nothing splits it
    for view, options in (("false", ["-r", "-s", "--headless-rendering"]), ("true", ["-r"])):
        context, actions = launched(file, out=str(out), view=view, gz_args="-v 4 --record-path 'two words'")
        more = ["-v", "4", "--record-path", "two words"]
        assert words(gazebo_of(actions), context) == [str(gz), "sim", *options, *more, str(out / "world.sdf")]


def test_gazebo_stays_on_this_machine_and_in_its_namespace_unless_told_otherwise(file, tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/ros/lib")
    context, actions = launched(file, out=str(tmp_path), namespace="cell/left")
    bridge = next(a for a in actions if getattr(a, "node_executable", "") == "parameter_bridge")
    for process in (gazebo_of(actions), bridge):
        found = variables(process, context)
        assert (found["GZ_IP"], found["GZ_PARTITION"]) == ("127.0.0.1", "cell_left")
    assert variables(gazebo_of(actions), context)["GZ_SIM_SYSTEM_PLUGIN_PATH"] == "/opt/ros/lib"
    assert launch_gazebo.gazebo_environment({"GZ_IP": "10.0.0.7", "GZ_PARTITION": "mine"}, "left") == {}
    assert launch_gazebo.gazebo_environment({}, "") == {"GZ_IP": "127.0.0.1"}


def test_in_a_namespace_the_files_and_the_clock_are_its_own(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, place in (({"namespace": "cell/left"}, "cell/left"), ({"ros_namespace": "/pushed"}, "pushed"), ({}, "")):
        context, actions = launched(file, **given)
        assert (tmp_path / "outputs/gazebo" / place / "world.sdf").exists()
        for name in ("parameter_bridge", "controller_node"):
            node = next(a for a in actions if getattr(a, "node_executable", "") == name)
            rules = {
                "".join(s.perform(context) for s in k): "".join(s.perform(context) for s in v) for k, v in renamed(node)
            }
            assert rules.get("/clock") == ("clock" if place else None)


def renamed(node):
    return node._Node__remappings  # launch_ros has no other way to ask


def test_a_package_that_is_missing_is_named_before_anything_starts(file, tmp_path):
    (tmp_path / "share/ament_index/resource_index/packages/gz_ros2_control").unlink()
    launch_gazebo.require_packages(launch_gazebo.BRIDGED)
    with pytest.raises(GraphError, match="no package 'gz_ros2_control': install ros-.*-gz-ros2-control"):
        launched(file, out=str(tmp_path / "out"), model="ros2_control")
    assert not (tmp_path / "out").exists()


def test_package_xml_names_what_is_looked_for():
    named = (FILE.parents[1] / "package.xml").read_text()
    for package in (*launch_gazebo.BRIDGED, *launch_gazebo.CONTROLLED):
        assert f"<exec_depend>{package}</exec_depend>" in named


def test_a_machine_without_gazebo_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GraphError, match="no command `gz`: install ros-"):
        launch_gazebo.gazebo_process(LaunchContext(), tmp_path, is_seen=False, words="", namespace="")


def test_what_cannot_be_written_is_said_before_anything_starts(file, tmp_path):
    with pytest.raises(GraphError, match="nothing was started: .*pick_place"):
        launched(file, out=str(tmp_path), task="pick_plaice")


def test_with_ros2_control_the_controller_sends_numbers_to_a_controller_started_by_the_first_of_them(file, tmp_path):
    context, actions = launched(file, out=str(tmp_path / "out"), model="ros2_control", namespace="left")
    assert executables(actions) == [*BESIDE, "first_command_node", *GRAPH]  # no spawner yet
    parameters = yaml.safe_load(Path(context.launch_configurations["params"]).read_text())
    assert parameters["/**/controller"]["ros__parameters"] == {"output": "forward"}
    first, handler = launch_gazebo.control_actions(context, "left")
    heard = SimpleNamespace(returncode=0, pid=2**22, action=first)  # a pid that no process has
    [spawner] = handler.event_handler.handle(heard, context)
    assert spawner.node_executable == "spawner" and spawner.node_package == "controller_manager"
    assert words(spawner, context, 1, 4) == [
        "forward_effort_controller", "--controller-manager", "/left/controller_manager"
    ]  # fmt: skip
    with pytest.raises(GraphError, match="'first_command' ended with exit status 1"):
        handler.event_handler.handle(SimpleNamespace(returncode=1, pid=2**22, action=first), context)


def test_a_parameter_file_of_the_users_keeps_its_say_but_not_about_the_output(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "/**/controller: {ros__parameters: {mode: joint}}\n/**/recorder: {ros__parameters: {operator: Ada}}"
    )
    assert launch_gazebo.with_forward_output(str(mine), "left") == {
        "/**/controller": {"ros__parameters": {"mode": "joint", "output": "forward"}},
        "/**/recorder": {"ros__parameters": {"operator": "Ada"}},
    }
    mine.write_text("/left/controller: {ros__parameters: {output: trajectory}}")
    with pytest.raises(ConfigError, match="'output' of 'controller' is 'trajectory'; with model:=ros2_control"):
        launch_gazebo.with_forward_output(str(mine), "left")
    assert "/left/controller" in launch_gazebo.with_forward_output(str(mine), "right")
    mine.write_text("/**/controller:\n  ros__parameters:\n    # output: trajectory\n")
    assert launch_gazebo.with_forward_output(str(mine), "") == launch_gazebo.with_forward_output("", "")


def test_secure_mode_asks_for_keys_of_every_node_and_gives_each_its_enclave(file, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(launch_graph, "require_security", lambda environment, nodes, namespace: asked.extend(nodes))
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "True")
    context, actions = launched(file, out=str(tmp_path / "out"))
    beside = ["gazebo_bridge", "gazebo", "gazebo_camera"]
    assert asked == [*beside, "controller", "description", "recorder", "teleop", "bringup"]
    bridge = next(a for a in actions if getattr(a, "node_executable", "") == "parameter_bridge")
    found = variables(bridge, context)
    assert found["ROS_SECURITY_ENCLAVE_OVERRIDE"] == "/il_robot/gazebo_bridge"
    assert (found["ROS_SECURITY_ENABLE"], found["ROS_SECURITY_STRATEGY"]) == ("true", "Enforce")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(SecurityError, match="no rules for the nodes that gz_ros2_control makes"):
        launched(file, out=str(tmp_path / "out"), model="ros2_control")
    assert not (tmp_path / "out").exists()
