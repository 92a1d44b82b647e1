"""A red peg that stands on the table and a block with a square hole: put the peg into the hole."""

from __future__ import annotations

import mujoco
import numpy as np

from il_sim.scene_constants import SOLREF
from il_sim.tasks.shapes import BLUE, BOX, RED, SLIDING, add_loose, is_still, is_touched_by, put

PEG, BLOCK = "peg", "block"
SIDE_M, LENGTH_M, MASS_KG = 0.03, 0.10, 0.08
CLEARANCE_M = 0.003  # on every side: looser than a machined fit, tighter than the tool's tracking in motion
X_M, Y_M = (0.44, 0.58), (-0.18, 0.02)
BLOCK_XY_M, BLOCK_HEIGHT_M, BLOCK_WALL_M = (0.50, 0.20), 0.05, 0.03
DEEP_M = 0.03  # so far below the block's top the peg's lower end counts as inserted


class PegInsert:
    """Done when the peg rests ``DEEP_M`` inside the hole and the fingers have let it go."""

    objects = (PEG, BLOCK)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Peg with a free joint, block of four fixed walls."""
        half = SIDE_M / 2
        add_loose(spec, PEG, BOX, [half, half, LENGTH_M / 2], MASS_KG, RED)
        body = spec.worldbody.add_body(name=BLOCK, pos=[*BLOCK_XY_M, 0.0])
        inner, wall, height = half + CLEARANCE_M, BLOCK_WALL_M / 2, BLOCK_HEIGHT_M / 2
        for sign in (-1.0, 1.0):
            offset = sign * (inner + wall)
            plates = [([wall, inner + 2 * wall, height], [offset, 0.0]), ([inner, wall, height], [0.0, offset])]
            for size, (x, y) in plates:
                body.add_geom(type=BOX, size=size, pos=[x, y, height], rgba=BLUE, solref=SOLREF, friction=SLIDING)

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Peg upright at a random place."""
        put(model, data, PEG, [rng.uniform(*X_M), rng.uniform(*Y_M), LENGTH_M / 2])

    def is_done(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Peg in the hole, upright, at rest, and let go."""
        p = data.body(PEG).xpos - data.body(BLOCK).xpos
        is_in = max(abs(p[0]), abs(p[1])) < CLEARANCE_M + SIDE_M / 2
        is_deep = p[2] - LENGTH_M / 2 < BLOCK_HEIGHT_M - DEEP_M
        is_let_go = not is_touched_by(model, data, PEG, "finger")
        return bool(is_in and is_deep and is_let_go and is_still(data, PEG))
