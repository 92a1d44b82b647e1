"""Fixtures of all tests: random numbers, a clock moved by hand, a tiny robot, and recordings of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from il_core import topics
from il_core.clock import ManualClock
from il_core.config import Setup, config_dir
from il_core.spec import ActionLabel, ActionSpec, CameraSpec, Mount, RobotSpec, TaskSpec, digest
from il_core.store.msgdefs import encoder
from il_core.store.recording import RecordingHeader, RecordingWriter
from il_core.types import Outcome
from il_core.wrench import WrenchSensor

# MuJoCo chooses its renderer when it is first imported, by whichever test comes first.
os.environ.setdefault("MUJOCO_GL", "egl")

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
Event = tuple[str, int, int, dict[str, Any]]  # topic, receive time [ns], header stamp [ns], message
TYPES = {
    topics.JOINT_STATES: "sensor_msgs/msg/JointState",
    topics.EE_POSE: "geometry_msgs/msg/PoseStamped",
    topics.TARGET_POSE: "geometry_msgs/msg/PoseStamped",
    topics.TARGET_GRIPPER: "sensor_msgs/msg/JointState",
    topics.color("eye"): "sensor_msgs/msg/Image",
    topics.depth("eye"): "sensor_msgs/msg/Image",
    topics.camera_info("eye"): "sensor_msgs/msg/CameraInfo",
}
FELT_TYPES = {topics.WRIST_WRENCH: "geometry_msgs/msg/WrenchStamped"}  # of a robot with a force sensor


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when told to."""
    return ManualClock(START_NS)


def make_tiny_setup(**task_changes: Any) -> Setup:
    """An arm of two joints with one camera of 8x6 pixels; keyword arguments change the task."""
    camera = CameraSpec("eye", 8, 6, 30, 60.0, Mount.BASE, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0))
    robot = RobotSpec(
        name="tiny",
        urdf="tiny.urdf",
        srdf="tiny.srdf",
        joint_names=("a", "b"),
        gripper_joint="g",
        gripper_open_m=0.04,
        ee_frame="tcp",
        q_home_rad=(0.0, 0.0),
        armature_kg_m2=(0.1, 0.1),
        q_min_rad=(-1.0, -1.0),
        q_max_rad=(1.0, 1.0),
        v_max_rad_s=(1.0, 1.0),
        tau_max_nm=(1.0, 1.0),
        tau_rate_max_nm_s=(1.0, 1.0),
        cameras=(camera,),
    )
    task = TaskSpec(
        name="tiny_pick",
        robot="tiny",
        instruction="pick it",
        rate_hz=10,
        n_obs=2,
        horizon=8,
        n_execute=4,
        state=("ee_position", "gripper"),
        cameras=("eye",),
        action=ActionSpec(ActionLabel.SETPOINT, rotation=False, gripper=True),
        quat_xyzw_tool=(1.0, 0.0, 0.0, 0.0),
        max_age_ms={"arm": 50.0, "ee_pose": 50.0, "target": 200.0, "camera": 150.0},
    )
    task = replace(task, **task_changes)
    return Setup(robot, task, Path("tiny.urdf"), Path("tiny.srdf"), digest(robot, task, "<robot/>"))


@pytest.fixture
def make_setup() -> Callable[..., Setup]:
    """Makes tiny setups with changes to the task."""
    return make_tiny_setup


@pytest.fixture
def tiny_setup() -> Setup:
    """A tiny arm with one camera and a gripper."""
    return make_tiny_setup()


@pytest.fixture
def felt_setup() -> Setup:
    """The tiny arm with a force sensor 0.1 m behind the tool point, a quarter turn about z; its wrench is observed."""
    setup = make_tiny_setup()
    sensor = WrenchSensor("ft", (0.0, 0.0, -0.1), (0.0, 0.0, 0.5**0.5, 0.5**0.5))
    robot = replace(setup.robot, wrench_sensor=sensor)
    task = replace(setup.task, wrench=True, max_age_ms={**setup.task.max_age_ms, "wrench": 40.0})
    return replace(setup, robot=robot, task=task, digest=digest(robot, task, "<robot/>"))


def felt_task_file(folder: Path, task: str, max_age_ms: float = 20.0, **changes: Any) -> Path:
    """A task that observes the wrench, beside a robot that has a force sensor; keyword arguments change the task."""
    robot = yaml.safe_load((config_dir() / "robot" / "fr3.yaml").read_text())
    robot |= {key: str(config_dir() / "robot" / robot[key]) for key in ("urdf", "srdf")}
    robot["wrench_sensor"] = {"frame": "ft", "p_ee_sensor_m": [0, 0, -0.1], "quat_xyzw_ee_sensor": [0, 0, 0, 1]}
    values = yaml.safe_load((config_dir() / "task" / f"{task}.yaml").read_text())
    values |= {"robot": str(folder / "felt_robot.yaml"), "wrench": True, **changes}
    values["max_age_ms"] |= {"wrench": max_age_ms}
    (folder / "felt_robot.yaml").write_text(yaml.safe_dump(robot))
    (folder / "felt.yaml").write_text(yaml.safe_dump(values))
    return folder / "felt.yaml"


