"""Arms the tests make themselves: URDFs without meshes, of known mass and length."""

from __future__ import annotations

LIMIT = '<limit lower="-2" upper="2" effort="200" velocity="2"/>'
INERTIAL = (
    '<inertial><origin xyz="0 0 0.15"/><mass value="2"/>'
    '<inertia ixx="0.02" ixy="0" ixz="0" iyy="0.02" iyz="0" izz="0.004"/></inertial>'
)
BODY = '<origin xyz="0 0 0.15"/><geometry><cylinder radius="0.04" length="0.22"/></geometry>'
AXES = ("0 0 1", "0 1 0", "0 1 0", "0 0 1", "0 1 0", "0 0 1", "0 1 0")


def link(name: str, inertial: str = INERTIAL, body: str = BODY) -> str:
    """One link."""
    return f'<link name="{name}">{inertial}<collision>{body}</collision></link>'


def joint(name: str, parent: str, child: str, axis: str = "0 1 0", kind: str = "revolute", inside: str = LIMIT) -> str:
    """One joint, 0.3 m above the last."""
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="0 0 0.3"/><axis xyz="{axis}"/>{inside}</joint>'
    )


def chain(n: int, prefix: str = "", root: str = "root") -> str:
    """Links and joints of an arm of n joints on ``root``, with a frame ``<prefix>tool0`` at its end."""
    parts, last = [], root
    for k in range(1, n + 1):
        name = f"{prefix}link{k}"
        parts += [link(name), joint(f"{prefix}joint{k}", last, name, AXES[(k - 1) % len(AXES)])]
        last = name
    tool = f"{prefix}tool0"
    fixed = (
        f'<joint name="{prefix}tool_joint" type="fixed"><parent link="{last}"/><child link="{tool}"/>'
        '<origin xyz="0 0 0.3"/></joint>'
    )
    return "".join([*parts, f'<link name="{tool}"/>', fixed])


def urdf(*parts: str) -> str:
    """A whole robot on a link ``root``."""
    return f'<robot name="made">{link("root")}{"".join(parts)}</robot>'
