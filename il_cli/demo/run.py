"""The demo's story, top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from il_cli import rollouts
from il_cli.demo import DemoOptions, fresh_folder, hand_guided, machine, pick_place, report
from il_cli.demo.display import PhaseDisplay
from il_cli.process import Supervisor
from il_cli.ros.session import Session
from il_core.config import load_setup
from il_core.errors import EpisodeError
from il_core.graph import Graph, GraphOptions, graph

READY_S = 60.0  # importing torch and compiling the scene take seconds on a slow machine
ROLLOUT_LIMIT_S = 20.0  # twice a demonstration, with room for one repeated grasp
UNSEEN_SEED = 100_000  # demonstrations use seeds below, rollouts from here on


def run_demo(options: DemoOptions, console: Console) -> report.Measured:
    """Run every phase and write the report.

    Raises:
        IlError: a phase failed; recordings made so far stay where they are.
    """
    if not options.hand_guided.is_file():
        raise EpisodeError(
            options.hand_guided, "no such file; pass --hand-guided PATH of symbol_17.mat (see data/README.md)"
        )
    out = fresh_folder(options.out)
    measured = report.Measured(machine=machine())
    with PhaseDisplay(console, measured.phases) as display:
        _pick_place(options, out, measured, display)
        _hand_guided(options, out, measured, display)
        with display.phase("write the report"):
            report.write(measured, out)
    return measured


def _graph(name: str, out: Path, options: DemoOptions, **values: Any) -> Graph:  # noqa: ANN401 - GraphOptions' fields
    return graph(name, GraphOptions(recordings=str(out / "recordings"), view=options.view, **values))


def _overrides(options: DemoOptions) -> tuple[str, ...]:
    """Changes of the training recipes."""
    return (f"max_seconds={options.train_seconds}",) if options.train_seconds else ()


def _pick_place(options: DemoOptions, out: Path, measured: report.Measured, display: PhaseDisplay) -> None:
    """Record, build, train, roll out."""
    setup = load_setup("pick_place")
    recorded = _graph("record", out, options, task="pick_place", operator=True)
    with Supervisor(recorded, out / "log" / "record") as supervisor, Session() as session:
        with display.phase("start plant, cameras, controller"):
            supervisor.wait_ready(READY_S)
        wanted = options.demonstrations
        seeds = range(options.seed, options.seed + 2 * wanted)
        with display.phase("record demonstrations", wanted) as advance:
            recordings = pick_place.record(session, supervisor, seeds, wanted, advance)
    pick_place.measure_recordings(measured, recordings)
    with display.phase("build the dataset", len(recordings)) as advance:
        dataset = pick_place.build(recordings, setup, out / "dataset", advance)
    pick_place.show_episodes(measured, dataset, setup)
    with display.phase("train the diffusion policy", 1.0) as advance:
        checkpoint = pick_place.train(measured, dataset, out / "checkpoint", advance, _overrides(options))
    served = _graph("policy", out, options, task="pick_place", checkpoint=str(checkpoint))
    with Supervisor(served, out / "log" / "policy") as supervisor, Session() as session:
        with display.phase("serve the policy"):
            supervisor.wait_ready(READY_S)
        with display.phase("roll out at unseen poses", options.rollouts) as advance:
            good = 0

            def on_result(result: rollouts.Rollout) -> None:
                nonlocal good
                good += result.success
                advance(1, f"{good} succeeded")

            first = UNSEEN_SEED + options.seed
            seeds = range(first, first + options.rollouts)
            results = rollouts.roll_out(session, seeds, ROLLOUT_LIMIT_S, supervisor.check, on_result)
        pick_place.measure_control(measured, session)
    measured.rollout = rollouts.summary(results)
    measured.rollout_paths = [(r.path, r.success) for r in results]


def _hand_guided(options: DemoOptions, out: Path, measured: report.Measured, display: PhaseDisplay) -> None:
    """Import, learn from five, draw, compare with the sixth."""
    setup = load_setup("draw_symbol")
    with display.phase("import and learn the hand guiding", 1.0) as advance:
        learned = hand_guided.learn(options.hand_guided, setup, out / "hand_guided", advance, _overrides(options))
    served = _graph("policy", out, options, task="draw_symbol", checkpoint=str(learned.checkpoint))
    with Supervisor(served, out / "log" / "draw") as supervisor, Session() as session:
        with display.phase("draw the symbol"):
            supervisor.wait_ready(READY_S)
            drawn = hand_guided.draw(session, supervisor, setup, learned.p_start)
    measured.hand_guided = hand_guided.compare(learned, drawn)
    measured.drawing = {f"demonstration {k + 1}": p for k, p in enumerate(learned.paths)}
    measured.drawing |= {"held out": learned.held_out, "drawn": np.asarray(drawn)}
