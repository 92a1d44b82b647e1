"""The arm as a mechanism: its inertia, weight, reach and collisions at many postures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pinocchio as pin

from il_control.describe.tree import Arm
from il_core.errors import ConfigError
from il_core.types import Vector

NEIGHBOURS = 2  # joints between two links whose coarse shapes may overlap where the links do not
ALWAYS, COARSE = 0.9, 0.3  # share of postures in which a pair collides


@dataclass(frozen=True, slots=True)
class Pair:
    """Two links never checked against each other, and why.

    Attributes:
        first: Link.
        second: Link.
        reason: ``Adjacent``, ``Always`` or ``Coarse``.
    """

    first: str
    second: str
    reason: str


class Body:
    """Pinocchio model of the arm alone, everything else locked, with its collision shapes.

    Attributes:
        model: The reduced model, one chain, joints in the order of ``arm.joints``.
        q_min: Lower joint limits of the URDF, (nq,) [rad].
        q_max: Upper ones.
    """

    def __init__(self, urdf: Path, arm: Arm, ee_frame: str) -> None:
        """Read a rewritten URDF, whose link names may be new.

        Raises:
            ConfigError: Pinocchio cannot read it, or orders the joints differently.
        """
        try:
            full = pin.buildModelFromUrdf(str(urdf))
            geometry = pin.buildGeomFromUrdf(full, str(urdf), pin.GeometryType.COLLISION)
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip() or "parser gave no reason"
            raise ConfigError(str(urdf), f"not a usable URDF: {reason}") from error
        names = [j.name for j in arm.joints]
        locked = [full.getJointId(n) for n in list(full.names)[1:] if n not in names]
        self.model, [self.geometry] = pin.buildReducedModel(full, [geometry], locked, pin.neutral(full))
        if list(self.model.names)[1:] != names:
            raise ConfigError(str(urdf), f"joints come in the order {list(self.model.names)[1:]}, expected {names}")
        self.nq = len(names)
        self.q_min, self.q_max = self.model.lowerPositionLimit.copy(), self.model.upperPositionLimit.copy()
        self._frame = self.model.getFrameId(ee_frame)
        self.data = self.model.createData()
        self.geometry.addAllCollisionPairs()
        self._collisions = self.geometry.createData()

    def samples(self, n: int, share: float = 1.0, seed: int = 0) -> Vector:
        """Postures within a share of the range about its middle, at most pi each way, (n, nq) [rad]."""
        middle, half = (self.q_min + self.q_max) / 2.0, (self.q_max - self.q_min) / 2.0
        half = share * np.minimum(half, np.pi)
        rng = np.random.default_rng(seed)
        return np.asarray(middle + rng.uniform(-half, half, (n, self.nq)))

    def mass_matrix(self, q: Vector, armature: Vector | float = 0.0) -> Vector:
        """Joint-space inertia with rotors, (nq, nq) [kg·m²]."""
        upper = np.triu(pin.crba(self.model, self.data, q))
        return np.asarray(upper + np.triu(upper, 1).T + np.diag(np.broadcast_to(armature, self.nq)))

    def gravity(self, q: Vector) -> Vector:
        """Torque that carries the arm, (nq,) [N·m]."""
        return np.array(pin.computeGeneralizedGravity(self.model, self.data, q))

    def jacobian(self, q: Vector) -> Vector:
        """Tool Jacobian, axes of base, (6, nq); leaves the placements of ``q`` in :attr:`data`."""
        pin.computeJointJacobians(self.model, self.data, q)
        pin.updateFramePlacement(self.model, self.data, self._frame)
        return np.array(pin.getFrameJacobian(self.model, self.data, self._frame, pin.LOCAL_WORLD_ALIGNED))

    def tool(self, q: Vector) -> Vector:
        """Tool pose in base, (4, 4) [m]."""
        self.jacobian(q)
        return np.array(self.data.oMf[self._frame].homogeneous)

    def lowest(self, q: Vector) -> float:
        """Height of the lowest point of what moves behind the first joint [m]."""
        pin.updateGeometryPlacements(self.model, self.data, self.geometry, self._collisions, q)
        heights = [np.inf]
        for g, T in zip(self.geometry.geometryObjects, self._collisions.oMg, strict=True):
            if g.parentJoint > 1:
                g.geometry.computeLocalAABB()
                box = g.geometry.aabb_local
                heights.append(float(T.translation[2] + T.rotation[2] @ box.center() - _reach_down(T, box)))
        return min(heights)

    def links(self) -> list[tuple[str, int]]:
        """Links that have a shape, with the joint that carries each."""
        seen: dict[str, int] = {}
        for g in self.geometry.geometryObjects:
            seen[self.model.frames[g.parentFrame].name] = int(g.parentJoint)
        return list(seen.items())

    def colliding(self, q: Vector) -> set[tuple[str, str]]:
        """Pairs of links that overlap, of the pairs still checked."""
        pin.computeCollisions(self.model, self.data, self.geometry, self._collisions, q, False)
        found = set()
        for k, pair in enumerate(self.geometry.collisionPairs):
            if self._collisions.collisionResults[k].isCollision():
                found.add(self._names(pair))
        return found

    def is_free(self, q: Vector) -> bool:
        """Whether no pair still checked overlaps."""
        return not pin.computeCollisions(self.model, self.data, self.geometry, self._collisions, q, True)

    def _names(self, pair: pin.CollisionPair) -> tuple[str, str]:
        objects = self.geometry.geometryObjects
        a, b = (self.model.frames[objects[k].parentFrame].name for k in (pair.first, pair.second))
        return (a, b) if a <= b else (b, a)

    def disable(self, n: int = 300) -> list[Pair]:
        """Find the pairs that need no check, stop checking them, and return them.

        Links fixed to each other or one joint apart always touch (``Adjacent``). Pairs that overlap in
        nine of ten postures are drawn into each other (``Always``). Links two joints apart whose
        shapes overlap in three of ten postures have shapes too coarse to tell (``Coarse``).
        """
        links = self.links()
        pairs = []
        for i, (first, a) in enumerate(links):
            for second, b in links[i + 1 :]:
                if abs(a - b) <= 1:
                    pairs.append(Pair(min(first, second), max(first, second), "Adjacent"))
        self._remove(pairs)
        counts: dict[tuple[str, str], int] = {}
        for q in self.samples(n):
            for names in self.colliding(q):
                counts[names] = counts.get(names, 0) + 1
        joint = dict(links)
        more = []
        for (first, second), count in sorted(counts.items()):
            if count > ALWAYS * n:
                more.append(Pair(first, second, "Always"))
            elif count > COARSE * n and abs(joint[first] - joint[second]) <= NEIGHBOURS:
                more.append(Pair(first, second, "Coarse"))
        self._remove(more)
        return pairs + more

    def _remove(self, pairs: list[Pair]) -> None:
        """Stop checking pairs of links."""
        unwanted = {(p.first, p.second) for p in pairs}
        kept = [(p.first, p.second) for p in self.geometry.collisionPairs if self._names(p) not in unwanted]
        self.geometry.removeAllCollisionPairs()
        for first, second in kept:
            self.geometry.addCollisionPair(pin.CollisionPair(first, second))
        self._collisions = self.geometry.createData()


def _reach_down(T: pin.SE3, box: object) -> float:
    """How far a box reaches below its centre [m]."""
    half = np.array([box.width(), box.height(), box.depth()]) / 2.0  # type: ignore[attr-defined] # coal.AABB
    return float(np.abs(T.rotation[2]) @ half)
