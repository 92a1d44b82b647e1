"""`il demo`: show, record, learn and act, end to end, with a report at the end."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

SUCCESSES_EXPECTED = 18  # of 20, the project's own bar; below it the demo says so


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What may vary between two demos.

    Attributes:
        out: Folder of the report; recordings, datasets and checkpoints go below it.
        demonstrations: Successful demonstrations to record.
        rollouts: Attempts of the learned policy.
        train_seconds: Longest training of a policy [s]; 0 = as its recipe says.
        seed: First seed of the scenes; rollouts use seeds no demonstration used.
        view: Show the simulated scene in a window.
        hand_guided: Recordings of real hand guiding (.mat).
    """

    out: Path
    demonstrations: int
    rollouts: int
    train_seconds: float
    seed: int
    view: bool
    hand_guided: Path


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and all data.")] = Path("outputs/demo"),
    demonstrations: Annotated[int, typer.Option(min=2, help="Demonstrations to record.")] = 36,
    rollouts: Annotated[int, typer.Option(min=1, help="Attempts of the learned policy.")] = 20,
    train_seconds: Annotated[
        float, typer.Option(min=0.0, help="Longest training of a policy [s]; 0: as its recipe says.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="First seed of the scenes.")] = 0,
    view: Annotated[bool, typer.Option("--view", help="Show the simulated scene in a window.")] = False,
    hand_guided: Annotated[Path, typer.Option(help="Recordings of real hand guiding (.mat).")] = Path(
        "data/panda_hand_guided/symbol_17.mat"
    ),
) -> None:
    """Show a task, record it, learn it, and let the arm do it; then learn from real hand guiding.

    Example: il demo --demonstrations 20 --rollouts 10 --out outputs/short
    """
    from il_cli.demo.run import run_demo
    from il_core.graph import ros_environment

    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    options = DemoOptions(out, demonstrations, rollouts, train_seconds, seed, view, hand_guided)
    console = Console()
    measured = run_demo(options, console)
    successes, episodes = measured.rollout["successes"], measured.rollout["episodes"]
    console.print(f"rollouts: [bold]{successes} of {episodes}[/bold] succeeded")
    console.print(f"symbol:   {measured.hand_guided['path_rms_mm']:.2f} mm RMS from the held-out demonstration")
    console.print(f"report:   {out / 'report.html'}")
    if successes * 20 < SUCCESSES_EXPECTED * episodes:
        advice = "a busy machine delays plans and images: stop other work, or record more"
        console.print(f"[yellow]fewer than 18 of 20 succeeded; {advice}[/yellow]")


def machine() -> str:
    """This machine in words: processor, cores, memory, system."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {cores} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {load:.1f} at start"
    )


def _processor() -> str:
    """Name of the processor as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def fresh_folder(path: Path) -> Path:
    """An empty folder; what an earlier demo left there goes."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path
