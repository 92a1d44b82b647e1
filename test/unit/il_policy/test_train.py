"""Training: it learns, it resumes bit for bit, it stops when told, and it says why it cannot go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_world import HALF_M, demonstrate, make_setup

from il_core.config import Setup
from il_core.errors import CheckpointError, TrainingError
from il_core.types import Episode
from il_policy import checkpoint
from il_policy.config import AugmentConfig, DiffusionConfig, Head, NetworkConfig, Sampler, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.evaluate import open_loop
from il_policy.policy import ChunkPolicy
from il_policy.train import LOG_EVERY, Progress, train
from il_policy.trainer import Trainer

QUIET = AugmentConfig(0.0, 0.0, 0.0)
SMALL = TrainConfig(
    "test",
    Head.DIFFUSION,
    NetworkConfig(width=64, depth=1),
    augment=QUIET,
    steps=40,
    batch_size=32,
    eval_every=20,
)


@pytest.fixture
def blind() -> Setup:
    """The tiny task without cameras, so that episodes are cheap."""
    return make_setup(cameras=(), objects=())


@pytest.fixture
def dataset(blind: Setup) -> ChunkDataset:
    places = np.array([[0.4, 0.1, HALF_M], [0.5, 0.0, HALF_M], [0.55, 0.1, HALF_M], [0.45, -0.05, HALF_M]])
    return ChunkDataset([demonstrate(blind, p, f"d{i}") for i, p in enumerate(places)], blind, SMALL)


@pytest.mark.parametrize("head", [Head.REGRESSION, Head.DIFFUSION])
def test_ten_samples_are_learned_by_heart(head: Head, setup: Setup, episode: Episode, tmp_path: Path) -> None:
    ten = replace(
        episode,
        observations=episode.observations[:10],
        T_base_ee_des=episode.T_base_ee_des[:10],
        gripper_des=episode.gripper_des[:10],
    )
    config = replace(
        SMALL,
        head=head,
        network=NetworkConfig(width=128, depth=2),
        steps=800,
        learning_rate=3e-3,
        eval_every=1000,
    )
    dataset = ChunkDataset([ten], setup, config)
    train(dataset, setup, config, tmp_path)
    error = open_loop(checkpoint.load(tmp_path, setup), dataset.batch([0]))
    spread_mm = 1000 * float(np.ptp(ten.T_base_ee_des[:, :3, 3], axis=0).max())
    assert error.position_mm < 0.02 * spread_mm


def test_a_resumed_training_ends_bit_for_bit_like_an_uninterrupted_one(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    noisy = replace(SMALL, augment=AugmentConfig())
    train(dataset, blind, noisy, whole)
    stops: list[Progress] = []
    first = train(dataset, blind, noisy, parts, on_progress=stops.append, should_stop=lambda: len(stops) > 0)
    assert not first.is_complete and first.steps < 40
    second = train(dataset, blind, noisy, parts, is_resumed=True)
    assert second.is_complete and second.steps == 40
    a, b = (load_file(next(d.glob("model-*.safetensors"))) for d in (whole, parts))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_finished_training_that_is_resumed_stays_what_it_was(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    first = train(dataset, blind, replace(SMALL, steps=3), tmp_path)
    before = checkpoint.read_manifest(tmp_path)
    again = train(dataset, blind, replace(SMALL, steps=3), tmp_path, is_resumed=True)
    after = checkpoint.read_manifest(tmp_path)
    assert again.is_complete and again.loss == first.loss == after.metrics["loss"]
    assert after.weights_sha256 == before.weights_sha256 and after.metrics.keys() == before.metrics.keys()


def test_resuming_with_other_settings_is_refused(dataset: ChunkDataset, blind: Setup, tmp_path: Path) -> None:
    train(dataset, blind, replace(SMALL, steps=5), tmp_path)
    with pytest.raises(CheckpointError, match="cannot resume: its config is not today's; train anew"):
        train(dataset, blind, replace(SMALL, learning_rate=0.5), tmp_path, is_resumed=True)
    with pytest.raises(CheckpointError, match=r"training.json: cannot be read: No such file"):
        train(dataset, blind, SMALL, tmp_path / "nothing", is_resumed=True)


def test_time_ends_a_training_and_the_learning_rate_is_annealed(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    config = replace(SMALL, steps=1_000_000, max_seconds=0.5, eval_every=1_000_000)
    result = train(dataset, blind, config, tmp_path, on_progress=seen.append)
    assert result.is_complete and result.steps < 1_000_000
    assert seen[-1].learning_rate < 0.02 * config.learning_rate
    assert seen[-1].fraction == 1.0


def test_a_training_that_diverges_says_so_and_leaves_the_last_good_checkpoint(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    wild = replace(SMALL, head=Head.REGRESSION, learning_rate=1e30, warmup_steps=0, eval_every=1)
    words = rf"diverged at step \d+: got loss .*, expected .*step \d+ in {tmp_path} is kept; train anew .* 1e\+30"
    with pytest.raises(TrainingError, match=words) as raised:
        train(dataset, blind, wild, tmp_path)
    step = checkpoint.read_manifest(tmp_path).metrics["steps"]
    assert f"at step {step + 1:.0f}:" in str(raised.value) and f"checkpoint of step {step:.0f} in" in str(raised.value)
    assert checkpoint.load(tmp_path, blind).parameter_count > 0, "finite throughout, or it could not be loaded"
    with pytest.raises(TrainingError, match=r"nothing was saved; .* 1e\+30, or with amp=false"):
        train(dataset, blind, replace(wild, amp=True, eval_every=50), tmp_path / "amp")
    assert not list((tmp_path / "amp").glob("*.json"))


def test_progress_tells_the_mean_loss_of_the_steps_since_the_last_report(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    train(dataset, blind, SMALL, tmp_path / "a", on_progress=seen.append)
    trainer, losses = Trainer(dataset, blind, SMALL, tmp_path / "b"), []
    for _ in range(2 * LOG_EVERY):
        trainer.train_step()
        losses.append(trainer.loss)
    means = [float(np.mean(losses[i : i + LOG_EVERY])) for i in (0, LOG_EVERY)]
    assert [(p.step, p.loss) for p in seen] == [(20, pytest.approx(means[0])), *[(40, pytest.approx(means[1]))] * 2]


def test_held_out_episodes_are_never_trained_on(dataset: ChunkDataset, blind: Setup, tmp_path: Path) -> None:
    result = train(dataset, blind, replace(SMALL, val_fraction=0.25, steps=5), tmp_path)
    assert result.val is not None
    _, held_out = dataset.split(0.25, SMALL.seed)
    assert result.val.samples == len(dataset.arrays[held_out[0]].inputs)


def test_the_held_out_error_is_that_of_the_plans_that_will_be_served(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    config = replace(SMALL, val_fraction=0.25, steps=20, diffusion=DiffusionConfig(sampler=Sampler.DDPM))
    result = train(dataset, blind, config, tmp_path)
    _, held_out = dataset.split(0.25, SMALL.seed)
    policy, batch = checkpoint.load(tmp_path, blind), dataset.batch(held_out)
    assert isinstance(policy, ChunkPolicy)
    as_served = ChunkPolicy(blind, replace(config, diffusion=DiffusionConfig(sampler=Sampler.DDIM)), policy.model)
    assert result.val == open_loop(as_served, batch) != open_loop(policy, batch)


def test_training_leaves_files_for_tensorboard(dataset: ChunkDataset, blind: Setup, tmp_path: Path) -> None:
    train(dataset, blind, replace(SMALL, steps=5), tmp_path)
    assert list((tmp_path / "tensorboard").glob("events.out.*"))
