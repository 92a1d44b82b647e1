"""The SROS2 policy against a running graph, the ports it opens, and the refusal of a secure mode nobody can keep."""

import http.client
import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import fields
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml

from il_cli.process import Supervisor
from il_cli.ros.observe import observe
from il_cli.security_check import probe_middleware
from il_cli.security_policy import Connections, full_name, granted, load_connections, policy_text
from il_core import topics
from il_core.config import load_setup
from il_core.errors import SecurityError
from il_core.graph import Graph, GraphOptions, graph
from il_core.graph_spec import Place

NAMESPACE = "left"  # in one, what a node names without it is seen to be outside
NODES = ("sim", "sim_camera", "controller", "recorder", "teleop", "operator")
PAGE = ("console", "console_previews") if importlib.util.find_spec("uvicorn") else ()
OBSERVED = ("bringup", "description", "policy", *PAGE)
BESIDE = (*OBSERVED, "bringup_topics", "camera", "first_command", "gazebo", "gazebo_camera")
COMMANDS = ("il_session", "il_watch")


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


def test_the_observer_offers_nothing_so_that_the_keys_of_any_namespace_let_it_look(monkeypatch):
    own = []

    def look(observer, nodes, end):
        own.append(observer.get_service_names_and_types_by_node(observer.get_name(), observer.get_namespace()))
        return {}

    monkeypatch.setattr("il_cli.ros.observe._settled", look)
    observe()
    assert own == [[]]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The graph that uses most, and what is seen of it."""
    folder = tmp_path_factory.mktemp("security")
    options = GraphOptions(operator=True, recordings=str(folder / "recordings"), namespace=NAMESPACE)
    with Supervisor(graph("record", options), folder / "log") as supervisor:
        supervisor.wait_ready(60.0)
        yield supervisor, observe(NODES)


class NoPictures:
    """A depth camera that is not plugged in."""

    calibration = None

    def read(self, timeout_s):
        return None

    def condition(self):
        return SimpleNamespace(is_streaming=False, text="not there", values={})

    def close(self):
        pass


def described_with_tf():
    """A description node as on a machine with tf2_msgs, which the wheels of ROS lack: another message stands in."""
    from std_msgs.msg import Empty

    from il_control.ros import description_node

    class TFMessage:
        def __init__(self, transforms):
            self.transforms = transforms

    class Described(description_node.DescriptionNode):
        def create_publisher(self, kind, topic, profile, **more):
            if kind is not TFMessage:
                return super().create_publisher(kind, topic, profile, **more)
            super().create_publisher(Empty, topic.lstrip("/"), profile)  # as the graph remaps it in a namespace
            return SimpleNamespace(publish=lambda msg: None)

        def create_subscription(self, kind, topic, callback, profile, **more):
            known = (Empty, topic.lstrip("/")) if kind is TFMessage else (kind, topic)
            return super().create_subscription(*known, callback, profile, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(description_node, "tf_message", lambda: TFMessage)
        return Described()


def page():
    """The nodes of the operator's page, which serves it."""
    from il_cli.ros.console_node import ConsoleNode

    return ConsoleNode()


def halts(console):
    """What the page answers to a stop without and with the token."""
    host, _, token = console._addresses()[0].removeprefix("console: http://").partition("/#token=")
    found = []
    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        asked = http.client.HTTPConnection(host, timeout=10)
        asked.request("POST", "/halt", b'{"id": "halt-0001"}', {"Origin": f"http://{host}", **headers})
        found.append(asked.getresponse().status)
    return found


