"""What lies on the table, where it may lie, and when the task is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import mujoco
import numpy as np

from il_core.errors import ConfigError, nearest

FALLEN_M = 0.05  # an object whose origin is so far below the table's top lies on it no more


class SimTask(Protocol):
    """The simulator's side of a task."""

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects whose pose may be asked for."""
        ...

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Put the objects into the scene."""
        ...

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Put the objects where an episode starts."""
        ...

    def is_done(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Whether the true state fulfils the task."""
        ...


@runtime_checkable
class Losable(Protocol):
    """A task that can tell, besides things fallen off the table, that it cannot be fulfilled any more."""

    def is_lost(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Whether the true state has left every way to fulfil the task; it must never be so before a success."""
        ...


def is_lost(task: SimTask, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """Whether a task cannot be fulfilled any more: an object fell off the table, or the task itself says so."""
    if any(data.body(name).xpos[2] < -FALLEN_M for name in task.objects):
        return True
    return isinstance(task, Losable) and task.is_lost(model, data)


def make_task(name: str) -> SimTask:
    """Look a task up by its name in config/task/.

    Raises:
        ConfigError: the simulator has no such task; the message lists those it has.
    """
    from il_sim.tasks.draw_symbol import DrawSymbol
    from il_sim.tasks.go_around import GoAround
    from il_sim.tasks.peg_insert import PegInsert
    from il_sim.tasks.pick_place import PickPlace
    from il_sim.tasks.push import Push
    from il_sim.tasks.reach import Reach

    tasks: dict[str, Callable[[], SimTask]] = {
        "reach": Reach,
        "push": Push,
        "pick_place": PickPlace,
        "peg_insert": PegInsert,
        "go_around": GoAround,
        "draw_symbol": DrawSymbol,
    }
    if name not in tasks:
        raise ConfigError("simulator", f"no scene for task '{name}'; {nearest(name, list(tasks))}")
    return tasks[name]()
