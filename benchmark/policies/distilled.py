"""A student that makes a plan in one step, beside its teacher of ten, at the same scenes."""

from __future__ import annotations

from benchmark.figures import Figure, figure
from benchmark.policies.keep import Keeper
from benchmark.policies.recipes import DIFFUSION, ONE_STEP, jobs
from benchmark.policies.table import cell
from benchmark.policies.trial import tried

TASK, SCENES, QUICK_SCENES = "pick_place", 200, 30
LEAST = 98.0  # percent of the teacher's successes


def figures(keeper: Keeper, *, quick: bool) -> list[Figure]:
    """Both at the same scenes."""
    job, scenes = jobs()[TASK], QUICK_SCENES if quick else SCENES
    names = [f"distill_{r.name}" for r in (DIFFUSION, ONE_STEP)]
    size = (job.task, job.demonstrations, scenes, job.limit_s)
    teacher = tried(keeper, DIFFUSION, *size, name=names[0])
    student = tried(keeper, ONE_STEP, *size, teacher=DIFFUSION, name=names[1])
    share = 100.0 * student["successes"] / teacher["successes"] if teacher["successes"] else float("nan")
    note = f"{student['successes']} and {teacher['successes']} of {scenes} scenes, the same for both"
    return [
        *(cell(keeper, TASK, ONE_STEP.name, student, names[1])),
        figure(f"{TASK}: ten steps: success", 100.0 * teacher["successes"] / scenes, "%"),
        figure(f"{TASK}: ten steps: plan p50", teacher["plan_ms_p50"], "ms"),
        figure(f"{TASK}: one step, share of ten-step success", share, "%", f">= {LEAST:g}", note),
    ]
