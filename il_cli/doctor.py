"""`il doctor`: what this machine has, and the remedy for each thing it lacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from il_cli.security_check import probe_middleware
from il_core.graph import PROFILE_KEY, node_environment, ros_environment, transport_profile
from il_core.shared_memory import FOLDER, cramped_peers, dead_segments
from il_core.store.box_files import RING_BYTES, prepare

PROBE_TIMEOUT_S = 60.0  # a cold import of torch takes tens of seconds on a slow disk
DISK_GB = 5.0  # a demo with its recordings and checkpoints fits in
MEMORY_GB = 4.0  # training of the demo's policy and the running graph
CORES = 2
SHARED_MB = 400.0  # 16 MB for each process of the largest graph, twice
LEFT_MB = 200.0  # memory that killed processes left locked
RECEIVE_BYTES = 4 << 20  # what config/dds/ asks for each socket
RMEM_KEY, RMEM_MAX = "net.core.rmem_max", Path("/proc/sys/net/core/rmem_max")


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


def _executor() -> Finding:
    """What runs the callbacks of every node, chosen in il_core/ros/node.py."""
    return judge_executor(*_probe("from il_core.ros.node import Executor; print(Executor.__name__)"))


def judge_executor(ok: bool, found: str) -> Finding:
    """Read which executor the nodes get.

    Args:
        ok: Whether it could be told.
        found: Its name, or why not.
    """
    remedy = (
        "the nodes run, but 1 kHz was only measured on EventsExecutor, which rclpy has from 7.1.4 on (Jazzy): "
        "update rclpy, or run `make setup` in a shell without ROS"
    )
    return Finding("executor", ok and found == "EventsExecutor", found, remedy)


def _middleware() -> Finding:
    environment = ros_environment(os.environ)
    code = "import rclpy; print(rclpy.get_rmw_implementation_identifier())"
    ok, rmw = _probe(code, environment)
    if not ok:
        return Finding("middleware", False, rmw, "run `make setup`, or unset RMW_IMPLEMENTATION", required=True)
    file = Path(environment[PROFILE_KEY])
    domain = environment.get("ROS_DOMAIN_ID", "0")
    reach = environment["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    found = f"{rmw}, domain {domain}, discovery {reach}, transport {file}"
    is_ours = file.is_file() and file.read_text() == transport_profile(environment).read_text()
    remedy = f"unset {PROFILE_KEY}: another transport loses images (docs/decisions/0008-transport.md)"
    if rmw != "rmw_fastrtps_cpp":
        remedy = "unset RMW_IMPLEMENTATION: only Fast DDS was measured; give another one room for images of 1 MB"
    return Finding("middleware", is_ours and rmw == "rmw_fastrtps_cpp", found, remedy)


def _security() -> Finding:
    verdict = probe_middleware(ros_environment(os.environ))
    remedy = "only needed for secure mode: source a ROS 2 from Debian packages (docs/security.md)"
    return Finding("DDS-Security", verdict.has_security, verdict.words, remedy)


def _shared_memory() -> Finding:
    free_mb = shutil.disk_usage(FOLDER).free / 1e6 if FOLDER.is_dir() else 0.0
    left_mb = sum(p.stat().st_blocks for p in dead_segments(time.time())) * 512 / 1e6
    found = f"{free_mb:.0f} MB free in {FOLDER}, {left_mb:.0f} MB left by killed processes"
    remedy = f"images need {SHARED_MB:.0f} MB there; in a container start it with --shm-size=1g"
    if left_mb > LEFT_MB:
        remedy = "start any graph with `il`: it gives them back"
    return Finding("shared memory", free_mb > SHARED_MB and left_mb <= LEFT_MB, found, remedy)


def _receive_buffer() -> Finding:
    found = RMEM_MAX.read_text().strip() if RMEM_MAX.is_file() else "unknown"
    return judge_receive_buffer(found)


def judge_receive_buffer(rmem_max: str) -> Finding:
    """Whether the processes of a graph can take in what all say at once when they find each other.

    Args:
        rmem_max: Largest receive buffer the kernel grants a socket [bytes], in decimal.
    """
    is_roomy = rmem_max.isdigit() and int(rmem_max) >= RECEIVE_BYTES
    remedy = (
        f"a graph that starts on a busy machine may take seconds longer: sudo sysctl -w {RMEM_KEY}={RECEIVE_BYTES}, "
        f"and for good: echo {RMEM_KEY}={RECEIVE_BYTES} | sudo tee /etc/sysctl.d/60-il-robot.conf"
    )
    return Finding("receive buffer", is_roomy, f"{RMEM_KEY} {rmem_max}", remedy)


def _black_box() -> Finding:
    problem = prepare()
    remedy = f"make room in {FOLDER}; in a container start it with --shm-size=1g"
    found = problem or f"{RING_BYTES >> 20} MB can be reserved"
    return Finding("recorder's black box", not problem, found, remedy)


def _peers() -> Finding:
    peers = cramped_peers()
    found = "; ".join(f"pid {p.pid} ({p.command})" for p in peers) or "none"
    remedy = (
        f"images they publish get lost: start them with {PROFILE_KEY}={transport_profile()} "
        "in their environment; processes that publish no images may stay as they are"
    )
    return Finding("ROS processes without our transport", not peers, found, remedy)


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
    _executor,
    _middleware,
    _security,
    _shared_memory,
    _receive_buffer,
    _black_box,
    _peers,
    _realtime,
    _graphics,
    _cameras,
    _torch,
    _disk,
    _memory,
    _cores,
)
