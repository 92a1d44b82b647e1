"""The supervisor, on real child processes: plain Python modules that stand in for nodes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from il_cli.process import Supervisor
from il_core.errors import GraphError
from il_core.graph import Graph, NodeSpec

ROOT = Path(__file__).parents[3]
QUICK = ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0))

# A stand-in opens a pipe for as long as it lives: who reads it knows that it started, and that it ended.
STAND_INS = {
    "steady": """
        import os, signal, sys
        def leave(number, frame):
            with open(os.environ["ORDER"], "a") as file:
                print(sys.argv[2].split("=")[-1], file=file)
            sys.exit(0)
        signal.signal(signal.SIGINT, leave)
        alive = open(os.environ["ALIVE"], "wb", buffering=0)
        alive.write(b".")
        while True:
            signal.pause()
        """,
    "stubborn": """
        import os, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        alive = open(os.environ["ALIVE"], "wb", buffering=0)
        alive.write(b".")
        while True:
            signal.pause()
        """,
    "parent": """
        import os, signal, subprocess, sys
        alive = open(os.environ["ALIVE"], "wb", buffering=0)
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], stdout=alive)
        alive.write(b".")
        signal.pause()
        """,
    "broken": """
        import sys
        for k in range(20):
            print("line", k)
        sys.exit(3)
        """,
}


@pytest.fixture
def pipe(tmp_path, monkeypatch):
    """Folder of the stand-ins, and the pipe they hold open, ready to read."""
    for name, source in STAND_INS.items():
        (tmp_path / f"{name}_stand_in.py").write_text(textwrap.dedent(source))
    os.mkfifo(tmp_path / "alive")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ALIVE", str(tmp_path / "alive"))
    monkeypatch.setenv("ORDER", str(tmp_path / "order"))
    descriptor = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    yield Pipe(descriptor)
    os.close(descriptor)


class Pipe:
    """The reading end: bytes tell of starts, its end tells that every process is gone."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._writer = os.open(os.environ["ALIVE"], os.O_WRONLY)  # keeps reads waiting until a start

    def wait_for_starts(self, count):
        for _ in range(count):
            assert os.read(self._descriptor, 1) == b"."

    def wait_until_all_gone(self):
        os.close(self._writer)
        assert os.read(self._descriptor, 1) == b""


def graph_of(**nodes):
    return Graph("test", tuple(NodeSpec(name, f"{kind}_stand_in") for name, kind in nodes.items()))


def test_nodes_stop_in_the_opposite_order_and_leave_nothing_behind(pipe, tmp_path):
    with Supervisor(graph_of(a="steady", b="steady", c="steady"), tmp_path / "log") as supervisor:
        pipe.wait_for_starts(3)
        supervisor.check()
    pipe.wait_until_all_gone()
    assert len((tmp_path / "order").read_text().split()) == 3
    assert [p.returncode for p in supervisor.processes.values()] == [0, 0, 0]


def test_a_node_may_be_stopped_on_purpose(pipe, tmp_path):
    with Supervisor(graph_of(a="steady", b="steady"), tmp_path / "log") as supervisor:
        pipe.wait_for_starts(2)
        assert supervisor.stop_node("b") == 0
        supervisor.check()


def test_a_node_that_ignores_requests_is_killed(pipe, tmp_path):
    with Supervisor(graph_of(a="stubborn"), tmp_path / "log", QUICK) as supervisor:
        pipe.wait_for_starts(1)
        assert supervisor.stop_node("a") == -signal.SIGKILL
    pipe.wait_until_all_gone()


def test_processes_a_node_left_behind_are_ended_too(pipe, tmp_path):
    with Supervisor(graph_of(a="parent"), tmp_path / "log"):
        pipe.wait_for_starts(1)
    pipe.wait_until_all_gone()


def test_a_node_that_ended_is_named_with_its_last_words(pipe, tmp_path):
    with Supervisor(graph_of(a="steady", b="broken"), tmp_path / "log") as supervisor:
        pipe.wait_for_starts(1)
        supervisor.processes["b"].wait()
        with pytest.raises(GraphError, match=r"node 'b' ended with exit status 3.*b\.log:") as caught:
            supervisor.check()
    assert str(caught.value).endswith("  line 18\n  line 19")
    assert "line 3\n" not in str(caught.value)


def test_a_killed_node_is_told_from_one_that_gave_up(pipe, tmp_path):
    with Supervisor(graph_of(a="steady"), tmp_path / "log") as supervisor:
        pipe.wait_for_starts(1)
        supervisor.processes["a"].kill()
        supervisor.processes["a"].wait()
        message = r"node 'a' ended with signal SIGKILL.*\n  \(it printed nothing\)"
        with pytest.raises(GraphError, match=message):
            supervisor.check()


# A supervisor in a process of its own, so that it can be interrupted or killed.
SUPERVISE = """
import signal, sys, time
from pathlib import Path
from il_cli.process import Supervisor
from il_core.graph import Graph, NodeSpec
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits "ignored"
nodes = tuple(NodeSpec(name, "steady_stand_in") for name in "ab")
with Supervisor(Graph("test", nodes), Path(sys.argv[1])):
    while True:
        time.sleep(0.1)  # pause() would sleep on with a signal that came just before it
"""


def supervising_process(tmp_path):
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-c", SUPERVISE, str(tmp_path / "log")]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def test_ctrl_c_stops_every_node(pipe, tmp_path):
    process = supervising_process(tmp_path)
    pipe.wait_for_starts(2)
    process.send_signal(signal.SIGINT)
    pipe.wait_until_all_gone()
    assert process.wait() != 0
    assert len((tmp_path / "order").read_text().split()) == 2


def test_nodes_end_with_a_supervisor_that_is_killed(pipe, tmp_path):
    process = supervising_process(tmp_path)
    pipe.wait_for_starts(2)
    process.kill()
    process.wait()
    pipe.wait_until_all_gone()
