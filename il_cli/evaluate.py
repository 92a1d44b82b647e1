"""`il eval`: how often does a policy succeed, and how sure can we be?"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

UNSEEN_SEED = 100_000  # demonstrations use small seeds: these scenes were never shown


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of the policy.")],
    task: Annotated[str, typer.Option(help="Task, by name or YAML file.")] = "pick_place",
    episodes: Annotated[int, typer.Option(min=1, help="Attempts.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the first scene.")] = UNSEEN_SEED,
    limit_s: Annotated[float, typer.Option(min=1.0, help="Longest attempt [s].")] = 20.0,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("outputs/eval"),
) -> None:
    """Let a policy try unseen scenes in the simulator, over ROS, and count.

    Example: il eval outputs/demo/checkpoint --episodes 50
    """
    from il_cli.demo.display import PhaseDisplay
    from il_cli.process import Supervisor
    from il_cli.rollouts import Rollout, roll_out, summary
    from il_cli.ros.session import Session
    from il_core.graph import GraphOptions, graph, ros_environment

    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    console = Console()
    served = graph("policy", GraphOptions(task=task, checkpoint=str(checkpoint)))
    with PhaseDisplay(console, []) as display, Supervisor(served, out / "log") as supervisor, Session() as session:
        with display.phase("start the graph"):
            supervisor.wait_ready(60.0)
        with display.phase("roll out", episodes) as advance:

            def on_result(result: Rollout) -> None:
                advance(1, f"seed {result.seed}: {'success' if result.success else 'failure'}")

            seeds = range(seed, seed + episodes)
            results = roll_out(session, seeds, limit_s, supervisor.check, on_result)
    figures = summary(results)
    rows = [{"seed": r.seed, "success": r.success, "seconds": round(r.seconds, 2)} for r in results]
    out.mkdir(parents=True, exist_ok=True)
    (out / "eval.json").write_text(json.dumps({**figures, "rollouts": rows}, indent=2) + "\n")
    _show(console, figures, out)


def _show(console: Console, figures: dict[str, Any], out: Path) -> None:
    """The result as a table."""
    lo, hi = figures["wilson95"]
    table = Table(title="evaluation")
    for column in ("successes", "episodes", "95 % interval", "details"):
        table.add_column(column)
    interval = f"{lo:.0%} to {hi:.0%}"
    table.add_row(str(figures["successes"]), str(figures["episodes"]), interval, str(out / "eval.json"))
    console.print(table)
