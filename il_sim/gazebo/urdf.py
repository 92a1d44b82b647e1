"""A URDF as plain values: links, joints, shapes. Poses are (4, 4), angles as URDF and SDF both have them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from il_core.errors import ConfigError
from il_core.geometry import Array, pose

WHITE = (0.8, 0.8, 0.8, 1.0)
_NUMBERS = {"box": ("size",), "cylinder": ("radius", "length"), "sphere": ("radius",)}


@dataclass(frozen=True, slots=True)
class Shape:
    """A primitive on a link.

    Attributes:
        kind: box, cylinder or sphere.
        size: Edge lengths; radius and length; radius [m].
        T_link_shape: Its pose on the link, (4, 4) [m].
        rgba: Colour in [0, 1]; of no meaning where the shape only collides.
    """

    kind: str
    size: tuple[float, ...]
    T_link_shape: Array
    rgba: tuple[float, ...] = WHITE


@dataclass(frozen=True, slots=True)
class Inertial:
    """Mass of a link.

    Attributes:
        mass_kg: Mass [kg].
        T_link_com: Frame at the centre of mass, (4, 4) [m].
        inertia_kg_m2: ixx, ixy, ixz, iyy, iyz, izz in that frame.
    """

    mass_kg: float
    T_link_com: Array
    inertia_kg_m2: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A body, or a mere frame where it has no mass."""

    name: str
    inertial: Inertial | None
    visuals: tuple[Shape, ...]
    collisions: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Joint:
    """A joint; its frame is the child link's.

    Attributes:
        name: Name.
        kind: revolute, continuous, prismatic or fixed.
        parent: Parent link.
        child: Child link.
        T_parent_child: Pose of the child at position zero, (4, 4) [m].
        axis: Unit vector in the child's frame.
        limit: lower, upper [rad or m], effort [N·m or N], velocity; None for a fixed joint.
        damping: Viscous friction [N·m·s/rad or N·s/m].
        friction: Coulomb friction [N·m or N].
    """

    name: str
    kind: str
    parent: str
    child: str
    T_parent_child: Array
    axis: tuple[float, ...]
    limit: tuple[float, float, float, float] | None
    damping: float
    friction: float


@dataclass(frozen=True, slots=True)
class Urdf:
    """A robot: links by name, and joints from the root outwards."""

    name: str
    links: dict[str, Link]
    joints: tuple[Joint, ...]

    @property
    def root(self) -> str:
        """The link that is no joint's child."""
        children = {j.child for j in self.joints}
        return next(name for name in self.links if name not in children)


