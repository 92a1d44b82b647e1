"""What the tests of launched graphs share: ears, an arm of somebody else, and `ros2 launch` as people start it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, JointState

from il_cli.process import Supervisor
from il_cli.ros.watch import Watch
from il_control.model import ArmModel
from il_core import topics, wire
from il_core.config import load_setup
from il_core.graph import Graph, GraphOptions, graph
from il_core.ros import convert, qos
from il_core.ros.node import RECORDING_PRIORITY
from il_policy import checkpoint
from il_policy.config import Head, NetworkConfig, TrainConfig
from il_policy.policy import ChunkModel

LAUNCH = Path(__file__).parents[2] / "launch"
GRAPH_OF = {"bringup": "all", **{name: name for name in ("sim", "robot", "teleop", "record", "policy")}}
TASK = "pick_place"
READY_S, LIMIT_S, MEASURE_S = 90.0, 30.0, 4.0
RECORDINGS = "2024"  # looks like a number, and has to stay a name


def arguments_of(name, folder):
    """Launch arguments of one file, and the graph it then starts."""
    chosen = {"task": TASK}
    if name != "robot":
        chosen["seed"] = "3"
    if name in ("policy", "bringup"):
        chosen["checkpoint"] = str(untrained(folder / "policy"))
    if name in ("record", "bringup"):
        chosen["recordings"] = RECORDINGS
    if name == "bringup":  # with the operator's page, on any free port
        (folder / "console.yaml").write_text("console: {ros__parameters: {port: 0}}")
        chosen |= {"console": "true", "params": str(folder / "console.yaml")}
    options = GraphOptions(
        task=TASK,
        checkpoint=chosen.get("checkpoint", ""),
        monitor=True,
        console="console" in chosen,
        params=chosen.get("params", ""),
    )
    # nodes on an overloaded machine took 5.4 s to end; ours have 10 s, here they have more
    return {**chosen, "sigterm_timeout": "30"}, graph(GRAPH_OF[name], options)


def untrained(folder):
    """A checkpoint of a policy that has learned nothing."""
    setup = load_setup(TASK)
    config = TrainConfig("untrained", Head.DIFFUSION, NetworkConfig(width=64, depth=1))
    return checkpoint.save(folder, ChunkModel.for_setup(setup, config), setup, config, "none", {})


def foreign_arm(folder):
    """Arm and cameras that somebody else starts and ends, as a driver in another terminal."""
    nodes = [n for n in graph("sim", GraphOptions(task=TASK)).nodes if n.name != "controller"]
    return Supervisor(Graph("arm", tuple(nodes)), folder / "arm_log")


def wait_for_signs_of_life(described, check):
    """Every topic and service of the graph's description."""
    end = time.monotonic() + READY_S
    with Watch(described) as watch:
        while missing := watch.missing():
            assert time.monotonic() < end, missing
            check()
            time.sleep(0.05)


@contextlib.contextmanager
def undisturbed():
    """The priority of a recorder for this process: a busy machine would make it lose what it only counts."""
    threads = [int(tid) for tid in os.listdir("/proc/self/task")] if is_realtime_granted() else []
    for tid in threads:
        os.sched_setscheduler(tid, os.SCHED_FIFO, os.sched_param(RECORDING_PRIORITY))
    try:
        yield
    finally:
        for tid in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(tid, os.SCHED_OTHER, os.sched_param(0))


