"""Forward kinematics of one chain of a URDF, in numpy alone: enough to say where a leader arm points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from il_core.config import Setup
from il_core.errors import ConfigError, ShapeError
from il_core.geometry import Array, matrix_from_rotvec, pose

_TURNING = ("revolute", "continuous")


@dataclass(frozen=True, slots=True, eq=False)
class _Link:
    """One joint of the chain: its fixed placement, then its motion.

    Attributes:
        T_parent_joint: Placement, (4, 4) [m].
        axis: Unit axis in the joint's frame, (3,).
        index: Place in q, or -1 if the joint is fixed.
        turns: Whether it turns rather than slides.
    """

    T_parent_joint: Array
    axis: Array
    index: int
    turns: bool


class Chain:
    """From the root of a URDF to one of its links."""

    def __init__(self, urdf: Path, joint_names: Sequence[str], link: str) -> None:
        """Read the chain.

        Args:
            urdf: Robot description.
            joint_names: Joints in the order of q.
            link: End of the chain.

        Raises:
            ConfigError: no such link, or a joint on the way that is neither fixed nor in ``joint_names``.
        """
        try:
            root = ElementTree.parse(urdf).getroot()  # noqa: S314 - our own or the user's robot description
        except (OSError, ElementTree.ParseError) as error:
            raise ConfigError(str(urdf), f"is no readable URDF ({error})") from error
        above = {_link(joint, "child"): joint for joint in root.findall("joint")}
        if link not in above:
            raise ConfigError(str(urdf), f"no link '{link}' that a joint leads to")
        self._nq = len(joint_names)
        self._links: list[_Link] = []
        while link in above:
            joint = above[link]
            self._links.insert(0, _read(joint, joint_names, urdf))
            link = _link(joint, "parent")

    def pose(self, q: Array) -> Array:
        r"""Pose of the link in the root, (4, 4) [m].

        .. math:: T(q) = \prod_i T_i \exp([\xi_i] q_i)

        Args:
            q: Joint positions, (nq,) [rad or m].

        Raises:
            ShapeError: q has another length.
        """
        if np.shape(q) != (self._nq,):
            raise ShapeError("q", expected=f"({self._nq},)", got=np.shape(q))
        T = np.eye(4)
        for link in self._links:
            T = T @ link.T_parent_joint
            if link.index >= 0:
                way = link.axis * q[link.index]
                T = T @ (pose(np.zeros(3), matrix_from_rotvec(way)) if link.turns else pose(way))
        return T


def chain_of(setup: Setup) -> Chain:
    """The arm of a setup, from its base to the tool centre point."""
    return Chain(setup.urdf_path, setup.robot.joint_names, setup.robot.ee_frame)


def _link(joint: ElementTree.Element, end: str) -> str:
    element = joint.find(end)
    return "" if element is None else element.get("link", "")


def _numbers(element: ElementTree.Element | None, key: str, default: str) -> Array:
    return np.array([float(x) for x in (default if element is None else element.get(key, default)).split()])


def _read(joint: ElementTree.Element, joint_names: Sequence[str], urdf: Path) -> _Link:
    name, kind = joint.get("name", ""), joint.get("type", "")
    origin = joint.find("origin")
    roll, pitch, yaw = _numbers(origin, "rpy", "0 0 0")
    turn = [matrix_from_rotvec(angle * axis) for angle, axis in zip((yaw, pitch, roll), np.eye(3)[::-1], strict=True)]
    T = pose(_numbers(origin, "xyz", "0 0 0"), turn[0] @ turn[1] @ turn[2])
    axis = _numbers(joint.find("axis"), "xyz", "1 0 0")
    index = list(joint_names).index(name) if name in joint_names else -1
    if index < 0 and kind != "fixed":
        raise ConfigError(str(urdf), f"joint '{name}' moves and is not one of {', '.join(joint_names)}")
    return _Link(T, axis / np.linalg.norm(axis), index, kind in _TURNING)
