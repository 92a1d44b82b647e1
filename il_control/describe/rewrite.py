"""A URDF of the arm alone moves: primitives for meshes, plain joints, a root called base."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

import numpy as np
import pinocchio as pin

from il_control.describe.shapes import Shape, find_mesh, fit, from_inertia, read_mesh
from il_control.describe.tree import Arm, Joint, Tree
from il_core.errors import ConfigError, IlError
from il_core.types import Vector

BASE = "base"
NO_LIMIT_RAD = 2.0 * np.pi  # each way, for joints that turn for ever
MOMENT_MIN = 1e-9  # [kg·m²]; far below any part of an arm, and more than nothing
_MOMENTS = (("ixx", 0, 0), ("ixy", 0, 1), ("ixz", 0, 2), ("iyy", 1, 1), ("iyz", 1, 2), ("izz", 2, 2))
SOLID_KG = 0.05  # a link at least so heavy has a body, even if the file draws none


@dataclass(slots=True)
class Rewritten:
    """A URDF made of primitives.

    Attributes:
        text: The file.
        notes: What was changed, and what a person should check.
        links: New names of the links, by the old ones.
    """

    text: str
    notes: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)


def rewrite(tree: Tree, arm: Arm, name: str) -> Rewritten:
    """Write the robot anew: only the arm (and its gripper) moves, shapes are primitives.

    Args:
        tree: The robot.
        arm: What of it is the arm.
        name: Name of the new robot.

    Raises:
        ConfigError: something that moves has no mass.
    """
    out = Rewritten("")
    _check_masses(tree, arm)
    robot = ET.Element("robot", name=name)
    names = out.links = _names(tree, out)
    if tree.base != BASE:
        ET.SubElement(robot, "link", name=BASE)
        joint = ET.SubElement(robot, "joint", name=f"{name}_base_joint", type="fixed")
        ET.SubElement(joint, "parent", link=BASE)
        ET.SubElement(joint, "child", link=names[tree.base])
    for link, element in tree.links.items():
        robot.append(_link(tree, link, element, names[link], out))
    moving = {j.name for j in (*arm.joints, *arm.followers)} | ({arm.gripper.name} if arm.gripper else set())
    for joint_ in tree.joints.values():
        robot.append(_joint(joint_, arm, names, joint_.name in moving, out))
    ET.indent(robot, "  ")
    out.text = '<?xml version="1.0"?>\n' + ET.tostring(robot, encoding="unicode") + "\n"
    return out


def _check_masses(tree: Tree, arm: Arm) -> None:
    """Torques of an arm without mass are zero: nothing could be derived from them."""
    for joint in arm.joints:
        inertials = [tree.links[link].find("inertial") for link in tree.fixed_behind(joint.child)]
        if not any(_mass_and_inertia(e)[0] > 0.0 for e in inertials if e is not None):
            problem = f"link '{joint.child}' moves but has no mass and inertia; add <inertial> with the maker's figures"
            raise ConfigError(str(tree.path), problem)


def _names(tree: Tree, out: Rewritten) -> dict[str, str]:
    """New names of links: ``base`` is the root's alone, and no link is called like a joint."""
    names = {link: link for link in tree.links}
    if BASE in names and tree.base != BASE:
        names[BASE] = f"{BASE}_frame"
    for link in names:
        if link in tree.joints:
            names[link] = f"{link}_link"
    out.notes += [f"link '{a}' is now '{b}': its name was taken" for a, b in names.items() if a != b]
    return names


def _link(tree: Tree, link: str, element: ET.Element, name: str, out: Rewritten) -> ET.Element:
    """A link with its inertia, and primitives for what it looks like and collides with."""
    new = ET.Element("link", name=name)
    inertial = element.find("inertial")
    if inertial is not None:
        _add_inertial(new, inertial, link, out)
    shapes = _shapes(tree, link, element, out)
    for tag in ("visual", "collision"):
        for shape in shapes:
            body = ET.SubElement(new, tag)
            body.append(_origin(shape.T_link_shape))
            ET.SubElement(ET.SubElement(body, "geometry"), shape.kind, _size(shape))
    return new


