"""Things to put on the table."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from il_core.types import Vector
from il_sim.scene_constants import SOLREF, WRIST_SITE

RED, BLUE, GREEN, GREY = [0.85, 0.08, 0.08, 1.0], [0.2, 0.35, 0.6, 1.0], [0.15, 0.6, 0.2, 1.0], [0.4, 0.4, 0.42, 1.0]
SLIDING = [1.0, 0.01, 0.0002]  # friction of wood: sliding, torsional [m], rolling [m]
UNTOUCHED = 1 << 1  # bit of MuJoCo's contact filter: everything else has bit 0
STILL_M_S = 0.05  # slower than this a thing counts as resting
BOX, CYLINDER, SPHERE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_SPHERE


def add_loose(
    spec: mujoco.MjSpec, name: str, kind: mujoco.mjtGeom, size: Sequence[float], mass_kg: float, rgba: list[float]
) -> None:
    """Something that can be moved, with a free joint of the same name."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    body.add_geom(
        name=name, type=kind, size=list(size), mass=mass_kg, rgba=rgba, solref=SOLREF, friction=SLIDING, condim=4
    )


def add_mark(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtGeom, size: Sequence[float], rgba: list[float]) -> None:
    """Something that is seen and cannot be touched; it floats where it is put.

    Its place is part of the scene's positions, so that cameras in another process see it there too.
    """
    body = spec.worldbody.add_body(name=name, gravcomp=1.0)
    body.add_freejoint(name=name)
    # A type that nothing else reacts to: with none at all it would be taken for decoration, which is left out.
    body.add_geom(name=name, type=kind, size=list(size), mass=0.01, rgba=rgba, contype=UNTOUCHED, conaffinity=0)


def put(model: mujoco.MjModel, data: mujoco.MjData, name: str, position_m: Sequence[float]) -> None:
    """Place something upright."""
    adr = model.joint(name).qposadr[0]
    data.qpos[adr : adr + 7] = [*position_m, 1.0, 0.0, 0.0, 0.0]


def tool_position(model: mujoco.MjModel, data: mujoco.MjData) -> Vector:
    """Where the tool point is in base, (3,) [m]."""
    site = next(k for k in range(model.nsite) if model.site(k).name != WRIST_SITE)
    return np.array(data.site_xpos[site])


def is_still(data: mujoco.MjData, name: str) -> bool:
    """Whether a loose thing rests."""
    return float(np.linalg.norm(data.joint(name).qvel[:3])) < STILL_M_S


def is_touched_by(model: mujoco.MjModel, data: mujoco.MjData, name: str, part: str) -> bool:
    """Whether a thing touches a body whose name holds ``part``."""
    geom = model.geom(name).id
    for contact in data.contact[: data.ncon]:
        if geom in (contact.geom1, contact.geom2):
            other = contact.geom2 if contact.geom1 == geom else contact.geom1
            if part in model.body(model.geom_bodyid[other]).name:
                return True
    return False
