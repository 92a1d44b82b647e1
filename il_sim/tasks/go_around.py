"""A pole between the arm and a red ball: reach the ball past either side of the pole, without felling it."""

from __future__ import annotations

import mujoco
import numpy as np

from il_sim.tasks.reach import NEAR_M, RADIUS_M, STILL_RAD_S
from il_sim.tasks.shapes import CYLINDER, GREY, RED, SPHERE, add_loose, add_mark, put, tool_position

POLE, BALL = "pole", "ball"
POLE_RADIUS_M, POLE_LENGTH_M, POLE_MASS_KG = 0.02, 0.11, 0.1  # lower than the hand above the ball's height
POLE_XY_M = (0.50, 0.02)
X_M, Y_M, Z_M = (0.485, 0.515), (0.15, 0.18), 0.08  # behind the pole, seen from where the tool starts
UPRIGHT = 0.98  # cosine of the pole's tilt
FELLED = 0.5  # from here on it falls by itself, and nothing sets it up again


class GoAround:
    """Done when the tool rests at the ball and the pole stands where it stood."""

    objects = (BALL, POLE)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """A thin pole that a touch fells, and the ball."""
        add_loose(spec, POLE, CYLINDER, [POLE_RADIUS_M, POLE_LENGTH_M / 2], POLE_MASS_KG, GREY)
        add_mark(spec, BALL, SPHERE, [RADIUS_M, 0.0, 0.0], RED)

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Pole always at the same place, ball at a random one behind it."""
        put(model, data, POLE, [*POLE_XY_M, POLE_LENGTH_M / 2])
        put(model, data, BALL, [rng.uniform(*X_M), rng.uniform(*Y_M), Z_M])

    def is_done(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Tool at the ball and at rest, pole untouched."""
        pole = data.body(POLE)
        stands = pole.xmat[8] > UPRIGHT and float(np.linalg.norm(pole.xpos[:2] - POLE_XY_M)) < POLE_RADIUS_M
        distance = float(np.linalg.norm(tool_position(model, data) - data.body(BALL).xpos))
        return bool(stands and distance < NEAR_M and float(np.abs(data.qvel[:7]).max()) < STILL_RAD_S)

    def is_lost(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Pole felled."""
        return bool(data.body(POLE).xmat[8] < FELLED)
