"""Operators of the tasks that are one thing after another.

Where a task's action has no gripper, the operator leaves it open, as a policy will.
"""

from __future__ import annotations

import numpy as np

from il_core.types import Vector
from il_sim.experts.steps import Objects, Step, StepOperator
from il_sim.tasks import go_around, peg_insert, push, reach

SPEED_M_S = 0.30


def _speed(rng: np.random.Generator) -> float:
    return float(SPEED_M_S * rng.uniform(0.85, 1.0))


def reach_operator(seed: int) -> StepOperator:
    """Straight to the ball, and stay a moment."""
    rng = np.random.default_rng(seed)
    step = Step(lambda p, objects: objects[reach.BALL][:3, 3], 0.006, wait_s=0.6)
    return StepOperator([step], _speed(rng))


BEHIND_M, LOW_M, OVER_M = 0.035, 0.02, 0.12  # of the puck's edge, of the table
PUSH_SPEED, ON_ZONE_M, SLIPPED_M = 0.5, 0.006, 0.055  # the last: half an open gripper, and a finger


def _way(objects: Objects) -> Vector:
    """From the puck to the disc, (2,) [m]."""
    way: Vector = (objects[push.ZONE] - objects[push.PUCK])[:2, 3]
    return way


def _behind(objects: Objects, height_m: float) -> Vector:
    way = _way(objects)
    puck = objects[push.PUCK][:2, 3]
    away = way / max(float(np.linalg.norm(way)), 1e-6)
    return np.array([*(puck - (push.RADIUS_M + BEHIND_M) * away), height_m])


def _pushing(p_ee: Vector, objects: Objects) -> Vector:
    """As far as the puck has to go, in the same direction."""
    return np.array([*(p_ee[:2] + _way(objects)), LOW_M])


def _has_slipped(p_ee: Vector, objects: Objects) -> bool:
    """Whether the puck is no longer before the fingers."""
    return abs(float(objects[push.PUCK][1, 3] - p_ee[1])) > SLIPPED_M


def _is_on_zone(p_ee: Vector, objects: Objects) -> bool:
    return float(np.linalg.norm(_way(objects))) < ON_ZONE_M


def push_operator(seed: int) -> StepOperator:
    """Behind the puck, down, forwards with both fingers until it lies on the disc, and up."""
    rng = np.random.default_rng(seed)

    def up(p_ee: Vector, objects: Objects) -> Vector:
        return np.array([p_ee[0], p_ee[1], OVER_M])

    steps = [
        Step(up, 0.03, is_over=lambda p, o: p[2] > LOW_M + 0.05),
        Step(lambda p, o: _behind(o, OVER_M), 0.012),
        Step(lambda p, o: _behind(o, LOW_M), 0.006),
        Step(_pushing, 0.0, speed=PUSH_SPEED, is_over=_is_on_zone, is_lost=_has_slipped),
        Step(up, 0.03, wait_s=0.3),
    ]
    return StepOperator(steps, _speed(rng))


GRASP_M, CARRY_M = 0.02, 0.24  # above the peg's centre; of the tool while carrying
CLOSE_S, OPEN_S = 0.6, 0.4


def peg_operator(seed: int) -> StepOperator:
    """Take the peg high, carry it over the hole, line up, lower it, let go."""
    rng = np.random.default_rng(seed)
    hover, carry = rng.uniform(0.10, 0.14), CARRY_M + rng.uniform(-0.01, 0.01)
    lowest = peg_insert.LENGTH_M / 2 + GRASP_M + 0.005

    def over_peg(height_m: float) -> Step:
        return Step(
            lambda p, o: o[peg_insert.PEG][:3, 3] + [0.0, 0.0, height_m], 0.012 if height_m > GRASP_M else 0.005
        )

    def over_hole(p_ee: Vector, objects: Objects, height_m: float) -> Vector:
        """Above the block so that the peg, wherever it sits in the fingers, is over the hole."""
        sits = (objects[peg_insert.PEG][:3, 3] - p_ee)[:2]
        return np.array([*(objects[peg_insert.BLOCK][:2, 3] - sits), height_m])

    steps = [
        over_peg(hover),
        over_peg(GRASP_M),
        Step(lambda p, o: p.copy(), 1.0, is_closed=True, wait_s=CLOSE_S),
        Step(lambda p, o: np.array([p[0], p[1], carry]), 0.02, is_closed=True),
        Step(lambda p, o: over_hole(p, o, carry), 0.02, is_closed=True),
        Step(lambda p, o: over_hole(p, o, carry - 0.08), 0.002, is_closed=True, wait_s=0.3, speed=0.5),
        Step(lambda p, o: over_hole(p, o, lowest), 0.012, is_closed=True, speed=0.4),
        Step(lambda p, o: p.copy(), 1.0, wait_s=OPEN_S),
        Step(lambda p, o: np.array([p[0], p[1], carry]), 0.03),
    ]
    return StepOperator(steps, _speed(rng))


START_Y_M, ASIDE_M, PAST_Y_M = -0.12, 0.09, 0.08


def go_around_operator(seed: int) -> StepOperator:
    """Down before the pole, past it on the one side or the other, whichever comes to mind, to the ball."""
    rng = np.random.default_rng(seed)
    side = rng.choice([-1.0, 1.0])
    x, y = go_around.POLE_XY_M
    before = np.array([x, START_Y_M, go_around.Z_M])
    aside = np.array([x + side * ASIDE_M, y, go_around.Z_M])
    steps = [
        Step(lambda p, o: before, 0.02),
        Step(lambda p, o: aside, 0.03),
        Step(lambda p, o: o[go_around.BALL][:3, 3], 0.006, wait_s=0.6),
    ]
    return StepOperator(steps, _speed(rng))
