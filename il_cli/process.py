"""Starts a graph as child processes, watches them, and takes them down in a safe order."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from il_cli.security_check import require_security
from il_core.errors import GraphError
from il_core.graph import Graph, NodeSpec, node_environment
from il_core.security import secured
from il_core.shared_memory import remove_dead_segments

log = logging.getLogger(__name__)

POLL_S = 0.02
# SIGINT lets a node send its last safe command and close its files; a node that takes longer than
# this is stuck, and SIGTERM, then SIGKILL, end it. A recorder's fsync of a large file fits in.
Grace = tuple[tuple[signal.Signals, float], ...]
GRACE_S: Grace = ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
TAIL_LINES = 8


class Supervisor:
    """Child processes of one graph.

    Each node runs in a session of its own, so that Ctrl-C in the terminal reaches this process only,
    which then stops the nodes in order; should this process die, the kernel ends the nodes.
    """

    def __init__(self, graph: Graph, log_dir: Path, grace: Grace = GRACE_S) -> None:
        """Prepare to run a graph.

        Args:
            graph: What to run.
            log_dir: Folder that gets one log file per node.
            grace: Signals that end a node, in turn, and how long each may take [s].
        """
        self._graph = graph
        self._grace = grace
        self.log_dir = log_dir
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping: set[str] = set()

    def __enter__(self) -> Supervisor:
        """Start every node, in the graph's order.

        Raises:
            GraphError: a node could not be started; those already started are stopped again.
            SecurityError: secure mode is asked for and cannot be kept.
        """
        nodes = self._graph.nodes
        require_security(os.environ, [node.name for node in nodes], nodes[0].namespace if nodes else "")
        self.log_dir.mkdir(parents=True, exist_ok=True)
        remove_dead_segments(time.time())  # of runs that were killed: each holds 16 MB of RAM
        try:
            for node in self._graph.nodes:
                self._start(node)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every node, last started first."""
        self.stop()

    def _start(self, node: NodeSpec) -> None:
        """Start one node with its output in its log file."""
        command = [*_tether(), sys.executable, "-m", node.module, *node.ros_arguments]
        try:
            with self.log_path(node.name).open("wb") as out:
                self.processes[node.name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=secured(node_environment(os.environ), node.name),
                    start_new_session=True,
                )
        except OSError as error:
            raise GraphError(f"node '{node.name}' could not be started: {error}") from error

    def log_path(self, name: str) -> Path:
        """Log file of a node."""
        return self.log_dir / f"{name}.log"

    def check(self) -> None:
        """Make sure that every node still runs.

        Raises:
            GraphError: a node ended by itself; carries its exit status and its last lines.
        """
        for name, process in self.processes.items():
            if name not in self._stopping and process.poll() is not None:
                raise GraphError(
                    f"node '{name}' ended with {_how(process.returncode)}; last lines of "
                    f"{self.log_path(name)}:\n{self._tail(name)}"
                )

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until every node shows its signs of life: messages on its topics, its services.

        Raises:
            GraphError: a node ended, or a topic or service did not come; names node and topic.
        """
        from il_cli.ros.watch import Watch

        end = time.monotonic() + timeout_s
        with Watch(self._graph) as watch:
            while missing := watch.missing():
                self.check()
                if time.monotonic() > end:
                    node = missing[0].split("'")[1]
                    raise GraphError(
                        f"not ready within {timeout_s:.0f} s: {'; '.join(missing)}; "
                        f"see {self.log_path(node)}:\n{self._tail(node)}"
                    )
                time.sleep(POLL_S)

    def stop_node(self, name: str) -> int:
        """Stop one node and everything it started.

        Returns:
            Its exit status, negative for a signal.
        """
        process = self.processes[name]
        self._stopping.add(name)
        for number, grace_s in self._grace:
            if process.poll() is not None:
                break
            _signal_group(process, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
            if process.poll() is None:
                log.warning("node '%s' ignored %s for %.1f s", name, number.name, grace_s)
        _signal_group(process, signal.SIGKILL)  # whatever the node itself left behind
        return process.wait()

    def stop(self) -> None:
        """Stop every node, last started first; a second Ctrl-C does not cut this short."""
        with _uninterrupted():
            for name in reversed(self.processes):
                self.stop_node(name)

    def _tail(self, name: str) -> str:
        """Last lines of a node's log, indented."""
        lines = self.log_path(name).read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (it printed nothing)"


def new_log_dir(root: Path = Path("outputs/log")) -> Path:
    """Folder for the logs of a run that starts now."""
    return root / time.strftime("%Y%m%dT%H%M%S")


def _tether() -> list[str]:
    """Command prefix by which the kernel ends the child when this process dies, however it dies."""
    setpriv = shutil.which("setpriv")  # util-linux, on every Debian and Ubuntu
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _how(status: int) -> str:
    """Exit status in words."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a node's whole process group, if any of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and termination requests meanwhile; only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(n, signal.SIG_IGN) for n in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
