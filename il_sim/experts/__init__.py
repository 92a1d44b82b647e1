"""Scripted operators: they see true poses, and drive as a person with a gamepad would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from il_core.errors import ConfigError, nearest
from il_core.types import Vector
from il_sim.experts.pick_place import MissedGrasp, PickPlaceOperator, begins_after_a_miss
from il_sim.experts.simple import go_around_operator, peg_operator, push_operator, reach_operator
from il_sim.experts.steps import Objects


class Operator(Protocol):
    """Somebody who shows a task once."""

    @property
    def is_done(self) -> bool:
        """Whether the demonstration is over, well or not."""
        ...

    def command(self, p_ee: Vector, objects: Objects, dt: float) -> tuple[Vector, bool]:
        """Tool velocity in base, (3,) [m/s], and whether the gripper should be closed, for one moment."""
        ...


_OPERATORS: dict[str, Callable[[int], Operator]] = {
    "reach": reach_operator,
    "push": push_operator,
    "pick_place": PickPlaceOperator,
    "peg_insert": peg_operator,
    "go_around": go_around_operator,
}


def make_operator(task: str, seed: int) -> Operator:
    """Somebody who shows a task with the habits of a seed.

    Raises:
        ConfigError: nobody can show this task; the message lists those that can be shown.
    """
    if task not in _OPERATORS:
        raise ConfigError("scripted operator", f"cannot show task '{task}'; {nearest(task, list(_OPERATORS))}")
    return _OPERATORS[task](seed)


def make_preparation(task: str, seed: int) -> Operator | None:
    """Who brings the arm where things went wrong before a demonstration; None where it begins at home."""
    return MissedGrasp(seed) if task == "pick_place" and begins_after_a_miss(seed) else None
