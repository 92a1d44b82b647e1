"""Gazebo under ROS 2's launch: the files it reads, its process, and what ros2_control needs beside it.

Imported by a launch file, so without MuJoCo: the files are written by `il`, which runs on the Python that has it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.substitutions import ExecutableInPackage

from il_cli.ros.launch_graph import or_goes_down
from il_cli.ros.launch_order import OrderedNode, OrderedProcess
from il_core.environment import node_environment
from il_core.errors import ConfigError, GraphError, SecurityError
from il_core.node_params import load_node_params
from il_core.security import is_wanted
from il_sim.gazebo.names import CONTROLLER, WORLD
from launch import LaunchContext

PARAMS = "params.yaml"
BRIDGED, CONTROLLED = ("ros_gz_bridge",), ("gz_ros2_control", "controller_manager", "forward_command_controller")
"""Packages of others that are needed always, and with ros2_control besides."""
NODE, OUTPUT, FORWARD = "controller", "output", "forward"
PLUGINS, LIBRARIES = "GZ_SIM_SYSTEM_PLUGIN_PATH", "LD_LIBRARY_PATH"


def require_packages(names: Iterable[str]) -> None:
    """Look for packages before anything is started.

    Raises:
        GraphError: one is not installed; says how to get it.
    """
    for name in names:
        try:
            get_package_prefix(name)
        except PackageNotFoundError:
            debian = f"ros-$ROS_DISTRO-{name.replace('_', '-')}"
            raise GraphError(f"no package '{name}': install {debian}, source ROS 2 again; docs/gazebo.md") from None


def write_files(context: LaunchContext, out: Path, options: Mapping[str, str]) -> None:
    """Write what Gazebo reads, by `il gazebo write`.

    Args:
        context: Of the launch.
        out: Folder; made if it is not there.
        options: Its options, without dashes; empty ones are left out.

    Raises:
        GraphError: it refused; says why.
    """
    il = ExecutableInPackage(package="il_robot", executable="il").perform(context)
    words = [f"--{name}={value}" for name, value in options.items() if value]
    done = subprocess.run(
        [il, "gazebo", "write", str(out), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=node_environment(context.environment),
        text=True,
        check=False,
    )
    if done.returncode:
        raise GraphError(f"no world for Gazebo, nothing was started: {done.stdout.strip() or done.returncode}")


def with_forward_output(params: str, namespace: str) -> dict[str, Any]:
    """A parameter file in which the controller sends to the one of ros2_control.

    Args:
        params: Parameter file of the user's; empty means none.
        namespace: Namespace of the graph, without slashes around.

    Raises:
        ConfigError: the file cannot be read, or says that the controller sends elsewhere.
    """
    values: dict[str, Any] = {}
    if params:
        said = load_node_params(Path(params)).of(NODE, namespace).get(OUTPUT, FORWARD)
        if said != FORWARD:
            problem = f"'{OUTPUT}' of '{NODE}' is '{said}'; with model:=ros2_control it is '{FORWARD}'; leave it out"
            raise ConfigError(params, problem)
        values = yaml.safe_load(Path(params).read_text()) or {}
    section = values.get(f"/**/{NODE}") or {}
    ours = {**(section.get("ros__parameters") or {}), OUTPUT: FORWARD}
    return {**values, f"/**/{NODE}": {**section, "ros__parameters": ours}}


def refuse_secure_control(environment: Mapping[str, str]) -> None:
    """Refuse ros2_control in secure mode.

    Raises:
        SecurityError: secure mode is asked for.
    """
    if is_wanted(environment):
        raise SecurityError(
            "model:=ros2_control was asked for in secure mode, but the policy has no rules for the nodes that "
            "gz_ros2_control makes in Gazebo's process; nothing was started. Use model:=joints; docs/security.md"
        )


def gazebo_environment(environment: Mapping[str, str], namespace: str) -> dict[str, str]:
    """Variables for Gazebo and its bridge, each only where ``environment`` has none.

    gz-transport stays on this machine, and two graphs do not hear each other's Gazebo.

    Args:
        environment: Variables there are.
        namespace: Namespace of the graph, without slashes around; empty means none.
    """
    wanted = {"GZ_IP": "127.0.0.1"}
    if namespace:
        wanted["GZ_PARTITION"] = namespace.replace("/", "_")
    return {name: value for name, value in wanted.items() if not environment.get(name)}


def gazebo_process(context: LaunchContext, out: Path, *, is_seen: bool, words: str, namespace: str) -> OrderedProcess:
    """`gz sim` with the world; a process of ours, so that it ends last.

    Args:
        context: Of the launch.
        out: Folder with the world.
        is_seen: Whether it opens its window.
        words: More arguments, quoted as for a shell.
        namespace: Namespace of the graph, without slashes around.

    Raises:
        GraphError: there is no `gz` here.
    """
    gz = shutil.which("gz", path=context.environment.get("PATH"))
    if gz is None:
        raise GraphError("no command `gz`: install ros-$ROS_DISTRO-ros-gz and source ROS 2 again; docs/gazebo.md")
    before = context.environment
    # What ros_gz_sim's own launch file sets: systems such as gz_ros2_control's lie among ROS's libraries.
    places = [before[name] for name in (PLUGINS, LIBRARIES) if before.get(name)]
    environment = {PLUGINS: os.pathsep.join(places)} if places else {}
    window = [] if is_seen else ["-s", "--headless-rendering"]
    return OrderedProcess(
        cmd=[gz, "sim", "-r", *window, *shlex.split(words), str(out / WORLD)],
        name="gazebo_server",
        additional_env={**environment, **gazebo_environment(before, namespace)},
        output="both",
        on_exit=_on_gazebo_exit,
    )


def _on_gazebo_exit(event: ProcessExited, context: LaunchContext) -> list[Any] | None:
    """Take the graph down; quietly where a person closed the window."""
    or_goes_down("gazebo_server", is_fine=lambda status: status == 0)(event, context)
    return None if context.is_shutdown else [Shutdown(reason="Gazebo was closed")]


def control_actions(context: LaunchContext, namespace: str) -> list[Any]:
    """Start ros2_control's controller once ours has sent its first torques; until then the plugin holds the joints.

    Activated earlier it would let the arm fall: it has nothing to pass on then.

    Args:
        context: Of the launch.
        namespace: Namespace of the graph, without slashes around; empty means none.
    """
    place = f"/{namespace}/" if namespace else "/"
    environment = node_environment(context.environment)
    first = OrderedNode(
        package="il_robot",
        executable="first_command_node",
        exec_name="first_command",
        namespace=place,
        additional_env=environment,
        output="both",
    )
    spawner = OrderedNode(
        package="controller_manager",
        executable="spawner",
        exec_name="spawner",
        namespace=place,
        arguments=[CONTROLLER, "--controller-manager", f"{place}controller_manager"],
        additional_env=environment,
        output="both",
        on_exit=or_goes_down("spawner", is_fine=lambda status: status == 0),
    )

    def on_first(event: ProcessExited, context: LaunchContext) -> list[Any] | None:
        or_goes_down("first_command", is_fine=lambda status: status == 0)(event, context)
        return None if context.is_shutdown else [spawner]

    return [first, RegisterEventHandler(OnProcessExit(target_action=first, on_exit=on_first))]
