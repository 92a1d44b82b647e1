"""The launch files, started by ROS 2's own launch: ready, at rate, useful, and safe however they end.

docs/launch_tests.md tells what they need and how to run them.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

if "launch_pytest.plugin" not in sys.modules:  # pytest loads it by itself where it is installed
    pytest.skip("launch_pytest is not loaded: it comes with a sourced ROS 2", allow_module_level=True)
if pytest.version_tuple >= (8, 4):
    pytest.skip("launch_pytest needs pytest < 8.4: it reads what later ones renamed", allow_module_level=True)
PREFIXES = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
if not any((p / "lib" / "il_robot" / "controller_node").exists() for p in PREFIXES):
    pytest.skip("il_robot is not installed: run colcon build and source install/setup.bash", allow_module_level=True)

import launch_pytest  # noqa: E402
from launch.actions import IncludeLaunchDescription, RegisterEventHandler  # noqa: E402
from launch.event_handlers import OnProcessExit, OnProcessStart  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launched import (  # noqa: E402
    GRAPH_OF,
    LAUNCH,
    RECORDINGS,
    TASK,
    Ear,
    Ros2Launch,
    arguments_of,
    foreign_arm,
    is_gone,
    is_realtime_granted,
    lifecycle_state,
    parameter,
    wait_for_signs_of_life,
)
from sensor_msgs.msg import Joy  # noqa: E402
from trajectory_msgs.msg import MultiDOFJointTrajectory  # noqa: E402

from il_cli.ros.session import Session  # noqa: E402
from il_core import topics  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.graph import AtEnd, Graph, GraphOptions, graph  # noqa: E402
from il_core.ros import qos  # noqa: E402
from launch import LaunchDescription  # noqa: E402

CAMERAS = load_setup(TASK).task.cameras
every_file = pytest.mark.parametrize("name", GRAPH_OF)


class Processes:
    """What launch says of its processes."""

    def __init__(self):
        self.starts, self.exits, self.order = {}, {}, []

    def handlers(self):
        return [
            RegisterEventHandler(OnProcessStart(on_start=self._on_start)),
            RegisterEventHandler(OnProcessExit(on_exit=self._on_exit)),
        ]

    def _on_start(self, event, context):
        self.starts.setdefault(event.process_name.split("-")[0], []).append(event.pid)

    def _on_exit(self, event, context):
        name = event.process_name.split("-")[0]
        self.exits[name] = event.returncode
        self.order.append(name)


@launch_pytest.fixture(params=list(GRAPH_OF))
def launched(request, tmp_path, monkeypatch):
    """Launch one file; the test gets the graph's description, and what becomes of the processes."""
    monkeypatch.chdir(tmp_path)
    arguments, described = arguments_of(request.param, tmp_path)
    processes = Processes()
    file = PythonLaunchDescriptionSource(str(LAUNCH / f"{request.param}.launch.py"))
    included = IncludeLaunchDescription(file, launch_arguments=arguments.items())
    return LaunchDescription([*processes.handlers(), included]), described, processes, tmp_path


@contextlib.contextmanager
def arm_for(described, folder):
    """Arm and cameras of a graph that brings none."""
    with foreign_arm(folder) if described.name == "robot" else contextlib.nullcontext():
        yield


def use_teleop(session, ear):
    """A gamepad at rest is heard."""
    joy = session.node.create_publisher(Joy, topics.JOY, qos.STREAM)
    message = Joy(axes=[0.0] * 8, buttons=[0] * 16)
    ear.wait(lambda: "teleop" in session.diagnostics, "a word of the teleop node")
    silent = session.diagnostics["teleop"]["message"]
    timer = session.node.create_timer(0.02, lambda: joy.publish(message))
    ear.wait(lambda: session.diagnostics["teleop"]["message"] != silent, f"another word than '{silent}'")
    timer.cancel()


def use_recorder(session, ear):
    """A recording is made where the launch argument says."""
    session.trigger(topics.RECORDER_START)
    time.sleep(1.0)
    session.trigger(topics.RECORDER_STOP)
    session.trigger(topics.RECORDER_KEEP)
    assert len(list(Path(RECORDINGS).rglob("recording.json"))) == 1


