"""The tree of a URDF: its links and joints, and which of them are the arm."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from il_core.errors import ConfigError, nearest

MOVING = ("revolute", "continuous", "prismatic")
FINGER = re.compile(r"grip|finger|jaw|thumb|knuckle|claw|hand_", re.IGNORECASE)
PREFIX = re.compile(r"(</?|\s)([A-Za-z]\w*):(?=[A-Za-z]\w*[\s=/>])")
FINGER_TRAVEL_M = 0.2  # a last prismatic joint with less travel is a finger, not a part of the arm
TOOL = re.compile(r"tcp|tool0|grasp|tool|gripper_frame|ee_link|eef|ee$|end_effector", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Joint:
    """One joint of a URDF.

    Attributes:
        name: Its name.
        kind: URDF type.
        parent: Link it hangs from.
        child: Link it carries.
        lower: Lower limit [rad or m], or None.
        upper: Upper limit [rad or m], or None.
        effort: Effort limit [N·m or N]; 0 where none is given.
        velocity: Speed limit [rad/s or m/s]; 0 where none is given.
        mimics: Joint it follows, or empty.
        element: The XML element.
    """

    name: str
    kind: str
    parent: str
    child: str
    lower: float | None
    upper: float | None
    effort: float
    velocity: float
    mimics: str
    element: ET.Element

    @property
    def moves(self) -> bool:
        """Whether it has one degree of freedom."""
        return self.kind in MOVING

    @property
    def is_limited(self) -> bool:
        """Whether it has position limits."""
        return self.kind != "continuous" and self.lower is not None and self.upper is not None


class Tree:
    """Links and joints of a URDF, and the way between them.

    Attributes:
        path: The file.
        root: Its XML.
        links: Link elements by name, in file order.
        joints: Joints by name, in file order.
        base: The root link.
    """

    def __init__(self, path: Path) -> None:
        """Read a URDF.

        Raises:
            ConfigError: it is missing, not XML, not a URDF, or not a tree.
        """
        self.path = path
        self.root = _read(path)
        if self.root.tag != "robot":
            raise ConfigError(str(path), f"not a URDF: its root is <{self.root.tag}>, not <robot>; expand xacro first")
        self.links = {str(e.get("name")): e for e in self.root.findall("link")}
        self.joints = {j.name: j for j in (self._joint(e) for e in self.root.findall("joint"))}
        self._above: dict[str, Joint] = {}
        self._below: dict[str, list[Joint]] = {link: [] for link in self.links}
        for joint in self.joints.values():
            if joint.child in self._above:
                raise ConfigError(str(path), f"link '{joint.child}' hangs from two joints; a URDF is a tree")
            self._above[joint.child] = joint
            self._below[joint.parent].append(joint)
        roots = [link for link in self.links if link not in self._above]
        if len(roots) != 1:
            raise ConfigError(str(path), f"needs one root link, has {len(roots)}: {', '.join(roots) or 'none'}")
        self.base = roots[0]

    def _joint(self, e: ET.Element) -> Joint:
        name, kind = str(e.get("name")), str(e.get("type"))
        ends = []
        for tag in ("parent", "child"):
            link = e.find(tag)
            ends.append("" if link is None else str(link.get("link")))
            if ends[-1] not in self.links:
                raise ConfigError(str(self.path), f"joint '{name}' has no {tag} link '{ends[-1]}' in the file")
        limit, mimic = e.find("limit"), e.find("mimic")
        values = {} if limit is None else limit.attrib
        try:
            lower, upper = (float(values[k]) if k in values else None for k in ("lower", "upper"))
            effort, velocity = (float(values.get(k, 0.0)) for k in ("effort", "velocity"))
        except ValueError as error:
            raise ConfigError(str(self.path), f"joint '{name}': limit is not a number: {error}") from None
        if lower is not None and upper is not None and lower >= upper:
            lower = upper = None  # 0, 0 is how some exporters write "none"
        mimics = "" if mimic is None else str(mimic.get("joint"))
        return Joint(name, kind, ends[0], ends[1], lower, upper, effort, velocity, mimics, e)

    def way(self, link: str) -> list[Joint]:
        """All joints from the root to a link, fixed ones too."""
        joints = []
        while link in self._above:
            joints.append(self._above[link])
            link = joints[-1].parent
        return joints[::-1]

    def next_moving(self, link: str) -> list[Joint]:
        """The first moving joints behind a link, one for each branch; followers are left out."""
        found = []
        for joint in self._below[link]:
            if joint.moves and not joint.mimics:
                found.append(joint)
            else:
                found += self.next_moving(joint.child)
        return found

    def behind(self, link: str) -> list[str]:
        """A link and all that hangs from it."""
        return [link, *(x for joint in self._below[link] for x in self.behind(joint.child))]

    def fixed_behind(self, link: str) -> list[str]:
        """A link and all that is fixed to it, nearest first."""
        return [link, *(x for j in self._below[link] if not j.moves for x in self.fixed_behind(j.child))]

    def is_finger(self, joint: Joint) -> bool:
        """Whether a joint moves a finger: by its name, or a last slide with little travel."""
        if FINGER.search(joint.name):
            return True
        if FINGER.search(joint.child) and not self.next_moving(joint.child):
            return True  # a last joint that carries a "gripper" is one; one that turns a whole gripper is a wrist
        is_short = joint.is_limited and (joint.upper or 0.0) - (joint.lower or 0.0) < FINGER_TRAVEL_M
        return joint.kind == "prismatic" and is_short and not self.next_moving(joint.child)

    def arms(self) -> list[list[Joint]]:
        """The chains of joints that may be an arm, longest first.

        A chain ends where only fingers follow, and begins behind the last place where another
        chain parts from it: a torso carries two arms, it is part of neither.
        """
        found: list[list[Joint]] = []

        def walk(link: str, chain: list[Joint]) -> None:
            onward = [j for j in self.next_moving(link) if not self.is_finger(j)]
            if not onward and chain:
                found.append(chain)
            for joint in onward:
                walk(joint.child, [*chain, joint] if len(onward) == 1 else [joint])

        walk(self.base, [])
        return sorted(found, key=len, reverse=True)


def _read(path: Path) -> ET.Element:
    """The XML of a URDF; prefixes without a namespace, which URDF parsers let pass, are none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"not readable as URDF: {error}") from error
    try:
        return ET.fromstring(PREFIX.sub(r"\1\2_", text))  # noqa: S314 - expat as shipped refuses entity bombs
    except (ET.ParseError, ValueError) as error:
        raise ConfigError(str(path), f"not readable as URDF: {error}") from error


