"""`il doctor`: what this machine has, and the remedy for each thing it lacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from il_core.graph import TRANSPORT, node_environment, ros_environment

PROBE_TIMEOUT_S = 60.0  # a cold import of torch takes tens of seconds on a slow disk
DISK_GB = 5.0  # a demo with its recordings and checkpoints fits in
MEMORY_GB = 4.0  # training of the demo's policy and the running graph
CORES = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination.

    Attributes:
        name: What was looked at.
        ok: Whether it is as it should be.
        found: What is there.
        remedy: What to do about it; empty when ok.
        required: Whether nothing works without it.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    required: bool = False


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Say what this machine has, and how to get what it lacks; exit status 1 if it cannot work.

    Example: il doctor --json
    """
    raise typer.Exit(report([examine() for examine in EXAMINATIONS], as_json))


def report(findings: list[Finding], as_json: bool) -> int:
    """Print findings.

    Returns:
        Exit status: 1 if something required is missing.
    """
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        _show(findings)
    return int(not all(f.ok for f in findings if f.required))


def _show(findings: list[Finding]) -> None:
    """The findings as a table; colours only on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for f in findings:
        mark = Text("ok", "green") if f.ok else Text("missing", "red") if f.required else Text("note", "yellow")
        table.add_row(mark, f.name, Text(f.found if f.ok else f"{f.found}\n-> {f.remedy}"))
    Console().print(table)


def _probe(code: str, environment: dict[str, str] | None = None) -> tuple[bool, str]:
    """Run a few lines in a child, which may crash or hang without harm.

    Returns:
        Whether it succeeded, and the last line it printed.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment or dict(os.environ),
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {PROBE_TIMEOUT_S:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else f"exit status {done.returncode}"


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "Python", ok, f"{version} ({sys.executable})", "make PYTHON=/path/to/python3.12 setup", required=True
    )


def _ros() -> Finding:
    ok, where = _probe("import rclpy; print(rclpy.__file__)")
    if not ok:
        return Finding("ROS 2", False, where, "run `make setup`, or source your ROS 2 first", required=True)
    is_wheel = Path(where).is_relative_to(sys.prefix)
    version = metadata.version("ros-rclpy" if is_wheel else "rclpy")
    source = "wheels in .venv" if is_wheel else f"underlay {os.environ.get('ROS_DISTRO', 'of unknown distro')}"
    return Finding("ROS 2", True, f"{source}, rclpy {version} ({where})", required=True)


def _middleware() -> Finding:
    environment = ros_environment(os.environ)
    code = "import rclpy; print(rclpy.get_rmw_implementation_identifier())"
    ok, rmw = _probe(code, environment)
    if not ok:
        return Finding("middleware", False, rmw, "run `make setup`, or unset RMW_IMPLEMENTATION", required=True)
    transport = environment["FASTDDS_BUILTIN_TRANSPORTS"]
    domain = environment.get("ROS_DOMAIN_ID", "0")
    reach = environment["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    found = f"{rmw}, domain {domain}, discovery {reach}, transport {transport}"
    is_ours = rmw != "rmw_fastrtps_cpp" or transport == TRANSPORT
    remedy = "unset FASTDDS_BUILTIN_TRANSPORTS, or set the same in every process: mixed settings do not connect"
    return Finding("middleware", is_ours, found, remedy)


def _realtime() -> Finding:
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)); print('SCHED_FIFO granted')"
    ok, found = _probe(code)
    remedy = (
        "control cycles may be late; add '@realtime - rtprio 99' to /etc/security/limits.d/realtime.conf, "
        "join group realtime, log in again"
    )
    return Finding("real time", ok, found, remedy)


def _graphics() -> Finding:
    code = (
        "import mujoco; m = mujoco.MjModel.from_xml_string('<mujoco/>'); r = mujoco.Renderer(m, 32, 32); "
        "from OpenGL import GL; print(GL.glGetString(GL.GL_RENDERER).decode())"
    )
    environment = node_environment(os.environ)
    ok, found = _probe(code, environment)
    remedy = "sudo apt-get install libegl1 libgl1 libgl1-mesa-dri libopengl0"
    return Finding("graphics", ok, f"MUJOCO_GL={environment['MUJOCO_GL']}: {found}", remedy, required=True)


def _cameras() -> Finding:
    code = (
        "import pyrealsense2 as rs; d = rs.context().query_devices(); "
        "i = rs.camera_info; print(', '.join(f'{x.get_info(i.name)} {x.get_info(i.serial_number)}' for x in d) "
        "or 'none')"
    )
    ok, found = _probe(code)
    remedy = "plug a RealSense into a USB 3 port; only the simulated cameras work without"
    if not ok:
        remedy = "sudo apt-get install libusb-1.0-0, or run `make setup`"
    return Finding("RealSense", ok and found != "none", found, remedy)


def _torch() -> Finding:
    code = (
        "import torch; gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'; "
        "print(f'{torch.__version__}, {torch.get_num_threads()} threads, {gpu}')"
    )
    ok, found = _probe(code)
    return Finding("torch", ok, found, "run `make setup`", required=True)


def _disk() -> Finding:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("disk", free_gb > DISK_GB, f"{free_gb:.0f} GB free here", f"free {DISK_GB:.0f} GB")


def _memory() -> Finding:
    import psutil

    free_gb = psutil.virtual_memory().available / 1e9
    remedy = f"close other programs; training wants {MEMORY_GB:.0f} GB"
    return Finding("memory", free_gb > MEMORY_GB, f"{free_gb:.1f} GB available", remedy)


def _cores() -> Finding:
    count = len(os.sched_getaffinity(0))
    remedy = f"the 1 kHz cycle and the cameras want {CORES} cores"
    return Finding("cores", count >= CORES, str(count), remedy)


EXAMINATIONS: tuple[Callable[[], Finding], ...] = (
    _python,
    _ros,
    _middleware,
    _realtime,
    _graphics,
    _cameras,
    _torch,
    _disk,
    _memory,
    _cores,
)
