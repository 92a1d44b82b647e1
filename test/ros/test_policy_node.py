"""policy_node over real DDS: plans in absolute time, names what is missing, refuses what does not fit."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseStamped, WrenchStamped  # noqa: E402 - needs ROS
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, JointState  # noqa: E402
from trajectory_msgs.msg import MultiDOFJointTrajectory  # noqa: E402

from il_cli.ros.session import Session  # noqa: E402
from il_core import topics, wire  # noqa: E402
from il_core.config import Setup, load_setup  # noqa: E402
from il_core.errors import ConfigError, GraphError  # noqa: E402
from il_core.geometry import matrix_from_quat_xyzw, pose  # noqa: E402
from il_core.ros import convert, qos  # noqa: E402
from il_core.types import ArmState, CameraFrame  # noqa: E402
from il_policy import checkpoint  # noqa: E402
from il_policy.config import Head, NetworkConfig, ObserveConfig, TrainConfig  # noqa: E402
from il_policy.policy import ChunkModel  # noqa: E402
from il_policy.ros.policy_node import PolicyParams  # noqa: E402

pytestmark = pytest.mark.ros
LIMIT_S = 20.0
R_DOWN = matrix_from_quat_xyzw([1.0, 0.0, 0.0, 0.0])


class Sensors:
    """A still arm over a table with something red: joint states, tool pose, and two cameras at 30 Hz."""

    def __init__(self, session: Session, setup: Setup, cameras: tuple[str, ...]) -> None:
        self.node, self.setup, self.joints = session.node, setup, wire.JointMap(setup.robot)
        self.arm = self.node.create_publisher(JointState, topics.JOINT_STATES, qos.STREAM)
        self.ee = self.node.create_publisher(PoseStamped, topics.EE_POSE, qos.STREAM)
        self.cameras = [self._camera(c) for c in cameras]
        self.wrist = self.node.create_publisher(WrenchStamped, topics.WRIST_WRENCH, qos.STREAM)
        self.is_on = self.feels = True
        self.node.create_timer(0.01, self._fast)
        self.node.create_timer(0.033, self._slow)

    def _camera(self, name: str) -> tuple[CameraFrame, convert.CameraMessages, list[Any]]:
        i = self.setup.robot.camera(name).intrinsics
        rgb = np.full((i.height, i.width, 3), 90, dtype=np.uint8)
        rgb[100:140, 150:200] = (200, 10, 10)
        frame = CameraFrame(0, name, rgb, np.full((i.height, i.width), 0.5, dtype=np.float32), i)
        kinds = ((Image, topics.color), (Image, topics.depth), (CameraInfo, topics.camera_info))
        publishers = [self.node.create_publisher(kind, topic(name), qos.IMAGE) for kind, topic in kinds]
        return frame, convert.CameraMessages(name, i), publishers

    def _now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def _fast(self) -> None:
        if self.is_on:
            now_ns, nothing = self._now_ns(), np.zeros(7)
            state = ArmState(now_ns, np.array(self.setup.robot.q_home_rad), nothing, nothing, 1.0)
            self.arm.publish(convert.joint_state_msg(state, self.joints))
            self.ee.publish(convert.pose_stamped_msg(now_ns, pose([0.45, 0.0, 0.3], R_DOWN)))
        if self.feels:
            msg = WrenchStamped()
            msg.header.stamp, msg.header.frame_id = convert.time_msg(self._now_ns()), "ft"
            msg.wrench.force.z = -5.0
            self.wrist.publish(msg)

    def _slow(self) -> None:
        for frame, messages, publishers in self.cameras:
            for publisher, msg in zip(publishers, messages.fill(replace(frame, stamp_ns=self._now_ns())), strict=True):
                publisher.publish(msg)


class Rig:
    """The node as a process; its sensors and its listener in this one."""

    def __init__(self, session: Session, saved: Path) -> None:
        self.session, self.saved = session, saved
        self.processes: list[subprocess.Popen[str]] = []
        self.chunks: list[tuple[int, Any]] = []
        self._lock = threading.Lock()
        session.node.create_subscription(MultiDOFJointTrajectory, topics.POSE_CHUNK, self._on_chunk, qos.COMMAND)

    def _on_chunk(self, msg: MultiDOFJointTrajectory) -> None:
        with self._lock:
            self.chunks.append((time.time_ns(), wire.pose_chunk_from(msg)))

    def start(self, *parameters: str) -> subprocess.Popen[str]:
        values = [f"checkpoint:={self.saved}", "task:=pick_place", *parameters]
        ros = [argument for value in values for argument in ("-p", value)]
        command = [sys.executable, "-m", "il_policy.ros.policy_node", "--ros-args", *ros]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def says(self, words: str) -> bool:
        return words in self.session.diagnostics.get("policy", {}).get("message", "")

    def wait_for(self, words: str) -> None:
        self.session.wait(lambda: self.says(words), LIMIT_S, f"policy says '{words}'")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy for the real setup."""
    return untrained(tmp_path_factory.mktemp("policy"), load_setup("pick_place"))


def untrained(folder: Path, setup: Setup, observe: ObserveConfig | None = None, **changes: Any) -> Path:
    """A small policy with the weights it begins with."""
    small = NetworkConfig(width=64, depth=1)
    config = TrainConfig("untrained", Head.DIFFUSION, small, observe=observe or ObserveConfig(), **changes)
    return checkpoint.save(folder, ChunkModel.for_setup(setup, config), setup, config, "none", {})


