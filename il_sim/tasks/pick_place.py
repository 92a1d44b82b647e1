"""A red cube on the table, a bin beside it."""

from __future__ import annotations

import mujoco
import numpy as np

from il_sim.scene_constants import SOLREF
from il_sim.tasks.shapes import is_still, is_touched_by

CUBE, BIN = "cube", "bin"
CUBE_SIDE_M, CUBE_MASS_KG = 0.04, 0.06
CUBE_X_M, CUBE_Y_M = (0.42, 0.60), (-0.20, 0.06)  # in reach with the tool straight down, and in view
BIN_XY_M, BIN_INNER_M, BIN_HEIGHT_M, BIN_WALL_M = (0.50, 0.27), 0.16, 0.06, 0.006


class PickPlace:
    """Done when the cube rests inside the bin and the fingers have let it go."""

    objects = (CUBE, BIN)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Cube with a free joint, bin of five fixed plates."""
        half = CUBE_SIDE_M / 2
        cube = spec.worldbody.add_body(name=CUBE, pos=[0.5, 0.0, half])
        cube.add_freejoint(name=CUBE)
        cube.add_geom(
            name=CUBE,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[half] * 3,
            mass=CUBE_MASS_KG,
            rgba=[0.85, 0.08, 0.08, 1.0],
            solref=SOLREF,
            friction=[1.0, 0.01, 0.0002],
            condim=4,
        )
        body = spec.worldbody.add_body(name=BIN, pos=[*BIN_XY_M, 0.0])
        inner, wall, height = BIN_INNER_M / 2, BIN_WALL_M / 2, BIN_HEIGHT_M / 2
        plates = [([inner, inner, wall], [0.0, 0.0, wall])]
        for sign in (-1.0, 1.0):
            offset = sign * (inner + wall)
            plates.append(([wall, inner + 2 * wall, height], [offset, 0.0, height]))
            plates.append(([inner, wall, height], [0.0, offset, height]))
        for size, pos in plates:
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=pos, rgba=[0.2, 0.35, 0.6, 1.0], solref=SOLREF)

    def place(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Cube at a random place and heading."""
        adr = model.joint(CUBE).qposadr[0]
        yaw = rng.uniform(-np.pi, np.pi)
        data.qpos[adr : adr + 3] = [rng.uniform(*CUBE_X_M), rng.uniform(*CUBE_Y_M), CUBE_SIDE_M / 2]
        data.qpos[adr + 3 : adr + 7] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]  # MuJoCo: w first

    def is_done(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Cube inside the walls, low, at rest, and touched by no finger."""
        p = data.body(CUBE).xpos - data.body(BIN).xpos
        is_inside = max(abs(p[0]), abs(p[1])) < BIN_INNER_M / 2 and p[2] < BIN_HEIGHT_M
        return bool(is_inside and is_still(data, CUBE) and not is_touched_by(model, data, CUBE, "finger"))
