"""`il sim`: the simulated arm, its cameras and the controller; short for `il up sim`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from il_cli.up import DEFAULT, Robot, Seed, Task, Timeout, View, keep_running
from il_core.errors import ConfigError
from il_core.graph import GraphOptions, graph


def sim(
    task: Task = DEFAULT.task,
    robot: Robot = DEFAULT.robot,
    seed: Seed = DEFAULT.seed,
    view: View = DEFAULT.view,
    timeout_s: Timeout = 60.0,
    record: Annotated[
        int, typer.Option(min=0, help="Instead, record so many scripted demonstrations faster than real time.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Folder of those recordings.")] = Path("outputs/recordings"),
    randomise: Annotated[
        bool, typer.Option("--randomise", help="Vary light, colours, cameras, friction and masses too (with --record).")
    ] = False,
) -> None:
    """Start the simulated arm, its cameras and the controller until Ctrl-C.

    Example: il sim --task pick_place --seed 3 --view

    Example: il sim --record 50 --seed 0 --out outputs/bulk

    Example: il sim --record 50 --randomise --out outputs/varied
    """
    if record:
        _record(task, robot, range(seed, seed + record), out, is_randomised=randomise)
        return
    if randomise:
        raise ConfigError("--randomise", "needs --record: cameras of a running graph draw the scene as described")
    options = GraphOptions(task=task, robot=robot, seed=seed, view=view, monitor=True)
    keep_running(graph("sim", options), timeout_s)


def _record(task: str, robot: str, seeds: range, out: Path, *, is_randomised: bool) -> None:
    """Bulk data in this process; the same seeds give the same recordings."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from il_cli.ros.bulk import record_in_process
    from il_core.config import load_setup
    from il_sim.randomise import load_randomisation

    setup = load_setup(task, robot or None)
    ranges = load_randomisation() if is_randomised else None
    columns = (TextColumn("record"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console()) as bar:
        row = bar.add_task("record", total=len(seeds))
        paths = record_in_process(setup, out, seeds, lambda _: bar.advance(row), ranges)
    typer.echo(f"{len(paths)} recordings in {paths[0].parent}")
