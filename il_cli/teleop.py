"""`il teleop`: drive the tool with any device; `il teleop calibrate-leader` fits a leader arm to the arm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from il_cli.place import Namespace, SimTime
from il_core.graph_spec import Place

ATTACH_S = 10.0

EXAMPLES = """
The graph must run: `il up sim` or `il up record` in another terminal. What keys, buttons and pedals mean:
config/teleop/buttons.yaml. Examples:
`il teleop`;
`il teleop --device spacemouse --pedal /dev/input/by-id/usb-PCsensor_FootSwitch-event-kbd`;
`il teleop --device leader --layout my_leader.yaml`;
`il teleop calibrate-leader --leader leader/joint_states`.
"""

app = typer.Typer(invoke_without_command=True, epilog=EXAMPLES)


@app.callback()
def teleop(
    context: typer.Context,
    task: Annotated[str, typer.Option(help="Task, by name or YAML file.")] = "pick_place",
    robot: Annotated[str, typer.Option(help="Robot, if another than the task's own.")] = "",
    device: Annotated[
        str, typer.Option(help="keyboard, joy, spacemouse, leader, pose_stream (VR, phone) or hand_guiding.")
    ] = "keyboard",
    layout: Annotated[str, typer.Option(help="File in config/teleop/, or a path; default: the device's own.")] = "",
    pedal: Annotated[str, typer.Option(help="Foot pedal: its file in /dev/input/by-id/.")] = "",
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Drive the tool by hand; the keyboard's keys are printed at the start.

    What keys, buttons and pedals mean is in config/teleop/buttons.yaml. The graph must run: start it in
    another terminal with `il up sim` or `il up record`.
    """
    if context.invoked_subcommand is not None:
        return
    from il_core.graph import node_environment, ros_environment
    from il_core.security import secured
    from il_teleop.device import find

    find(device)  # an unknown one is refused before anything is started
    os.environ.update(ros_environment(os.environ))
    place = Place(namespace, use_sim_time)
    attach(place)
    parameters = {"task": task, "robot": robot, "device": device, "layout": layout, "pedal": pedal}
    ros = [word for key, value in parameters.items() for word in ("-p", f"{key}:='{value}'")]
    command = [sys.executable, "-m", "il_teleop.ros.teleop_node", "--ros-args", *ros, *place.ros_arguments]
    # Ctrl-C reaches the node too, because it shares the terminal; it leaves by itself and we wait.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    environment = secured(node_environment(os.environ), "teleop")
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)


def attach(place: Place) -> None:
    """Make sure that an arm can be driven.

    Raises:
        GraphError: the tool's pose does not come.
    """
    from il_cli.ros.session import Session
    from il_core import topics

    with Session("il_teleop", place) as session:
        what = f"topic '{topics.EE_POSE}' is silent, node 'controller' should publish it: start `il up sim`"
        session.wait(lambda: bool(session.path), ATTACH_S, what)


@app.command("calibrate-leader")
def calibrate_leader(
    leader: Annotated[str, typer.Option(help="Topic of the leader's joint states.")] = "leader/joint_states",
    joints: Annotated[str, typer.Option(help="The leader's joints in the arm's order; default: as they come.")] = "",
    trigger: Annotated[str, typer.Option(help="The leader's joint that works the gripper.")] = "",
    postures: Annotated[int, typer.Option(min=2, help="How many postures to compare.")] = 3,
    task: Annotated[str, typer.Option(help="Task, by name or YAML file.")] = "pick_place",
    robot: Annotated[str, typer.Option(help="Robot, if another than the task's own.")] = "",
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("leader.yaml"),
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Find signs and offsets of a leader arm's joints.

    Bring the arm into a posture (by hand guiding, teleoperation or `controller/go_to_posture`), hold the
    leader in the same one, press enter; repeat with postures that differ in every joint.

    Example: il teleop calibrate-leader --trigger gripper --out config/teleop/leader.yaml
    """
    from il_core.graph import ros_environment

    os.environ.update(ros_environment(os.environ))
    import numpy as np

    from il_cli.ros.leader_postures import Postures
    from il_cli.ros.session import Session
    from il_core.config import load_setup
    from il_core.errors import ConfigError
    from il_teleop.devices.leader import LeaderGripper
    from il_teleop.leader_calibration import calibrate, layout_text

    if out.exists():
        raise ConfigError(str(out), "exists already; name another file with --out, or remove it")
    setup = load_setup(task, robot or None)
    with Session("il_calibrate", Place(namespace, use_sim_time)) as session:
        both = Postures(session, setup, leader, [j for j in joints.split(",") if j], trigger)
        rows = []
        for k in range(postures):
            typer.prompt(f"posture {k + 1} of {postures}: hold the leader like the arm, press enter", "", True)
            rows.append(both.take())
        gripper = LeaderGripper()
        if trigger:
            typer.prompt("let go of the trigger, press enter", "", True)
            opened = both.take_trigger()
            typer.prompt("squeeze the trigger, press enter", "", True)
            gripper = LeaderGripper(trigger, closed=both.take_trigger(), open=opened)
    q_leader, q_arm = (np.array(part) for part in zip(*rows, strict=True))
    fitted, residuals = calibrate(q_leader, q_arm, both.leader_names, setup.robot.joint_names, gripper)
    out.write_text(layout_text(fitted, residuals), encoding="utf-8")
    typer.echo(f"wrote {out}; postures matched within {np.degrees(residuals.max()):.1f} degrees")
    typer.echo(f"drive with: il teleop --device leader --layout {out}")
