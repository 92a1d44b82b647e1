"""How success falls when plans come late, and what continuing the plan before is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmark.figures import Figure, figure
from benchmark.policies.keep import Journal, Keeper, Values
from benchmark.policies.recipes import DIFFUSION, Job, jobs
from benchmark.policies.trial import UNSEEN_SEED, attempts, served, settings_of, trained
from il_cli.rehearsal import MS, Rehearsal
from il_control.config import ControlConfig, load_control_config
from il_core.config import Setup
from il_core.types import ActionChunk
from il_policy.serving.config import Handover

RTC, NAIVE, SYNC = "real-time chunking", "naive asynchronous", "synchronous"
TICKS = tuple(range(9))
OTHER_TICKS = (0, 2, 4, 6, 8)  # of the two that are only shown beside it
QUICK_TICKS, QUICK_OTHER_TICKS = (0, 4, 8), (8,)
SCENES, QUICK_SCENES = 50, 15
TASK, KEPT = "pick_place", 0.95

Plan = Callable[[Any], ActionChunk]


def patient(setup: Setup, ticks: int) -> ControlConfig:
    """The controller's settings, but plans may be as old as they come here."""
    config = load_control_config(setup)
    return replace(config, max_plan_age_ms=max(config.max_plan_age_ms, 1.5 * ticks * setup.task.dt_ns / 1e6))


def shifted(chunk: ActionChunk, rows: int, ticks: int) -> ActionChunk:
    """The first rows of a plan, all of them later: the arm waited for it."""
    T, gripper = chunk.T_base_ee_des, chunk.gripper_des
    return replace(
        chunk,
        start_ns=chunk.start_ns + ticks * chunk.dt_ns,
        T_base_ee_des=None if T is None else T[:rows],
        gripper_des=None if gripper is None else gripper[:rows],
    )


def success(keeper: Keeper, job: Job, way: str, ticks: int, scenes: int) -> Values:
    """Attempts with plans that come some ticks late."""
    settings = settings_of(DIFFUSION, job.task, job.demonstrations) | {"way": way, "ticks": ticks, "scenes": scenes}

    def measure() -> Values:
        folder, cost = trained(keeper, DIFFUSION, job.task, job.demonstrations)
        setup = DIFFUSION.setup(job.task)
        dt_ms, rows = setup.task.dt_ns / 1e6, setup.task.n_execute
        policy = served(
            folder,
            setup,
            cost["runtime"],
            handover=Handover.RTC if way == RTC else Handover.NONE,
            latency_ms=ticks * dt_ms,
        )
        plan: Plan = policy.predict
        run = setup
        if way == SYNC:  # looks when all rows are executed, and stands still until the plan is there
            run = replace(setup, task=replace(setup.task, n_execute=rows + ticks))
            plan = lambda window: shifted(policy.predict(window), rows, ticks)  # noqa: E731
        journal = Journal(folder / f"late_{way.split(maxsplit=1)[0]}_{ticks}.jsonl")
        with Rehearsal(run, round(ticks * dt_ms * MS), patient(setup, ticks)) as rehearsal:
            seeds = range(UNSEEN_SEED, UNSEEN_SEED + scenes)
            return attempts(journal, rehearsal, policy, seeds, job.limit_s, plan)

    return keeper.measured(f"late_{way.split(maxsplit=1)[0]}_{ticks}", settings, measure)


def figures(keeper: Keeper, *, quick: bool) -> list[Figure]:
    """Success by delay, three ways."""
    scenes = QUICK_SCENES if quick else SCENES
    job, out = jobs()[TASK], []
    undelayed = success(keeper, job, RTC, 0, scenes)["successes"]
    for way in (RTC, NAIVE, SYNC):
        some = (QUICK_TICKS if quick else TICKS) if way == RTC else QUICK_OTHER_TICKS if quick else OTHER_TICKS
        for ticks in some:
            found = success(keeper, job, way, ticks, scenes)
            name = f"{TASK}, plans {ticks} ticks late, {way}: success"
            note = f"{found['successes']} of {scenes}, {found['seconds_mean']:.1f} s"
            out.append(figure(name, 100.0 * found["successes"] / scenes, "%", reason=note))
            if way == RTC and ticks:
                share = 100.0 * found["successes"] / undelayed if undelayed else float("nan")
                name = f"{TASK}, plans {ticks} ticks late, {way}: share of undelayed"
                out.append(figure(name, share, "%", f">= {100 * KEPT:g}"))
    return out
