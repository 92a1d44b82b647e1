"""Table and task objects as plain values, read from the compiled MuJoCo scene."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from il_core.geometry import Array, matrix_from_quat_xyzw, pose
from il_sim.gazebo.urdf import Inertial, Shape
from il_sim.plant import Plant
from il_sim.scene_constants import TABLE
from il_sim.tasks.shapes import UNTOUCHED

_KINDS = {
    int(mujoco.mjtGeom.mjGEOM_BOX): ("box", lambda s: tuple(2.0 * s)),
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): ("cylinder", lambda s: (s[0], 2.0 * s[1])),
    int(mujoco.mjtGeom.mjGEOM_SPHERE): ("sphere", lambda s: (s[0],)),
}  # MuJoCo has half lengths


@dataclass(frozen=True, slots=True)
class Part:
    """A shape of an object: what it looks like, whether it can be touched, and its sliding friction for Gazebo."""

    shape: Shape
    is_solid: bool
    mu: float


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of the scene.

    Attributes:
        name: Its name; that of its topic too.
        T_base_thing: Where it is when the scene starts, (4, 4) [m].
        inertial: Its mass; None where it never moves.
        parts: Its shapes.
    """

    name: str
    T_base_thing: Array
    inertial: Inertial | None
    parts: tuple[Part, ...]


class Scene:
    """What is around the robot, and how everything slides.

    MuJoCo lets a contact have the larger friction of its two surfaces, DART the smaller. So the numbers are
    chosen such that the smaller ones are MuJoCo's larger ones, for the contacts that matter: a loose thing gets
    the fingers' friction if that is larger, and what it stands on gets the thing's.

    Attributes:
        things: Table and objects.
        mu: Friction of the robot's links by name.
    """

    def __init__(self, plant: Plant) -> None:
        """Read the scene in its present state."""
        self._model, self._plant = plant.model, plant
        model = self._model
        self._root = model.body_rootid[model.jnt_bodyid[model.joint(plant.robot.joint_names[0]).id]]
        self._robot = [b for b in range(1, model.nbody) if model.body_rootid[b] == self._root]
        self.mu = {model.body(b).name: self._own_mu(b) for b in self._robot}
        for k in range(model.npair):  # a contact with a friction of its own
            for geom in (model.pair_geom1[k], model.pair_geom2[k]):
                name = model.body(model.geom_bodyid[geom]).name
                if name in self.mu:
                    self.mu[name] = float(model.pair_friction[k, 0])
        bodies = [b for b in range(1, model.nbody) if model.body_rootid[b] == b and b != self._root]
        self._loose = {b for b in bodies if self._is_loose(b)}
        self.things = (self._thing(0, TABLE), *(self._thing(b, model.body(b).name) for b in bodies))

    def _geoms(self, body: int) -> range:
        first = int(self._model.body_geomadr[body])
        return range(first, first + int(self._model.body_geomnum[body])) if first >= 0 else range(0)

    def _own_mu(self, body: int) -> float:
        """Largest sliding friction of a body's shapes; MuJoCo's default where it has none."""
        return max((float(self._model.geom_friction[g, 0]) for g in self._geoms(body)), default=1.0)

    def _is_solid(self, geom: int) -> bool:
        return bool(self._model.geom_contype[geom] & ~UNTOUCHED or self._model.geom_conaffinity[geom])

    def _is_loose(self, body: int) -> bool:
        return bool(self._model.body_dofnum[body]) and any(self._is_solid(g) for g in self._geoms(body))

    def _sdf_mu(self, body: int, geom: int) -> float:
        own = float(self._model.geom_friction[geom, 0])
        if body in self._loose:
            fingers = [mu for name, mu in self.mu.items() if "finger" in name]
            return max([own, *fingers])
        return max([own, *(self._own_mu(b) for b in self._loose)])

    def _thing(self, body: int, name: str) -> Thing:
        model = self._model
        T = np.eye(4) if body == 0 else self._plant.object_pose(name)
        parts = tuple(
            Part(self._shape(g), self._is_solid(g), self._sdf_mu(body, g))
            for g in self._geoms(body)
            if int(model.geom_type[g]) in _KINDS
        )
        if body not in self._loose:
            return Thing(name, T, None, parts)
        T_com = pose(model.body_ipos[body], _matrix(model.body_iquat[body]))
        xx, yy, zz = map(float, model.body_inertia[body])
        return Thing(name, T, Inertial(float(model.body_mass[body]), T_com, (xx, 0.0, 0.0, yy, 0.0, zz)), parts)

    def _shape(self, geom: int) -> Shape:
        model = self._model
        kind, lengths = _KINDS[int(model.geom_type[geom])]
        T = pose(model.geom_pos[geom], _matrix(model.geom_quat[geom]))
        size = tuple(float(x) for x in lengths(model.geom_size[geom]))
        return Shape(kind, size, T, tuple(float(x) for x in model.geom_rgba[geom]))


def _matrix(quat_wxyz: Array) -> Array:
    w, x, y, z = quat_wxyz
    return matrix_from_quat_xyzw([x, y, z, w])
