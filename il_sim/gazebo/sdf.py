"""SDF elements: the few kinds the world and the model are made of."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from il_core.geometry import Array
from il_sim.gazebo.urdf import Shape, rpy_from_rotation

VERSION = "1.9"
"""SDF that the files declare: Debian 12's checker reads it, newer libraries convert it. The added mass is of 1.10."""

Value = str | float | int | bool | Sequence[float]


def text(value: Value) -> str:
    """A value as SDF writes it; numbers keep all their digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(float(value)) if isinstance(value, float) else str(value)
    return " ".join(repr(float(x) + 0.0) for x in value)  # no minus zero


def add(parent: ET.Element, tag: str, value: Value | None = None, **attributes: str) -> ET.Element:
    """Append an element with a text and attributes."""
    element = ET.SubElement(parent, tag, attributes)
    if value is not None:
        element.text = text(value)
    return element


def add_all(parent: ET.Element, values: Mapping[str, Value]) -> None:
    """Append one element per entry."""
    for tag, value in values.items():
        add(parent, tag, value)


def add_pose(parent: ET.Element, T: Array, relative_to: str = "") -> None:
    """Append a pose: x y z [m], roll pitch yaw [rad]."""
    attributes = {"relative_to": relative_to} if relative_to else {}
    add(parent, "pose", [*T[:3, 3], *rpy_from_rotation(T[:3, :3])], **attributes)


def add_geometry(parent: ET.Element, kind: str, size: Sequence[float]) -> None:
    """Append a primitive: box (edges), cylinder (radius, length along z) or sphere (radius) [m]."""
    shape = add(add(parent, "geometry"), kind)
    if kind == "box":
        add(shape, "size", size)
    else:
        add_all(shape, dict(zip(("radius", "length"), size, strict=False)))


def add_visual(link: ET.Element, name: str, shape: Shape) -> None:
    """Append what is seen of a shape."""
    visual = add(link, "visual", name=name)
    add_pose(visual, shape.T_link_shape)
    add_geometry(visual, shape.kind, shape.size)
    material = add(visual, "material")
    add_all(material, {"ambient": shape.rgba, "diffuse": shape.rgba, "specular": (0.1, 0.1, 0.1, 1.0)})


def add_collision(link: ET.Element, name: str, shape: Shape, mu: float, group: int = 0xFFFF) -> None:
    """Append what can be touched of a shape.

    Args:
        link: Link it belongs to.
        name: Name of the collision.
        shape: The primitive.
        mu: Sliding friction.
        group: Bits that must have one in common with those of what it may touch.
    """
    collision = add(link, "collision", name=name)
    add_pose(collision, shape.T_link_shape)
    add_geometry(collision, shape.kind, shape.size)
    surface = add(collision, "surface")
    add_all(add(add(surface, "friction"), "ode"), {"mu": mu, "mu2": mu})
    add(add(surface, "contact"), "collide_bitmask", group)


def add_inertial(link: ET.Element, mass_kg: float, T_link_com: Array, moments: Sequence[float]) -> ET.Element:
    """Append mass, centre of mass, and ixx, ixy, ixz, iyy, iyz, izz about it in the frame of ``T_link_com``."""
    inertial = add(link, "inertial")
    add_pose(inertial, T_link_com)
    add(inertial, "mass", mass_kg)
    keys = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    add_all(add(inertial, "inertia"), dict(zip(keys, map(float, moments), strict=True)))
    return inertial


def add_plugin(parent: ET.Element, system: str, name: str, values: Sequence[tuple[str, Value]] = ()) -> None:
    """Append a system of gz-sim, such as ``physics``, with its parameters."""
    plugin = add(parent, "plugin", filename=f"gz-sim-{system}-system", name=f"gz::sim::systems::{name}")
    for tag, value in values:
        add(plugin, tag, value)


def document(content: ET.Element) -> str:
    """A whole SDF file around a world or a model."""
    root = ET.Element("sdf", version=VERSION)
    root.append(content)
    ET.indent(root)
    return '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
