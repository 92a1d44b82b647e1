"""Samples: the right rows at the right tick, padding marked, noise that keeps the geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_world import HALF_M, demonstrate, make_setup

from il_core.config import Setup
from il_core.errors import EpisodeError
from il_core.types import Episode, Outcome
from il_policy.config import AugmentConfig, Head, TrainConfig
from il_policy.dataset import Augmenter, ChunkDataset

CONFIG = TrainConfig("test", Head.REGRESSION)


def test_row_j_of_tick_k_is_action_k_plus_j_seen_from_tick_k(setup: Setup, episode: Episode) -> None:
    arrays = ChunkDataset([episode], setup, CONFIG).arrays[0]
    k, j = 7, 5
    expected = episode.T_base_ee_des[k + j, :3, 3] - episode.observations[k].T_base_ee[:3, 3]
    assert arrays.actions[k, j, :3] == pytest.approx(expected)
    assert arrays.actions[k, j, 3] == episode.gripper_des[k + j]


def test_rows_beyond_the_end_repeat_the_last_target_and_are_marked(setup: Setup, episode: Episode) -> None:
    arrays = ChunkDataset([episode], setup, CONFIG).arrays[0]
    n = len(episode.observations)
    assert arrays.is_pad.sum() == sum(range(setup.task.horizon))
    assert not arrays.is_pad[: n - setup.task.horizon + 1].any()
    last = episode.T_base_ee_des[-1, :3, 3] - episode.observations[n - 3].T_base_ee[:3, 3]
    assert arrays.actions[n - 3, 3:, :3] == pytest.approx(np.tile(last, (13, 1)))
    assert arrays.is_pad[n - 3].tolist() == [False] * 3 + [True] * 13


def test_the_first_window_repeats_the_first_observation(setup: Setup, episode: Episode) -> None:
    dataset = ChunkDataset([episode], setup, CONFIG)
    first = episode.observations[0]
    assert dataset.arrays[0].inputs[0] == pytest.approx(dataset.encoder.encode([first, first]), nan_ok=True)


def test_failures_are_not_learned_from(setup: Setup, episode: Episode) -> None:
    failed = replace(episode, outcome=Outcome.FAILURE)
    assert len(ChunkDataset([episode, failed], setup, CONFIG).arrays) == 1
    with pytest.raises(EpisodeError, match="none of 1 episodes is a success"):
        ChunkDataset([failed], setup, CONFIG)


def test_another_rate_is_refused(setup: Setup, episode: Episode) -> None:
    with pytest.raises(EpisodeError, match="aligned at 20 Hz, expected the task's 10 Hz"):
        ChunkDataset([replace(episode, rate_hz=20)], setup, CONFIG)


def test_no_episode_is_in_both_parts(setup: Setup) -> None:
    short = make_setup(cameras=(), objects=())
    p = np.array([0.5, 0.0, HALF_M])
    dataset = ChunkDataset([demonstrate(short, p, f"d{i}") for i in range(10)], short, CONFIG)
    train, held_out = dataset.split(0.2, seed=3)
    assert len(held_out) == 2
    assert sorted(train + held_out) == list(range(10))
    assert dataset.split(0.2, seed=3) == (train, held_out)


def test_noise_moves_the_tool_but_not_the_targets(setup: Setup, episode: Episode) -> None:
    dataset = ChunkDataset([episode], setup, CONFIG)
    batch = dataset.batch([0])
    augment = Augmenter(dataset.encoder, dataset.codec, AugmentConfig(0.02, 0.0, 0.0), batch)
    noisy = augment(batch, torch.Generator().manual_seed(0))
    names = list(dataset.encoder.names)
    x = names.index("ee_position.x@0")
    before, after = (b.inputs[:, None, x] + b.action[:, :, 0] for b in (batch, noisy))
    assert (noisy.inputs[:, x] - batch.inputs[:, x]).std() == pytest.approx(0.02, rel=0.4)
    assert torch.allclose(before, after, atol=1e-6)
    seen, tool = names.index("cube.from_tool.x"), noisy.inputs[:, x]
    assert torch.allclose(
        (noisy.inputs[:, seen] + tool), batch.inputs[:, seen] + batch.inputs[:, x], atol=1e-6, equal_nan=True
    )
    assert torch.equal(noisy.inputs[:, names.index("cube.visible")], batch.inputs[:, names.index("cube.visible")])


def test_the_digest_tells_data_apart(setup: Setup, episode: Episode) -> None:
    moved = replace(episode, gripper_des=np.zeros(len(episode.observations)))
    a, b, c = (ChunkDataset([e], setup, CONFIG).digest() for e in (episode, episode, moved))
    assert a == b != c
