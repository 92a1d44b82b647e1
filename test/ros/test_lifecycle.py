"""Managed nodes over real DDS: they walk through their states and back, and leave the arm and the disk safe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from insist import insisting

pytest.importorskip("rclpy")
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402 - needs ROS
from rcl_interfaces.srv import DescribeParameters  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from il_cli.ros.session import Session  # noqa: E402
from il_core import topics, wire  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.errors import GraphError  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_core.store.recording import Recording, list_recordings  # noqa: E402
from il_core.types import ArmState, Outcome  # noqa: E402

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0
TASK = "draw_symbol"  # no cameras


class Rig:
    """The simulated arm and three managed nodes that wait for a manager, and what the arm does."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.root = session, folder / "recordings"
        self.joints = wire.JointMap(load_setup(TASK).robot)
        self.newest = b""
        self.setpoints = 0
        # As bytes: decoding 2 kHz would hold up the answers of services on a busy machine.
        session.node.create_subscription(JointState, topics.JOINT_STATES, self._remember, qos.LATEST, raw=True)
        session.node.create_subscription(JointState, topics.EFFORT_SETPOINT, self._count, qos.LATEST, raw=True)
        self.order = session.node.create_publisher(JointState, topics.GO_TO_POSTURE, qos.COMMAND)
        self.processes = {
            "sim": self._start("il_sim.ros.sim_node"),
            "controller": self._start("il_control.ros.controller_node", "autostart:=false"),
            "recorder": self._start("il_teleop.ros.recorder_node", "autostart:=false", f"root:={self.root}"),
            "teleop": self._start("il_teleop.ros.teleop_node", "autostart:=false"),
        }

    def _start(self, module: str, *parameters: str) -> subprocess.Popen[bytes]:
        words = [word for one in (f"task:={TASK}", *parameters) for word in ("-p", one)]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", module, "--ros-args", *words]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL)

    def _remember(self, data: bytes) -> None:
        self.newest = data

    def _count(self, data: bytes) -> None:
        self.setpoints += 1

    def to(self, name: str, *transitions: str) -> None:
        """Take a node through transitions that must succeed."""
        for transition in transitions:
            assert self.ask(name, transition), f"{name} refused to {transition}: {self.session.diagnostics.get(name)}"

    def ask(self, name: str, transition: str) -> bool:
        """Whether a node says that a transition succeeded."""
        request = ChangeState.Request()
        request.transition.label = transition
        return bool(self.session.call(ChangeState, f"{name}/change_state", request, 2 * LIMIT_S).success)

    def state(self, name: str) -> str:
        answer = self.session.call(GetState, f"{name}/get_state", GetState.Request(), LIMIT_S)
        return str(answer.current_state.label)

    def wait(self, condition, what: str) -> None:
        self.session.wait(condition, LIMIT_S, what)

    def wait_said(self, name: str, words: str) -> None:
        self.wait(lambda: words in self.session.diagnostics.get(name, {}).get("message", ""), f"{name} says '{words}'")

    def _arm(self) -> ArmState:
        return wire.arm_state_from(deserialize_message(self.newest, JointState), self.joints)

    def q(self) -> np.ndarray:
        return self._arm().q

    def v(self) -> np.ndarray:
        return self._arm().v


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Session("lifecycle_test") as session:
        rig = Rig(session, tmp_path_factory.mktemp("lifecycle"))
        try:
            yield rig
            for process in reversed(rig.processes.values()):
                process.send_signal(signal.SIGINT)
            codes = {name: process.wait(10.0) for name, process in rig.processes.items()}
            assert set(codes.values()) == {0}, codes
        finally:
            for process in rig.processes.values():
                process.kill()
                process.wait()


def test_nodes_that_do_not_start_themselves_wait_and_command_nothing(rig: Rig) -> None:
    rig.wait(lambda: rig.newest, "the arm")
    for name in ("controller", "recorder", "teleop"):
        rig.wait_said(name, "unconfigured: waits to be configured")
        assert rig.state(name) == "unconfigured"
    rig.to("controller", "configure")
    rig.wait_said("controller", "inactive: waits to be activated")
    assert rig.setpoints == 0 and not rig.session.path
    rig.to("controller", "cleanup")


def test_a_controller_that_is_deactivated_in_a_motion_brings_the_arm_to_rest_and_falls_silent(rig: Rig) -> None:
    rig.to("controller", "configure", "activate")
    rig.wait(lambda: rig.session.path, "the controller")
    q_far = rig.q() + np.array([0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5])
    wish = JointState(name=rig.joints.names, position=[float(x) for x in q_far])
    rig.wait(insisting(partial(rig.order.publish, wish), lambda: np.abs(rig.v()).max() > 0.1), "the arm moves")

    rig.to("controller", "deactivate")
    time.sleep(0.1)  # what was on its way
    count, q_rest = rig.setpoints, rig.q()
    assert np.abs(rig.v()).max() < 0.03
    assert np.abs(q_far - q_rest).max() > 0.2, "stopped on the way"
    time.sleep(0.4)  # the simulated arm has long fallen back to gravity compensation
    assert rig.setpoints == count
    assert np.abs(rig.q() - q_rest).max() < 0.02
    assert rig.state("controller") == "inactive"

    rig.to("controller", "activate")  # it holds here, and has forgotten where it was going
    rig.wait(lambda: rig.setpoints > count + 100, "setpoints again")
    assert np.abs(rig.q() - q_rest).max() < 0.02
    rig.to("controller", "deactivate", "cleanup", "configure", "activate")


