"""The graphs of il_core.graph as ROS launch descriptions; the files in launch/ call this."""

from __future__ import annotations

import os
from dataclasses import fields

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from il_core.graph import GraphOptions, graph, node_environment, options_from_text
from launch import LaunchContext, LaunchDescription

HELP = {
    "task": "Task, by name or YAML file.",
    "robot": "Robot, by name or YAML file; the task's own if empty.",
    "sim": "Simulated arm and cameras, or your own drivers.",
    "seed": "Seed of the simulated scene.",
    "view": "Show the simulated scene in a window.",
    "operator": "Scripted operator in a person's place.",
    "device": "What you move: keyboard or joy.",
    "recordings": "Folder for recordings.",
    "checkpoint": "Folder of the policy to serve.",
    "cameras": "Without sim: camera_node (RealSense), or a driver of config/camera/topics_<name>.yaml.",
}


def describe(name: str) -> LaunchDescription:
    """Launch description of a graph; every field of GraphOptions is a launch argument.

    Args:
        name: One of il_core.graph.GRAPHS.
    """
    arguments = [
        DeclareLaunchArgument(f.name, default_value=str(f.default), description=HELP[f.name])
        for f in fields(GraphOptions)
    ]
    added = {k: v for k, v in node_environment(os.environ).items() if os.environ.get(k) != v}
    environment = [SetEnvironmentVariable(k, v) for k, v in added.items()]

    def start(context: LaunchContext) -> list[Node]:
        """Read the launch arguments and make one launch action per node."""
        values = {f.name: LaunchConfiguration(f.name).perform(context) for f in fields(GraphOptions)}
        return [
            Node(
                package="il_robot",
                executable=node.executable,
                name=node.name,
                parameters=[dict(node.parameters)],
                remappings=list(node.remaps.items()),
                output="screen",
            )
            for node in graph(name, options_from_text(values)).nodes
        ]

    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=start)])
