"""``make bench-policies``: what policies must show, task by task; see README.

Results are kept in benchmark/results/policies with commit and machine: what was measured with the same settings is
not measured again, a run that was cut short goes on where it stopped. FRESH=1 forgets all results first. QUICK=1
repeats a telling subset, data and training included, without looking at kept results. Names of parts on the command
line choose some, whose figures go to a file of their own. While the file that BENCH_PAUSE names exists, nothing heavy
is begun.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial

from benchmark.figures import Bench, Figure, file_of, not_taken
from benchmark.policies import delay, distilled, generic_import, speed, table
from benchmark.policies.keep import Keeper
from benchmark.policies.recipes import JOBS, WAYS

Part = Callable[..., list[Figure]]


def parts() -> dict[str, Part]:
    """What can be measured, by name."""
    out: dict[str, Part] = {"speed": speed.figures, "generic": generic_import.figures, WAYS.task: table.ways_figures}
    out |= {job.task: partial(_table, job=job) for job in JOBS}
    return out | {"delay": delay.figures, "one_step": distilled.figures}


def _table(keeper: Keeper, *, quick: bool, job):  # noqa: ANN001, ANN202 - a row of the table
    return table.task_figures(keeper, job, quick=quick)


def main() -> int:
    """Run every part, or those named on the command line."""
    quick, fresh = (bool(os.environ.get(name)) for name in ("QUICK", "FRESH"))
    keeper = Keeper.of(quick=quick)
    if fresh:
        keeper.forget()
    wanted = sys.argv[1:] or list(parts())
    bench = Bench(file_of("policies", wanted, parts()))
    for name, measure in parts().items():
        if name in wanted:
            bench.attempt(name, partial(measure, keeper, quick=quick))
        else:
            bench.add(not_taken(name, "left out by the command line"))
    if quick and len(wanted) == len(parts()):
        keeper.forget()  # it is whole: the next one measures again, where one that was cut short goes on
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
