"""`il up`: start a graph of nodes and keep it running, as ros2 launch would."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from il_core.graph import GRAPHS, GraphOptions
from il_core.security import COMMAND, ENABLE, secured

if TYPE_CHECKING:
    from il_cli.process import Supervisor
    from il_core.graph import Graph

DEFAULT = GraphOptions()
CHECK_PERIOD_S = 0.2
CONSOLE_S = 10.0  # longest wait for the console to say where it is

Task = Annotated[str, typer.Option(help="Task, by name or YAML file.")]
Robot = Annotated[str, typer.Option(help="Robot, by name or YAML file; the task's own if empty.")]
Seed = Annotated[int, typer.Option(help="Seed of the simulated scene.")]
View = Annotated[bool, typer.Option("--view", help="Show the simulated scene in a window.")]
Timeout = Annotated[float, typer.Option(min=1.0, help="Longest wait for the nodes to be ready [s].")]


def up(
    graph: Annotated[str, typer.Argument(help=f"One of: {', '.join(GRAPHS)}.")],
    task: Task = DEFAULT.task,
    robot: Robot = DEFAULT.robot,
    sim: Annotated[bool, typer.Option(help="Simulated arm and cameras, or your own drivers.")] = DEFAULT.sim,
    seed: Seed = DEFAULT.seed,
    view: View = DEFAULT.view,
    operator: Annotated[bool, typer.Option("--operator", help="Scripted operator.")] = DEFAULT.operator,
    device: Annotated[str, typer.Option(help="What you move: keyboard or joy.")] = DEFAULT.device,
    recordings: Annotated[str, typer.Option(help="Folder for recordings.")] = DEFAULT.recordings,
    checkpoint: Annotated[str, typer.Option(help="Folder of the policy to serve.")] = DEFAULT.checkpoint,
    cameras: Annotated[str, typer.Option(help="Without sim: camera_node, or a driver of config/camera.")] = "",
    namespace: Annotated[str, typer.Option(help="In front of every name, such as left.")] = DEFAULT.namespace,
    use_sim_time: Annotated[bool, typer.Option("--use-sim-time", help="Time is what the simulator says.")] = False,
    params: Annotated[str, typer.Option(help="ROS parameter file, on top of config/launch/nodes.yaml.")] = "",
    manage: Annotated[bool, typer.Option("--manage", help="A manager brings the nodes up, in order.")] = False,
    monitor: Annotated[bool, typer.Option(help="Rate and age of every topic on /diagnostics.")] = True,
    console: Annotated[bool, typer.Option("--console", help="Serve the operator's page; docs/console.md.")] = False,
    description: Annotated[bool, typer.Option("--description", help="Publish URDF and frames.")] = False,
    timeout_s: Timeout = 60.0,
    secure: Annotated[bool, typer.Option("--secure", help="Secure mode or nothing; docs/security.md.")] = False,
) -> None:
    """Start a graph of nodes and keep it running until Ctrl-C.

    Example: il up record --task pick_place --operator

    Example: il up all --console

    Example: il up robot --task pick_place --cameras camera_node --namespace left
    """
    from il_core.graph import graph as describe

    if secure:
        os.environ.update(secured({**os.environ, ENABLE: "true"}, COMMAND))
    options = GraphOptions(
        task=task,
        robot=robot,
        sim=sim,
        seed=seed,
        view=view,
        operator=operator,
        device=device,
        recordings=recordings,
        checkpoint=checkpoint,
        cameras=cameras,
        namespace=namespace,
        use_sim_time=use_sim_time,
        params=params,
        manage=manage,
        monitor=monitor,
        console=console,
        description=description,
    )
    keep_running(describe(graph, options), timeout_s)


def keep_running(graph: Graph, timeout_s: float) -> None:
    """Run a graph until Ctrl-C.

    Raises:
        GraphError: a node did not get ready in time, or ended by itself.
    """
    from il_cli.process import Supervisor, new_log_dir
    from il_core.config import CONFIG_KEY, config_dir
    from il_core.graph import ros_environment

    if os.environ.get(CONFIG_KEY):
        typer.echo(f"configuration: {config_dir()} (${CONFIG_KEY})")
    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    with Supervisor(graph, new_log_dir()) as supervisor:
        supervisor.wait_ready(timeout_s)
        show_running(supervisor.log_dir, {n: p.pid for n, p in supervisor.processes.items()})
        _show_console(supervisor)
        while True:
            supervisor.check()
            time.sleep(CHECK_PERIOD_S)


def _show_console(supervisor: Supervisor) -> None:
    """Where the operator's page is, and its token if it needs one; nothing without a page.

    Raises:
        GraphError: a node ended by itself.
    """
    end = time.monotonic() + CONSOLE_S
    while "console" in supervisor.processes and time.monotonic() < end:
        lines = supervisor.log_path("console").read_text(errors="replace").splitlines()
        if told := [line for line in lines if line.startswith(("console: ", "token: "))]:
            typer.echo("\n".join(told))
            return
        supervisor.check()
        time.sleep(CHECK_PERIOD_S)


def show_running(log_dir: Path, pids: dict[str, int]) -> None:
    """Tell what runs, where it logs and how to end it."""
    for name, pid in pids.items():
        typer.echo(f"{name:<12} ready  pid {pid:<8} {log_dir / name}.log")
    typer.echo("Ctrl-C stops all of it, in order.")