def test_a_latched_stop_outlasts_deactivation_and_only_a_person_ends_it(rig: Rig) -> None:
    rig.session.trigger(topics.CONTROLLER_STOP)
    rig.wait_said("controller", "stopped by a person")
    rig.to("controller", "deactivate", "activate", "deactivate", "cleanup", "configure", "activate")
    rig.wait_said("controller", "stopped by a person")
    count, q_rest = rig.setpoints, rig.q()
    rig.wait(lambda: rig.order.get_subscription_count() > 0, "the controller listens")
    wish = JointState(name=rig.joints.names, position=[float(x) for x in q_rest + 0.3])
    rig.order.publish(wish)
    rig.wait(lambda: rig.setpoints > count + 500, "setpoints")
    assert np.abs(rig.q() - q_rest).max() < 0.02, "what is asked for in a stop is not done"

    assert rig.session.trigger(topics.CONTROLLER_RESUME) == "the arm may move"
    rig.wait_said("controller", "hold")
    assert np.abs(rig.q() - q_rest).max() < 0.02, "nor after it"
    is_followed = insisting(partial(rig.order.publish, wish), lambda: np.abs(rig.q() - q_rest).max() > 0.1, again_s=5.0)
    rig.wait(is_followed, "a wish after the stop is followed")


def test_a_take_that_runs_when_the_recorder_is_deactivated_is_kept_whole(rig: Rig) -> None:
    rig.to("recorder", "configure")
    with pytest.raises(GraphError, match="the recorder is inactive; activate it first"):
        rig.session.trigger(topics.RECORDER_START)
    rig.to("recorder", "activate")
    rig.session.trigger(topics.RECORDER_START)
    time.sleep(0.5)
    rig.to("recorder", "deactivate")
    (path,) = list_recordings(rig.root)
    recording = Recording.open(path)
    assert recording.header.outcome is Outcome.UNLABELLED
    assert recording.counts[topics.JOINT_STATES] > 300
    assert sum(1 for _ in recording.messages()) == sum(recording.counts.values())
    rig.to("recorder", "activate")
    rig.session.trigger(topics.RECORDER_START)
    rig.session.trigger(topics.RECORDER_DISCARD)


def test_what_may_change_at_any_time_does_and_the_rest_says_when(rig: Rig) -> None:
    session = rig.session
    request = DescribeParameters.Request(names=["silent_s", "root"])
    silent, root = session.call(DescribeParameters, "recorder/describe_parameters", request, LIMIT_S).descriptors
    assert "without a message for so long" in silent.description
    assert (silent.floating_point_range[0].from_value, silent.floating_point_range[0].to_value) == (0.05, 600.0)
    assert "only while the node is unconfigured" in root.additional_constraints

    session.set_parameter("recorder", "countdown_s", 1.5)
    rig.wait(lambda: session.diagnostics["recorder"].get("flow:countdown_s") == "1.5", "the countdown")
    session.set_parameter("recorder", "countdown_s", 0)
    with pytest.raises(GraphError, match="out of range"):
        session.set_parameter("recorder", "silent_s", 0.0)
    with pytest.raises(GraphError, match="silent_s: expected float, got 'long'"):
        session.set_parameter("recorder", "silent_s", "long")
    with pytest.raises(GraphError, match="'root' changes only while the node is unconfigured"):
        session.set_parameter("recorder", "root", "elsewhere")


def test_a_configuration_that_fails_says_why_and_may_be_repaired(rig: Rig) -> None:
    rig.to("recorder", "deactivate", "cleanup")
    rig.session.set_parameter("recorder", "rules", "recordre")
    assert not rig.ask("recorder", "configure")
    rig.wait_said("recorder", "cannot configure: ")
    rig.wait_said("recorder", "did you mean 'recorder'?")
    assert rig.state("recorder") == "unconfigured"
    rig.session.set_parameter("recorder", "rules", "recorder")
    rig.to("recorder", "configure", "activate", "deactivate", "cleanup")


def test_teleoperation_walks_there_and_back_and_takes_new_speeds(rig: Rig) -> None:
    rig.to("teleop", "configure", "activate")
    rig.wait_said("teleop", "no Joy message yet")
    rig.session.set_parameter("teleop", "max_speed_m_s", 0.1)
    with pytest.raises(GraphError, match="out of range"):
        rig.session.set_parameter("teleop", "max_speed_m_s", 100.0)
    rig.to("teleop", "deactivate", "cleanup", "configure", "activate", "deactivate")
    rig.wait_said("teleop", "inactive")