def _add_inertial(new: ET.Element, inertial: ET.Element, link: str, out: Rewritten) -> None:
    """Mass and inertia of a link, made possible where they are not: no body has I_xx > I_yy + I_zz."""
    mass, matrix = _mass_and_inertia(inertial)
    if not mass > 0.0:
        return
    moments, R = np.linalg.eigh(matrix)
    possible = np.maximum(moments, max(1e-6 * float(moments.max()), MOMENT_MIN))
    possible[:2] += max(0.0, 1.001 * possible[2] - possible[0] - possible[1]) / 2.0  # the two smaller ones
    element = copy.deepcopy(inertial)
    if np.abs(possible - moments).max() > 1e-12:
        matrix = R @ np.diag(possible) @ R.T
        for key, i, k in _MOMENTS:
            element.find("inertia").set(key, f"{matrix[i, k]:.9g}")  # type: ignore[union-attr] # read above
        if mass >= SOLID_KG:
            text = ", ".join(f"{m:.3g}" for m in moments)
            out.notes.append(
                f"link '{link}': no body of {mass:.3g} kg has the moments {text} kg m2; smallest ones raised"
            )
    new.append(element)


def _mass_and_inertia(inertial: ET.Element) -> tuple[float, Vector]:
    """Mass [kg] and inertia about the centre of mass, (3, 3) [kg·m²]; zeros where missing."""
    mass, inertia = inertial.find("mass"), inertial.find("inertia")
    matrix = np.zeros((3, 3))
    if mass is None or inertia is None:
        return 0.0, matrix
    for key, i, k in _MOMENTS:
        matrix[i, k] = matrix[k, i] = float(inertia.get(key, 0.0))
    return float(mass.get("value", 0.0)), matrix


def _shapes(tree: Tree, link: str, element: ET.Element, out: Rewritten) -> list[Shape]:
    """Primitives of a link: those it has, those fitted to its meshes, or one after its inertia."""
    shapes: list[Shape] = []
    points: list[Vector] = []
    bodies = element.findall("collision") or element.findall("visual")
    lost = []
    for body in bodies:
        geometry = body.find("geometry")
        T = _transform(body.find("origin"))
        for part in [] if geometry is None else list(geometry):
            if part.tag == "mesh":
                try:
                    points.append(_mesh_points(tree, part) @ T[:3, :3].T + T[:3, 3])
                except IlError as error:
                    lost.append(str(error))
            elif part.tag in ("box", "cylinder", "sphere", "capsule"):
                shapes += _primitive(part, T)
    if points:
        shapes += fit(np.vstack(points))
    if not shapes:
        shapes = _after_inertia(tree, element)
        if shapes:
            why = lost[0] if lost else "the file draws nothing"
            out.notes.append(f"link '{link}': shape is the box with its mass and inertia, {why}")
    return shapes


def _mesh_points(tree: Tree, part: ET.Element) -> Vector:
    uri = str(part.get("filename"))
    path = find_mesh(uri, tree.path)
    if path is None:
        raise IlError(f"mesh '{uri}' not found beside or above the URDF")
    return read_mesh(path, _numbers(part.get("scale", "1 1 1"), 3))


def _primitive(part: ET.Element, T: Vector) -> list[Shape]:
    """A primitive of the file; a capsule becomes a cylinder and two spheres."""
    if part.tag == "box":
        return [Shape("box", tuple(map(float, _numbers(part.get("size"), 3))), T)]
    radius = float(part.get("radius", 0.0))
    if part.tag == "sphere":
        return [Shape("sphere", (radius,), T)]
    length = float(part.get("length", 0.0))
    shapes = [Shape("cylinder", (radius, length), T)]
    if part.tag == "capsule":
        for end in (-length / 2.0, length / 2.0):
            T_end = T.copy()
            T_end[:3, 3] += T[:3, 2] * end
            shapes.append(Shape("sphere", (radius,), T_end))
    return shapes


def _after_inertia(tree: Tree, element: ET.Element) -> list[Shape]:
    """One box after mass and inertia, or nothing for a frame without mass."""
    inertial = element.find("inertial")
    if inertial is None:
        return []
    mass, matrix = _mass_and_inertia(inertial)
    if mass < SOLID_KG:
        return []
    return [from_inertia(mass, matrix, _transform(inertial.find("origin")))]


