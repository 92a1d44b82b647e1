"""One policy on one task: trained at one thread, exported, and let loose on scenes it never saw, in simulated time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.policies import drawing
from benchmark.policies.demonstrations import dataset, drawing_folder, edition, first, setup_of
from benchmark.policies.keep import Journal, Keeper, Values, digest, wait_while_paused
from il_cli.rehearsal import MS, Attempt, Rehearsal
from il_core.config import Setup
from il_core.errors import CheckpointError, IlError
from il_core.spec import digest as spec_digest
from il_core.stats import percentiles, wilson95

UNSEEN_SEED = 100_000  # demonstrations use small seeds: these scenes were never shown
# Raised when a head learns, or comes from noise to chunks, in another way: what was measured before is not the same.
SAMPLING = {"diffusion": 2, "one_step": 2, "gmm": 2}
NETWORKS = {"rnn": 2}  # the same of networks
LATENCY_MS = 100.0  # of inference, one tick: what a policy on a small computer needs


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a policy is made.

    Attributes:
        name: As in the table.
        config: Recipe in config/train/.
        overrides: Changes of it, ``key=value``.
        horizon: Rows of a chunk; 0 = the task's.
        n_execute: Rows executed before the next plan; 0 = the task's.
        teacher: Name of the recipe it is distilled from; empty = learned from demonstrations.
    """

    name: str
    config: str
    overrides: tuple[str, ...] = ()
    horizon: int = 0
    n_execute: int = 0
    teacher: str = ""

    def setup(self, task: str) -> Setup:
        """Robot and task, with this recipe's chunks."""
        base = setup_of(task)
        if not self.horizon and not self.n_execute:
            return base
        spec = replace(
            base.task,
            horizon=self.horizon or base.task.horizon,
            n_execute=self.n_execute or base.task.n_execute,
        )
        return replace(base, task=spec, digest=spec_digest(base.robot, spec, base.urdf_path.read_text()))

    def train_config(self) -> Any:  # noqa: ANN401 - torch is not imported before it is needed
        """Settings of the training; the length counts in steps, so that a busy machine changes nothing."""
        from il_policy.config import load_train_config

        return load_train_config(self.config, ("max_seconds=0", "threads=1", *self.overrides))


def settings_of(recipe: Recipe, task: str, demonstrations: int, teacher: Recipe | None = None) -> Values:
    """All that a training depends on."""
    config = recipe.train_config()
    values: Values = {
        "task": task,
        "spec": recipe.setup(task).digest,
        "demonstrations": demonstrations,
        "train": unusual(config),
    } | ({"edition": edition(task)} if edition(task) else {})
    if config.head.value in SAMPLING:
        values["sampling"] = SAMPLING[config.head.value]
    if config.network.kind.value in NETWORKS:
        values["network"] = NETWORKS[config.network.kind.value]
    return values | ({"teacher": settings_of(teacher, task, demonstrations)} if teacher else {})


def unusual(config: Any) -> Values:  # noqa: ANN401 - a TrainConfig
    """Settings that are not as they are by default: one that is new, and that nobody uses, makes no other training."""
    from il_policy.config import TrainConfig, plain

    return _differences(plain(config), plain(TrainConfig(config.policy, config.head))) | {
        "policy": config.policy,
        "head": config.head.value,
    }


def _differences(values: Values, usual: Values) -> Values:
    found = {}
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(usual[key], dict):
            inner = _differences(value, usual[key])
            found |= {key: inner} if inner else {}
        elif value != usual[key]:
            found[key] = value
    return found


def folder_of(keeper: Keeper, recipe: Recipe, settings: Values) -> Path:
    """Where a training leaves its checkpoint."""
    return keeper.work / "checkpoints" / f"{settings['task']}_{recipe.name}_{digest(settings)}"


def trained(
    keeper: Keeper, recipe: Recipe, task: str, demonstrations: int, teacher: Recipe | None = None
) -> tuple[Path, Values]:
    """Train and export, or go on where an earlier run stopped.

    Returns:
        Folder of the checkpoint, and what the training cost.
    """
    settings = settings_of(recipe, task, demonstrations, teacher)
    folder = folder_of(keeper, recipe, settings)
    taught = trained(keeper, teacher, task, demonstrations)[0] if teacher else None
    data = Keeper(keeper.work, folder)
    return folder, data.measured(
        "trained", settings, lambda: _train(keeper, recipe, task, demonstrations, folder, taught)
    )


def _train(
    keeper: Keeper, recipe: Recipe, task: str, demonstrations: int, folder: Path, teacher: Path | None
) -> Values:
    """Train at one thread; processor time counts, as the machine may be shared."""
    from il_policy.dataset import ChunkDataset
    from il_policy.train import STATE, adapted, train

    setup, config = recipe.setup(task), recipe.train_config()
    if teacher is not None:
        config = adapted(config, teacher)
    episodes = first(dataset(keeper, task, demonstrations), setup_of(task), demonstrations)
    samples = ChunkDataset(episodes, setup, config)
    began, cpu_s = time.monotonic(), time.process_time()
    resumed = (folder / STATE).exists()
    try:
        result = train(samples, setup, config, folder, is_resumed=resumed, teacher=teacher, on_progress=_pause)
    except CheckpointError:
        if not resumed:
            raise
        shutil.rmtree(folder)
        result = train(samples, setup, config, folder, teacher=teacher, on_progress=_pause)
    found: Values = {
        "parameters": result.parameters,
        "steps": result.steps,
        "train_cpu_s": time.process_time() - cpu_s,
        "train_s": time.monotonic() - began,
        "is_resumed": resumed,
        "held_out_mm": result.val.position_mm if result.val else None,
        "runtime": _export(folder),
    }
    return found


