"""How long does a graph take to start, and does it lose what its processes tell each other?

Each start runs the graph that records, all at once and killed at the end, and asks two services. Every other round
has the transport without the two settings that are measured, so that both see the same machine.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from il_cli.process import Supervisor
from il_cli.ros.session import Session
from il_core import topics
from il_core.errors import GraphError
from il_core.graph import PROFILE_KEY, GraphOptions, graph, ros_environment, transport_profile

ROUNDS, STARTS, READY_S = 2, 8, 60.0
SETTINGS = re.compile(r"<builtin>.*</builtin>|<receiveBufferSize>\d+</receiveBufferSize>", re.DOTALL)


def udp_drops() -> int:
    """Datagrams of this machine that found a receive buffer full, since it was started."""
    names, values = [row.split() for row in Path("/proc/net/snmp").read_text().splitlines() if row.startswith("Udp:")]
    return int(values[names.index("RcvbufErrors")])


def start_once(folder: Path) -> tuple[float, str]:
    """Seconds until a graph works, and what it lacked, if it did not."""
    described = graph("record", GraphOptions(task="pick_place", recordings=str(folder / "recordings"), operator=True))
    began_s, problem = time.monotonic(), ""
    with Supervisor(described, folder / "log") as supervisor, Session() as session:
        try:
            supervisor.wait_ready(READY_S)
            session.trigger(topics.RECORDER_START)
            session.trigger(topics.OPERATOR_PREPARE)
        except GraphError as error:
            problem = str(error).splitlines()[0]
        took_s = time.monotonic() - began_s
        for process in supervisor.processes.values():
            os.killpg(process.pid, signal.SIGKILL)
    return took_s, problem


def main() -> None:
    """Measure and print."""
    os.environ.update(ros_environment(os.environ))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        without = folder / "without.xml"
        without.write_text(SETTINGS.sub("", transport_profile().read_text()))
        for _ in range(ROUNDS):
            for what, profile in (("with", transport_profile()), ("without", without)):
                os.environ[PROFILE_KEY] = str(profile)
                lost, took = udp_drops(), []
                for _ in range(STARTS):
                    seconds, problem = start_once(folder)
                    took.append(seconds)
                    if problem:
                        print(f"  {problem}", flush=True)
                print(
                    f"{what:8} {STARTS} starts: median {statistics.median(took):.1f} s, longest {max(took):.1f} s, "
                    f"{(udp_drops() - lost) / STARTS:.0f} datagrams lost per start",
                    flush=True,
                )


if __name__ == "__main__":
    sys.exit(main())