def _joint(joint: Joint, arm: Arm, names: dict[str, str], moves: bool, out: Rewritten) -> ET.Element:
    """A joint of the arm or gripper as it is, any other one fixed where it is nearest to zero."""
    new = ET.Element("joint", name=joint.name, type="fixed")
    ET.SubElement(new, "parent", link=names[joint.parent])
    ET.SubElement(new, "child", link=names[joint.child])
    T = _transform(joint.element.find("origin"))
    axis = joint.element.find("axis")
    if not moves:
        if joint.moves and not joint.mimics:
            at = min(max(0.0, joint.lower or 0.0), joint.upper or 0.0) if joint.is_limited else 0.0
            T = T @ _motion(joint.kind, _numbers(None if axis is None else axis.get("xyz"), 3, (1.0, 0.0, 0.0)), at)
            out.notes.append(f"joint '{joint.name}' is not part of the arm: fixed at {at:.4g}")
        elif not joint.moves and joint.kind != "fixed":
            out.notes.append(f"joint '{joint.name}' of type '{joint.kind}': fixed")
        new.append(_origin(T))
        return new
    new.append(_origin(T))
    if axis is not None:
        new.append(copy.deepcopy(axis))
    _motion_of(new, joint, arm)
    return new


def _motion_of(new: ET.Element, joint: Joint, arm: Arm) -> None:
    """Type, limits, dynamics and mimic of a joint that moves."""
    new.set("type", "revolute" if joint.kind == "continuous" else joint.kind)
    lower, upper = joint.lower, joint.upper
    if not joint.is_limited or lower is None or upper is None:
        lower, upper = -NO_LIMIT_RAD, NO_LIMIT_RAD
    limit = {"lower": lower, "upper": upper, "effort": joint.effort, "velocity": joint.velocity}
    ET.SubElement(new, "limit", {k: f"{v:.10g}" for k, v in limit.items()})
    for tag in ("dynamics", "mimic"):
        element = joint.element.find(tag)
        if element is not None:
            new.append(copy.deepcopy(element))
    if joint in arm.followers and not joint.mimics and arm.gripper is not None:
        ET.SubElement(new, "mimic", joint=arm.gripper.name)


def _motion(kind: str, axis: Vector, at: float) -> Vector:
    """What a joint does at a position, (4, 4)."""
    T = np.eye(4)
    unit = axis / np.linalg.norm(axis)
    if kind == "prismatic":
        T[:3, 3] = unit * at
    else:
        T[:3, :3] = pin.exp3(unit * at)
    return T


def _numbers(text: str | None, n: int, default: tuple[float, ...] = ()) -> Vector:
    values = np.array(default if text is None else [float(x) for x in text.split()])
    if values.shape != (n,):
        raise ConfigError("URDF", f"expected {n} numbers, got '{text}'")
    return values


def _transform(origin: ET.Element | None) -> Vector:
    """A URDF origin as (4, 4)."""
    T = np.eye(4)
    if origin is not None:
        T[:3, 3] = _numbers(origin.get("xyz"), 3, (0.0, 0.0, 0.0))
        T[:3, :3] = pin.rpy.rpyToMatrix(_numbers(origin.get("rpy"), 3, (0.0, 0.0, 0.0)))
    return T


def _origin(T: Vector) -> ET.Element:
    """A (4, 4) as a URDF origin."""
    rpy = pin.rpy.matrixToRpy(np.ascontiguousarray(T[:3, :3]))
    return ET.Element("origin", xyz=_text(T[:3, 3]), rpy=_text(rpy))


def _text(values: Vector) -> str:
    return " ".join(f"{x:.9g}" for x in np.where(np.abs(values) < 1e-12, 0.0, values))


def _size(shape: Shape) -> dict[str, str]:
    keys = {"box": ("size",), "cylinder": ("radius", "length"), "sphere": ("radius",)}[shape.kind]
    if shape.kind == "box":
        return {"size": " ".join(f"{x:.5g}" for x in shape.size)}
    return {k: f"{x:.5g}" for k, x in zip(keys, shape.size, strict=True)}