@pytest.fixture(scope="module")
def place(untrained, tmp_path_factory):
    """A namespace, and what the nodes there are told."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "page.yaml").write_text(f"token_file: {folder / 'token'}")
    told = {
        "bringup": {"graph": "record", "operator": True},
        "console": {"port": 0, "settings": str(folder / "page.yaml"), "token_always": True},
        "description": {"cameras": "zed"},
        "policy": {"checkpoint": str(untrained(folder / "policy", "pick_place"))},
    }
    params = {f"/{NAMESPACE}/{node}": {"ros__parameters": values} for node, values in told.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))

    class Told(Place):
        """Every node of this process reads the file, and takes what is for it."""

        @property
        def ros_arguments(self):
            return [*super().ros_arguments, "--params-file", str(folder / "params.yaml")]

    return Told(NAMESPACE)


@pytest.fixture(scope="module")
def joined(place):
    """What is seen of nodes beside a graph and of those by which commands join, and what the page answers.

    All are in this process and have left it again.
    """
    from rclpy.node import Node

    from il_cli.ros.bringup_node import BringUpNode
    from il_cli.ros.homing import Homing
    from il_cli.ros.recording_desk import RecordingDesk
    from il_cli.ros.replaying import Replayer
    from il_cli.ros.session import Session
    from il_cli.ros.watch import Watch
    from il_core.ros.diagnostics import Diagnostics, Level
    from il_core.ros.node import spin
    from il_policy.ros.policy_node import PolicyNode
    from il_sim.ros.first_command_node import FirstCommandNode
    from il_sim.ros.gazebo_camera_node import GazeboCameraNode
    from il_sim.ros.gazebo_node import GazeboNode
    from il_teleop.ros.camera_node import CameraNode

    setup = load_setup("pick_place")
    awaited = Graph("record", graph("record", GraphOptions(namespace=NAMESPACE)).nodes, NAMESPACE)
    camera = partial(CameraNode, lambda spec, config, clock: NoPictures())
    make = (camera, described_with_tf, FirstCommandNode, GazeboNode, GazeboCameraNode, PolicyNode, *[page][: len(PAGE)])
    with Watch(awaited) as watch, Session("il_session", place) as session:
        recorder = Node("recorder")
        told = Diagnostics(recorder, "recorder")
        beat = session.node.create_timer(0.1, lambda: told.publish(Level.OK, "idle", {"saved": 0}))
        hands = Homing(session, setup.robot), Replayer(session, setup), RecordingDesk(session, {}, print)
        manager, *nodes = BringUpNode(), recorder, *(build() for build in make)
        end = time.monotonic() + 20.0

        def is_watched():
            """Whether both that hear what they find have found the joint states."""
            watch.missing()
            ask = session.node.get_subscriber_names_and_types_by_node
            heard = [dict(ask(name, f"/{NAMESPACE}")) for name in ("bringup_topics", "il_watch")]
            return all(f"/{NAMESPACE}/{topics.JOINT_STATES}" in one for one in heard) or time.monotonic() > end

        try:
            for node in nodes:
                getattr(node, "start", lambda: None)()
            spin(manager, is_watched)
            return observe((*BESIDE, *COMMANDS)), halts(nodes[-1]) if PAGE else ()
        finally:
            beat.cancel()
            for node in (manager, *nodes):
                getattr(node, "on_shutdown_safe", lambda: None)()
                node.destroy_node()
            del hands


def denied(seen, node):
    """What a node uses and no rule of its enclave matches, by full names, as sros2 expands them."""
    allowed, place = granted(policy_text(load_connections(), f"/{NAMESPACE}"), node), (node, f"/{NAMESPACE}")
    names = [(f.name, full_name(name, *place)) for f in fields(seen) for name in getattr(seen, f.name)]
    return [(how, name) for how, name in names if not any(fnmatchcase(name, p) for p in getattr(allowed, how))]


@pytest.mark.parametrize("node", [*BESIDE, *COMMANDS])
def test_the_policy_denies_nothing_to_a_node_that_is_started_beside_a_graph_or_by_a_command(joined, node):
    assert denied(joined[0][node], node) == []


@pytest.mark.parametrize("node", OBSERVED)
def test_what_was_observed_of_a_node_that_is_started_beside_is_still_used(joined, node):
    assert load_connections().seen_of(node) - joined[0][node] == Connections(), "allowed and not used"


@pytest.mark.skipif(not PAGE, reason="pip install 'il_robot[console]'")
def test_a_console_behind_a_proxy_can_be_told_to_ask_everybody_for_the_token(joined):
    """It is asked as a plain proxy or a forwarded port does: from loopback, with nothing added."""
    assert joined[1] == [401, 200]


@pytest.mark.parametrize("node", NODES)
def test_the_policy_covers_exactly_what_a_node_uses(running, node):
    table = load_connections()
    seen, noted = running[1][node], table.seen_of(node)
    remedy = "run `il security observe --out config/security/connections.yaml` beside a graph, then `make docs`"
    assert seen - (noted | table.of(node)) == type(seen)(), f"used and not allowed; {remedy}"
    assert noted - seen == type(seen)(), f"allowed and not used; {remedy}"


@pytest.mark.parametrize("node", NODES)
def test_the_policy_denies_nothing_to_a_node_of_a_graph_in_a_namespace(running, node):
    assert denied(running[1][node], node) == []


def test_nodes_listen_to_dds_on_this_machine_and_to_nothing_else(running):
    """DDS hears on ports that follow from the domain; what it sends from are ports the kernel chose, never read."""
    low, _, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().partition("\t")
    for name, process in running[0].processes.items():
        sockets = psutil.Process(process.pid).net_connections()
        assert {s.type.name for s in sockets} == {"SOCK_DGRAM"}, f"node '{name}' has {sockets}"
        heard = [s.laddr for s in sockets if not int(low) <= s.laddr.port <= int(high)]
        assert heard and {a.ip for a in heard} == {"127.0.0.1"}, f"node '{name}' hears {heard}"
