"""What gazebo.launch.py would start; Gazebo itself is not where these tests run."""

import importlib.util
from pathlib import Path

import pytest
import yaml

pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS 2, not with the wheels")
FILE = Path(__file__).parents[2] / "launch" / "gazebo.launch.py"


@pytest.fixture
def file():
    spec = importlib.util.spec_from_file_location("gazebo_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def launched(file, **given):
    """Context and actions of a launch with these arguments, without running them."""
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchContext

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


BESIDE = ["parameter_bridge", "gazebo_node", "gazebo_camera_node"]


def test_every_argument_is_explained(file):
    described = {a.name: a.description for a in file.generate_launch_description().get_launch_arguments()}
    assert {"task", "robot", "seed", "view", "checkpoint", "namespace", "model", "out", "gz_args"} <= set(described)
    assert all(described.values())


def test_the_bridge_and_our_nodes_come_before_the_controller_and_end_after_it(file, tmp_path):
    _, actions = launched(file, out=str(tmp_path), seed="3")
    assert executables(actions) == [*BESIDE, "controller_node", "description_node", "recorder_node", "teleop_node"]
    bridge, controller = (a for a in actions if getattr(a, "node_executable", "") in (BESIDE[0], "controller_node"))
    assert controller in bridge.later
    assert (tmp_path / "world.sdf").exists() and (tmp_path / "bridge.yaml").exists()


def test_gazebo_runs_the_world_that_was_written_without_a_window_unless_asked(file, tmp_path):
    for view, options in (("false", "-r -s --headless-rendering"), ("true", "-r")):
        context, _ = launched(file, out=str(tmp_path), view=view)
        [include] = file.gazebo(context)
        assert dict(include.launch_arguments)["gz_args"] == f"{options} {tmp_path / 'world.sdf'}"


def test_with_ros2_control_the_controller_sends_numbers_and_a_spawner_starts_theirs(file, tmp_path):
    context, _ = launched(file, out=str(tmp_path), model="ros2_control")
    assert executables(file.gazebo(context)) == ["robot_state_publisher", "spawner"]
    parameters = yaml.safe_load(Path(context.launch_configurations["params"]).read_text())
    assert parameters["/**/controller"]["ros__parameters"] == {"output": "forward"}
