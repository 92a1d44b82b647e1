"""`il eval`: how often does a policy succeed, and how sure can we be?"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from il_cli.place import Namespace, SimTime
from il_core.errors import ConfigError
from il_core.graph_spec import Place

UNSEEN_SEED = 100_000  # demonstrations use small seeds: these scenes were never shown


def evaluate(
    checkpoints: Annotated[list[Path], typer.Argument(help="Folders of policies; several are compared.")],
    task: Annotated[str, typer.Option(help="Task, by name or YAML file.")] = "pick_place",
    episodes: Annotated[int, typer.Option(min=1, help="Attempts of each policy.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the first scene.")] = UNSEEN_SEED,
    limit_s: Annotated[float, typer.Option(min=1.0, help="Longest attempt [s].")] = 20.0,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="In simulated time without ROS: the machine's load plays no part.")
    ] = False,
    demonstrations: Annotated[
        Path | None, typer.Option(help="Dataset to compare paths and visited places with (in process).")
    ] = None,
    arm: Annotated[
        bool, typer.Option("--arm", help="On the arm of the graph that runs already: you reset the scene and judge.")
    ] = False,
    scenes: Annotated[
        Path | None, typer.Option(help="Dataset whose first pictures are the scenes (with --arm).")
    ] = None,
    camera: Annotated[str, typer.Option(help="Camera of those pictures.")] = "front",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("outputs/eval"),
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Let policies try unseen scenes in the simulator, and count; several are compared blind, at the same scenes.

    One policy alone drives over ROS, as it would drive a real arm, unless --in-process is given. With --arm a person
    resets a real scene and judges, without being told whose attempt it was; the same command goes on after a pause.

    Example: il eval outputs/demo/checkpoint --episodes 50

    Example: il eval outputs/bc outputs/diffusion --in-process --demonstrations outputs/demo/dataset

    Example: il eval outputs/bc outputs/diffusion --arm --episodes 10 --scenes outputs/demo/dataset
    """
    if arm:
        _on_the_arm(checkpoints, task, episodes, seed, limit_s, (scenes, camera), out, Place(namespace, use_sim_time))
        return
    if in_process or len(checkpoints) > 1:
        _in_process(checkpoints, task, range(seed, seed + episodes), limit_s, demonstrations, out)
        return
    if demonstrations is not None:
        raise ConfigError("--demonstrations", "needs --in-process: only there attempts are compared with a dataset")
    _over_ros(checkpoints[0], task, range(seed, seed + episodes), limit_s, out)


def _on_the_arm(
    checkpoints: list[Path],
    task: str,
    episodes: int,
    seed: int,
    limit_s: float,
    pictures: tuple[Path | None, str],
    out: Path,
    place: Place,
) -> None:
    """Let policies try on a real arm, and show what a person said of them."""
    from il_cli.evaluate_arm import Scenes, evaluate_arm

    dataset, camera = pictures
    out.mkdir(parents=True, exist_ok=True)
    shown = None if dataset is None else Scenes(dataset, camera, out)
    if shown is not None:
        typer.echo(f"open {shown.page.resolve()} in a browser: it lays the wanted picture over the live one")
    is_done = evaluate_arm(checkpoints, task, episodes, seed, limit_s, shown, out, place)
    report = out / "report.json"
    if report.exists():
        _show(Console(), json.loads(report.read_text())["policies"], report)
    if not is_done:
        typer.echo("not all attempts are done; the same command goes on")


def _in_process(
    checkpoints: list[Path], task: str, seeds: range, limit_s: float, demonstrations: Path | None, out: Path
) -> None:
    """Compare policies in one process, and write report.json and report.html."""
    from il_cli.compare import compare, demonstrated, to_json
    from il_cli.demo import machine
    from il_cli.demo.display import PhaseDisplay
    from il_cli.evaluate_page import page
    from il_core.config import load_setup

    console, setup = Console(), load_setup(task)
    shown = [] if demonstrations is None else demonstrated(demonstrations)
    with (
        PhaseDisplay(console, []) as display,
        display.phase("attempts, blind", len(seeds) * len(checkpoints)) as advance,
    ):
        candidates = compare(setup, checkpoints, seeds, limit_s, lambda a: advance(1, f"seed {a.seed}"))
    about = {"task": setup.task.name, "scenes": len(seeds), "machine": machine(), "how": "in process, simulated time"}
    report = to_json(candidates, shown, setup.task.rate_hz, about)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    (out / "report.html").write_text(page(report, candidates, shown))
    _show(console, report["policies"], out / "report.html")
    for pair in report["pairs"]:
        split = f"only {pair['first']}: {pair['only_first']}, only {pair['second']}: {pair['only_second']}"
        console.print(f"{split}; p = {pair['p']:.3g}", highlight=False)


def _over_ros(checkpoint: Path, task: str, seeds: range, limit_s: float, out: Path) -> None:
    """Let one policy drive the graph that would drive a real arm."""
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
        with display.phase("roll out", len(seeds)) as advance:

            def on_result(result: Rollout) -> None:
                advance(1, f"seed {result.seed}: {'success' if result.success else 'failure'}")

            results = roll_out(session, seeds, limit_s, supervisor.check, on_result)
    figures = summary(results)
    rows = [{"seed": r.seed, "success": r.success, "seconds": round(r.seconds, 2)} for r in results]
    out.mkdir(parents=True, exist_ok=True)
    (out / "eval.json").write_text(json.dumps({**figures, "rollouts": rows}, indent=2) + "\n")
    _show(console, [{"name": checkpoint.name, **figures}], out / "eval.json")


def _show(console: Console, policies: list[dict[str, Any]], details: Path) -> None:
    """The result as a table."""
    table = Table(title="evaluation")
    for column in ("policy", "successes", "attempts", "95 % interval"):
        table.add_column(column)
    for figures in policies:
        lo, hi = figures["wilson95"]
        table.add_row(figures["name"], str(figures["successes"]), str(figures["episodes"]), f"{lo:.0%} to {hi:.0%}")
    console.print(table)
    console.print(f"details: {details}", highlight=False)
