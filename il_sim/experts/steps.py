"""An operator who does one thing after another: go somewhere, close or open the fingers, wait a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from il_core.geometry import Array
from il_core.types import Vector
from il_sim.experts.stick import Stick

GIVE_UP_S = 24.0

Objects = Mapping[str, Array]
"""Poses of the task's objects in base, (4, 4) [m]."""
Place = Callable[[Vector, Objects], Vector]
"""Where the tool should be, (3,) [m], for where it is and how the objects lie."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        goal: Where to go.
        tolerance_m: How near is near enough [m].
        is_closed: Whether the fingers are closed meanwhile.
        wait_s: Time to stay there [s].
        speed: Fraction of the usual speed.
        is_over: What ends the step instead of being near; None: nothing else.
        is_lost: When to begin again with the first step; None: never.
    """

    goal: Place
    tolerance_m: float
    is_closed: bool = False
    wait_s: float = 0.0
    speed: float = 1.0
    is_over: Callable[[Vector, Objects], bool] | None = None
    is_lost: Callable[[Vector, Objects], bool] | None = None


class StepOperator:
    """Looks at tool and objects; answers with a stick velocity and a grip button.

    Attributes:
        is_done: Whether the demonstration is over, well or not.
    """

    def __init__(self, steps: Sequence[Step], speed_m_s: float) -> None:
        """Begin with the first step.

        Args:
            steps: What to do, in this order.
            speed_m_s: Usual speed of the tool [m/s].
        """
        self._steps, self._speed_m_s = list(steps), speed_m_s
        self._stick = Stick(speed_m_s)
        self._there_s = self._total_s = 0.0
        self._now = 0
        self.is_done = False

    def command(self, p_ee: Vector, objects: Objects, dt: float) -> tuple[Vector, bool]:
        """Decide for one moment.

        Args:
            p_ee: Measured tool position in base, (3,) [m].
            objects: Poses of the task's objects.
            dt: Time since the last call [s].

        Returns:
            Tool velocity in base, (3,) [m/s], and whether the gripper should be closed.
        """
        self._total_s += dt
        step = self._steps[self._now]
        error = step.goal(p_ee, objects) - p_ee
        is_there = (
            float(np.linalg.norm(error)) < step.tolerance_m if step.is_over is None else step.is_over(p_ee, objects)
        )
        self._there_s = self._there_s + dt if is_there or self._there_s > 0.0 else 0.0
        if step.is_lost is not None and step.is_lost(p_ee, objects):
            self._now, self._there_s = 0, 0.0
        elif self._there_s > step.wait_s:
            self._now, self._there_s = min(self._now + 1, len(self._steps) - 1), 0.0
            self.is_done = self.is_done or step is self._steps[-1]
        if self._total_s > GIVE_UP_S:
            self.is_done = True
        return self._stick.towards(error * (not self.is_done), dt, step.speed), step.is_closed
