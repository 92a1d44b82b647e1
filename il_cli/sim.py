"""`il sim`: the simulated arm, its cameras and the controller; short for `il up sim`."""

from __future__ import annotations

from il_cli.up import DEFAULT, Robot, Seed, Task, Timeout, View, keep_running
from il_core.graph import GraphOptions, graph


def sim(
    task: Task = DEFAULT.task,
    robot: Robot = DEFAULT.robot,
    seed: Seed = DEFAULT.seed,
    view: View = DEFAULT.view,
    timeout_s: Timeout = 60.0,
) -> None:
    """Start the simulated arm, its cameras and the controller until Ctrl-C.

    Example: il sim --task pick_place --seed 3 --view
    """
    options = GraphOptions(task=task, robot=robot, seed=seed, view=view)
    keep_running(graph("sim", options), timeout_s)
