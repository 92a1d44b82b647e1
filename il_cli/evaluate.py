"""`il eval`: how often does a policy succeed, and how sure can we be?"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from il_cli.place import Namespace, SimTime
from il_cli.serve import Serving
from il_core.errors import ConfigError
from il_core.graph_spec import Graph, Place
from il_policy.serving.config import ServeConfig, load_serve_config

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
        Path | None, typer.Option(help="Dataset to compare paths, timing, smoothness and visited places with.")
    ] = None,
    config: Serving = "default",
    randomise: Annotated[
        bool, typer.Option("--randomise", help="Vary light, colours, cameras, friction and masses too (in process).")
    ] = False,
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
    In process a plan always has all its denoising steps; over ROS they depend on the machine, as on a robot.
    Every way ends with report.html and report.json in --out.

    Example: il eval outputs/demo/checkpoint --episodes 50

    Example: il eval outputs/bc outputs/diffusion --in-process --demonstrations outputs/demo/dataset

    Example: il eval outputs/bc outputs/diffusion --arm --episodes 10 --scenes outputs/demo/dataset
    """
    seeds = range(seed, seed + episodes)
    if randomise and (arm or not (in_process or len(checkpoints) > 1)):
        raise ConfigError("--randomise", "needs --in-process: a running graph's scene is its own")
    if arm and config != "default":
        raise ConfigError("--config", "has no say with --arm: give it to the `il serve` or `il up policy` that runs")
    serving = load_serve_config(config)
    if arm:
        place, pictures = Place(namespace, use_sim_time), (scenes, camera)
        _on_the_arm(checkpoints, task, episodes, seed, limit_s, pictures, demonstrations, out, place)
    elif in_process or len(checkpoints) > 1:
        _in_process(checkpoints, task, seeds, limit_s, demonstrations, out, serving, is_randomised=randomise)
    else:
        _over_ros(checkpoints[0], task, seeds, limit_s, demonstrations, out, config)


def _on_the_arm(
    checkpoints: list[Path],
    task: str,
    episodes: int,
    seed: int,
    limit_s: float,
    pictures: tuple[Path | None, str],
    demonstrations: Path | None,
    out: Path,
    place: Place,
) -> None:
    """Let policies try on a real arm, and show what a person said of them."""
    from il_cli.evaluate_arm import evaluate_arm
    from il_cli.evaluate_report import JSON
    from il_cli.evaluate_scenes import Scenes

    dataset, camera = pictures
    out.mkdir(parents=True, exist_ok=True)
    shown = None if dataset is None else Scenes(dataset, camera, out)
    if shown is not None:
        typer.echo(f"open {shown.page.resolve()} in a browser: it lays the wanted picture over the live one")
    taught = demonstrations or dataset
    is_done = evaluate_arm(checkpoints, task, episodes, seed, limit_s, shown, out, place, taught)
    if (out / JSON).exists():
        _show(Console(), json.loads((out / JSON).read_text()), out)
    if not is_done:
        typer.echo("not all attempts are done; the same command goes on")


def _in_process(
    checkpoints: list[Path],
    task: str,
    seeds: range,
    limit_s: float,
    demonstrations: Path | None,
    out: Path,
    serving: ServeConfig,
    *,
    is_randomised: bool = False,
) -> None:
    """Compare policies in one process, and write the report."""
    from il_cli.cards import about_to_try, keep_cards
    from il_cli.compare import compare
    from il_cli.demo import machine
    from il_cli.demo.display import PhaseDisplay
    from il_cli.evaluate_figures import demonstrated
    from il_cli.evaluate_report import write
    from il_core.config import load_setup
    from il_sim.randomise import load_randomisation

    console, setup = Console(), load_setup(task)
    shown = [] if demonstrations is None else demonstrated(demonstrations, setup.task.rate_hz)
    ranges = load_randomisation() if is_randomised else None
    tried = about_to_try(checkpoints)
    with (
        PhaseDisplay(console, []) as display,
        display.phase("attempts, blind", len(seeds) * len(checkpoints)) as advance,
    ):
        candidates = compare(
            setup, checkpoints, seeds, limit_s, lambda a: advance(1, f"seed {a.seed}"), ranges, serving
        )
    about = {"task": setup.task.name, "scenes": len(seeds), "machine": machine(), "how": "in process, simulated time"}
    if ranges is not None:
        about |= {"how": f"{about['how']}, scenes randomised", "randomise": asdict(ranges)}
    _show(console, write(out, candidates, shown, setup.task.rate_hz, limit_s, about), out)
    keep_cards(tried, candidates, about)