@dataclass(frozen=True, slots=True)
class Arm:
    """What of a URDF is the arm.

    Attributes:
        joints: Its joints, base first.
        ee_frame: Link of the tool.
        gripper: Joint that tells the opening, or None.
        followers: Joints that move with it.
        notes: What a person should check.
    """

    joints: tuple[Joint, ...]
    ee_frame: str
    gripper: Joint | None
    followers: tuple[Joint, ...]
    notes: tuple[str, ...]


def find_arm(tree: Tree, ee_frame: str = "", gripper_joint: str | None = None) -> Arm:
    """Find the arm: the longest chain of moving joints, without its fingers.

    Args:
        tree: The robot.
        ee_frame: Link of the tool; empty: chosen by name, else the last link of the arm.
        gripper_joint: Joint of the gripper; empty: there is none; None: looked for behind the arm.

    Raises:
        ConfigError: nothing moves, the tool or gripper joint does not exist, or two chains are
            equally long and no tool says which is meant.
    """
    where, arms = str(tree.path), tree.arms()
    if not arms:
        raise ConfigError(where, "no joint of this robot moves: an arm needs revolute, continuous or prismatic joints")
    if ee_frame:
        if ee_frame not in tree.links:
            raise ConfigError(where, f"no frame '{ee_frame}'; {nearest(ee_frame, list(tree.links))}")
        chain = _chain_to(tree, ee_frame, arms)
    else:
        chain = arms[0]
        rivals = [arm for arm in arms if len(arm) == len(chain)]
        if len(rivals) > 1:
            tools = [(_tool(tree, arm[-1].child), arm) for arm in rivals]
            tips = ", ".join(f"--ee-frame {tool} ({arm[0].name} .. {arm[-1].name})" for tool, arm in tools)
            raise ConfigError(where, f"{len(rivals)} chains of {len(chain)} joints may be the arm; choose one: {tips}")
        ee_frame = _tool(tree, chain[-1].child)
    gripper, followers, notes = _find_gripper(tree, chain[-1].child, gripper_joint)
    return Arm(tuple(chain), ee_frame, gripper, followers, notes)


def _chain_to(tree: Tree, ee_frame: str, arms: list[list[Joint]]) -> list[Joint]:
    """The part of a chain that moves a frame."""
    moving = [j for j in tree.way(ee_frame) if j.moves and not j.mimics and not tree.is_finger(j)]
    if not moving:
        raise ConfigError(str(tree.path), f"frame '{ee_frame}' does not move: no moving joint lies before it")
    for arm in arms:
        if moving[-1] in arm:
            return arm[: arm.index(moving[-1]) + 1]
    return moving  # a frame on the common trunk of two chains


def _tool(tree: Tree, tip: str) -> str:
    """The link behind the arm that is the tool by its name, else the last link of the arm."""
    fixed = tree.fixed_behind(tip)
    for link in fixed[::-1]:
        if TOOL.search(link):
            return link
    return tip


def _find_gripper(tree: Tree, tip: str, name: str | None) -> tuple[Joint | None, tuple[Joint, ...], tuple[str, ...]]:
    """The gripper's joint, the joints that follow it, and what to check about it."""
    if name == "":
        return None, (), ("told that there is no gripper; joints behind the arm are fixed",)
    behind = set(tree.behind(tip))
    moving = [j for j in tree.joints.values() if j.moves and j.parent in behind]
    free = [j for j in moving if not j.mimics]
    if name is not None:
        chosen = tree.joints.get(name)
        if chosen is None or chosen not in moving:
            hint = nearest(name, [j.name for j in moving])
            raise ConfigError(str(tree.path), f"no moving joint '{name}' behind the arm; {hint}")
    elif not free:
        return None, (), ("no gripper joint behind the arm",)
    elif len(free) == 1 or _is_pair(free):
        chosen = free[0]
    else:
        names = ", ".join(j.name for j in free[:6])
        return None, (), (f"a hand of {len(free)} independent joints ({names} ..) is fixed; --gripper-joint takes one",)
    followers = [j for j in moving if j.mimics == chosen.name]
    if not followers and _is_pair(free) and chosen in free:
        followers = [j for j in free if j is not chosen]
    return chosen, tuple(followers), ()


def _is_pair(joints: list[Joint]) -> bool:
    """Whether these are two fingers of one kind on one hand."""
    if len(joints) != 2:
        return False
    a, b = joints
    return (a.parent, a.kind, a.lower, a.upper) == (b.parent, b.kind, b.lower, b.upper)
