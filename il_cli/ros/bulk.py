"""Demonstrations faster than real time: plant, controller, operator and recorder in one process.

Simulated time, no threads, no middleware: the same seed gives the same recording, byte for byte.
Control, retargeting, operator and storage are the code the nodes run; only the loop is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from il_cli.wrist import offer_wrench
from il_control.cycle import CycleReport, make_cycle
from il_core import topics
from il_core.clock import ManualClock, tick_ns
from il_core.config import Setup, config_dir, load_yaml
from il_core.ros import convert
from il_core.store.msgdefs import encoder
from il_core.store.recording import RecordingWriter
from il_core.types import ArmCommand, ArmState, Outcome
from il_core.wire import JointMap
from il_sim.camera import Renderer
from il_sim.experts import Operator, make_operator, make_preparation
from il_sim.plant import Plant
from il_sim.randomise import Randomisation
from il_teleop.recorder_report import header_of
from il_teleop.retarget import Motion, RetargetConfig, Retargeter

START_NS = 1_700_000_000_000_000_000  # simulated recordings begin at this instant, an hour apart per seed
APART_NS = 3_600_000_000_000
TELEMETRY_EVERY, TELEOP_EVERY = 10, 20  # steps of 1 ms: 100 Hz and 50 Hz, the rates of the nodes
SETTLE_STEPS, AFTER_STEPS, LIMIT_STEPS = 300, 500, 30_000
JOINT_STATE, POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"
IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
WRENCH = "geometry_msgs/msg/WrenchStamped"


class Tape:
    """A RecordingWriter fed with messages; simulated messages arrive when they are stamped.

    Messages are encoded by ``il_core.store.msgdefs``: the middleware's own serialiser leaves random
    bytes in the padding, and two equal recordings would differ.
    """

    def __init__(self, root: Path, setup: Setup, clock: ManualClock, notes: str) -> None:
        """Open the recording and announce its topics."""
        header = header_of(setup, operator="scripted", notes=notes, namespace="/", is_sim_time=True)
        self.writer = RecordingWriter(root, header, clock)
        kinds = {topics.JOINT_STATES: JOINT_STATE, topics.EFFORT_SETPOINT: JOINT_STATE, topics.EE_POSE: POSE}
        kinds |= {topics.TARGET_POSE: POSE, topics.TARGET_GRIPPER: JOINT_STATE}
        kinds |= {topics.TELEOP_POSE: POSE, topics.TELEOP_GRIPPER: JOINT_STATE}
        if setup.robot.wrench_sensor is not None:
            kinds[topics.WRIST_WRENCH] = WRENCH
        for name in setup.task.cameras:
            kinds |= {topics.color(name): IMAGE, topics.depth(name): IMAGE, topics.camera_info(name): INFO}
        for topic, kind in kinds.items():
            self.writer.add_topic(topic, kind)
        self._encoders = {topic: encoder(kind) for topic, kind in kinds.items()}

    def put(self, topic: str, msg: Any, stamp_ns: int) -> None:  # noqa: ANN401 - any message
        """Append one message."""
        self.writer.append(topic, self._encoders[topic](msg), stamp_ns, stamp_ns)


class Performance:
    """One demonstration in one process."""

    def __init__(self, setup: Setup, root: Path, seed: int, randomise: Randomisation | None = None) -> None:
        """Set the scene of a seed; ``randomise`` says what else than the places of objects it varies."""
        start_ns = START_NS + seed * APART_NS
        self._setup, self._joints = setup, JointMap(setup.robot)
        self._plant = Plant(setup, seed, start_ns=start_ns, randomise=randomise)
        self._notes = "in process" if randomise is None else f"in process, scene randomised: {asdict(randomise)}"
        self._cycle = make_cycle(setup)
        self._operator: Operator
        self._seed = seed
        self._retarget_config = load_yaml(config_dir() / "teleop" / "retarget.yaml", RetargetConfig)
        self._retargeter = Retargeter(self._retarget_config)
        self._renderer = Renderer(self._plant.model, setup.robot) if setup.task.cameras else None
        self._images = {
            name: convert.CameraMessages(f"camera_{name}_optical", setup.robot.camera(name).intrinsics)
            for name in setup.task.cameras
        }
        self._clock = ManualClock(start_ns)
        self._root, self._tape = root, None  # type: Path, Tape | None
        self._frames = 0

    def run(self) -> Path:
        """Settle, record the demonstration, judge it.

        Returns:
            Folder of the recording.
        """
        for _ in range(SETTLE_STEPS):
            self._step(is_driving=False)
        preparation = make_preparation(self._setup.task.name, self._seed)
        if preparation is not None:
            self._operate(preparation)
        self._frames_start_ns, self._frames = self._plant.now_ns, 0
        self._tape = Tape(self._root, self._setup, self._clock, self._notes)
        try:
            self._operate(make_operator(self._setup.task.name, self._seed))
            for _ in range(AFTER_STEPS):
                self._step(is_driving=False)
            outcome = Outcome.SUCCESS if self._plant.is_done() else Outcome.FAILURE
            return self._tape.writer.commit(outcome)
        finally:
            self._tape.writer.discard()  # does nothing after commit
            if self._renderer is not None:
                self._renderer.close()

    def _operate(self, operator: Operator) -> None:
        self._operator = operator
        steps = 0
        while not operator.is_done and steps < LIMIT_STEPS:
            self._step(is_driving=True)
            steps += 1

    def _step(self, *, is_driving: bool) -> None:
        """One millisecond: state, control, records, physics."""
        plant = self._plant
        state = plant.read()
        offer_wrench(self._cycle, plant)
        report = self._cycle.step(state, plant.now_ns)
        if is_driving and plant.steps % TELEOP_EVERY == 0:
            self._drive(state, report)
        if self._tape is not None:
            self._record(self._tape, state, report)
        plant.write(report.setpoint)
        plant.step()
        self._clock.advance(plant.now_ns - self._clock.now_ns())

    def _drive(self, state: ArmState, report: CycleReport) -> None:
        """The operator moves the stick, retargeting moves the target."""
        plant, config = self._plant, self._retarget_config
        scene = {name: plant.object_pose(name) for name in plant.task.objects}
        velocity, is_closed = self._operator.command(report.T_base_ee[:3, 3], scene, TELEOP_EVERY * 1e-3)
        stick = np.clip(velocity / config.max_speed_m_s, -1.0, 1.0)
        motion = Motion(linear=(float(stick[0]), float(stick[1]), float(stick[2])), is_engaged=True)
        T_des = self._retargeter.step(state.stamp_ns, motion, report.T_base_ee)
        opening = 0.0 if is_closed else 1.0
        self._cycle.offer_command(ArmCommand(state.stamp_ns, T_des, opening))
        if self._tape is not None:
            stamp_ns = state.stamp_ns
            self._tape.put(topics.TELEOP_POSE, convert.pose_stamped_msg(stamp_ns, T_des), stamp_ns)
            self._tape.put(topics.TELEOP_GRIPPER, convert.opening_msg(stamp_ns, opening, self._joints), stamp_ns)

    def _record(self, tape: Tape, state: ArmState, report: CycleReport) -> None:
        """What the nodes would have published in this millisecond."""
        t, joints = state.stamp_ns, self._joints
        tape.put(topics.JOINT_STATES, convert.joint_state_msg(state, joints), t)
        tape.put(topics.EFFORT_SETPOINT, convert.effort_msg(report.setpoint, joints), t)
        sensor = self._setup.robot.wrench_sensor
        if sensor is not None:
            tape.put(topics.WRIST_WRENCH, convert.wrench_msg(t, self._plant.wrench(), sensor.frame), t)
        if self._plant.steps % TELEMETRY_EVERY == 0:
            tape.put(topics.EE_POSE, convert.pose_stamped_msg(t, report.T_base_ee), t)
            if report.T_base_ee_des is not None:
                tape.put(topics.TARGET_POSE, convert.pose_stamped_msg(t, report.T_base_ee_des), t)
            tape.put(topics.TARGET_GRIPPER, convert.opening_msg(t, report.setpoint.gripper, joints), t)
        if self._renderer is None:
            return
        rate_hz = min(self._setup.robot.camera(name).rate_hz for name in self._images)
        if t < tick_ns(self._frames_start_ns, self._frames, rate_hz):
            return
        self._frames += 1
        self._renderer.pose(self._plant.world_state())
        for name, messages in self._images.items():
            color, depth, info = messages.fill(self._renderer.render(name, t))
            tape.put(topics.color(name), color, t)
            tape.put(topics.depth(name), depth, t)
            fixed = {key: getattr(info, key).tolist() for key in ("k", "r", "p")}  # the encoder wants lists
            plain = {key: getattr(info, key) for key in ("header", "height", "width", "distortion_model")}
            tape.put(topics.camera_info(name), {**plain, "d": list(info.d), **fixed}, t)


def record_in_process(
    setup: Setup,
    root: Path,
    seeds: range,
    on_done: Callable[[Path], None] = lambda _: None,
    randomise: Randomisation | None = None,
) -> list[Path]:
    """Record one demonstration per seed, faster than real time.

    Args:
        setup: Robot and task; a scripted operator must know the task.
        root: Folder of the recordings.
        seeds: Scenes to show.
        on_done: Told of every recording.
        randomise: What else than the places of objects the seeds vary; None = nothing.

    Raises:
        ConfigError: nobody can show this task.
        DeviceError: no GL to render with.
        RecordingError: a recording of that seed exists, or the disk is full.
    """
    make_operator(setup.task.name, seeds.start)  # says before anything is written if nobody can show it
    paths = []
    for seed in seeds:
        paths.append(Performance(setup, root, seed, randomise).run())
        on_done(paths[-1])
    return paths
