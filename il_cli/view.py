"""`il view`: the running robot live in Rerun."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from il_cli.place import Namespace, SimTime
from il_cli.up import Robot, Task

POLL_S = 0.2


def view(
    task: Task = "pick_place",
    robot: Robot = "",
    save: Annotated[Path | None, typer.Option(help="Write an .rrd file instead of opening a viewer.")] = None,
    connect: Annotated[str, typer.Option(help="Address of a running viewer, rerun+http://host:9876/proxy.")] = "",
    seconds: Annotated[float, typer.Option(min=0.0, help="End after so long [s]; 0: at Ctrl-C.")] = 0.0,
    pictures_hz: Annotated[float, typer.Option(min=0.1, help="Pictures a second of each camera.")] = 10.0,
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Watch a running graph: pictures, depth, arm, targets, plans and forces on one time line.

    Only looks on: it sends nothing to the robot.

    Example: il view

    Example: il view --save live.rrd --seconds 30
    """
    from il_cli.live_scene import LiveScene, open_stream, rerun
    from il_cli.ros.session import Session
    from il_cli.ros.viewing import Viewing
    from il_control.description import describe_setup
    from il_core.config import load_setup
    from il_core.errors import GraphError
    from il_core.graph import ros_environment
    from il_core.graph_spec import Place

    rerun()  # told before anything starts
    setup = load_setup(task, robot or None)
    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    scene = LiveScene(open_stream(save, connect), setup.robot, describe_setup(setup))
    with Session("view", Place(namespace, use_sim_time)) as session:
        viewing = Viewing(session.node, setup, scene, pictures_hz)
        end = time.monotonic() + seconds if seconds else float("inf")
        typer.echo(f"showing task '{task}'; Ctrl-C ends it")
        try:
            while time.monotonic() < end:
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            pass
    scene.close()
    for topic, count in sorted(viewing.shown.items()):
        typer.echo(f"{count:>7} {topic}")
    if not viewing.shown:
        raise GraphError("no topic of the task carried anything; start the graph first, such as `il sim`")