@pytest.fixture
def rig(saved: Path) -> Iterator[Rig]:
    with Session("policy_test") as session:
        rig = Rig(session, saved)
        yield rig
        for process in rig.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def test_it_plans_in_absolute_time_while_enabled_and_holds_its_tongue_otherwise(
    rig: Rig, tmp_path: Path, write_felt_task: Callable[..., Path]
) -> None:
    """Of a task that observes all there is: joints, tool pose, pictures, and the wrench at the tool."""
    task = write_felt_task(tmp_path, "pick_place", max_age_ms=100.0)
    saved = untrained(tmp_path / "felt", load_setup(str(task)), ObserveConfig(wrench=True))
    sensors = Sensors(rig.session, load_setup("pick_place"), ("front", "wrist"))
    sensors.feels = False
    process = rig.start(f"task:={task}", f"checkpoint:={saved}")
    rig.wait_for("stream 'wrench': never received")
    assert rig.says("(topic wrist/wrench)")
    sensors.feels = True
    rig.wait_for("ready")
    assert rig.chunks == []  # nothing before it is enabled
    rig.session.set_bool(topics.POLICY_ENABLE, True)
    rig.session.wait(lambda: len(rig.chunks) >= 3, LIMIT_S, "three chunks")
    for (_, chunk), (_, following) in zip(rig.chunks, rig.chunks[1:], strict=False):
        assert chunk.start_ns - chunk.obs_ns == chunk.dt_ns == 100_000_000
        # n_execute ticks, counted; whole ticks more where a busy machine made an inference late
        assert following.obs_ns - chunk.obs_ns in range(800_000_000, 5_000_000_000, 100_000_000)
    assert all(received_ns < chunk.start_ns for received_ns, chunk in rig.chunks)
    assert rig.chunks[0][1].gripper_des is not None
    sensors.feels = False
    rig.wait_for("stream 'wrench': newest sample is")
    assert rig.says("limit 100 ms; check that its publisher runs") and rig.says("(topic wrist/wrench)")
    sensors.feels, sensors.is_on = True, False
    rig.wait_for("limit 50 ms; check that its publisher runs")
    rig.session.set_bool(topics.POLICY_ENABLE, False)
    # the last inference may have ended after the last report: count in a report made after the end of the run
    rig.session.wait(lambda: rig.session.diagnostics["policy"]["enabled"] == "False", LIMIT_S, "the end of the run")
    count = rig.session.diagnostics["policy"]["chunks"]
    sensors.is_on = True
    rig.wait_for("ready")  # the sentinel: a whole report after it was disabled
    assert rig.session.diagnostics["policy"]["chunks"] == count
    assert float(rig.session.diagnostics["policy"]["inference_ms_p50"]) > 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT_S) == 0


def test_a_topic_that_never_comes_is_named_and_planning_refused(rig: Rig) -> None:
    Sensors(rig.session, load_setup("pick_place"), ("front",))
    rig.start()
    rig.wait_for("stream 'camera/wrist': never received")
    assert rig.says(f"topic {topics.color('wrist')} with {topics.depth('wrist')}")
    with pytest.raises(GraphError, match="refused: stream 'camera/wrist': never received"):
        rig.session.set_bool(topics.POLICY_ENABLE, True)


def test_a_managed_policy_says_why_it_cannot_load_takes_another_and_is_silent_once_deactivated(rig: Rig) -> None:
    session = rig.session
    Sensors(session, load_setup("pick_place"), ("front", "wrist"))
    rig.start("autostart:=false", "checkpoint:=/nowhere")

    def to(transition: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = transition
        return bool(session.call(ChangeState, "policy/change_state", request, 2 * LIMIT_S).success)

    assert not to("configure")
    rig.wait_for("cannot configure: checkpoint /nowhere/policy.json: cannot be read")
    session.set_parameter("policy", "checkpoint", str(rig.saved))
    assert to("configure") and to("activate")
    rig.wait_for("ready")
    with pytest.raises(GraphError, match="got 'hold', but this checkpoint was never calibrated; run `il calibrate"):
        session.set_parameter("policy", "doubt", "hold")
    with pytest.raises(GraphError, match="doubt: unknown value 'hodl'; did you mean 'hold'"):
        session.set_parameter("policy", "doubt", "hodl")
    with pytest.raises(GraphError, match="got 'push it', but the policy .* does not listen; train it with"):
        session.set_parameter("policy", "instruction", "push it")
    session.set_bool(topics.POLICY_ENABLE, True)
    session.wait(lambda: len(rig.chunks) >= 1, LIMIT_S, "a chunk")
    assert to("deactivate")
    rig.wait_for("inactive")
    count = len(rig.chunks)
    time.sleep(1.0)
    assert len(rig.chunks) == count
    assert to("cleanup") and to("configure")


def test_a_node_without_a_checkpoint_is_refused() -> None:
    with pytest.raises(ConfigError, match="parameter 'checkpoint' is empty; name the folder `il train` wrote"):
        PolicyParams().demand_source()


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("task:=draw_symbol", "error: checkpoint .* was made for spec .*; retrain it"),
        ("checkpoint:=/nowhere", "error: checkpoint /nowhere/policy.json: cannot be read"),
        ("doubt:=help", "error: serving: doubt: got 'help', but this checkpoint was never calibrated; run `il calib"),
    ],
)
def test_a_policy_that_does_not_fit_ends_the_node_with_one_line(rig: Rig, parameter: str, words: str) -> None:
    process = rig.start(parameter)
    _, stderr = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and re.match(words, lines[0]), stderr