def rotation_from_rpy(rpy: tuple[float, ...]) -> Array:
    """Rz(yaw) Ry(pitch) Rx(roll), (3, 3): angles about fixed axes, in URDF and SDF alike."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def rpy_from_rotation(R: Array) -> tuple[float, float, float]:
    """Inverse of :func:`rotation_from_rpy`; where pitch is a quarter turn, roll is taken as 0."""
    pitch = float(np.arctan2(-R[2, 0], np.hypot(R[0, 0], R[1, 0])))
    if np.hypot(R[0, 0], R[1, 0]) < 1e-9:
        return 0.0, pitch, float(np.arctan2(-R[0, 1], R[1, 1]))
    return float(np.arctan2(R[2, 1], R[2, 2])), pitch, float(np.arctan2(R[1, 0], R[0, 0]))


def read_urdf(path: Path) -> Urdf:
    """Read a URDF file.

    Raises:
        ConfigError: not readable, a mesh in it, or a joint that Gazebo's model would not have.
    """
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - expat as shipped refuses entity bombs
        colours = {m.get("name"): _rgba(m) for m in root.findall("material")}
        links = {name: _link(e, name, colours) for e in root.findall("link") for name in [_name(e)]}
        joints = tuple(_joint(e) for e in root.findall("joint"))
    except (OSError, ET.ParseError, KeyError, ValueError, AttributeError) as error:
        raise ConfigError(str(path), f"not a usable URDF: {error}") from error
    return Urdf(root.get("name", path.stem), links, _outwards(joints))


def _outwards(joints: tuple[Joint, ...]) -> tuple[Joint, ...]:
    """The same joints, every parent before its children."""
    known = {j.parent for j in joints} - {j.child for j in joints}
    ordered: list[Joint] = []
    while len(ordered) < len(joints):
        ready = [j for j in joints if j.parent in known and j not in ordered]
        if not ready:
            raise ConfigError("URDF", "its joints form a loop")
        ordered += ready
        known |= {j.child for j in ready}
    return tuple(ordered)


def _name(element: ET.Element) -> str:
    return element.attrib["name"]


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split())


def _origin(element: ET.Element) -> Array:
    origin = element.find("origin")
    if origin is None:
        return np.eye(4)
    return pose(_floats(origin.get("xyz", "0 0 0")), rotation_from_rpy(_floats(origin.get("rpy", "0 0 0"))))


def _rgba(material: ET.Element) -> tuple[float, ...] | None:
    colour = material.find("color")
    return None if colour is None else _floats(colour.attrib["rgba"])


def _link(element: ET.Element, name: str, colours: dict[str | None, tuple[float, ...] | None]) -> Link:
    inertial = element.find("inertial")
    visuals = tuple(_shape(e, name, colours) for e in element.findall("visual"))
    collisions = tuple(_shape(e, name, colours) for e in element.findall("collision"))
    if inertial is None:
        return Link(name, None, visuals, collisions)
    mass, inertia = inertial.find("mass"), inertial.find("inertia")
    if mass is None or inertia is None:
        raise ValueError(f"link '{name}' has an inertial without mass or inertia")
    moments = tuple(float(inertia.attrib[key]) for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz"))
    return Link(name, Inertial(float(mass.attrib["value"]), _origin(inertial), moments), visuals, collisions)


def _shape(element: ET.Element, link: str, colours: dict[str | None, tuple[float, ...] | None]) -> Shape:
    geometry = element.find("geometry")
    kind = None if geometry is None or not len(geometry) else geometry[0]
    if kind is None or kind.tag not in _NUMBERS:
        raise ValueError(f"link '{link}' has a shape other than {', '.join(_NUMBERS)}; replace meshes by primitives")
    size = tuple(x for key in _NUMBERS[kind.tag] for x in _floats(kind.attrib[key]))
    material = element.find("material")
    rgba = None if material is None else _rgba(material) or colours.get(material.get("name"))
    return Shape(kind.tag, size, _origin(element), rgba or WHITE)


def _joint(element: ET.Element) -> Joint:
    name, kind = _name(element), element.attrib["type"]
    if kind not in ("revolute", "continuous", "prismatic", "fixed"):
        raise ValueError(f"joint '{name}' is of type '{kind}', expected revolute, continuous, prismatic or fixed")
    axis, limit, dynamics = element.find("axis"), element.find("limit"), element.find("dynamics")
    values = None
    if kind != "fixed":
        if limit is None:
            raise ValueError(f"joint '{name}' has no limit")
        span = (-np.inf, np.inf) if kind == "continuous" else (limit.attrib["lower"], limit.attrib["upper"])
        values = (float(span[0]), float(span[1]), float(limit.attrib["effort"]), float(limit.attrib["velocity"]))
    direction = np.array((1.0, 0.0, 0.0) if axis is None else _floats(axis.attrib["xyz"]))
    ends = [element.find(end) for end in ("parent", "child")]
    parent, child = (e.attrib["link"] for e in ends if e is not None)
    return Joint(
        name=name,
        kind=kind,
        parent=parent,
        child=child,
        T_parent_child=_origin(element),
        axis=tuple(float(x) for x in direction / np.linalg.norm(direction)),
        limit=values,
        damping=0.0 if dynamics is None else float(dynamics.get("damping", "0")),
        friction=0.0 if dynamics is None else float(dynamics.get("friction", "0")),
    )
