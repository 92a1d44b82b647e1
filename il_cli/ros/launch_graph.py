"""The graphs of il_core.graph as ROS launch descriptions; the files in launch/ call this."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, RegisterEventHandler, SetEnvironmentVariable
from launch.event_handlers import OnProcessStart
from launch.events.process import ProcessExited, ProcessStarted
from launch.substitutions import LaunchConfiguration

from il_cli.respawn import RESPAWN_DELAY_S, Lives, how_it_ended
from il_cli.ros.launch_order import InOrder, OrderedNode, chain
from il_cli.security_check import require_security
from il_core.config import CONFIG_KEY, config_dir
from il_core.errors import GraphError
from il_core.graph import (
    AtEnd,
    GraphOptions,
    NodeSpec,
    graph,
    node_environment,
    options_from_text,
    options_of,
    ros_environment,
)
from il_core.graph_spec import CLOCK
from il_core.security import secured
from launch import LaunchContext, LaunchDescription

HELP = {
    "task": "Task: a name in config/task/, or a YAML file.",
    "robot": "Robot: a name in config/robot/, or a YAML file; the task's own if empty.",
    "sim": "true: simulated arm and cameras; false: your own drivers on the same topics.",
    "seed": "Seed of the simulated scene.",
    "view": "true shows the simulated scene in a window.",
    "operator": "true starts the scripted operator in a person's place.",
    "device": "What a person moves, such as joy (a gamepad's topic).",
    "recordings": "Folder for recordings.",
    "checkpoint": "Folder of the policy to serve.",
    "cameras": "Without sim: camera_node (RealSense), a driver of config/camera/topics_<name>.yaml, or empty: yours.",
    "namespace": "In front of the names of all nodes and topics, such as left; for two arms in one ROS domain.",
    "use_sim_time": "true: time is what /clock says, in a namespace /<namespace>/clock; its simulator tells it.",
    "params": "ROS parameter file, on top of config/launch/nodes.yaml and of these arguments.",
    "manage": "true: the nodes wait for a manager, part of the graph, that configures and activates them in order.",
    "monitor": "true: node bringup tells rate and age of every topic on /diagnostics, also without manage.",
    "console": "true: the operator's page is served, at the address it prints; docs/console.md.",
    "description": "true: the robot's URDF and the frames of links and cameras are published, for RViz and TF.",
}


def describe(
    name: str,
    *,
    fixed: Mapping[str, str] | None = None,
    before: Sequence[Any] | Callable[[LaunchContext], Sequence[Any]] = (),
) -> LaunchDescription:
    """Launch description of a graph; every option that makes a difference to it is a launch argument.

    Args:
        name: One of il_core.graph.GRAPHS.
        fixed: Values of options that are no arguments then.
        before: Launch actions that come first, or what makes them once launch knows its arguments. Those of
            :mod:`il_cli.ros.launch_order`, such as an arm or simulator of somebody else, end after all nodes of the
            graph; in secure mode its nodes with a ``name`` need keys as ours do.
    """
    fixed = fixed or {}
    values = {f.name: _text(f.default) for f in fields(GraphOptions)} | {"monitor": "true"}
    offered = [option for option in options_of(name) if option not in fixed]
    arguments = [DeclareLaunchArgument(o, default_value=values[o], description=HELP[o]) for o in offered]

    def start(context: LaunchContext) -> list[Any]:
        """Read the launch arguments and make the actions of every node."""
        given = {o: LaunchConfiguration(o).perform(context) for o in offered}
        nodes = graph(name, options_from_text({**given, **fixed})).nodes
        first = list(before(context) if callable(before) else before)
        foreign = [a.given_name for a in first if isinstance(a, OrderedNode) and a.given_name]
        require_security(context.environment, [*foreign, *(node.name for node in nodes)], nodes[0].namespace)
        shared = _added(context.environment, ros_environment(context.environment))
        environment: list[Any] = [SetEnvironmentVariable(k, v) for k, v in shared.items()]
        if context.environment.get(CONFIG_KEY):
            environment.append(LogInfo(msg=f"configuration: {config_dir()} (${CONFIG_KEY})"))
        watched = [_Watched(node, context) for node in nodes]
        chain([*(a for a in first if isinstance(a, InOrder)), *(w.process for w in watched)])
        return [*environment, *first, *(action for w in watched for action in w.actions)]

    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def _text(default: object) -> str:
    """A default as people write launch arguments."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _added(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Variables of ``after`` that ``before`` lacks or has otherwise."""
    return {k: v for k, v in after.items() if before.get(k) != v}