def use_policy(session, ear):
    """The policy plans once it is allowed to."""
    ear.listen(topics.POSE_CHUNK, MultiDOFJointTrajectory, qos.COMMAND)
    ear.wait(lambda: session.diagnostics.get("policy", {}).get("message") == "ready", "policy ready")
    session.set_bool(topics.POLICY_ENABLE, True)
    ear.wait(lambda: len(ear.data[topics.POSE_CHUNK]) >= 2, "two plans")
    session.set_bool(topics.POLICY_ENABLE, False)
    session.trigger(topics.CONTROLLER_HOLD)


USES = {"teleop": use_teleop, "recorder": use_recorder, "policy": use_policy}


def kill_and_see_it_again(node, processes, session):
    """A node that may be started again is, and works."""
    os.kill(processes.starts[node.name][-1], signal.SIGKILL)
    end = time.monotonic() + 30.0
    while len(processes.starts[node.name]) < 2:
        assert time.monotonic() < end, f"{node.name} was not started again"
        time.sleep(0.05)
    wait_for_signs_of_life(Graph("again", (node,)), lambda: None)
    if node.is_managed:  # services of the killed process are on the graph for a while: its status is a better sign

        def is_active():  # what is not tells so in its status
            return "lifecycle" not in session.diagnostics.get(node.name, {"lifecycle": "silent"})

        session.diagnostics.pop(node.name, None)
        session.wait(is_active, 60.0, f"{node.name} works again")
    assert processes.exits.pop(node.name) == -signal.SIGKILL
    processes.order.remove(node.name)


@pytest.mark.launch(fixture=launched)
def test_a_launched_graph_works_and_leaves_the_arm_to_gravity_compensation(launched):
    _, described, processes, folder = launched

    def check():
        assert processes.exits == {}, "a node ended"

    with arm_for(described, folder), Session("launch_test") as session:
        wait_for_signs_of_life(described, check)
        managed = [n.name for n in described.nodes if n.is_managed]
        assert {n: lifecycle_state(session, n) for n in managed} == dict.fromkeys(managed, "active")
        ear = Ear(session, ())
        for name in {"sim", "controller"} & set(processes.starts) if is_realtime_granted() else ():
            assert os.sched_getscheduler(processes.starts[name][0]) == os.SCHED_FIFO
        for node in described.nodes:
            if node.name in USES:
                USES[node.name](session, ear)
        may_respawn = [n for n in described.nodes if n.at_end is AtEnd.RESPAWN and n.name not in ("bringup", "console")]
        again = may_respawn[-1] if may_respawn else None
        if again is not None:
            check()
            kill_and_see_it_again(again, processes, session)
        ear.lead_to_and_fro()
        check()
        yield  # launch shuts the graph down
        time.sleep(0.5)  # what is still on its way
        assert processes.exits == {node.name: 0 for node in described.nodes}
        assert processes.order == [node.name for node in reversed(described.nodes)]
        ear.assert_left_to_gravity_compensation()


@pytest.mark.launch(fixture=launched)
def test_arm_controller_and_cameras_of_a_launched_graph_keep_their_rates(launched):
    _, described, _, folder = launched
    with arm_for(described, folder), Session("launch_test") as session:
        wait_for_signs_of_life(described, lambda: None)
        ear = Ear(session, CAMERAS)
        rates = ear.rates()
        print({topic: round(rate, 1) for topic, rate in rates.items()})
        assert 900 < rates.pop(topics.JOINT_STATES) < 1100, "the arm's rate, 1 kHz"
        assert 900 < rates.pop(topics.EFFORT_SETPOINT) < 1100, "the controller's"
        assert all(20 < rate < 33 for rate in rates.values()), rates  # 30 Hz
        yield


@every_file
def test_ctrl_c_ends_every_node_in_order_and_leaves_the_arm_to_gravity_compensation(name, tmp_path):
    arguments, described = arguments_of(name, tmp_path)
    with (
        arm_for(described, tmp_path),
        Ros2Launch(name, arguments, tmp_path) as launched,
        Session("launch_test") as session,
    ):
        wait_for_signs_of_life(described, launched.check)
        ear = Ear(session, ())
        ear.lead_to_and_fro()
        pids = launched.pids()
        assert set(pids) == {node.name for node in described.nodes}
        launched.interrupt()
        status, order = launched.ended()
        assert status == 0, launched.text()[-3000:]
        assert order == [node.name for node in reversed(described.nodes)]
        assert all(is_gone(pid) for pid in pids.values())
        time.sleep(0.5)
        ear.assert_left_to_gravity_compensation()


