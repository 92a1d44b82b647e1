"""Where the links and cameras of a robot are: frames still and moving, and the shapes that show them.

Unlike :class:`il_control.model.ArmModel` it knows all links of the URDF, the gripper's too. It is what
``/robot_description``, TF and pictures of the arm are made of; no control law depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pinocchio as pin

from il_control.describe.tree import Joint, Tree
from il_core.config import Setup
from il_core.errors import ConfigError, ShapeError
from il_core.geometry import Array, inverse, matrix_from_rotvec, pose
from il_core.spec import Mount, RobotSpec
from il_core.wire import JointMap

GREY = (0.6, 0.6, 0.6, 1.0)


def optical_frame(camera: str) -> str:
    """Name of a camera's optical frame (z forward, x right, y down)."""
    return f"camera_{camera}_optical"


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One frame in another.

    Attributes:
        parent: Name of the frame it is given in.
        child: Name of the frame.
        T_parent_child: Its pose, (4, 4) [m].
    """

    parent: str
    child: str
    T_parent_child: Array


@dataclass(frozen=True, slots=True, eq=False)
class LinkShape:
    """A primitive that shows a link.

    Attributes:
        link: The link it is fixed to.
        kind: ``box``, ``cylinder`` (along its z) or ``sphere``.
        size_m: Box: three edges; cylinder: radius and length; sphere: radius [m].
        T_link_shape: Its pose in the link, (4, 4) [m].
        rgba: Colour in [0, 1].
    """

    link: str
    kind: str
    size_m: tuple[float, ...]
    T_link_shape: Array
    rgba: tuple[float, ...]


class Description:
    """All links of a robot's URDF and the optical frames of its cameras.

    Attributes:
        text: The URDF as it is on disk.
        base: The root link.
        links: All links, the root first, in the order of the file.
        shapes: Primitives of the visual elements; meshes are left to the tools that read the URDF.
        unknown_joints: Joints that move, but that no joint state tells of; they are shown at zero.
        static: Frames that never move in their parent: fixed joints and cameras.
    """

    def __init__(self, robot: RobotSpec, urdf_path: Path) -> None:
        """Read a URDF.

        Raises:
            ConfigError: it is no usable URDF, or lacks a joint or frame of the robot.
        """
        tree = Tree(urdf_path)
        self._robot, self._gripper = robot, JointMap(robot)
        self._model = _parse(urdf_path)
        self._data = self._model.createData()
        self.text = urdf_path.read_text()
        self.base = tree.base
        self.links = (tree.base, *(link for link in tree.links if link != tree.base))
        self._frames = {link: int(self._model.getFrameId(link)) for link in self.links}
        self._joints = tuple(tree.joints.values())
        told = [*robot.joint_names, *([robot.gripper_joint] if robot.gripper_joint else [])]
        for name in told:
            if name not in tree.joints:
                raise ConfigError(str(urdf_path), f"no joint '{name}'; it has {', '.join(tree.joints)}")
        self._followers = {j.name: _mimic(j) for j in self._joints if j.mimics}
        moving = [j for j in self._joints if j.moves]
        self.unknown_joints = tuple(j.name for j in moving if j.name not in told and not j.mimics)
        self._moving = tuple((j.parent, j.child) for j in moving)
        self.shapes = tuple(_shapes(tree))
        T = self.poses(np.array(robot.q_home_rad), 1.0)
        fixed = [Placed(j.parent, j.child, inverse(T[j.parent]) @ T[j.child]) for j in self._joints if not j.moves]
        if robot.ee_frame not in self.links:
            raise ConfigError(str(urdf_path), f"no link '{robot.ee_frame}'; it has {', '.join(self.links)}")
        self.static = (*fixed, *self._cameras())

    def _cameras(self) -> list[Placed]:
        mounts = {Mount.BASE: self.base, Mount.EE: self._robot.ee_frame}
        return [Placed(mounts[c.mount], optical_frame(c.name), c.T_mount_optical) for c in self._robot.cameras]

    def poses(self, q: Array, opening: float) -> dict[str, Array]:
        """Pose of every link in base, (4, 4) [m].

        Args:
            q: Arm joint positions, (nq,) [rad].
            opening: Opening of the gripper in [0, 1]; of no meaning without a gripper.

        Raises:
            ShapeError: ``q`` is of another length.
        """
        pin.forwardKinematics(self._model, self._data, self._configuration(q, opening))
        pin.updateFramePlacements(self._model, self._data)
        T_universe_base = np.array(self._data.oMf[self._frames[self.base]].homogeneous)
        T_base_universe = inverse(T_universe_base)
        return {link: T_base_universe @ self._data.oMf[i].homogeneous for link, i in self._frames.items()}

    def moving(self, q: Array, opening: float) -> list[Placed]:
        """Frames that move in their parent: the children of all joints that are not fixed; see :meth:`poses`."""
        T = self.poses(q, opening)
        return [Placed(parent, child, inverse(T[parent]) @ T[child]) for parent, child in self._moving]

    def camera_poses(self, T_base_link: Mapping[str, Array]) -> dict[str, Array]:
        """Pose of every camera's optical frame in base, by camera name, from what :meth:`poses` returned."""
        placed = {p.child: T_base_link[p.parent] @ p.T_parent_child for p in self._cameras()}
        return {c.name: placed[optical_frame(c.name)] for c in self._robot.cameras}

    def _configuration(self, q: Array, opening: float) -> Array:
        """Pinocchio's configuration: all joints of the file, followers at their share, unknown ones at zero."""
        robot = self._robot
        if np.shape(q) != (robot.nq,):
            raise ShapeError("q", expected=f"({robot.nq},)", got=np.shape(q))
        value = dict(zip(robot.joint_names, map(float, q), strict=True))
        if robot.gripper_joint:
            value[robot.gripper_joint] = self._gripper.m_from_opening(opening)
        for name, (leader, multiplier, offset) in self._followers.items():
            value[name] = multiplier * value.get(leader, 0.0) + offset
        configuration = np.array(pin.neutral(self._model))
        for joint in range(1, self._model.njoints):
            x, at = value.get(self._model.names[joint], 0.0), self._model.idx_qs[joint]
            # a joint without limits is an angle on the circle: cosine and sine
            configuration[at : at + self._model.nqs[joint]] = (
                (math.cos(x), math.sin(x)) if self._model.nqs[joint] == 2 else (x,)
            )
        return configuration


