"""A red ball in the air: bring the tool to it and stay."""

from __future__ import annotations

import mujoco
import numpy as np

from il_sim.tasks.shapes import RED, SPHERE, add_mark, put, tool_position

BALL = "ball"
RADIUS_M = 0.02
X_M, Y_M, Z_M = (0.42, 0.60), (-0.20, 0.20), (0.05, 0.20)  # in reach with the tool straight down, and in view
NEAR_M, STILL_RAD_S = 0.015, 0.1


class Reach:
    """Done when the tool point is within ``NEAR_M`` of the ball's centre and the arm is at rest."""

    objects = (BALL,)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """The ball."""
        add_mark(spec, BALL, SPHERE, [RADIUS_M, 0.0, 0.0], RED)

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Ball at a random place in the air."""
        put(model, data, BALL, [rng.uniform(*X_M), rng.uniform(*Y_M), rng.uniform(*Z_M)])

    def is_done(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Tool at the ball, arm at rest."""
        distance = float(np.linalg.norm(tool_position(model, data) - data.body(BALL).xpos))
        return distance < NEAR_M and float(np.abs(data.qvel[:7]).max()) < STILL_RAD_S