def _remaps(node: NodeSpec, context: LaunchContext) -> list[tuple[str, str]]:
    """Remapping rules of a node; a namespace pushed around the file has a clock of its own as well."""
    is_pushed = bool(str(context.launch_configurations.get("ros_namespace", "")).strip("/"))
    is_simulated = any(node.parameters.get(name) is True for name in ("use_sim_time", "publish_clock"))
    return list({**({CLOCK: CLOCK.strip("/")} if is_pushed and is_simulated else {}), **node.remaps}.items())


def or_goes_down(
    name: str, *, is_fine: Callable[[int], bool] = lambda status: False
) -> Callable[[ProcessExited, LaunchContext], None]:
    """What a process that a graph cannot do without does ``on_exit``: the graph goes down, launch ends with status 1.

    Args:
        name: Its name in the message.
        is_fine: Whether it may end by itself with a status.
    """

    def on_exit(event: ProcessExited, context: LaunchContext) -> None:
        """Raise GraphError, unless all is going down anyway."""
        _end_rest_of(event)
        if not context.is_shutdown and not is_fine(event.returncode):
            raise GraphError(f"graph goes down: '{name}' ended with {how_it_ended(event.returncode)}")

    return on_exit


def _end_rest_of(event: ProcessExited) -> None:
    """End whatever a process in a session of its own left behind."""
    with contextlib.suppress(OSError):
        os.killpg(event.pid, signal.SIGKILL)


class _Watched:
    """One node of a launched graph, from its first start to its last end."""

    def __init__(self, node: NodeSpec, context: LaunchContext) -> None:
        """Make its process, as far as it is known before it runs."""
        self._node, self._lives = node, Lives()
        environment = secured(node_environment(context.environment), node.name)
        self.process = OrderedNode(
            package="il_robot",
            executable=node.executable,
            exec_name=node.name,
            name=node.name,
            namespace=node.namespace or None,
            remappings=_remaps(node, context),
            ros_arguments=node.parameter_arguments,
            additional_env=_added(context.environment, environment),
            output="both",
            respawn=node.at_end is AtEnd.RESPAWN,
            respawn_delay=RESPAWN_DELAY_S,
            on_exit=self._on_exit,
        )

    @property
    def actions(self) -> list[Any]:
        """What launch has to do."""
        return [RegisterEventHandler(OnProcessStart(target_action=self.process, on_start=self._on_start)), self.process]

    def _on_start(self, event: ProcessStarted, context: LaunchContext) -> None:
        self._lives.begin(time.monotonic())

    def _on_exit(self, event: ProcessExited, context: LaunchContext) -> None:
        """Take the graph down if it cannot go on; launch says so, ends every node in order, and ends with status 1.

        Raises:
            GraphError: it cannot; says which node, and why.
        """
        _end_rest_of(event)
        if context.is_shutdown or self._node.at_end is AtEnd.IGNORE:
            return
        problem = f"graph goes down: node '{self._node.name}' ended with {how_it_ended(event.returncode)}"
        if self._node.at_end is AtEnd.STOP:
            raise GraphError(problem)
        if reason := self._lives.end(event.returncode, time.monotonic()):
            raise GraphError(f"{problem}, and {reason}")
