"""A bare table; the closed fingers are the pen."""

from __future__ import annotations

import mujoco
import numpy as np

from il_sim.scene_constants import SOLREF, TABLE

PEN_FRICTION = 0.15  # felt tip on paper


class DrawSymbol:
    """Never done by itself: what was drawn is judged by its path."""

    objects: tuple[str, ...] = ()

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Let the fingers slide on the table: explicit contact pairs override the rubber's friction."""
        for body in spec.bodies:
            if "finger" not in body.name:
                continue
            for k, geom in enumerate(body.geoms):
                geom.name = geom.name or f"{body.name}_{k}"
                friction = [PEN_FRICTION, PEN_FRICTION, 0.001, 0.0001, 0.0001]
                spec.add_pair(geomname1=geom.name, geomname2=TABLE, friction=friction, solref=SOLREF, condim=3)

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Nothing to place."""

    def is_done(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Judged elsewhere."""
        return False
