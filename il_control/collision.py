"""How near the arm is to itself and to what stands around it: distances of the URDF's primitive shapes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

import coal
import numpy as np
import pinocchio as pin

from il_control.barrier import Border, approach_speed, is_due, ratchet
from il_control.reasons import Reason
from il_control.safety_config import Obstacle, ObstacleKind, SafetyConfig
from il_core.config import Setup
from il_core.errors import ConfigError, nearest
from il_core.geometry import matrix_from_quat_xyzw
from il_core.types import Vector

PERIOD = 10  # cycles between two evaluations: 100 Hz at 1 kHz; in between the distances are extrapolated
LOOK_AHEAD = 4  # widths of the slow zone: enough to brake from five times the approach speed
BORDERS_MAX = 6  # nearest pairs that are braked: more hardly act at once, and each costs time


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The pair of shapes that are nearest to each other.

    Attributes:
        first: Link of the one.
        second: Link of the other, or name of the obstacle.
        distance_m: Between their surfaces, negative inside each other [m].
        gradient: How it changes with the joints, (nq,) [m/rad].
        p_first: Nearest point of the first in base, (3,) [m].
        p_second: Nearest point of the second in base, (3,) [m].
    """

    first: str
    second: str
    distance_m: float
    gradient: Vector
    p_first: Vector
    p_second: Vector


class CollisionMonitor:
    """Distances between the arm's links, and between them and the obstacles.

    The gripper is taken to be open: that is where it is widest.
    """

    def __init__(self, setup: Setup, config: SafetyConfig) -> None:
        """Read the shapes from the URDF and the pairs not to check from the SRDF.

        Raises:
            ConfigError: a file is missing or wrong, nothing has a shape, or an obstacle names an unknown link.
        """
        self._config = config
        self._model, self._shapes = _geometry(setup)
        self._shapes.addAllCollisionPairs()
        if not setup.srdf_path.is_file():
            raise ConfigError(str(setup.srdf_path), "no such file; it lists the pairs of links not to check")
        pin.removeCollisionPairs(self._model, self._shapes, str(setup.srdf_path))
        self._links = [self._model.frames[o.parentFrame].name for o in self._shapes.geometryObjects]
        for obstacle in config.obstacles:
            self._add(obstacle)
        self._pairs = [(p.first, p.second) for p in self._shapes.collisionPairs]
        if not self._pairs:
            raise ConfigError(str(setup.urdf_path), "has no collision shapes to check; set check_collisions: false")
        self._data, self._results = self._model.createData(), pin.GeometryData(self._shapes)
        self._age = 0
        self._q_seen = np.zeros(self._model.nq)
        self._near: list[tuple[Nearest, float]] = []
        self._stops: dict[int, float] | None = None  # of the pairs that are near; None: none seen yet

    @property
    def pairs(self) -> int:
        """Number of pairs of shapes that are checked."""
        return len(self._pairs)

    def distance(self, q: Vector) -> Nearest:
        """The nearest pair at a posture, (nq,) [rad]."""
        return self._nearest(self._evaluate(q))

    def near(self, q: Vector, within_m: float) -> list[Nearest]:
        """Pairs nearer than a distance at a posture, the nearest first."""
        return [self._nearest(k) for k, _ in self._numbers(q, within_m)]

    def watch(self, q: Vector, v: Vector) -> list[Border]:
        """What brakes the arm in this cycle; call it in every cycle, it evaluates in every tenth.

        In between the distances follow the joints: :math:`d(q) = d(q_0) + g^T (q - q_0)`.
        """
        if self._age % PERIOD == 0:
            self._look(q)
        self._age += 1
        if not self._near:
            return []
        way = q - self._q_seen
        return [b for pair, stop in self._near if (b := self._border(pair, stop, way, v)) is not None]

    def reset(self) -> None:
        """Evaluate at the next call: the arm is not where it was."""
        self._age, self._stops = 0, None

    def _look(self, q: Vector) -> None:
        """Evaluate, and remember how near each pair may come; see :func:`il_control.barrier.ratchet`."""
        near = self._numbers(q, self._config.slow_distance_m + self._margin_m)
        limit, before = self._config.stop_distance_m, self._stops
        self._stops = {k: ratchet(None if before is None else before.get(k, limit), d, limit) for k, d in near}
        self._near = [(self._nearest(k), self._stops[k]) for k, _ in near[:BORDERS_MAX]]
        self._q_seen = q

    def _numbers(self, q: Vector, within_m: float) -> list[tuple[int, float]]:
        """Number and distance of the pairs nearer than a distance, the nearest first."""
        if self._results.distanceResults[self._evaluate(q)].min_distance >= within_m:
            return []
        distances = [(k, float(r.min_distance)) for k, r in enumerate(self._results.distanceResults)]
        return sorted((x for x in distances if x[1] < within_m), key=lambda x: x[1])

    @property
    def _margin_m(self) -> float:
        """How far before the slow zone pairs are watched."""
        c = self._config
        return LOOK_AHEAD * (c.slow_distance_m - c.stop_distance_m)

    def _border(self, pair: Nearest, stop_m: float, way: Vector, v: Vector) -> Border | None:
        c = self._config
        distance = pair.distance_m + float(pair.gradient @ way)
        speed = approach_speed(distance, stop_m, c.slow_distance_m, c.approach_speed_max_m_s)
        if not is_due(distance, c.slow_distance_m, -float(pair.gradient @ v), speed):
            return None
        reason = Reason.COLLISION_NEAR if distance > c.stop_distance_m else Reason.COLLISION_STOP
        return Border(pair.gradient, speed, reason)

    def _evaluate(self, q: Vector) -> int:
        """Compute all distances; return the number of the nearest pair."""
        return int(pin.computeDistances(self._model, self._data, self._shapes, self._results, q))

    def _nearest(self, k: int) -> Nearest:
        r = self._results.distanceResults[k]
        first, second = self._pairs[k]
        p1, p2, n = r.getNearestPoint1(), r.getNearestPoint2(), np.array(r.normal)
        pin.computeJointJacobians(self._model, self._data)
        gradient = self._moved(second, p2, n) - self._moved(first, p1, n)
        return Nearest(self._links[first], self._links[second], float(r.min_distance), gradient, p1, p2)

    def _moved(self, shape: int, p: Vector, n: Vector) -> Vector:
        """How a point of a shape moves along a direction, per joint, (nq,) [m/rad]."""
        joint = self._shapes.geometryObjects[shape].parentJoint
        if joint == 0:
            return np.zeros(self._model.nv)
        J_world = pin.getJointJacobian(self._model, self._data, joint, pin.WORLD)
        return np.asarray(np.concatenate([n, np.cross(p, n)]) @ J_world)

    def _add(self, obstacle: Obstacle) -> None:
        """Put an obstacle beside the arm, to be checked against every moving link it does not except."""
        for link in obstacle.except_links:
            if link not in self._links:
                problem = f"except_links names '{link}', which has no shape; {nearest(link, sorted(set(self._links)))}"
                raise ConfigError(f"obstacle '{obstacle.name}'", problem)
        shape, place = _shape_of(obstacle)
        number = self._shapes.addGeometryObject(pin.GeometryObject(obstacle.name, 0, 0, place, shape))
        for i, link in enumerate(self._links[: self._arm_shapes]):
            if self._shapes.geometryObjects[i].parentJoint != 0 and link not in obstacle.except_links:
                self._shapes.addCollisionPair(pin.CollisionPair(i, number))
        self._links.append(obstacle.name)

    @property
    def _arm_shapes(self) -> int:
        """Number of shapes that are the arm's."""
        names = {o.name for o in self._config.obstacles}
        return sum(o.name not in names for o in self._shapes.geometryObjects)


