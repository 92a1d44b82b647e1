"""The launch files, started by ROS 2's own launch: ready, at rate, useful, and safe at the end.

docs/launch_tests.md tells what they need and how to run them.
"""

import os
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

if "launch_pytest.plugin" not in sys.modules:  # pytest loads it by itself where it is installed
    pytest.skip("launch_pytest is not loaded: it comes with a sourced ROS 2", allow_module_level=True)
if pytest.version_tuple >= (8, 4):
    pytest.skip("launch_pytest needs pytest < 8.4: it reads what later ones renamed", allow_module_level=True)
PREFIXES = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
if not any((p / "lib" / "il_robot" / "controller_node").exists() for p in PREFIXES):
    pytest.skip("il_robot is not installed: run colcon build and source install/setup.bash", allow_module_level=True)

import launch_pytest  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from launch.actions import IncludeLaunchDescription, RegisterEventHandler  # noqa: E402
from launch.event_handlers import OnProcessExit  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from sensor_msgs.msg import Image, JointState, Joy  # noqa: E402
from trajectory_msgs.msg import MultiDOFJointTrajectory  # noqa: E402

from il_cli.ros.session import Session  # noqa: E402
from il_cli.ros.watch import Watch  # noqa: E402
from il_control.model import ArmModel  # noqa: E402
from il_core import topics, wire  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.graph import GraphOptions, graph  # noqa: E402
from il_core.ros import convert, qos  # noqa: E402
from il_policy import checkpoint  # noqa: E402
from il_policy.config import Head, NetworkConfig, TrainConfig  # noqa: E402
from il_policy.policy import ChunkModel  # noqa: E402
from launch import LaunchDescription  # noqa: E402

LAUNCH = Path(__file__).parents[2] / "launch"
TASK = "pick_place"
READY_S, LIMIT_S, MEASURE_S = 90.0, 30.0, 4.0
RECORDINGS = "2024"  # looks like a number, and has to stay a name


def untrained(folder):
    """A checkpoint of a policy that has learned nothing."""
    setup = load_setup(TASK)
    config = TrainConfig("untrained", Head.DIFFUSION, NetworkConfig(width=64, depth=1))
    return checkpoint.save(folder, ChunkModel.for_setup(setup, config), setup, config, "none", {})


@launch_pytest.fixture(params=sorted(p.name.split(".")[0] for p in LAUNCH.glob("*.launch.py")))
def launched(request, tmp_path, monkeypatch):
    """Launch one file; the test gets the graph's description, and the exit codes as they come."""
    monkeypatch.chdir(tmp_path)
    # launch's own 5 s are too few for the end of five Python processes on an overloaded machine
    arguments = {"task": TASK, "seed": "3", "recordings": RECORDINGS, "sigterm_timeout": "30"}
    if request.param == "policy":
        arguments["checkpoint"] = str(untrained(tmp_path / "policy"))
    exits = {}

    def on_exit(event, context):
        exits[event.process_name.split("-")[0]] = event.returncode

    file = PythonLaunchDescriptionSource(str(LAUNCH / f"{request.param}.launch.py"))
    description = LaunchDescription(
        [
            RegisterEventHandler(OnProcessExit(on_exit=on_exit)),
            IncludeLaunchDescription(file, launch_arguments=arguments.items()),
        ]
    )
    options = GraphOptions(task=TASK, checkpoint=arguments.get("checkpoint", ""))
    return description, graph(request.param, options), exits


