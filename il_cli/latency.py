"""`il latency`: measure how late cameras, states and actions are while the arm is moved."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from il_cli.place import Namespace, SimTime
from il_core.errors import DeviceError


def latency(
    task: Annotated[str, typer.Option(help="Task whose cameras are measured.")] = "pick_place",
    robot: Annotated[str, typer.Option(help="Robot; the task's own if empty.")] = "",
    seconds: Annotated[float, typer.Option(min=3.0, help="How long to listen [s].")] = 10.0,
    longest_s: Annotated[float, typer.Option(min=0.05, help="Longest delay looked for [s].")] = 1.0,
    out: Annotated[Path, typer.Option(help="Configuration to write.")] = Path("outputs/latency.yaml"),
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Move the arm to and fro in view of the cameras, by teleoperation, while this listens to a running graph.

    Action: wanted tool pose to measured one. Camera: measured tool pose to what the pictures show. State: stamp of
    the joint state to its arrival. The file is in force where `latencies` in a file of config/serve names it.

    Example: il latency --seconds 15 --out outputs/latency.yaml
    """
    import numpy as np

    from il_cli.ros.session import Session
    from il_core.config import load_setup
    from il_core.graph import ros_environment
    from il_core.graph_spec import Place
    from il_core.ros.clock import RosClock
    from il_core.stats import percentiles
    from il_policy.ros.latency_recorder import EE, TARGET, LatencyRecorder
    from il_policy.serving import latency as measure

    setup = load_setup(task, robot or None)
    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    with Session("latency", Place(namespace, use_sim_time)) as session:
        recorder = LatencyRecorder(session.node, setup.task.cameras, RosClock(session.node).now_ns)
        typer.echo(
            f"move the arm to and fro for {seconds:.0f} s, in view of {', '.join(setup.task.cameras) or 'nobody'}"
        )
        time.sleep(seconds)
    if not recorder.state_ms:
        raise DeviceError("no joint states came; start the graph first, such as `il sim` or `il teleop`")

    def signal(name: str) -> measure.Array:
        times, rows = recorder.stream(name)
        return np.column_stack([times, measure.components(rows, 1)])

    arm = signal(EE)
    with _named("wanted pose and tool"):
        action = measure.estimate(signal(TARGET), arm, longest_s)
    cameras = {}
    for camera in setup.task.cameras:
        with _named(f"tool and camera '{camera}'"):
            cameras[camera] = measure.estimate_camera(arm, *recorder.stream(camera), longest_s)
    found = measure.Latencies({c: d.ms for c, d in cameras.items()}, percentiles(recorder.state_ms, 50)[0], action.ms)
    out.parent.mkdir(parents=True, exist_ok=True)
    measure.save(out, found)
    typer.echo(f"action {found.action_ms:.0f} ms (correlation {action.correlation:.2f}), state {found.state_ms:.1f} ms")
    for camera, delay in cameras.items():
        typer.echo(f"camera {camera} {delay.ms:.0f} ms (correlation {delay.correlation:.2f}, {delay.samples} pictures)")
    typer.echo(f"{out}; in force where `latencies` of a serving configuration names it:")
    for line in measure.uses(found):
        typer.echo(f"- {line}")


@contextlib.contextmanager
def _named(signals: str) -> Iterator[None]:
    """Say of which signals an error tells."""
    try:
        yield
    except DeviceError as error:
        raise DeviceError(f"{signals}: {error}") from error
