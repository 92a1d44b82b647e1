"""`il gazebo`: the simulated scene for Gazebo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from il_cli.up import DEFAULT, Robot, Seed, Task
from il_sim.gazebo.names import Drive

app = typer.Typer(no_args_is_help=True, help="The simulated scene for Gazebo Harmonic, Ionic and Jetty.")


@app.callback()
def gazebo() -> None:
    """The simulated scene for Gazebo Harmonic, Ionic and Jetty."""


@app.command()
def write(
    out: Annotated[Path, typer.Argument(help="Folder; made if it is not there.")],
    task: Task = DEFAULT.task,
    robot: Robot = DEFAULT.robot,
    seed: Seed = DEFAULT.seed,
    model: Annotated[Drive, typer.Option(help="How torques reach the arm: a topic per joint, or ros2_control.")] = (
        Drive.JOINTS
    ),
    namespace: Annotated[str, typer.Option(help="Namespace of the graph; only ros2_control's files tell it.")] = "",
) -> None:
    """Write world, robot model and the bridge's topics, from the same files as MuJoCo's scene.

    Example: il gazebo write outputs/gazebo --task pick_place --seed 3
    """
    from il_core.config import load_setup
    from il_sim.gazebo.files import write_gazebo

    written = write_gazebo(load_setup(task, robot or None), out, seed=seed, drive=model, namespace=namespace)
    own = (("world", written.world), ("model", written.model), ("bridge", written.bridge))
    for name, path in (*own, ("controllers", written.controllers), ("description", written.description)):
        if path is not None:
            typer.echo(f"{name:12}{path}")
