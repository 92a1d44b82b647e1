"""Meshes as boxes, cylinders and spheres that enclose them: light, and every tool reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import coal
import numpy as np

from il_core.errors import IlError
from il_core.types import Vector

SAMPLES = 1500  # points on the surface of a mesh; beside its vertices, so that big triangles count
PARTS_MAX = 3  # primitives for one mesh
SPLIT_GAIN = 0.75  # a mesh is split where its parts together need less volume than this share
THIN_M = 0.002  # least size of a primitive


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A primitive fixed to a link.

    Attributes:
        kind: ``box``, ``cylinder`` (along its z) or ``sphere``.
        size: Box: three edges; cylinder: radius and length; sphere: radius [m].
        T_link_shape: Its pose in the link, (4, 4) [m].
    """

    kind: str
    size: tuple[float, ...]
    T_link_shape: Vector

    @property
    def volume(self) -> float:
        """Its volume [m³]."""
        if self.kind == "box":
            return float(np.prod(self.size))
        if self.kind == "cylinder":
            return float(np.pi * self.size[0] ** 2 * self.size[1])
        return float(4.0 / 3.0 * np.pi * self.size[0] ** 3)


def find_mesh(uri: str, urdf: Path) -> Path | None:
    """The file of a mesh: package:// is looked for in the folders above the URDF; None if not there."""
    if uri.startswith("package://"):
        whole = uri.removeprefix("package://")
        tails = [whole, whole.partition("/")[2]]
    else:
        tails = [uri.removeprefix("file://")]
    for folder in (urdf.resolve().parent, *urdf.resolve().parents):
        for tail in tails:
            if (folder / tail).is_file():
                return folder / tail
    return None


def read_mesh(path: Path, scale: Vector, seed: int = 0) -> Vector:
    """Points of a mesh: its vertices, and samples on its triangles, (n, 3) [m].

    Raises:
        IlError: the file cannot be read as a mesh.
    """
    try:
        mesh = coal.MeshLoader().load(str(path), np.asarray(scale, dtype=np.float64))
    except (ValueError, RuntimeError) as error:
        raise IlError(f"mesh {path} cannot be read: {str(error).strip().splitlines()[-1]}") from error
    vertices = np.array(mesh.vertices())
    corners = (mesh.tri_indices(i) for i in range(mesh.num_tris))
    triangles = np.array([(t[0], t[1], t[2]) for t in corners])
    if len(vertices) < 3 or not len(triangles):
        raise IlError(f"mesh {path} is empty")
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    if not area.sum() > 0.0:
        return vertices
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(area), SAMPLES, p=area / area.sum())
    u, w = rng.random((2, SAMPLES, 1))
    a, b, c = a[chosen], b[chosen], c[chosen]
    flip = u + w > 1.0
    u, w = np.where(flip, 1.0 - u, u), np.where(flip, 1.0 - w, w)
    return np.vstack([vertices, a + u * (b - a) + w * (c - a)])


def fit(points: Vector) -> list[Shape]:
    """Enclose points in at most ``PARTS_MAX`` primitives of small volume.

    Each set of points gets the smallest of a box, a cylinder and a sphere, along the axes of the
    link or the points' principal axes. A set is cut in two across its longest extent while that
    saves a quarter of its volume.

    Args:
        points: Points in link axes, (n, 3) [m].
    """
    sets = [points]
    shapes = [_smallest(points)]
    while len(shapes) < PARTS_MAX:
        best, gain = -1, SPLIT_GAIN
        cuts = [_cut(s) for s in sets]
        for k, cut in enumerate(cuts):
            if cut is None:
                continue
            share = sum(_smallest(half).volume for half in cut) / shapes[k].volume
            if share < gain:
                best, gain = k, share
        chosen = cuts[best] if best >= 0 else None
        if chosen is None:
            break
        sets[best : best + 1] = chosen
        shapes[best : best + 1] = [_smallest(half) for half in chosen]
    return shapes


def _cut(points: Vector) -> list[Vector] | None:
    """Two halves across the longest extent; None if one is too small to fit."""
    R = _principal(points)
    local = points @ R
    k = int(np.argmax(np.ptp(local, axis=0)))
    middle = (local[:, k].min() + local[:, k].max()) / 2.0
    low = local[:, k] <= middle
    return [points[low], points[~low]] if min(low.sum(), (~low).sum()) >= 8 else None


def _principal(points: Vector) -> Vector:
    """Principal axes of points as columns of a rotation, (3, 3)."""
    centred = points - points.mean(axis=0)
    R = np.linalg.eigh(centred.T @ centred)[1]
    R[:, 2] = np.cross(R[:, 0], R[:, 1])  # right-handed
    return np.asarray(R)


def _smallest(points: Vector) -> Shape:
    """The smallest box, cylinder or sphere around points."""
    candidates = [_sphere(points)]
    for R in (np.eye(3), _principal(points)):
        candidates.append(_box(points, R))
        candidates += [_cylinder(points, np.roll(R, k, axis=1)) for k in range(3)]
    return min(candidates, key=lambda s: s.volume)


def _pose(R: Vector, centre: Vector) -> Vector:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, centre
    return T


def _box(points: Vector, R: Vector) -> Shape:
    local = points @ R
    low, high = local.min(axis=0), local.max(axis=0)
    edges = np.maximum(high - low, THIN_M)
    return Shape("box", tuple(map(float, edges)), _pose(R, R @ (low + high) / 2.0))


def _cylinder(points: Vector, R: Vector) -> Shape:
    """Around the third axis of R."""
    local = points @ R
    low, high = local.min(axis=0), local.max(axis=0)
    centre = (low + high) / 2.0
    radius = float(np.linalg.norm(local[:, :2] - centre[:2], axis=1).max())
    return Shape("cylinder", (max(radius, THIN_M), max(float(high[2] - low[2]), THIN_M)), _pose(R, R @ centre))


def _sphere(points: Vector) -> Shape:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    radius = float(np.linalg.norm(points - centre, axis=1).max())
    return Shape("sphere", (max(radius, THIN_M),), _pose(np.eye(3), centre))


def from_inertia(mass: float, inertia: Vector, T_link_com: Vector) -> Shape:
    r"""The homogeneous box with a link's mass and inertia.

    A box of edges a, b, c has :math:`I_{xx} = m (b^2 + c^2) / 12`, so
    :math:`a^2 = 6 (I_{yy} + I_{zz} - I_{xx}) / m`.

    Args:
        mass: [kg].
        inertia: About the centre of mass, (3, 3) [kg·m²].
        T_link_com: Pose of the axes of ``inertia`` in the link, (4, 4) [m].
    """
    moments, R = np.linalg.eigh(inertia)
    R[:, 2] = np.cross(R[:, 0], R[:, 1])
    squares = 6.0 * (moments.sum() - 2.0 * moments) / mass
    edges = np.sqrt(np.maximum(squares, THIN_M**2))
    return Shape("box", tuple(map(float, edges)), T_link_com @ _pose(R, np.zeros(3)))
