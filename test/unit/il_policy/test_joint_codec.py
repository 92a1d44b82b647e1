"""Joint actions: encoded and back, from measured postures, trained and served as joint chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_world import HALF_M, demonstrate, make_setup

from il_core.config import Setup
from il_core.errors import EpisodeError, ShapeError
from il_core.types import ArmState, Episode
from il_policy import checkpoint
from il_policy.config import ActionEncoding, AugmentConfig, Head, NetworkConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.joint_codec import JointCodec, joint_posture
from il_policy.train import train

JOINT = [e for e in ActionEncoding if e.is_joint]


@pytest.fixture
def blind() -> Setup:
    """The tiny task without cameras, observing joints."""
    return make_setup(cameras=(), objects=(), state=("q", "gripper"))


@pytest.fixture
def moving(blind: Setup) -> Episode:
    """A demonstration whose joints turn at a constant rate."""
    demo = demonstrate(blind, np.array([0.5, 0.1, HALF_M]))
    turned = tuple(
        replace(o, arm=ArmState(o.tick_ns, np.array([0.01 * k, -0.02 * k]), np.zeros(2), np.zeros(2), 1.0))
        for k, o in enumerate(demo.observations)
    )
    return replace(demo, observations=turned)


@pytest.mark.parametrize("encoding", JOINT)
def test_rows_come_back_and_mean_the_posture_one_tick_later(
    encoding: ActionEncoding, blind: Setup, moving: Episode
) -> None:
    codec = JointCodec(blind, encoding)
    arrays = ChunkDataset([moving], blind, TrainConfig("j", Head.REGRESSION, action_encoding=encoding)).arrays[0]
    k, j, q = 5, 3, joint_posture(moving.observations[5])
    q_des, gripper = codec.decode(arrays.actions[k], q)
    assert q_des[j] == pytest.approx([0.01 * (k + j + 1), -0.02 * (k + j + 1)])
    assert gripper is not None and gripper[j] == moving.gripper_des[k + j]
    last = codec.decode(arrays.actions[-1], joint_posture(moving.observations[-1]))[0]
    assert last == pytest.approx(np.tile(joint_posture(moving.observations[-1]), (16, 1)))
    with pytest.raises(ShapeError, match="action rows"):
        codec.decode(np.zeros((4, 9)), q)


@pytest.mark.parametrize("encoding", JOINT)
def test_a_joint_policy_plans_postures(encoding: ActionEncoding, blind: Setup, moving: Episode, tmp_path: Path) -> None:
    config = TrainConfig(
        "j", Head.REGRESSION, NetworkConfig(width=64, depth=1), augment=AugmentConfig(0, 0, 0),
        action_encoding=encoding, steps=400, batch_size=32, learning_rate=3e-3, eval_every=1000, ema_power=0.5,
    )  # fmt: skip
    train(ChunkDataset([moving], blind, config), blind, config, tmp_path)
    chunk = checkpoint.load(tmp_path, blind).predict(moving.observations[9:11])
    assert chunk.T_base_ee_des is None and chunk.q_des is not None
    expected = np.array([[0.01 * k, -0.02 * k] for k in range(11, 27)])
    assert np.abs(chunk.q_des - expected).max() < 0.03


def test_joints_that_were_not_recorded_are_refused(blind: Setup, moving: Episode) -> None:
    bare = replace(moving, observations=tuple(replace(o, arm=None) for o in moving.observations))
    poses = replace(blind, task=replace(blind.task, state=("ee_position",)))
    config = TrainConfig("j", Head.REGRESSION, action_encoding=ActionEncoding.JOINT_ABSOLUTE_V1)
    with pytest.raises(EpisodeError, match="no joint state, but the actions are joint targets"):
        ChunkDataset([bare], poses, config)