def describe_setup(setup: Setup) -> Description:
    """The description of a setup's robot."""
    return Description(setup.robot, setup.urdf_path)


def _parse(path: Path) -> pin.Model:
    try:
        return pin.buildModelFromUrdf(str(path))
    except (ValueError, RuntimeError) as error:
        raise ConfigError(str(path), f"not a usable URDF: {str(error).strip() or 'parser gave no reason'}") from error


def _mimic(joint: Joint) -> tuple[str, float, float]:
    """Joint it follows, multiplier, offset [rad or m]."""
    element = joint.element.find("mimic")
    values = {} if element is None else element.attrib
    return joint.mimics, float(values.get("multiplier", 1.0)), float(values.get("offset", 0.0))


def _shapes(tree: Tree) -> list[LinkShape]:
    """The primitives of all visual elements."""
    colours = {m.get("name", ""): _colour(m) for m in tree.root.iter("material") if m.find("color") is not None}
    shapes = []
    for name, link in tree.links.items():
        for visual in link.findall("visual"):
            geometry, material = visual.find("geometry"), visual.find("material")
            rgba = GREY if material is None else colours.get(material.get("name", ""), GREY)
            for element in geometry if geometry is not None else ():
                if size := _size(element):
                    shapes.append(LinkShape(name, element.tag, size, _origin(visual.find("origin")), rgba))
    return shapes


def _colour(material: ElementTree.Element) -> tuple[float, ...]:
    colour = material.find("color")
    return GREY if colour is None else tuple(float(x) for x in colour.get("rgba", "0.6 0.6 0.6 1").split())


def _size(element: ElementTree.Element) -> tuple[float, ...]:
    """Dimensions of a primitive [m]; nothing for a mesh."""
    if element.tag == "box":
        return tuple(float(x) for x in element.get("size", "").split())
    if element.tag == "cylinder":
        return float(element.get("radius", 0.0)), float(element.get("length", 0.0))
    return (float(element.get("radius", 0.0)),) if element.tag == "sphere" else ()


def _origin(element: ElementTree.Element | None) -> Array:
    """Pose of a URDF origin: translation, then roll, pitch, yaw about the fixed axes."""
    if element is None:
        return np.eye(4)
    roll, pitch, yaw = (float(x) for x in element.get("rpy", "0 0 0").split())
    x, y, z = np.eye(3)
    R = matrix_from_rotvec(yaw * z) @ matrix_from_rotvec(pitch * y) @ matrix_from_rotvec(roll * x)
    return pose([float(v) for v in element.get("xyz", "0 0 0").split()], R)
