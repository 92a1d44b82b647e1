"""A policy sees live what it saw in training: messages through a session equal rows of the dataset."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from il_core import topics, wire
from il_core.align import FramePairs
from il_core.spec import ColourObject
from il_core.store.episodes import EpisodeStore
from il_policy.config import Head, NetworkConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.policy import ChunkModel, ChunkPolicy
from il_policy.session import PolicySession
from il_teleop.dataset import BuildOptions, build

LATENCY_NS = 20_000_000  # no message of the fixture arrives later than this
CONFIG = TrainConfig("untrained", Head.DIFFUSION, NetworkConfig(width=32, depth=1))


def live(value):
    """A message as rclpy gives it: nested attributes."""
    return SimpleNamespace(**{k: live(v) for k, v in value.items()}) if isinstance(value, dict) else value


@pytest.fixture
def setup(make_setup):
    """The tiny robot looks for something red at every tick."""
    return make_setup(n_execute=1, objects=(ColourObject("thing", 340.0, 20.0, 0.5, 0.2),))


@pytest.fixture
def red_events(demo_events):
    """The tiny robot's messages; what its camera sees is red, at random depths."""
    red = {"data": bytes([220, 10, 10]) * 48}
    return [(t, log, ns, m | red if t == topics.color("eye") else m) for t, log, ns, m in demo_events]


@pytest.fixture
def dataset(tmp_path, setup, red_events, write_recording):
    recording = write_recording(setup, red_events)
    build([recording], setup, tmp_path / "ds", BuildOptions(idle_keep_s=None))
    store = EpisodeStore.open(tmp_path / "ds", setup.digest)
    return ChunkDataset([store.episode(0)], setup, CONFIG), [o.tick_ns for o in store.episode(0).observations]


def windows_live(setup, events, ticks):
    """Windows of a run that starts at the first tick, from messages in order of arrival."""
    session, joints, pairs = PolicySession(setup.task), wire.JointMap(setup.robot), FramePairs()
    info = next(live(m) for t, _, _, m in events if t == topics.camera_info("eye"))
    session.start(ticks[0])
    out, waiting = [], list(ticks)
    for topic, log_ns, stamp_ns, values in events:
        while waiting and waiting[0] + LATENCY_NS < log_ns:  # all that belongs to the tick has arrived
            out.append(session.poll(waiting.pop(0)))
        msg = live(values)
        if topic == topics.JOINT_STATES:
            session.aligner.push_arm(wire.arm_state_from(msg, joints))
        elif topic == topics.EE_POSE:
            session.aligner.push_ee_pose(wire.ee_pose_from(msg))
        elif topic in (topics.color("eye"), topics.depth("eye")):
            pair = pairs.push(stamp_ns, msg, is_depth=topic == topics.depth("eye"))
            if pair is not None:
                session.aligner.push_frame(wire.camera_frame_from("eye", *pair, info))
    return [*out, *(session.poll(t) for t in waiting)]


def test_inputs_live_and_in_training_are_equal_bit_for_bit(setup, red_events, dataset):
    samples, ticks = dataset
    inputs = np.array([samples.encoder.encode(w) for w in windows_live(setup, red_events, ticks)])
    assert len(inputs) >= 18
    assert inputs[:, samples.encoder.names.index("thing.visible")].all()
    assert inputs.tobytes() == samples.arrays[0].inputs.tobytes()


def test_a_shifted_clock_is_noticed(setup, red_events, dataset):
    samples, ticks = dataset
    late = windows_live(setup, red_events, [t + 30_000_000 for t in ticks[:-1]])
    inputs = np.array([samples.encoder.encode(w) for w in late])
    assert inputs.tobytes() != samples.arrays[0].inputs[:-1].tobytes()


def test_plans_live_and_from_training_samples_are_equal(setup, red_events, dataset):
    samples, ticks = dataset
    torch.manual_seed(0)
    policy = ChunkPolicy(setup, CONFIG, ChunkModel.for_setup(setup, CONFIG))
    for k, window in enumerate(windows_live(setup, red_events, ticks)):
        inputs = torch.from_numpy(samples.arrays[0].inputs[k : k + 1]).float()
        rows = policy.chunks(inputs)[0].numpy().astype(np.float64)
        T, gripper = samples.codec.decode(rows, samples.arrays[0].p_base_ee[k])
        chunk = policy.predict(window)
        assert np.array_equal(chunk.T_base_ee_des, T)
        assert np.array_equal(chunk.gripper_des, gripper)
        assert chunk.start_ns == ticks[k] + setup.task.dt_ns
