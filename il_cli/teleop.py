"""`il teleop`: drive the tool from this terminal's keyboard, or with a gamepad."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Annotated

import typer

ATTACH_S = 10.0


def teleop(
    task: Annotated[str, typer.Option(help="Task, by name or YAML file.")] = "pick_place",
    robot: Annotated[str, typer.Option(help="Robot, if another than the task's own.")] = "",
    device: Annotated[str, typer.Option(help="What you move: keyboard or joy.")] = "keyboard",
) -> None:
    """Drive the tool by hand; the keyboard's keys are printed at the start.

    The graph must run: start it in another terminal with `il up sim` or `il up record`.

    Example: il teleop --device keyboard
    """
    from il_core.graph import node_environment, ros_environment

    os.environ.update(ros_environment(os.environ))
    attach()
    parameters = {"task": task, "robot": robot, "device": device}
    ros = [word for key, value in parameters.items() for word in ("-p", f"{key}:='{value}'")]
    command = [sys.executable, "-m", "il_teleop.ros.teleop_node", "--ros-args", *ros]
    # Ctrl-C reaches the node too, because it shares the terminal; it leaves by itself and we wait.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise typer.Exit(subprocess.run(command, env=node_environment(os.environ), check=False).returncode)


def attach() -> None:
    """Make sure that an arm can be driven.

    Raises:
        GraphError: the tool's pose does not come.
    """
    from il_cli.ros.session import Session
    from il_core import topics

    with Session("il_teleop") as session:
        what = f"topic '{topics.EE_POSE}' is silent, node 'controller' should publish it: start `il up sim`"
        session.wait(lambda: bool(session.path), ATTACH_S, what)