@every_file
def test_without_its_controller_a_graph_goes_down_and_the_arm_comes_to_rest(name, tmp_path):
    arguments, described = arguments_of(name, tmp_path)
    with (
        arm_for(described, tmp_path),
        Ros2Launch(name, arguments, tmp_path) as launched,
        Session("launch_test") as session,
    ):
        wait_for_signs_of_life(described, launched.check)
        ear = Ear(session, ())
        ear.lead_to_and_fro()
        os.kill(launched.pids()["controller"], signal.SIGKILL)
        speed, height_m = ear.speed(), ear.height_m()
        status, order = launched.ended()
        assert status == 1
        assert "graph goes down: node 'controller' ended with signal SIGKILL" in launched.text()
        assert order == [node.name for node in reversed(described.nodes) if node.name != "controller"]
        time.sleep(0.5)
        assert ear.speed() < max(0.5 * speed, 0.1)  # the arm's own fallback
        assert abs(ear.height_m() - height_m) < 0.1


def test_namespace_parameters_and_simulated_time_reach_every_node(tmp_path):
    (tmp_path / "mine.yaml").write_text("/left/recorder: {ros__parameters: {operator: Ada}}\n")
    arguments = {"task": "draw_symbol", "namespace": "left", "use_sim_time": "true", "params": "mine.yaml"}
    options = GraphOptions(task="draw_symbol", namespace="left", use_sim_time=True, monitor=True)
    described = graph("record", options)
    with Ros2Launch("record", arguments, tmp_path) as launched, Session("launch_test") as session:
        wait_for_signs_of_life(described, launched.check)
        assert parameter(session, "/left/recorder", "operator").string_value == "Ada"
        assert parameter(session, "/left/recorder", "rules").string_value == "recorder"  # config/launch/nodes.yaml
        assert all(
            parameter(session, f"/left/{node.name}", "use_sim_time").bool_value == (node.name != "sim")
            for node in described.nodes
        )
        published = {n for n, _ in session.node.get_topic_names_and_types() if session.node.count_publishers(n)}
        # by convention outside of every namespace, and what the session of this test publishes; time is the arm's own
        shared = {"/diagnostics", "/rosout", "/parameter_events", f"/{topics.POSE_CHUNK}"}
        assert {n for n in published if not n.startswith("/left/")} <= shared
        assert "/left/clock" in published
        launched.interrupt()
        order = ["bringup", "teleop", "recorder", "controller", "sim"]
        assert launched.ended() == (0, order), launched.text()[-3000:]


def test_managed_nodes_are_brought_up_by_the_manager_and_taken_down_by_it(tmp_path):
    arguments = {"task": "draw_symbol", "manage": "true", "recordings": RECORDINGS}
    described = graph("record", GraphOptions(task="draw_symbol", manage=True))
    with Ros2Launch("record", arguments, tmp_path) as launched, Session("launch_test") as session:
        wait_for_signs_of_life(described, launched.check)
        managed = [n.name for n in described.nodes if n.is_managed]
        assert managed == ["controller", "recorder", "teleop"]
        session.wait(
            lambda: "nodes are ready" in session.diagnostics.get("bringup", {}).get("message", ""), 60.0, "readiness"
        )
        assert {n: lifecycle_state(session, n) for n in managed} == dict.fromkeys(managed, "active")
        launched.interrupt()
        assert launched.ended() == (0, ["bringup", "teleop", "recorder", "controller", "sim"]), launched.text()[-3000:]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("policy", {}, "needs a checkpoint; train one with `il train`"),
        ("sim", {"task": "pick_plaice"}, "did you mean 'pick_place'?"),
        ("sim", {"seed": "seven"}, "graph options: seed: expected int, got 'seven'"),
        ("sim", {"params": "none.yaml"}, "none.yaml: no such parameter file"),
        ("teleop", {"device": "jyo"}, "node 'teleop' ended with exit status 1, and it refused to start"),
    ],
)
def test_a_graph_that_cannot_start_says_why_and_ends_with_status_1(name, arguments, words, tmp_path):
    with Ros2Launch(name, arguments, tmp_path) as launched:
        status, _ = launched.ended()
        assert status == 1
        assert words in launched.text()