def _geometry(setup: Setup) -> tuple[Any, Any]:
    """The arm with its gripper open, and its collision shapes."""
    try:
        full = pin.buildModelFromUrdf(str(setup.urdf_path))
        shapes = pin.buildGeomFromUrdf(full, str(setup.urdf_path), pin.GeometryType.COLLISION)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(str(setup.urdf_path), f"collision shapes cannot be read: {error}") from error
    locked = [full.getJointId(n) for n in list(full.names)[1:] if n not in setup.robot.joint_names]
    model, shapes = pin.buildReducedModel(full, shapes, locked, _open_gripper(full, setup))
    return model, shapes


def _open_gripper(model: pin.Model, setup: Setup) -> Vector:
    """Neutral posture of all joints, (nq_full,), with the gripper's joint and those that mimic it open."""
    q = np.array(pin.neutral(model))
    robot = setup.robot
    if not robot.gripper_joint:
        return q
    opened = {robot.gripper_joint: robot.gripper_open_m}
    for joint in ET.parse(setup.urdf_path).getroot().iter("joint"):
        mimic = joint.find("mimic")
        if mimic is not None and mimic.get("joint") == robot.gripper_joint:
            factor, offset = float(mimic.get("multiplier", "1")), float(mimic.get("offset", "0"))
            opened[joint.get("name", "")] = factor * robot.gripper_open_m + offset
    for name, value in opened.items():
        joint_id = model.getJointId(name)
        if joint_id < model.njoints and model.joints[joint_id].nq == 1:
            q[model.joints[joint_id].idx_q] = value
    return q


def _shape_of(obstacle: Obstacle) -> tuple[Any, Any]:
    """Shape and placement of an obstacle."""
    p = np.array(obstacle.p_base_m)
    if obstacle.kind is ObstacleKind.BOX:
        return coal.Box(*obstacle.size_m), pin.SE3(matrix_from_quat_xyzw(obstacle.quat_xyzw), p)
    normal = np.array(obstacle.normal) / np.linalg.norm(obstacle.normal)
    return coal.Halfspace(normal, float(normal @ p)), pin.SE3.Identity()
