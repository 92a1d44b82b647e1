"""A red puck and a green disc on the table: push the one onto the other.

The puck is wider than the open fingers are apart, so they push it at two places, and it cannot slip off to a side.
"""

from __future__ import annotations

import mujoco
import numpy as np

from il_sim.tasks.shapes import CYLINDER, GREEN, RED, add_loose, add_mark, is_still, put

PUCK, ZONE = "puck", "zone"
RADIUS_M, HALF_HEIGHT_M, MASS_KG = 0.045, 0.02, 0.15
X_M, Y_M = (0.44, 0.51), (-0.10, 0.10)
ZONE_XY_M, ZONE_RADIUS_M = (0.65, 0.0), 0.06
NEAR_M = 0.02


class Push:
    """Done when the puck rests with its centre within ``NEAR_M`` of the disc's."""

    objects = (PUCK, ZONE)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Puck and disc."""
        add_loose(spec, PUCK, CYLINDER, [RADIUS_M, HALF_HEIGHT_M], MASS_KG, RED)
        add_mark(spec, ZONE, CYLINDER, [ZONE_RADIUS_M, 0.001], GREEN)

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Puck at a random place, disc always at the same."""
        put(model, data, PUCK, [rng.uniform(*X_M), rng.uniform(*Y_M), HALF_HEIGHT_M])
        put(model, data, ZONE, [*ZONE_XY_M, 0.0])

    def is_done(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Puck on the disc, at rest."""
        distance = float(np.linalg.norm((data.body(PUCK).xpos - data.body(ZONE).xpos)[:2]))
        return distance < NEAR_M and is_still(data, PUCK)