@pytest.fixture(scope="session")
def write_felt_task() -> Callable[..., Path]:
    """Writes files of a task with a force sensor: (folder, task, max_age_ms, changes) -> task file."""
    return felt_task_file


def _header(stamp_ns: int) -> dict[str, Any]:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": "base"}


def _pose(x: float) -> dict[str, Any]:
    position = {"x": 0.4 + x, "y": 0.1 * x, "z": 0.2}
    return {"position": position, "orientation": {"x": 1.0, "y": 0.0, "z": 0.0, "w": 0.0}}


def _joints(names: list[str], values: list[float]) -> dict[str, Any]:
    return {"name": names, "position": values, "velocity": [0.1] * len(names), "effort": [0.2] * len(names)}


def message(topic: str, stamp_ns: int, rng: np.random.Generator) -> dict[str, Any]:
    """Message of the tiny robot, which moves 0.1 m/s along x."""
    x = 0.1 * (stamp_ns - START_NS) / 1e9
    header = {"header": _header(stamp_ns)}
    if topic == topics.JOINT_STATES:
        return header | _joints(["b", "g", "a"], [x, 0.02, -x])
    if topic == topics.TARGET_GRIPPER:
        return header | _joints(["g"], [0.04 if x < 0.1 else 0.0])
    if topic in (topics.EE_POSE, topics.TARGET_POSE):
        return header | {"pose": _pose(x + 0.01 * (topic == topics.TARGET_POSE))}
    size = {"height": 6, "width": 8}
    if topic == topics.color("eye"):
        return header | size | {"encoding": "rgb8", "step": 24, "data": rng.bytes(144)}
    if topic == topics.depth("eye"):
        return header | size | {"encoding": "16UC1", "step": 16, "data": rng.bytes(96)}
    return header | size | {"k": [5.0, 0.0, 3.5, 0.0, 5.0, 2.5, 0.0, 0.0, 1.0], "d": [], "distortion_model": ""}


def events_of_a_demonstration(rng: np.random.Generator, seconds: float = 2.0, latency_ms: float = 20.0) -> list[Event]:
    """What a demonstration sends, in order of arrival: messages are late and overtake each other."""
    periods = {topic: 33_333_333 if topic.startswith("camera") else 10 * MS for topic in TYPES}
    events: list[Event] = []
    for topic, period_ns in periods.items():
        phase_ns = 0 if topic.startswith("camera") else int(rng.integers(0, period_ns))
        for k in range(int(seconds * 1e9) // period_ns):
            stamp_ns = START_NS + phase_ns + k * period_ns
            log_ns = stamp_ns + int(rng.uniform(0.0, latency_ms) * MS)
            events.append((topic, log_ns, stamp_ns, message(topic, stamp_ns, rng)))
    return sorted(events, key=lambda event: event[1])


@pytest.fixture
def demo_events(rng: np.random.Generator) -> list[Event]:
    """Two seconds of the tiny robot's messages in order of arrival."""
    return events_of_a_demonstration(rng)


@pytest.fixture
def felt_events(demo_events: list[Event], rng: np.random.Generator) -> list[Event]:
    """The same with a force sensor at 500 Hz, whose numbers grow with the time."""
    felt: list[Event] = []
    for k in range(1000):
        stamp_ns = START_NS + 2 * k * MS
        force, torque = {"x": 0.01 * k, "y": 1.0, "z": -2.0}, {"x": 0.1, "y": 0.001 * k, "z": 0.3}
        header = {"stamp": _header(stamp_ns)["stamp"], "frame_id": "ft"}
        values = {"header": header, "wrench": {"force": force, "torque": torque}}
        felt.append((topics.WRIST_WRENCH, stamp_ns + int(rng.uniform(0.0, 20.0) * MS), stamp_ns, values))
    return sorted([*demo_events, *felt], key=lambda event: event[1])


@pytest.fixture
def make_events() -> Callable[..., list[Event]]:
    """Makes demonstrations of other lengths: (rng, seconds, latency_ms)."""
    return events_of_a_demonstration


def robot_feels(setup: Setup) -> bool:
    """Whether the robot has a force sensor."""
    return setup.robot.wrench_sensor is not None


def record(
    root: Path,
    setup: Setup,
    events: Iterable[Event],
    outcome: Outcome = Outcome.SUCCESS,
    name: str = "demo_1",
) -> Path:
    """Write events as a recording."""
    task, robot = setup.task.name, setup.robot.name
    header = RecordingHeader(task, robot, setup.digest, START_NS, operator="ada", instruction="pick it")
    writer = RecordingWriter(root, header, ManualClock(START_NS), name)
    kinds = {**TYPES, **(FELT_TYPES if robot_feels(setup) else {})}
    for topic, kind in kinds.items():
        writer.add_topic(topic, kind)
    for topic, log_ns, stamp_ns, values in events:
        writer.append(topic, encoder(kinds[topic])(values), log_ns, stamp_ns)
    return writer.commit(outcome)


@pytest.fixture
def write_recording(tmp_path: Path) -> Callable[..., Path]:
    """Writes events as a recording below ``tmp_path``: (setup, events, outcome, name) -> folder."""

    def write(setup: Setup, events: Iterable[Event], *args: Any, **kwargs: Any) -> Path:
        return record(tmp_path / "recordings", setup, events, *args, **kwargs)

    return write
