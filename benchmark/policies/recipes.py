"""What is compared: tasks with their demonstrations and limits, and policies."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.policies.trial import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """One task of the table.

    Attributes:
        task: Name in config/task/.
        demonstrations: Successful ones to learn from.
        limit_s: Longest attempt [s].
        bound: Least success of the best policy [%].
    """

    task: str
    demonstrations: int
    limit_s: float
    bound: int


JOBS = (
    Job("reach", 60, 10.0, 95),
    Job("push", 40, 20.0, 95),
    Job("pick_place", 40, 20.0, 95),
    Job("peg_insert", 40, 25.0, 80),
    Job("draw_symbol", 5, 40.0, 95),
)
WAYS = Job("go_around", 30, 10.0, 0)

# One action at a time, planned anew at every tick. Two rows, as the controller moves from row to row; the plan comes
# into force one tick after its observation.
BC_STEP = Recipe("bc_step", "bc", horizon=2, n_execute=1)
BC = Recipe("bc", "bc")
ACT = Recipe("act", "act")
DIFFUSION = Recipe("diffusion", "diffusion")
FLOW = Recipe("flow", "flow")
# A quarter of the recipe's network and half of its steps: as it is, it takes several times as long.
RNN_GMM = Recipe("rnn_gmm", "rnn_gmm", ("network.width=128", "steps=1500"))
ONE_STEP = Recipe("one_step", "one_step", teacher="diffusion")

POLICIES = (DIFFUSION, BC_STEP, BC, FLOW, ACT, RNN_GMM)


def jobs() -> dict[str, Job]:
    """Tasks of the table by name."""
    return {job.task: job for job in JOBS}
