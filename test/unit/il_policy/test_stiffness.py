"""Stiffness as part of the action: learned from what was recorded, planned, joined, and sent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_world import HALF_M, demonstrate, make_setup

import il_policy
from il_core.errors import ConfigError, EpisodeError
from il_core.spec import ActionLabel, ActionSpec
from il_policy.config import ActionEncoding, Head, NetworkConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.primitives import PRIMITIVES
from il_policy.serving.config import Runtime, ServeConfig
from il_policy.serving.remote.codec import chunk_from, pack_chunk, unpack
from il_policy.tool_codec import ActionCodec
from il_policy.train import train

SETUP = make_setup(action=ActionSpec(ActionLabel.SETPOINT, rotation=True, gripper=True, stiffness=True))
CONFIG = TrainConfig(
    "bc", Head.REGRESSION, NetworkConfig(width=64, depth=1), steps=300, batch_size=64, learning_rate=3e-3
)
SOFT, HARD = np.array([150.0, 150, 150, 8, 8, 8]), np.array([900.0, 900, 300, 40, 40, 8])


def shown(x=0.5):
    """A demonstration that is soft while the fingers are open, and hard while they hold."""
    episode = demonstrate(SETUP, np.array([x, 0.1, HALF_M]), f"demo{x}")
    return replace(episode, k_p_des=np.where(episode.gripper_des[:, None] > 0.5, SOFT, HARD))


def test_rows_with_a_stiffness_decode_to_what_was_encoded_and_numbers_of_a_network_to_something_finite():
    codec, episode = ActionCodec(SETUP.task, ActionEncoding.RELATIVE_V1), shown()
    T, opening, k_p = episode.T_base_ee_des[:5], episode.gripper_des[:5], episode.k_p_des[:5].copy()
    k_p[0, 0] = 0.0
    rows = codec.encode(T, opening, np.ones(3), k_p)
    assert rows.shape == (5, 3 + 6 + 6 + 1)
    decoded, gripper = codec.decode(rows, np.ones(3))
    assert np.allclose(decoded, T) and np.allclose(gripper, opening)
    assert codec.stiffness(rows) == pytest.approx(k_p)
    wild = codec.stiffness(np.full((1, 16), 1e6))
    assert np.isfinite(wild).all() and (codec.stiffness(np.full((1, 16), -5.0)) == 0).all()


def test_a_policy_learns_when_to_be_stiff_and_says_so_in_every_plan(tmp_path):
    episodes = [shown(0.45), shown(0.5)]
    train(ChunkDataset(episodes, SETUP, CONFIG), SETUP, CONFIG, tmp_path)
    policy = il_policy.load(tmp_path, SETUP, config=ServeConfig(runtime=Runtime.TORCH))
    seen = episodes[0].observations
    holding = next(k for k, g in enumerate(episodes[0].gripper_des) if g < 0.5) + 8
    early = policy.predict(seen[1:3])
    assert early.k_p_des.shape == (SETUP.task.horizon, 6)
    assert early.k_p_des[0] == pytest.approx(SOFT, rel=0.3)
    policy.reset()
    late = policy.predict(seen[holding : holding + 2])
    assert (late.k_p_des[0] > 2.5 * early.k_p_des[0]).tolist() == [True, True, False, True, True, False]
    assert late.k_p_des[0, 5] == pytest.approx(8.0, rel=0.3), "what is never varied stays"
    again = policy.predict(seen[holding + 3 : holding + 5])
    assert again.k_p_at(again.start_ns) == pytest.approx(late.k_p_at(again.start_ns)), "the settled rows keep theirs"
    assert np.array_equal(chunk_from(*unpack(pack_chunk(late, {}))).k_p_des, late.k_p_des)


@pytest.mark.parametrize("head", list(PRIMITIVES))
def test_a_movement_primitive_says_how_stiff_to_be_too(head, tmp_path):
    episodes = [shown(0.45), shown(0.5), shown(0.55)]
    config = TrainConfig("p", head, action_encoding=ActionEncoding.ABSOLUTE_V1, val_fraction=0.0)
    train(ChunkDataset(episodes, SETUP, config), SETUP, config, tmp_path)
    policy = il_policy.load(tmp_path, SETUP, config=ServeConfig(runtime=Runtime.TORCH))
    seen = episodes[1].observations
    holding = next(k for k, g in enumerate(episodes[1].gripper_des) if g < 0.5) + 8
    early, late = policy.predict(seen[:2]), policy.predict(seen[holding : holding + 2])
    assert early.k_p_des.shape == (SETUP.task.horizon, 6)
    assert early.k_p_des[0] == pytest.approx(SOFT, rel=0.3)
    assert late.k_p_des[0] == pytest.approx(HARD, rel=0.3)


def test_data_without_it_and_joint_actions_are_refused_in_words():
    with pytest.raises(EpisodeError, match="the data have none; record control/stiffness"):
        ChunkDataset([replace(shown(), k_p_des=None)], SETUP, CONFIG)
    with pytest.raises(ConfigError, match="train it with action_encoding=relative_v1"):
        ChunkDataset([shown()], SETUP, replace(CONFIG, action_encoding=ActionEncoding.JOINT_ABSOLUTE_V1))
