"""`il robot`: make a robot's files from a URDF, and show what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from il_core.errors import ConfigError
from il_core.spec import Interface

app = typer.Typer(help="Robots: make one from a URDF, or show one.", no_args_is_help=True)
console = Console(soft_wrap=True)


@app.command()
def new(
    urdf: Annotated[Path, typer.Argument(help="The robot's URDF (expand xacro first).")],
    name: Annotated[str, typer.Option(help="Name of the robot; that of the file if not given.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the files; config/robot if not given.")] = None,
    ee_frame: Annotated[str, typer.Option(help="Link of the tool; says which arm, if there are several.")] = "",
    gripper_joint: Annotated[str | None, typer.Option(help='Joint of the gripper; "" for none.')] = None,
    interface: Annotated[Interface, typer.Option(help="What the arm takes as command.")] = Interface.EFFORT,
    home: Annotated[str, typer.Option(help='Home posture [rad], as "0 -0.785 0 ..."; else searched for.')] = "",
    armature: Annotated[str, typer.Option(help="Rotor inertia at the joints [kg·m²]; else guessed.")] = "",
    force: Annotated[bool, typer.Option(help="Write over files that exist.")] = False,
) -> None:
    """Derive a robot from a URDF: limits, home, gains, collision pairs, and shapes without meshes.

    Everything is on the safe side and has its reason beside it. Read it before the arm moves.

    Example: il robot new ur5e.urdf --name lab_ur5e
    """
    from il_control.describe import describe
    from il_core.config import config_dir, require_source

    folder = out or config_dir() / "robot"
    require_source(folder)
    known = {"q_home": _numbers("--home", home), "armature": _numbers("--armature", armature)}
    made = describe(urdf, name=name, ee_frame=ee_frame, gripper_joint=gripper_joint, interface=interface, **known)
    files = made.files(folder)
    existing = [str(path) for path in files if path.exists()]
    if existing and not force:
        raise ConfigError(existing[0], "exists already; choose another --name, or --force to write over it")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        console.print(str(path), highlight=False, markup=False)
    gripper = made.gripper_joint or "none"
    joints = f"{len(made.joint_names)} joints {made.joint_names[0]} .. {made.joint_names[-1]}"
    console.print(f"{made.name}: {joints}, tool {made.ee_frame}, gripper {gripper}", highlight=False, markup=False)
    for warning in made.warnings:
        console.print(f"check: {warning}", highlight=False, markup=False)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers separated by spaces."""
    try:
        return tuple(float(x) for x in text.split())
    except ValueError:
        raise ConfigError(option, f"expected numbers separated by spaces, got '{text}'") from None


@app.command()
def show(name: Annotated[str, typer.Argument(help="Robot, by name or YAML file.")]) -> None:
    """Show a robot's joints and limits.

    Example: il robot show fr3
    """
    from il_core.config import load_robot

    robot, path = load_robot(name)
    gripper = robot.gripper_joint or "none"
    console.print(f"{robot.name} ({path})", highlight=False, markup=False)
    console.print(
        f"takes {robot.interface.value}; tool {robot.ee_frame}; gripper {gripper}; {len(robot.cameras)} cameras",
        highlight=False,
        markup=False,
    )
    table = Table("joint", "home", "from", "to [rad]", "speed [rad/s]", "torque [N·m]", "armature [kg·m²]")
    rows = zip(robot.joint_names, robot.q_home_rad, robot.q_min_rad, robot.q_max_rad, strict=True)
    more = zip(robot.v_max_rad_s, robot.tau_max_nm, robot.armature_kg_m2, strict=True)
    for (joint, *angles), limits in zip(rows, more, strict=True):
        table.add_row(joint, *(f"{x:.3f}" for x in angles), *(f"{x:.4g}" for x in limits))
    console.print(table)