def _pause(_: Any) -> None:  # noqa: ANN401 - progress is of no interest
    wait_while_paused()


def _export(folder: Path) -> str:
    """Make the checkpoint run without torch where its head allows that.

    Returns:
        The runtime that serves it.
    """
    from il_policy.serving.export import export
    from il_policy.serving.loading import torch_policy

    try:
        export(folder, ["onnx"], torch_policy(folder, None))
    except IlError:
        return "torch"
    return "onnx"


def served(folder: Path, setup: Setup, runtime: str, **changes: Any) -> Any:  # noqa: ANN401 - fields of ServeConfig
    """The policy at work, always with all its denoising steps: how busy the machine is plays no part."""
    import il_policy
    from il_policy.serving.config import Runtime, ServeConfig

    usual = {"runtime": Runtime(runtime), "threads": 1, "deadline_ms": 1e9, "latency_ms": LATENCY_MS}
    policy = il_policy.load(folder, setup, config=ServeConfig(**(usual | changes)))
    policy.warm_up()
    return policy


def attempts(
    journal: Journal, rehearsal: Rehearsal, policy: Any, seeds: Sequence[int], limit_s: float, plan: Any = None
) -> Values:  # noqa: ANN401 - a policy at work, or anything that plans
    """Let a policy try every scene that the journal lacks.

    In simulated time an attempt depends on policy and scene alone: the order, and who else tries, play no part.

    Returns:
        Outcomes by scene, successes with their interval, and the time of a plan.
    """
    known = {line["seed"]: line for line in journal.lines}
    for seed in seeds:
        if seed in known:
            continue
        wait_while_paused()
        policy.reset(seed)
        spent: list[float] = []
        attempt = rehearsal.attempt(_timed(plan or policy.predict, policy, spent), seed, limit_s)
        known[seed] = _line(attempt, spent)
        journal.add(known[seed])
    return summary([known[seed] for seed in seeds])


def _timed(plan: Callable[[Any], Any], policy: Any, spent: list[float]) -> Callable[[Any], Any]:  # noqa: ANN401
    def timed(window: Any) -> Any:  # noqa: ANN401
        chunk = plan(window)
        spent.append(policy.report.milliseconds)
        return chunk

    return timed


def _line(attempt: Attempt, spent: list[float]) -> Values:
    return {
        "seed": attempt.seed,
        "success": attempt.success,
        "seconds": round(attempt.seconds, 3),
        "plan_ms": [round(ms, 3) for ms in spent],
    }


def summary(lines: Sequence[Values]) -> Values:
    """What the table shows of some attempts."""
    good = [line["success"] for line in lines]
    ms = [t for line in lines for t in line["plan_ms"]]
    p50, p99 = percentiles(ms, 50, 99)
    return {
        "attempts": len(lines),
        "successes": sum(good),
        "wilson95": list(wilson95(sum(good), len(good))),
        "failed_seeds": [line["seed"] for line in lines if not line["success"]],
        "seconds_mean": sum(line["seconds"] for line in lines) / len(lines),
        "plan_ms_p50": p50,
        "plan_ms_p99": p99,
    }


def tried(
    keeper: Keeper,
    recipe: Recipe,
    task: str,
    demonstrations: int,
    scenes: int,
    limit_s: float,
    teacher: Recipe | None = None,
    name: str = "",
) -> Values:
    """Train a policy, let it try unseen scenes, and keep both results."""
    settings = settings_of(recipe, task, demonstrations, teacher) | {
        "scenes": scenes, "limit_s": limit_s, "latency_ms": LATENCY_MS
    }  # fmt: skip

    def measure() -> Values:
        folder, cost = trained(keeper, recipe, task, demonstrations, teacher)
        setup = recipe.setup(task)
        journal = Journal(folder / f"attempts_{limit_s:g}s_{LATENCY_MS:g}ms.jsonl")
        with rehearsal_of(keeper, setup) as rehearsal:
            policy = served(folder, setup, cost["runtime"])
            seeds = range(UNSEEN_SEED, UNSEEN_SEED + scenes)
            return cost | attempts(journal, rehearsal, policy, seeds, limit_s)

    return keeper.measured(name or f"{task}_{recipe.name}", settings, measure)


def rehearsal_of(keeper: Keeper, setup: Setup) -> Rehearsal:
    """The scene of a task."""
    latency_ns = round(LATENCY_MS * MS)
    if setup.task.name == drawing.TASK:
        model = drawing.model_of(drawing_folder(keeper), setup_of(drawing.TASK))
        return drawing.DrawRehearsal(setup, latency_ns, model)
    return Rehearsal(setup, latency_ns)
