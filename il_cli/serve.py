"""`il serve`: let a trained policy drive the arm of a running graph."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `il train` wrote.")],
    task: Annotated[str, typer.Option(help="Task; the checkpoint's own if empty.")] = "",
    robot: Annotated[str, typer.Option(help="Robot; the task's own if empty.")] = "",
) -> None:
    """Serve a policy to the graph that runs already, such as `il sim`; it waits for policy/enable.

    Example: il serve outputs/policy
    """
    from il_core.config import load_setup
    from il_core.graph import GraphOptions, graph, node_environment
    from il_policy.checkpoint import load, read_manifest

    task = task or read_manifest(checkpoint).task.name
    load(checkpoint, load_setup(task, robot or None))  # say here and in one line why it cannot be served
    options = GraphOptions(task=task, robot=robot, checkpoint=str(checkpoint.resolve()))
    node = graph("policy", options).node("policy")
    typer.echo("serving; start planning: ros2 service call /policy/enable std_srvs/srv/SetBool '{data: true}'")
    sys.stdout.flush()
    arguments = [sys.executable, "-m", node.module, *node.ros_arguments]
    os.execve(sys.executable, arguments, node_environment(os.environ))  # Ctrl-C reaches the node itself
