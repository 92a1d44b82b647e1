"""Any URDF into a robot of ours: primitives for meshes, limits and gains by rules that are told."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from il_control.describe import derive
from il_control.describe.body import Body
from il_control.describe.rewrite import rewrite
from il_control.describe.tree import Tree, find_arm
from il_control.describe.write import control_yaml, is_name, robot_yaml, srdf
from il_core.errors import ConfigError
from il_core.spec import Interface
from il_core.types import Vector


@dataclass(frozen=True, slots=True)
class Description:
    """The files of a robot.

    Attributes:
        name: Name of the robot.
        joint_names: Its arm joints.
        ee_frame: Link of its tool.
        gripper_joint: Joint of its gripper, or empty.
        robot: Text of config/robot/<name>.yaml.
        urdf: Text of config/robot/<name>.urdf.
        srdf: Text of config/robot/<name>.srdf.
        control: Text of config/control/<name>.yaml.
        warnings: What a person should check.
    """

    name: str
    joint_names: tuple[str, ...]
    ee_frame: str
    gripper_joint: str
    robot: str
    urdf: str
    srdf: str
    control: str
    warnings: tuple[str, ...]

    def files(self, robot_dir: Path) -> dict[Path, str]:
        """Where each file belongs: gains lie in ``control`` beside the folder of the robots."""
        return {
            robot_dir / f"{self.name}.yaml": self.robot,
            robot_dir / f"{self.name}.urdf": self.urdf,
            robot_dir / f"{self.name}.srdf": self.srdf,
            robot_dir.parent / "control" / f"{self.name}.yaml": self.control,
        }


def describe(
    path: Path,
    *,
    name: str = "",
    ee_frame: str = "",
    gripper_joint: str | None = None,
    interface: Interface = Interface.EFFORT,
    q_home: tuple[float, ...] = (),
    armature: tuple[float, ...] = (),
) -> Description:
    """Derive a robot from a URDF.

    Args:
        path: The URDF; its meshes are looked for beside and above it.
        name: Name of the robot; empty: that of the file.
        ee_frame: Link of the tool; empty: chosen by name. It also says which of several arms is meant.
        gripper_joint: Joint of the gripper; empty: none; None: looked for behind the arm.
        interface: What the arm takes as command.
        q_home: Home posture if known, (nq,) [rad]; empty: searched for.
        armature: Reflected rotor inertia if known, (nq,) [kg·m²]; empty: guessed from the torques.

    Raises:
        ConfigError: the URDF is broken, or no arm can be made of it; the message says what to do.
    """
    name = name or path.stem.lower().replace("-", "_").replace(".", "_")
    if not is_name(name):
        raise ConfigError(f"name '{name}'", "use small letters, digits and underscores, a letter first")
    tree = Tree(path)
    arm = find_arm(tree, ee_frame, gripper_joint)
    made = rewrite(tree, arm, name)
    tool = made.links[arm.ee_frame]
    with tempfile.TemporaryDirectory() as folder:
        urdf = Path(folder) / f"{name}.urdf"
        urdf.write_text(made.text)
        body = Body(urdf, arm, tool)
    pairs = body.disable()
    limits = derive.limits(body, arm, _given("armature", armature, body.nq))
    known = _given("home", q_home, body.nq)
    home = derive.home(body, limits) if known is None else derive.check_home(body, limits, known)
    gains = derive.gains(body, limits, home)
    friction = derive.held_by_friction(body, gains.joint_k, arm)
    notes = ([friction] if friction else []) + made.notes
    return Description(
        name=name,
        joint_names=tuple(j.name for j in arm.joints),
        ee_frame=tool,
        gripper_joint="" if arm.gripper is None else arm.gripper.name,
        robot=robot_yaml(name, path.name, arm, tool, limits, home, notes, interface),
        urdf=made.text,
        srdf=srdf(name, pairs),
        control=control_yaml(name, body.nq, gains, interface),
        warnings=(*limits.warnings, *arm.notes, *notes),
    )


def _given(what: str, values: tuple[float, ...], nq: int) -> Vector | None:
    """Values a person gave, one for each joint, or None.

    Raises:
        ConfigError: they are not as many as the joints.
    """
    if not values:
        return None
    if len(values) != nq:
        raise ConfigError(what, f"has {len(values)} values for {nq} joints")
    return np.array(values, dtype=np.float64)
