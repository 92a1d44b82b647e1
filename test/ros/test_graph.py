"""The graph of `il up sim` over ROS 2: it gets ready, says who is silent, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from il_cli.process import Supervisor
from il_core.errors import GraphError
from il_core.graph import Graph, GraphOptions, NodeSpec, graph
from il_core.graph_spec import Place

ROOT = Path(__file__).parents[2]


def still_runs(pid):
    return os.path.exists(f"/proc/{pid}")


def test_the_sim_graph_gets_ready_and_ends_in_order(tmp_path):
    with Supervisor(graph("sim", GraphOptions(task="draw_symbol")), tmp_path) as supervisor:
        supervisor.wait_ready(60.0)
        supervisor.check()
        pids = [process.pid for process in supervisor.processes.values()]
        assert [p for p in pids if not still_runs(p)] == []
    assert [process.returncode for process in supervisor.processes.values()] == [0, 0]
    assert [p for p in pids if still_runs(p)] == []


def test_a_topic_that_never_comes_is_named_with_its_node(tmp_path):
    # Without an arm there are no joint states, so the controller cannot say where the tool is.
    lonely = graph("sim", GraphOptions(task="draw_symbol", sim=False))
    with Supervisor(lonely, tmp_path) as supervisor:
        message = "not ready within 4 s: node 'controller' sends nothing on topic 'control/ee_pose'"
        with pytest.raises(GraphError, match=message):
            supervisor.wait_ready(4.0)


def test_a_node_killed_in_the_middle_is_noticed(tmp_path):
    with Supervisor(graph("sim", GraphOptions(task="draw_symbol")), tmp_path) as supervisor:
        supervisor.wait_ready(60.0)
        supervisor.processes["sim"].kill()
        supervisor.processes["sim"].wait()
        with pytest.raises(GraphError, match="node 'sim' ended with signal SIGKILL"):
            supervisor.check()


def test_a_node_that_refuses_its_parameters_ends_the_wait_with_its_own_sentence(tmp_path):
    wrong = Graph("test", (NodeSpec("teleop", "il_teleop.ros.teleop_node", {"device": "jyo"}, ("joy",)),))
    with Supervisor(wrong, tmp_path) as supervisor:
        with pytest.raises(GraphError, match=r"(?s)node 'teleop' ended with exit status 1.*error: .*'jyo'"):
            supervisor.wait_ready(60.0)


def test_il_up_serves_the_page_measures_every_topic_and_keeps_the_time_of_a_namespace_to_itself(tmp_path):
    from il_cli.ros.session import Session

    (tmp_path / "p.yaml").write_text("/**/console: {ros__parameters: {port: 0}}")
    options = ["--task", "draw_symbol", "--namespace", "left", "--use-sim-time", "--console", "--params", "p.yaml"]
    command = [sys.executable, "-m", "il_cli.main", "up", "sim", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            told = []
            while not told or not told[-1].startswith("console: http://127.0.0.1:"):
                told.append(running.stdout.readline())
                assert told[-1], f"it ended: {told}"
            with urlopen(told[-1].split()[1], timeout=10.0) as page:  # noqa: S310 - on this machine
                assert b"<html" in page.read()
            with Session("time_test", Place("left", use_sim_time=True)) as session:
                rate = lambda: float(session.diagnostics.get("topic clock", {}).get("rate_hz") or 0.0)  # noqa: E731
                session.wait(lambda: 900 < rate() < 1100, 20.0, "the rate of the clock")
                session.wait(lambda: session.now_ns() > 0, 5.0, "the clock for who joins")
                assert session.node.count_publishers("/clock") == 0, "another arm's clock would be mixed with this one"
                assert session.node.count_publishers("/left/clock") == 1
                seen = {name.removeprefix("topic ") for name in session.diagnostics if name.startswith("topic ")}
                assert seen >= {"control/target_pose", "gripper/setpoint", "control/source", "sim/success"}
                assert session.diagnostics["bringup: console"]["message"] == "ready"
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(30.0)