class Ear:
    """Keeps what arm, controller and cameras say, undecoded: decoding would cost the rates it measures."""

    def __init__(self, session, cameras):
        self.session, self.data = session, defaultdict(list)
        self.listen(topics.JOINT_STATES, JointState, qos.STREAM)
        self.listen(topics.EFFORT_SETPOINT, JointState, qos.STREAM)
        for camera in cameras:
            self.listen(topics.color(camera), Image, qos.IMAGE, 32)
            self.listen(topics.depth(camera), Image, qos.IMAGE, 32)

    def listen(self, topic, kind, profile, kept_bytes=None):
        self.data[topic] = []
        self.session.node.create_subscription(
            kind, topic, lambda data: self.data[topic].append(data[:kept_bytes]), profile, raw=True
        )

    def wait(self, condition, what):
        self.session.wait(condition, LIMIT_S, what)

    def rates(self):
        """Rate of each topic by the stamps of what came in MEASURE_S; a lost message lowers it."""
        before = {topic: len(data) for topic, data in self.data.items()}
        time.sleep(MEASURE_S)
        stamps = {t: [wire.header_stamp_ns_from_cdr(d) for d in self.data[t][n:]] for t, n in before.items()}
        return {t: (len(s) - 1) / (s[-1] - s[0]) * 1e9 for t, s in stamps.items()}

    def messages(self, topic, count):
        return [deserialize_message(data, JointState) for data in self.data[topic][-count:]]


def use_sim(session, ear):
    """Nothing more than arm, cameras and controller."""


def use_teleop(session, ear):
    """A gamepad at rest is heard."""
    joy = session.node.create_publisher(Joy, topics.JOY, qos.STREAM)
    message = Joy(axes=[0.0] * 8, buttons=[0] * 16)
    ear.wait(lambda: "teleop" in session.diagnostics, "a word of the teleop node")
    silent = session.diagnostics["teleop"]["message"]
    session.node.create_timer(0.02, lambda: joy.publish(message))
    ear.wait(lambda: session.diagnostics["teleop"]["message"] != silent, f"another word than '{silent}'")


def use_record(session, ear):
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


def lead_to_and_fro(session):
    """From now on ask for a motion that does not end."""
    targets = session.node.create_publisher(PoseStamped, topics.TELEOP_POSE, qos.COMMAND)
    T, began_s = session.path[-1].T_base_ee, time.monotonic()

    def send():
        T_des = T.copy()
        T_des[1, 3] += 0.1 * np.sin(4.0 * (time.monotonic() - began_s))
        targets.publish(convert.pose_stamped_msg(session.now_ns(), T_des))

    session.node.create_timer(0.02, send)


USES = {"sim": use_sim, "teleop": use_teleop, "record": use_record, "policy": use_policy}


@pytest.mark.launch(fixture=launched)
def test_a_launched_graph_works_and_leaves_the_arm_to_gravity_compensation(launched):
    _, described, exits = launched
    setup = load_setup(TASK)
    joints, model = wire.JointMap(setup.robot), ArmModel(setup)
    end = time.monotonic() + READY_S
    with Watch(described) as watch:
        while missing := watch.missing():
            assert time.monotonic() < end, missing
            assert exits == {}
            time.sleep(0.05)
    with Session("launch_test") as session:
        ear = Ear(session, setup.task.cameras)
        ear.wait(lambda: all(ear.data.values()), "a message on every topic")
        rates = ear.rates()
        assert 900 < rates.pop(topics.JOINT_STATES) < 1100, "the arm's rate, 1 kHz"
        assert 900 < rates.pop(topics.EFFORT_SETPOINT) < 1100, "the controller's"
        assert all(20 < rate < 33 for rate in rates.values()), rates  # 30 Hz
        USES[described.name](session, ear)

        def speed():
            return np.abs(wire.arm_state_from(ear.messages(topics.JOINT_STATES, 1)[0], joints).v).max()

        lead_to_and_fro(session)
        ear.wait(lambda: speed() > 0.3, "an arm in motion")
        assert exits == {}
        yield  # launch shuts the graph down
        time.sleep(0.5)  # what is still on its way
    assert exits == {node.executable: 0 for node in described.nodes}
    stamp_ns, tau = wire.effort_from(ear.messages(topics.EFFORT_SETPOINT, 1)[0], joints)
    states = [wire.arm_state_from(m, joints) for m in ear.messages(topics.JOINT_STATES, 500)]
    state = min(states, key=lambda s: abs(s.stamp_ns - stamp_ns))  # the one it answers, unless lost on the way here
    assert abs(state.stamp_ns - stamp_ns) < 20e6
    model.update(state.q, state.v)
    np.testing.assert_allclose(tau, model.gravity, atol=0.2)
