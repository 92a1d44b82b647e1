"""The SROS2 policy against a running graph, the ports it opens, and the refusal of a secure mode nobody can keep."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from il_cli.process import Supervisor
from il_cli.ros.observe import observe
from il_cli.security_check import probe_middleware
from il_cli.security_policy import load_connections
from il_core.errors import SecurityError
from il_core.graph import GraphOptions, graph

NODES = ("sim", "sim_camera", "controller", "recorder", "teleop", "operator")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The graph that uses most, and what is seen of it."""
    folder = tmp_path_factory.mktemp("security")
    options = GraphOptions(operator=True, recordings=str(folder / "recordings"))
    with Supervisor(graph("record", options), folder / "log") as supervisor:
        supervisor.wait_ready(60.0)
        yield supervisor, observe(NODES)


@pytest.mark.parametrize("node", NODES)
def test_the_policy_covers_exactly_what_a_node_uses(running, node):
    table = load_connections()
    seen, noted = running[1][node], table.seen_of(node)
    remedy = "run `il security observe --out config/security/connections.yaml` beside a graph, then `make docs`"
    assert seen - (noted | table.of(node)) == type(seen)(), f"used and not allowed; {remedy}"
    assert noted - seen == type(seen)(), f"allowed and not used; {remedy}"


def test_nodes_listen_to_dds_on_this_machine_and_to_nothing_else(running):
    """DDS hears on ports that follow from the domain; what it sends from are ports the kernel chose, never read."""
    low, _, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().partition("\t")
    for name, process in running[0].processes.items():
        sockets = psutil.Process(process.pid).net_connections()
        assert {s.type.name for s in sockets} == {"SOCK_DGRAM"}, f"node '{name}' has {sockets}"
        heard = [s.laddr for s in sockets if not int(low) <= s.laddr.port <= int(high)]
        assert heard and {a.ip for a in heard} == {"127.0.0.1"}, f"node '{name}' hears {heard}"


def test_secure_mode_is_refused_in_words_where_the_middleware_cannot_keep_it(monkeypatch, tmp_path):
    if probe_middleware(os.environ).has_security:
        pytest.skip("this middleware has DDS-Security")
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    with pytest.raises(SecurityError, match="middleware cannot keep it: .*security libraries; nothing was started"):
        Supervisor(graph("sim", GraphOptions(task="draw_symbol")), tmp_path).__enter__()
    monkeypatch.delenv("ROS_SECURITY_ENABLE")
    command = [sys.executable, "-m", "il_cli.main", "up", "sim", "--secure"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "nothing was started" in done.stderr


def test_a_node_started_by_hand_never_runs_insecurely_in_secure_mode():
    environment = {**os.environ, "ROS_SECURITY_ENABLE": "True", "ROS_SECURITY_STRATEGY": "Permissive"}
    command = [sys.executable, "-m", "il_sim.ros.sim_node"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
