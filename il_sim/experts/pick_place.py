"""An operator who puts the cube into the bin, as a person with a gamepad would."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from il_core.types import Vector
from il_sim.experts.steps import GIVE_UP_S, Objects
from il_sim.experts.stick import Stick
from il_sim.tasks.pick_place import BIN, CUBE

SPEED_M_S = 0.30
CLOSE_S, OPEN_S = 0.6, 0.4
LIFTED_M = 0.035

# Where a missed grasp leaves the tool, relative to the cube's centre.
NEAR_M, FAR_M, FAR_SHARE = (0.0, 0.08), (0.08, 0.25), 0.33
CLEAR_M = 0.05  # at this distance closed fingers pass the cube whatever its heading
OVER_CUBE_M, HIGH_M = 0.04, 0.17
REACH_MIN_M, REACH_MAX_M = (0.40, -0.22), (0.62, 0.16)  # beside the bin, over the table


class Phase(Enum):
    """What the operator is about."""

    ABOVE = "move above the cube"
    DOWN = "go down to it"
    CLOSE = "close the fingers"
    LIFT = "lift it"
    CARRY = "carry it over the bin"
    LOWER = "lower it into the bin"
    OPEN = "let go"
    LEAVE = "move up and away"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Habits:
    """What differs between two demonstrations of the same person.

    Attributes:
        hover_m: Height above the cube before going down [m].
        carry_m: Height over the table while carrying [m].
        release_m: Height of the tool over the bin's floor when letting go [m].
        speed: Fraction of the usual speed.
        offset_m: Where off the cube's centre the fingers close, x and y [m].
    """

    hover_m: float
    carry_m: float
    release_m: float
    speed: float
    offset_m: tuple[float, float]


def habits_of(seed: int) -> Habits:
    """The habits of one demonstration; the same seed, the same habits."""
    rng = np.random.default_rng(seed)
    dx, dy = rng.uniform(-0.004, 0.004, 2)
    return Habits(
        hover_m=rng.uniform(0.10, 0.14),
        carry_m=rng.uniform(0.17, 0.21),
        release_m=rng.uniform(0.06, 0.08),
        speed=rng.uniform(0.85, 1.0),
        offset_m=(float(dx), float(dy)),
    )


def begins_after_a_miss(seed: int) -> bool:
    """Whether the demonstration of a scene begins where a missed grasp leaves the arm: every second one."""
    return seed % 2 == 1


class MissedGrasp:
    """Brings the arm where a failed grasp leaves it: fingers closed on nothing, the cube elsewhere.

    A demonstration that begins there shows the way back, without showing how to fail. A third of the
    places is anywhere over the table, as after losing the cube on the way.
    """

    def __init__(self, seed: int) -> None:
        """Choose the place; the same seed, the same place."""
        rng = np.random.default_rng([seed, 1])
        is_far = rng.random() < FAR_SHARE
        distance_m = rng.uniform(*(FAR_M if is_far else NEAR_M))
        bearing = rng.uniform(-np.pi, np.pi)
        # Closed fingers would push a cube they come down on.
        low_m = 0.0 if distance_m > CLEAR_M and not is_far else OVER_CUBE_M
        height_m = low_m + rng.uniform(0.0, 1.0) ** 2 * (HIGH_M - low_m)
        self._from_cube = distance_m * np.array([np.cos(bearing), np.sin(bearing), 0.0]) + [0.0, 0.0, height_m]
        self._stick = Stick(SPEED_M_S)
        self._is_low = False
        self._in_s = 0.0
        self.is_done = False

    def command(self, p_ee: Vector, objects: Objects, dt: float) -> tuple[Vector, bool]:
        """Decide for one moment; see :meth:`PickPlaceOperator.command`."""
        self._in_s += dt
        goal = objects[CUBE][:3, 3] + self._from_cube
        goal[:2] = np.clip(goal[:2], REACH_MIN_M, REACH_MAX_M)
        if not self._is_low:
            goal[2] = max(goal[2], HIGH_M)
        error = goal - p_ee
        is_there = float(np.linalg.norm(error)) < 0.01
        self.is_done = (self._is_low and is_there) or self._in_s > GIVE_UP_S / 2
        self._is_low = self._is_low or is_there
        return self._stick.towards(error * (not self.is_done), dt), True


class PickPlaceOperator:
    """Looks at tool, cube and bin; answers with a stick velocity and a grip button."""

    def __init__(self, seed: int) -> None:
        """Begin a demonstration."""
        self._habits = habits_of(seed)
        self.phase = Phase.ABOVE
        self._stick = Stick(SPEED_M_S * self._habits.speed)
        self._in_phase_s = self._total_s = 0.0

    @property
    def is_done(self) -> bool:
        """Whether the demonstration is over, well or not."""
        return self.phase is Phase.DONE

    def command(self, p_ee: Vector, objects: Objects, dt: float) -> tuple[Vector, bool]:
        """Decide for one moment.

        Args:
            p_ee: Measured tool position in base, (3,) [m].
            objects: Poses of cube and bin.
            dt: Time since the last call [s].

        Returns:
            Tool velocity in base, (3,) [m/s], and whether the gripper should be closed.
        """
        self._in_phase_s += dt
        self._total_s += dt
        cube, basket = objects[CUBE][:3, 3], objects[BIN][:3, 3]
        goal, tolerance_m = self._goal(p_ee, cube, basket)
        error = goal - p_ee
        if self._is_over(float(np.linalg.norm(error)) < tolerance_m):
            self._next(cube)
        if self.phase in (Phase.CLOSE, Phase.OPEN, Phase.DONE):
            error = np.zeros(3)
        return self._stick.towards(error, dt), self.phase in (Phase.CLOSE, Phase.LIFT, Phase.CARRY, Phase.LOWER)

    def _goal(self, p_ee: Vector, cube: Vector, basket: Vector) -> tuple[Vector, float]:
        """Where the tool should be in this phase, and how near is near enough [m]."""
        h = self._habits
        grasp = cube + np.array([*h.offset_m, 0.0])
        goals = {
            Phase.ABOVE: (grasp + [0.0, 0.0, h.hover_m], 0.012),
            Phase.DOWN: (grasp, 0.006),
            Phase.LIFT: (np.array([p_ee[0], p_ee[1], h.carry_m]), 0.03),
            Phase.CARRY: (np.array([basket[0], basket[1], h.carry_m]), 0.02),
            Phase.LOWER: (np.array([basket[0], basket[1], h.release_m]), 0.01),
            Phase.LEAVE: (np.array([basket[0], basket[1], h.carry_m]), 0.03),
        }
        return goals.get(self.phase, (p_ee, 0.0))

    def _is_over(self, is_there: bool) -> bool:
        """Whether the present phase has done its part."""
        if self._total_s > GIVE_UP_S:
            return True
        if self.phase is Phase.CLOSE:
            return self._in_phase_s > CLOSE_S
        if self.phase is Phase.OPEN:
            return self._in_phase_s > OPEN_S
        return is_there

    def _next(self, cube: Vector) -> None:
        """Go on to the next phase; back to the first if the cube was not lifted."""
        order = list(Phase)
        following = order[min(order.index(self.phase) + 1, len(order) - 1)]
        if self._total_s > GIVE_UP_S:
            following = Phase.DONE
        elif self.phase is Phase.LIFT and cube[2] < LIFTED_M:
            following = Phase.ABOVE
        self.phase, self._in_phase_s = following, 0.0