def _over_ros(
    checkpoint: Path, task: str, seeds: range, limit_s: float, demonstrations: Path | None, out: Path, config: str
) -> None:
    """Let one policy drive the graph that would drive a real arm, and write the report."""
    from il_cli.cards import about_to_try, keep_cards
    from il_cli.demo import machine
    from il_cli.demo.display import PhaseDisplay
    from il_cli.evaluate_figures import demonstrated
    from il_cli.evaluate_report import write
    from il_cli.process import Supervisor
    from il_cli.rollouts import Rollout, candidate, roll_out
    from il_cli.ros.attempt_log import AttemptLog
    from il_cli.ros.session import Session
    from il_core.config import load_setup
    from il_core.graph import GraphOptions, graph, ros_environment

    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    console, setup = Console(), load_setup(task)
    shown = [] if demonstrations is None else demonstrated(demonstrations, setup.task.rate_hz)
    policies = about_to_try([checkpoint])
    served = _served(graph("policy", GraphOptions(task=task, checkpoint=str(checkpoint))), config)
    with PhaseDisplay(console, []) as display, Supervisor(served, out / "log") as supervisor, Session() as session:
        log = AttemptLog(session.node)
        with display.phase("start the graph"):
            supervisor.wait_ready(60.0)
        with display.phase("roll out", len(seeds)) as advance:

            def on_result(result: Rollout) -> None:
                advance(1, f"seed {result.seed}: {'success' if result.success else 'failure'}")

            results = roll_out(session, seeds, limit_s, supervisor.check, on_result, log)
        said = session.diagnostics.get("policy", {})
    tried = candidate(checkpoint.name, results, setup.task.rate_hz)
    if "inference_ms_p50" in said:
        tried.inference_p50_p99 = float(said["inference_ms_p50"]), float(said["inference_ms_p99"])
    about = {"task": setup.task.name, "scenes": len(seeds), "machine": machine(), "how": "over ROS, in real time"}
    _show(console, write(out, [tried], shown, setup.task.rate_hz, limit_s, about), out)
    keep_cards(policies, [tried], about)


def _served(graph: Graph, config: str) -> Graph:
    """The graph with its policy served as a file of config/serve/, or any other, says."""
    file = str(Path(config).resolve()) if config.endswith((".yaml", ".yml")) else config
    policy = graph.node("policy")
    served = replace(policy, parameters={**policy.parameters, "serving": file})
    return replace(graph, nodes=tuple(served if node is policy else node for node in graph.nodes))


def _show(console: Console, report: dict[str, Any], out: Path) -> None:
    """The result as a table, and where the rest is."""
    from il_cli.evaluate_report import HTML

    table = Table(title="evaluation")
    for column in ("policy", "successes", "attempts", "95 % interval"):
        table.add_column(column)
    for figures in report["policies"]:
        lo, hi = figures["wilson95"]
        table.add_row(figures["name"], str(figures["successes"]), str(figures["episodes"]), f"{lo:.0%} to {hi:.0%}")
    console.print(table)
    for pair in report["pairs"]:
        split = f"only {pair['first']}: {pair['only_first']}, only {pair['second']}: {pair['only_second']}"
        console.print(f"{split}; p = {pair['p']:.3g}", highlight=False)
    console.print(f"details: {out / HTML}", highlight=False)
