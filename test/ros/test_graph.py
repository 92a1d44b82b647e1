"""The graph of `il up sim` over ROS 2: it gets ready, says who is silent, and leaves nothing behind."""

import os

import pytest

from il_cli.process import Supervisor
from il_core.errors import GraphError
from il_core.graph import Graph, GraphOptions, NodeSpec, graph


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
