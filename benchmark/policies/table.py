"""Policy x task: success at the same unseen scenes, training time, parameters, time of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.figures import Figure, figure, not_taken
from benchmark.policies.keep import Keeper, Values
from benchmark.policies.recipes import BC, BC_STEP, DIFFUSION, POLICIES, WAYS, Job
from benchmark.policies.trial import UNSEEN_SEED, Recipe, tried
from il_core.errors import IlError
from il_core.stats import mcnemar

SCENES, QUICK_SCENES = 50, 20
QUICK = {"reach": (BC, DIFFUSION), "pick_place": (DIFFUSION,)}  # what a quick run repeats
AHEAD_POINTS = 20.0


def task_figures(keeper: Keeper, job: Job, *, quick: bool) -> list[Figure]:
    """All policies on one task, and the best of them."""
    if quick and job.task not in QUICK:
        return [not_taken(f"{job.task}: best policy", "left out by QUICK=1", "%", f">= {job.bound}")]
    recipes: Sequence[Recipe] = QUICK[job.task] if quick else POLICIES
    scenes = QUICK_SCENES if quick else SCENES
    out: list[Figure] = []
    best, best_name = -1.0, ""
    for recipe in recipes:
        try:
            found = tried(keeper, recipe, job.task, job.demonstrations, scenes, job.limit_s)
        except IlError as error:  # one policy must not cost the others
            out.append(not_taken(f"{job.task}, {recipe.name}: success", f"{error}", "%"))
            continue
        out += cell(keeper, job.task, recipe.name, found)
        if success(found) > best:
            best, best_name = success(found), recipe.name
    return [*out, figure(f"{job.task}: best policy", best, "%", f">= {job.bound}", best_name)]


def success(found: Values) -> float:
    """Share of scenes mastered [%]."""
    return 100.0 * found["successes"] / found["attempts"]


def cell(keeper: Keeper, task: str, name: str, found: Values, stored: str = "") -> list[Figure]:
    """The figures of one policy on one task."""
    lo, hi = (round(100 * p) for p in found["wilson95"])
    where, origin = f"{task}, {name}", keeper.origin(stored or f"{task}_{name}")
    note = f"{found['successes']} of {found['attempts']}, 95 % interval {lo} to {hi}; {origin}"
    return [
        figure(f"{where}: success", success(found), "%", reason=note),
        figure(f"{where}: training, one thread", found["train_cpu_s"], "s"),
        figure(f"{where}: parameters", found["parameters"]),
        figure(f"{where}: plan p50", found["plan_ms_p50"], "ms", reason=found["runtime"]),
        figure(f"{where}: plan p99", found["plan_ms_p99"], "ms"),
    ]


def ways_figures(keeper: Keeper, *, quick: bool) -> list[Figure]:
    """Two valid ways around a pole: who averages them, fells it."""
    scenes = QUICK_SCENES if quick else SCENES
    name = f"{WAYS.task}: diffusion ahead of single-step bc"
    found = {
        recipe.name: tried(keeper, recipe, WAYS.task, WAYS.demonstrations, scenes, WAYS.limit_s)
        for recipe in ((BC_STEP, DIFFUSION) if quick else POLICIES)
    }
    out = [f for key, values in found.items() for f in cell(keeper, WAYS.task, key, values)]
    step, diffusion = found[BC_STEP.name], found[DIFFUSION.name]
    p = mcnemar(_outcomes(step), _outcomes(diffusion))
    ahead = success(diffusion) - success(step)
    return [*out, figure(name, ahead, "points", f">= {AHEAD_POINTS:g}", f"same scenes, p = {p:.2g}")]


def _outcomes(found: Values) -> list[bool]:
    failed = set(found["failed_seeds"])
    return [seed not in failed for seed in range(UNSEEN_SEED, UNSEEN_SEED + found["attempts"])]
