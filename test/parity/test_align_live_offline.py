"""The same messages give the same observations, whether they arrive live or are read from a recording."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from il_core import topics, wire
from il_core.align import Aligner, FramePairs
from il_core.store.episodes import EpisodeStore
from il_teleop.dataset import BuildOptions, build

MS = 1_000_000
LATENCY_NS = 20 * MS  # no message of the fixture arrives later than this


def live(value):
    """A message as rclpy gives it: nested attributes."""
    return SimpleNamespace(**{k: live(v) for k, v in value.items()}) if isinstance(value, dict) else value


class LiveNode:
    """What a policy node does with messages in order of arrival."""

    def __init__(self, setup, info):
        self.aligner, self.joints = Aligner(setup.task), wire.JointMap(setup.robot)
        self.pairs, self.info = FramePairs(), info

    def receive(self, topic, stamp_ns, msg):
        if topic == topics.JOINT_STATES:
            self.aligner.push_arm(wire.arm_state_from(msg, self.joints))
        elif topic == topics.EE_POSE:
            self.aligner.push_ee_pose(wire.ee_pose_from(msg))
        elif topic in (topics.color("eye"), topics.depth("eye")):
            pair = self.pairs.push(stamp_ns, msg, is_depth=topic == topics.depth("eye"))
            if pair is not None:
                self.aligner.push_frame(wire.camera_frame_from("eye", *pair, self.info))


def observe_live(setup, events, ticks):
    info = next(live(e[3]) for e in events if e[0] == topics.camera_info("eye"))  # the camera ran before
    node, out, waiting = LiveNode(setup, info), [], list(ticks)
    for topic, log_ns, stamp_ns, values in events:
        while waiting and waiting[0] + LATENCY_NS < log_ns:  # all that belongs to the tick has arrived
            out.append(node.aligner.observe(waiting.pop(0)))
        node.receive(topic, stamp_ns, live(values))
    return [*out, *(node.aligner.observe(t) for t in waiting)]


def parts(o):
    """Everything in an observation, by name, in a form that compares bit for bit."""
    found = {"tick": o.tick_ns, "ages": dict(o.age_ns), "pose": o.T_base_ee.tobytes()}
    found["arm"] = (o.arm.stamp_ns, o.arm.gripper, *(getattr(o.arm, f).tobytes() for f in ("q", "v", "tau")))
    for name, frame in o.images.items():
        found[name] = (frame.stamp_ns, frame.intrinsics, frame.rgb.tobytes(), frame.depth_m.tobytes())
    return found


def difference(a, b):
    """Names of what two observations differ in."""
    x, y = parts(a), parts(b)
    return {name for name in {*x, *y} if x.get(name) != y.get(name)}


@pytest.fixture
def offline(tmp_path, tiny_setup, demo_events, write_recording):
    build(
        [write_recording(tiny_setup, demo_events)],
        tiny_setup,
        tmp_path / "ds",
        BuildOptions(idle_keep_s=None),
    )
    return EpisodeStore.open(tmp_path / "ds", tiny_setup.digest).episode(0).observations


def test_live_and_offline_observations_are_equal_bit_for_bit(tiny_setup, demo_events, offline):
    stamps = [e[2] for e in demo_events]
    assert stamps != sorted(stamps)  # messages did overtake each other
    observed = observe_live(tiny_setup, demo_events, [o.tick_ns for o in offline])
    assert len(observed) == len(offline) >= 18
    assert [difference(a, b) for a, b in zip(observed, offline, strict=True)] == [set()] * len(offline)


def test_the_comparison_can_fail(tiny_setup, demo_events, offline):
    planted = {topics.EE_POSE: "pose", topics.JOINT_STATES: "arm", topics.color("eye"): "eye"}
    for topic, part in planted.items():
        fewer = [e for e in demo_events if not (e[0] == topic and np.random.default_rng(e[2]).random() < 0.3)]
        observed = observe_live(tiny_setup, fewer, [o.tick_ns for o in offline])
        seen = set().union(*(difference(a, b) for a, b in zip(observed, offline, strict=True)))
        assert part in seen
