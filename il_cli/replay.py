"""`il replay`: the arm repeats a demonstration, with nobody in view of the cameras."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from il_cli.place import Namespace, SimTime

ATTACH_S = 10.0


def replay(
    recording: Annotated[Path, typer.Argument(help="Folder of the recording to repeat.")],
    record: Annotated[bool, typer.Option(help="Record it anew, linked to the original.")] = True,
    speed: Annotated[float, typer.Option(help="Share of the demonstration's own speed.")] = 1.0,
    after: Annotated[float, typer.Option(min=0.0, help="Seconds to step back before the arm moves.")] = 5.0,
    task: Annotated[str, typer.Option(help="Task, if another than the recording names.")] = "",
    robot: Annotated[str, typer.Option(help="Robot, if another than the recording names.")] = "",
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Repeat a demonstration under impedance control and record the images again.

    Meant for demonstrations led by the hand (`il record --kinesthetic`): the person steps back, and when the
    countdown is over the arm goes to where the demonstration began and shows it once more; Ctrl-C calls it off.
    The new recording carries the name of the original and the digest of its data in its notes, and its label.

    The graph must run: start it in another terminal with `il up record`.

    Example: il replay outputs/recordings/pick_place/20260101T120000000_ab12cd --speed 0.7
    """
    from il_core.graph import ros_environment

    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    from il_cli.ros.replaying import Replayer
    from il_cli.ros.session import Session
    from il_core import topics
    from il_core.config import load_setup
    from il_core.errors import GraphError
    from il_core.graph_spec import Place
    from il_core.store.recording import Recording
    from il_core.types import Outcome
    from il_teleop.replay import read_path

    original = Recording.open(recording)
    setup = load_setup(task or original.header.task, robot or original.header.robot)
    path = read_path(original, setup)
    with Session("il_replay", Place(namespace, use_sim_time)) as session:
        what = f"topic '{topics.EE_POSE}' is silent, node 'controller' should publish it: start `il up record`"
        session.wait(lambda: bool(session.path), ATTACH_S, what)
        replayer = Replayer(session, setup)
        _count_down(after)
        typer.echo(f"going to the start of {path.name}")
        replayer.go_to_start(path)
        if record:
            replayer.note(path.notes)
            typer.echo(session.trigger(topics.RECORDER_START, 30.0))
        try:
            _, alike = replayer.drive(path, speed)
            behind = f"{alike.delay_s:.2f} s behind"
            typer.echo(f"path within {alike.rms_mm:.1f} mm rms, {alike.max_mm:.1f} mm at most, {behind}")
            if record:
                if original.header.outcome in (Outcome.SUCCESS, Outcome.FAILURE):
                    session.trigger(f"recorder/{original.header.outcome.value}")
                typer.echo(session.trigger(topics.RECORDER_STOP, 30.0))
                typer.echo(session.trigger(topics.RECORDER_KEEP, 60.0))
        except BaseException:
            if record:
                with contextlib.suppress(GraphError):  # what went wrong first is what to tell
                    session.trigger(topics.RECORDER_DISCARD, 30.0)
            raise
        finally:
            if record:
                replayer.note(dict.fromkeys(path.notes, ""))


def _count_down(seconds: float) -> None:
    """Give the person time to step back."""
    for left in range(math.ceil(seconds), 0, -1):
        typer.echo(f"step back: the arm moves in {left} s")
        time.sleep(1.0)