class Ear:
    """Keeps what arm, controller and cameras say, undecoded: decoding would cost the rates it measures."""

    def __init__(self, session, cameras):
        self.session, self.data = session, defaultdict(list)
        self.setup = load_setup(TASK)
        self.joints = wire.JointMap(self.setup.robot)
        self.listen(topics.JOINT_STATES, JointState, qos.STREAM)
        self.listen(topics.EFFORT_SETPOINT, JointState, qos.STREAM)
        for camera in cameras:
            self.listen(topics.color(camera), Image, qos.IMAGE, 32)
            self.listen(topics.depth(camera), Image, qos.IMAGE, 32)
        self.wait(lambda: all(self.data.values()), "a message on every topic")

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
        with undisturbed():
            time.sleep(MEASURE_S)
        stamps = {t: [wire.header_stamp_ns_from_cdr(d) for d in self.data[t][n:]] for t, n in before.items()}
        return {t: (len(s) - 1) / (s[-1] - s[0]) * 1e9 for t, s in stamps.items()}

    def states(self, count):
        messages = [deserialize_message(data, JointState) for data in self.data[topics.JOINT_STATES][-count:]]
        return [wire.arm_state_from(m, self.joints) for m in messages]

    def speed(self):
        """Fastest joint now [rad/s]."""
        return np.abs(self.states(1)[0].v).max()

    def height_m(self):
        """Height of the tool now, by the joints."""
        model, state = ArmModel(self.setup), self.states(1)[0]
        model.update(state.q, state.v)
        return model.T_base_ee[2, 3]

    def lead_to_and_fro(self):
        """From now on ask for a motion that does not end; returns when the arm moves."""
        targets = self.session.node.create_publisher(PoseStamped, topics.TELEOP_POSE, qos.COMMAND)
        T, began_s = self.session.path[-1].T_base_ee, time.monotonic()

        def send():
            T_des = T.copy()
            T_des[1, 3] += 0.1 * np.sin(4.0 * (time.monotonic() - began_s))
            targets.publish(convert.pose_stamped_msg(self.session.now_ns(), T_des))

        self.session.node.create_timer(0.02, send)
        self.wait(lambda: self.speed() > 0.3, "an arm in motion")

    def assert_left_to_gravity_compensation(self):
        """The last torques ever sent hold the arm against gravity where it was, and nothing else."""
        last = deserialize_message(self.data[topics.EFFORT_SETPOINT][-1], JointState)
        stamp_ns, tau = wire.effort_from(last, self.joints)
        # the state it answers, unless lost on the way here; a driver goes on after the last command
        state = min(self.states(4000), key=lambda s: abs(s.stamp_ns - stamp_ns))
        assert abs(state.stamp_ns - stamp_ns) < 100e6  # the arm rests by then
        model = ArmModel(self.setup)
        model.update(state.q, state.v)
        np.testing.assert_allclose(tau, model.gravity, atol=0.2)


def asked(session, kind, service, request):
    """Answer to a service request."""
    return session.call(kind, service, request, LIMIT_S)  # asks twice: on a busy machine an answer may get lost


def lifecycle_state(session, node):
    return asked(session, GetState, f"{node}/get_state", GetState.Request()).current_state.label


def parameter(session, node, name):
    request = GetParameters.Request(names=[name])
    return asked(session, GetParameters, f"{node}/get_parameters", request).values[0]


def is_realtime_granted():
    """Whether a process of ours may have the priority of a controller."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))"
    return subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL).returncode == 0


class Ros2Launch:
    """`ros2 launch il_robot <file>` in a session of its own, as in a terminal."""

    def __init__(self, name, arguments, folder):
        self.log, self._folder = folder / f"{name}.log", folder
        self._command = [
            "ros2",
            "launch",
            "il_robot",
            f"{name}.launch.py",
            *(f"{k}:={v}" for k, v in arguments.items()),
        ]

    def __enter__(self):
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def text(self):
        return self.log.read_text(errors="replace")

    def check(self):
        assert self.process.poll() is None, self.text()[-3000:]

    def pids(self):
        """Newest process of each node."""
        found = re.findall(r"\[(\w+)-\d+\]: process started with pid \[(\d+)\]", self.text())
        return {name: int(pid) for name, pid in found}

    def interrupt(self):
        """What Ctrl-C in a terminal does: SIGINT to everybody in the foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self):
        """Exit status, and the nodes that ended cleanly, in that order."""
        status = self.process.wait(60.0)
        return status, re.findall(r"\[(\w+)-\d+\]: process has finished cleanly", self.text())


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")
