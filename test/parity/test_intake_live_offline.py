"""The policy node's own subscriptions and the dataset give identical observations on the same stream, at any rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.logging import get_logger  # noqa: E402 - needs ROS
from rclpy.serialization import deserialize_message  # noqa: E402

from il_core import topics  # noqa: E402
from il_core.align import Aligner  # noqa: E402
from il_core.errors import ConfigError, SpecMismatchError  # noqa: E402
from il_core.spec import digest  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.store.msgdefs import encoder  # noqa: E402
from il_policy.ros.intake import ObservationIntake  # noqa: E402
from il_teleop.dataset import BuildOptions, build  # noqa: E402

pytestmark = pytest.mark.ros
MS = 1_000_000
LATENCY_NS = 20 * MS  # no message of the fixture arrives later than this
KINDS = {
    topics.JOINT_STATES: "sensor_msgs/msg/JointState",
    topics.EE_POSE: "geometry_msgs/msg/PoseStamped",
    topics.color("eye"): "sensor_msgs/msg/Image",
    topics.depth("eye"): "sensor_msgs/msg/Image",
    topics.camera_info("eye"): "sensor_msgs/msg/CameraInfo",
}


class Subscriptions:
    """The part of a node the intake talks to: it remembers callbacks and hands them messages as rclpy does."""

    def __init__(self):
        self._callbacks = {}

    def create_subscription(self, kind, topic, callback, profile, raw=False):
        self._callbacks[topic] = (kind, callback, raw)

    def get_logger(self):
        return get_logger("parity")

    def receive(self, topic, data):
        if topic in self._callbacks:
            kind, callback, raw = self._callbacks[topic]
            callback(data if raw else deserialize_message(data, kind))


@pytest.fixture
def events(demo_events, rng):
    """The tiny robot's messages, joint states at 1 kHz, all late by up to 20 ms and out of order."""
    states = [e for e in demo_events if e[0] == topics.JOINT_STATES]
    fast = []
    for topic, log_ns, stamp_ns, values in states:
        for k in range(10):
            at = stamp_ns + k * MS
            sec, nanosec = divmod(at, 1_000_000_000)
            stamped = {**values, "header": {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": "base"}}
            moved = {**stamped, "position": [x + 1e-4 * k for x in values["position"]]}
            fast.append((topic, log_ns if k == 0 else at + int(rng.uniform(0, 20) * MS), at, moved))
    others = [e for e in demo_events if e[0] != topics.JOINT_STATES]
    return sorted([*others, *fast], key=lambda e: e[1])


def at_rate(setup, rate_hz, **changes):
    task = replace(setup.task, rate_hz=rate_hz, **changes)
    return replace(setup, task=task, digest=digest(setup.robot, task, "<robot/>"))


def observe_live(setup, events, ticks):
    node, aligner = Subscriptions(), Aligner(setup.task)
    intake, out, waiting = ObservationIntake(node, setup, aligner), [], list(ticks)
    info = next(e for e in events if e[0] == topics.camera_info("eye"))
    node.receive(info[0], encoder(KINDS[info[0]])(info[3]))  # the camera ran before
    for topic, log_ns, _, values in events:
        while waiting and waiting[0] + LATENCY_NS < log_ns:  # all that belongs to the tick has arrived
            out.append(aligner.observe(waiting.pop(0)))
        if topic in KINDS:
            node.receive(topic, encoder(KINDS[topic])(values))
    return [*out, *(aligner.observe(t) for t in waiting)], intake


def parts(o):
    """Everything in an observation in a form that compares bit for bit."""
    arm = (o.arm.stamp_ns, o.arm.gripper, *(getattr(o.arm, f).tobytes() for f in ("q", "v", "tau")))
    f = o.images["eye"]
    picture = (f.stamp_ns, f.intrinsics, f.rgb.tobytes(), f.depth_m.tobytes())
    return {"tick": o.tick_ns, "ages": dict(o.age_ns), "pose": o.T_base_ee.tobytes(), "arm": arm, "eye": picture}


@pytest.mark.parametrize("rate_hz", [5, 10, 25, 30])
def test_live_and_offline_observations_are_equal_bit_for_bit_at_any_rate(
    tmp_path, tiny_setup, events, write_recording, rate_hz
):
    setup = at_rate(tiny_setup, rate_hz)
    recording = write_recording(tiny_setup, events)
    build([recording], setup, tmp_path / "ds", BuildOptions(idle_keep_s=None), recorded_as=tiny_setup)
    offline = EpisodeStore.open(tmp_path / "ds", setup.digest).episode(0).observations
    assert len(offline) >= 1.8 * rate_hz
    live, intake = observe_live(setup, events, [o.tick_ns for o in offline])
    assert [parts(a) for a in live] == [parts(b) for b in offline]
    assert intake.refused == {}
    assert np.mean([o.age_ns["arm"] for o in offline]) < 1.1 * MS  # every state of the 1 kHz stream counts


def test_an_unusable_joint_state_is_counted_and_the_one_before_is_used(tiny_setup, events):
    states = [e for e in events if e[0] == topics.JOINT_STATES]
    tick = max(e[2] for e in states) - 50 * MS
    newest = max((e for e in states if e[2] <= tick), key=lambda e: e[2])
    broken = [(*e[:3], {**e[3], "name": ["x", "y", "z"]}) if e is newest else e for e in events]
    (good,), _ = observe_live(tiny_setup, events, [tick])
    (seen,), intake = observe_live(tiny_setup, broken, [tick])
    assert intake.refused == {topics.JOINT_STATES: 1}
    assert good.arm.stamp_ns == newest[2]
    assert seen.arm.stamp_ns == max(e[2] for e in states if e[2] < newest[2])


def test_recordings_of_another_action_or_robot_are_not_built_at_another_rate(
    tmp_path, tiny_setup, events, write_recording
):
    recording = write_recording(tiny_setup, events)
    other = at_rate(tiny_setup, 5, quat_xyzw_tool=(0.0, 1.0, 0.0, 0.0))
    with pytest.raises(ConfigError, match="'action' or 'quat_xyzw_tool' differ; only rate, state, cameras and ages"):
        build([recording], other, tmp_path / "ds", recorded_as=tiny_setup)
    with pytest.raises(SpecMismatchError, match="was made for spec"):
        build([recording], at_rate(tiny_setup, 5), tmp_path / "ds")
