"""Everything in Gazebo: ``ros2 launch il_robot gazebo.launch.py task:=pick_place view:=true``; docs/gazebo.md."""

import os
from pathlib import Path

import yaml
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from il_cli.ros.launch_graph import describe
from il_cli.ros.launch_order import OrderedNode, apart
from il_core.config import load_setup
from il_core.graph import node_environment
from il_core.security import secured
from il_sim.gazebo.files import BRIDGE, DESCRIPTION, WORLD, write_gazebo
from il_sim.gazebo.robot import Drive
from il_sim.gazebo.ros2_control import CONTROLLER
from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    "model": (Drive.JOINTS.value, "How torques reach the arm: joints (a topic each) or ros2_control."),
    "out": ("outputs/gazebo", "Folder that world, model and bridge topics are written to."),
    "gz_args": ("", "Further arguments of `gz sim`, such as -v 4."),
}
PARAMS = "params.yaml"


def text(name):  # noqa: ANN001, ANN201
    """A launch argument as a parameter that stays text, even when empty or a number."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def write(context):  # noqa: ANN001, ANN201
    """Write what Gazebo reads; with ros2_control the controller sends numbers to its controller."""
    said = {name: LaunchConfiguration(name).perform(context) for name in ("task", "robot", "seed", "model", "out")}
    drive, out = Drive(said["model"]), Path(said["out"])
    write_gazebo(load_setup(said["task"], said["robot"] or None), out, seed=int(said["seed"]), drive=drive)
    if drive is Drive.ROS2_CONTROL and not LaunchConfiguration("params").perform(context):
        parameters = {"/**/controller": {"ros__parameters": {"output": "forward"}}}
        (out / PARAMS).write_text(yaml.safe_dump(parameters))
        context.launch_configurations["params"] = str(out / PARAMS)


def gazebo(context):  # noqa: ANN001, ANN201
    """Gazebo itself, and what ros2_control needs beside it."""
    out = Path(LaunchConfiguration("out").perform(context)).resolve()
    is_seen = yaml.safe_load(LaunchConfiguration("view").perform(context).lower())
    more = LaunchConfiguration("gz_args").perform(context)
    words = ["-r", *([] if is_seen else ["-s", "--headless-rendering"]), more, str(out / WORLD)]
    source = PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"])
    actions = [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(source),
            launch_arguments={"gz_args": " ".join(filter(None, words)), "on_exit_shutdown": "true"}.items(),
        )
    ]
    if LaunchConfiguration("model").perform(context) == Drive.ROS2_CONTROL.value:
        described = {"robot_description": (out / DESCRIPTION).read_text(), "use_sim_time": True}
        actions += [
            Node(package="robot_state_publisher", executable="robot_state_publisher", parameters=[described]),
            Node(package="controller_manager", executable="spawner", arguments=[CONTROLLER]),
        ]
    return actions


def ours(executable, name, **parameters):  # noqa: ANN001, ANN003, ANN201
    """One of our nodes beside Gazebo; they keep no clock of their own and go by the stamps they get."""
    parameters = {"task": text("task"), "robot": text("robot"), **parameters}
    return beside("il_robot", executable, name, parameters, secured(node_environment(os.environ), name))


def beside(package, executable, name, parameters, environment):  # noqa: ANN001, ANN201
    """A node that ends after those of the graph, and takes the graph down if it ends before."""
    return OrderedNode(
        package=package,
        executable=executable,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        additional_env=environment,
        prefix=apart(LaunchContext()),
        output="both",
        on_exit=Shutdown(reason=f"node '{name}' ended"),
    )


def generate_launch_description():  # noqa: ANN201 - the name and form launch expects
    """Gazebo, the bridge, our two nodes beside it, and graph ``all`` without MuJoCo."""
    bridge = {"config_file": PathJoinSubstitution([LaunchConfiguration("out"), BRIDGE])}
    before = [
        OpaqueFunction(function=gazebo),
        beside("ros_gz_bridge", "parameter_bridge", "gazebo_bridge", bridge, node_environment(os.environ)),
        ours("gazebo_node", "gazebo", drive=text("model")),
        ours("gazebo_camera_node", "gazebo_camera"),
    ]
    fixed = {"sim": "false", "use_sim_time": "true", "cameras": ""}
    *arguments, start = describe("all", fixed=fixed, before=before).entities
    own = [DeclareLaunchArgument(name, default_value=v, description=d) for name, (v, d) in ARGUMENTS.items()]
    return LaunchDescription([*arguments, *own, OpaqueFunction(function=write), start])
