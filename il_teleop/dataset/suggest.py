"""What was found in somebody else's data, and a first guess at a mapping for a person to correct."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import yaml

from il_core.config import Setup
from il_core.errors import EpisodeError
from il_teleop.dataset.foreign import RawEpisode
from il_teleop.dataset.lerobot_format import DEFAULTS


class Found(Protocol):
    """What a suggestion needs to know of a source."""

    path: Path
    columns: dict[str, str]
    pictures: tuple[str, ...]

    def __len__(self) -> int:
        """Number of episodes."""
        ...

    def episode(self, i: int) -> RawEpisode:
        """One of them."""
        ...


def describe(source: Found, setup: Setup) -> str:
    """Sentence and lists: what was found, and a mapping to start from."""
    widths = _widths(source)
    lines = [f"found {len(source)} episodes with", *(f"  {c}: {widths.get(c, k)}" for c, k in _plain(source).items())]
    lines += [f"  {key}: pictures" for key in source.pictures]
    text = yaml.safe_dump(suggestion(source, setup), sort_keys=False, default_flow_style=None, width=100)
    lines += ["a mapping to start from (check every line of it):", text.rstrip()]
    return "\n".join(lines)


def _plain(source: Found) -> dict[str, str]:
    return {c: k for c, k in source.columns.items() if c not in DEFAULTS and c not in source.pictures}


def _widths(source: Found) -> dict[str, str]:
    """How many numbers each column has, read from the first episode."""
    found: dict[str, str] = {}
    raw = source.episode(0)
    for column in _plain(source):
        try:
            values = raw.numbers(column)
        except EpisodeError:
            continue
        width = 1 if values.ndim == 1 else int(values.shape[1])
        found[column] = f"{width} numbers ({values.dtype}) from {values.min():.4g} to {values.max():.4g}"
    return found


def suggestion(source: Found, setup: Setup) -> dict[str, Any]:
    """A first guess by the names and sizes of columns.

    Returns:
        Plain values for YAML, in the layout of :class:`il_teleop.dataset.mapping.Mapping`.
    """
    raw, nq = source.episode(0), setup.robot.nq
    sizes = {}
    for column in _plain(source):
        try:
            values = raw.numbers(column)
        except EpisodeError:
            continue
        sizes[column] = 1 if values.ndim == 1 else int(values.shape[1])
    out: dict[str, Any] = {}
    pose = _pick(sizes, r"ee_?f?_?pose|cartesian|tcp", 6)
    position, quat = _pick(sizes, r"ee_?f?_?pos$", 3), _pick(sizes, r"ee_?f?_?quat", 4)
    state = _pick(sizes, r"joint_?pos$|qpos|state", nq) or _pick(sizes, r"joint|proprio", nq)
    if state:
        out["q"] = {"columns": [state], "select": list(range(nq))}
    gripper = _pick(sizes, r"gripper(?!.*(action|command|vel))", 1)
    if gripper:
        out["gripper"] = {"columns": [gripper], "select": [0]}
    elif state and sizes[state] > nq:
        out["gripper"] = {"columns": [state], "select": [nq]}
    if pose:
        rotation = {6: "rotvec", 7: "quat_xyzw", 9: "rotation_6d", 16: "matrix"}.get(sizes[pose], "rotvec")
        out["ee_pose"] = {"columns": [pose], "rotation": rotation}
    elif position and quat:
        out["ee_pose"] = {"columns": [position, quat], "rotation": "quat_xyzw"}
    out |= _action(sizes, nq)
    cameras = _cameras(source, setup)
    if cameras:
        out["cameras"] = cameras
    success = _pick(sizes, r"success|^rewards?$|next\.reward", 1)
    if success:
        out["success"] = {"columns": [success]}
    return out


def _action(sizes: dict[str, int], nq: int) -> dict[str, Any]:
    action = _pick(sizes, r"^actions?$|action", 1)
    if not action:
        return {}
    width = sizes[action]
    joints = width in (nq, nq + 1) and width not in (6, 7, 8)
    body = nq if joints else {6: 6, 7: 6, 8: 7, 9: 9, 10: 9}.get(width, min(width, 6))
    rotation = {7: "quat_xyzw", 9: "rotation_6d"}.get(body, "rotvec")
    entry: dict[str, Any] = {"columns": [action], "select": list(range(body)), "means": "joints" if joints else "pose"}
    entry |= {"reference": "absolute"} if joints else {"rotation": rotation, "reference": "absolute"}
    out: dict[str, Any] = {"action": entry}
    if width > body:
        out["gripper_action"] = {"columns": [action], "select": [width - 1]}
    return out


def _cameras(source: Found, setup: Setup) -> dict[str, Any]:
    depth = [k for k in source.pictures if "depth" in k.lower()]
    colour = [k for k in source.pictures if k not in depth]
    out: dict[str, Any] = {}
    for camera in setup.task.cameras:
        near = [k for k in colour if camera in k] or get_close_matches(camera, colour, 1, 0.1) or colour[:1]
        if not near:
            continue
        out[camera] = {"rgb": near[0]}
        match = [k for k in depth if near[0] in k or camera in k]
        if match:
            out[camera]["depth"] = match[0]
    return out


def _pick(sizes: dict[str, int], pattern: str, least: int) -> str:
    """First column whose name fits and that has enough numbers; the shortest name wins."""
    fitting = [c for c, n in sizes.items() if n >= least and re.search(pattern, c.split("/")[-1].lower())]
    return min(fitting, key=len, default="")
