"""Does the loop hold 1 kHz over ROS while another program keeps the second core busy?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark.figures import Figure, figure, not_taken
from il_core.graph import graph, ros_environment

SECONDS = 30.0
BUSY = "while True: sum(range(10000))"


def over_ros() -> list[Figure]:
    """Share of torque commands that answer a state older than one cycle, and the rate, over 30 s."""
    name = "over ROS beside a busy core: commands older than one cycle"
    if not _has_realtime():
        reason = "no real-time permission: grant rtprio in /etc/security/limits.d, see `il doctor`"
        return [not_taken(name, reason, "%", "<= 1")]
    os.environ.update(ros_environment(os.environ))
    from il_cli.process import Supervisor
    from il_cli.ros.session import Session

    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        with tempfile.TemporaryDirectory() as folder, Supervisor(graph("sim"), Path(folder)) as nodes, Session() as ros:
            nodes.wait_ready(60.0)
            ros.wait_status("sim", "running", 10.0, nodes.check)
            first = dict(ros.diagnostics["sim"])
            time.sleep(SECONDS)
            nodes.check()
            sim, controller = ros.diagnostics["sim"], ros.diagnostics["controller"]
    finally:
        busy.kill()
        busy.wait()
    late, answered = (int(sim[key]) - int(first[key]) for key in ("late_steps", "answered_steps"))
    return [
        figure(name, 100.0 * late / answered, "%", "<= 1", f"{SECONDS:.0f} s"),
        figure("over ROS beside a busy core: rate of the controller", float(controller["rate_hz"]), "Hz"),
        figure("over ROS beside a busy core: cycle with publishing, p50", float(controller["cycle_us_p50"]), "us"),
        figure("over ROS beside a busy core: cycle with publishing, p99", float(controller["cycle_us_p99"]), "us"),
    ]


def _has_realtime() -> bool:
    """Whether a process of ours may run under SCHED_FIFO."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
