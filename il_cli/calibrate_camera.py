"""`il calibrate-camera`: measure where a camera sits, on the tool or beside the arm."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from il_cli.place import Namespace, SimTime
from il_core.graph_spec import Place

if TYPE_CHECKING:
    from il_core.spec import CameraSpec
    from il_teleop.calibration.account import Report
    from il_teleop.calibration.collect import Collector

POLL_S, ATTACH_S = 0.1, 10.0
Board = Annotated[Path | None, typer.Option(help="Only write the board for printing: .pdf or .png.")]
Recordings = Annotated[list[Path] | None, typer.Option("--recording", help="Use a recording, not the running graph.")]


def calibrate_camera(
    camera: Annotated[str, typer.Argument(help="Camera of the robot.")],
    task: Annotated[str, typer.Option(help="Task, by name or YAML file.")] = "pick_place",
    robot: Annotated[str, typer.Option(help="Robot, by name or YAML file; the task's own if empty.")] = "",
    board: Board = None,
    recording: Recordings = None,
    config: Annotated[str, typer.Option(help="Board and limits: name in config/camera, or YAML file.")] = "hand_eye",
    minutes: Annotated[float, typer.Option(min=0.1, help="Longest time to move the arm about [min].")] = 10.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result, write nothing.")] = False,
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Measure a camera's pose from views of a ChArUco board and write it to config/robot.

    A camera on the tool: the board lies still on the table. A camera beside the arm: the tool holds the board.
    Bring the arm to about 20 poses by hand or teleoperation, tilted to all sides, and rest at each for half a
    second: pictures are taken by themselves. Recordings made that way will do as well.

    Example: il calibrate-camera wrist --board board.pdf

    Example: il calibrate-camera wrist --task pick_place
    """
    from il_core.config import config_dir, load_robot, load_setup, load_yaml, require_source
    from il_teleop.calibration import board as boards
    from il_teleop.calibration.account import calibrate
    from il_teleop.calibration.collect import Collector
    from il_teleop.calibration.config import HandEyeConfig
    from il_teleop.calibration.from_recording import collect
    from il_teleop.calibration.write import write_camera_pose

    path = Path(config) if config.endswith((".yaml", ".yml")) else config_dir() / "camera" / f"{config}.yaml"
    settings = load_yaml(path, HandEyeConfig)
    sheet = boards.Board(settings.board)
    if board is not None:
        width, height = sheet.write(board)
        typer.echo(f"{board}: print at 100 % on a sheet of {width:.0f} x {height:.0f} mm or more, stiff and flat;")
        typer.echo(f"then measure a square ({settings.board.square_mm:g} mm wanted) and write what you find to {path}")
        return
    setup = load_setup(task, robot or None)
    spec = setup.robot.camera(camera)
    _, robot_file = load_robot(robot or setup.task.robot)
    if not dry_run:
        require_source(robot_file)  # before a person moves the arm about for ten minutes
    collector = Collector(sheet, settings.collect)
    for folder in recording or ():
        collect(folder, camera, collector)
    if not recording:
        _collect_live(camera, collector, 60.0 * minutes, Place(namespace, use_sim_time))
    typer.echo(collector.told())
    report = calibrate(collector.views, spec.mount, sheet.centre_m, settings.accept)
    _show(spec, report)
    account = report.require().calibration(time.time_ns())
    if dry_run:
        return
    write_camera_pose(robot_file, camera, report.solution.T_mount_optical, account)
    typer.echo(f"written to {robot_file}: recordings made from now on hold it.")
    typer.echo("Data and policies made with the pose before have another spec digest and are refused from now on.")


def _collect_live(camera: str, collector: Collector, seconds: float, place: Place) -> None:
    """Take views while a person moves the arm, until there are enough, the time is over, or Ctrl-C.

    Raises:
        GraphError: pictures or tool poses do not come.
    """
    from il_cli.ros.session import Session
    from il_core.graph import ros_environment
    from il_teleop.ros.calibration import LiveViews

    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    with Session("calibrate_camera", place) as session:
        live = LiveViews(session.node, camera, collector)
        session.wait(lambda: not live.silent, ATTACH_S, f"camera '{camera}' and tool pose; start the graph first")
        end, told = time.monotonic() + seconds, ""
        typer.echo("bring the arm to other poses, rest at each for half a second; Ctrl-C ends it early")
        try:
            while not collector.is_full and time.monotonic() < end:
                what = live.problem or (live.verdict.value if live.verdict else "waiting for the first picture")
                if (line := f"{len(collector.views)} views; {what}") != told:
                    typer.echo(told := line)
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            typer.echo("ended early")
        live.close()


def _show(spec: CameraSpec, report: Report) -> None:
    """The result and its account."""
    import numpy as np

    from il_core.geometry import inverse, rotvec_from_matrix
    from il_teleop.calibration.account import WHERE

    T = report.solution.T_mount_optical
    change = inverse(spec.T_mount_optical) @ T
    mm, deg = 1e3 * np.linalg.norm(change[:3, 3]), np.degrees(np.linalg.norm(rotvec_from_matrix(change[:3, :3])))
    place = ", ".join(f"{x:.4f}" for x in T[:3, 3])
    typer.echo(f"camera '{spec.name}' sits at ({place}) m in {WHERE[report.mount]}")
    typer.echo(f"  {mm:.1f} mm and {deg:.2f} deg from where config/robot has it")
    typer.echo(f"  known to {report.uncertainty_mm:.2f} mm and {report.uncertainty_deg:.3f} deg (standard error)")
    without = f", without {', '.join(map(str, report.left_out))}" if report.left_out else ""
    typer.echo(
        f"  {len(report.used)} views{without}; turned by up to {report.spread.rotation_deg:.0f} deg; corners within "
        f"{report.solution.rms_px:.2f} px"
    )
    for what, errors in (("mm", report.held_out_mm), ("deg", report.held_out_deg)):
        typer.echo(f"  left out one by one, predicted to {np.median(errors):.2f} {what} (worst {np.max(errors):.2f})")
