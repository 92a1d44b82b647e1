"""Options of a training, for every family: resumed bit for bit, early stop, transfer, curriculum, marks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_world import HALF_M, as_of_the_first_release, demonstrate, make_setup

from il_core.config import Setup
from il_core.errors import CheckpointError, ConfigError, EpisodeError
from il_core.types import Episode
from il_policy import checkpoint
from il_policy.config import (
    ActConfig,
    CurriculumConfig,
    Difficulty,
    EnsembleConfig,
    Head,
    IbcConfig,
    NetworkConfig,
    NetworkKind,
    TrainConfig,
    VqConfig,
)
from il_policy.curriculum import WindowSampler, quality_weight
from il_policy.dataset import ChunkDataset
from il_policy.train import Progress, adapted, train
from il_policy.trainer import Trainer

SMALL = TrainConfig(
    "test",
    Head.REGRESSION,
    NetworkConfig(width=32, depth=1, heads=2),
    steps=6,
    batch_size=16,
    eval_every=3,
    ibc=IbcConfig(negatives=8, samples=16, iterations=2),
    act=ActConfig(latent=4, width=16, depth=1),
)
FAMILIES = [(h, NetworkKind.MLP) for h in Head if not h.is_trajectory and h is not Head.ONE_STEP]
FAMILIES += [(Head.GMM, NetworkKind.RNN), (Head.DIFFUSION, NetworkKind.TRANSFORMER), (Head.FLOW, NetworkKind.ROW_MLP)]


@pytest.fixture(scope="module")
def blind() -> Setup:
    """The tiny task without cameras, so that episodes are cheap."""
    return make_setup(cameras=(), objects=())


@pytest.fixture(scope="module")
def demos(blind: Setup) -> list[Episode]:
    """Six demonstrations, ever farther away and marked ever worse."""
    places = [np.array([0.4 + 0.03 * i, 0.02 * i, HALF_M]) for i in range(6)]
    return [replace(demonstrate(blind, p, f"d{i}"), notes={"quality": str(5 - i % 5)}) for i, p in enumerate(places)]


@pytest.fixture(scope="module")
def dataset(blind: Setup, demos: list[Episode]) -> ChunkDataset:
    return ChunkDataset(demos, blind, SMALL)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Tensors of the policy in a folder."""
    return load_file(next(folder.glob("model-*.safetensors")))


@pytest.mark.parametrize(("head", "network"), FAMILIES)
def test_every_family_resumes_loads_and_plans_bit_for_bit(
    head: Head, network: NetworkKind, dataset: ChunkDataset, blind: Setup, demos: list[Episode], tmp_path: Path
) -> None:
    config = replace(SMALL, head=head, network=replace(SMALL.network, kind=network))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(dataset, blind, config, whole)
    count = iter(range(100))
    first = train(dataset, blind, config, parts, should_stop=lambda: next(count) >= 3)
    assert not first.is_complete and first.steps == 4
    assert train(dataset, blind, config, parts, is_resumed=True).steps == 6
    a, b = weights(whole), weights(parts)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    window = demos[0].observations[:2]
    plans = [checkpoint.load(folder, blind, seed=3).predict(window).rows for folder in (whole, parts)]
    assert np.array_equal(*plans)
    file = next(whole.glob("model-*"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(whole, blind)


def test_what_gets_worse_ends_early_and_the_best_model_is_kept(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    wild = replace(SMALL, steps=1000, eval_every=2, patience=3, learning_rate=0.5, warmup_steps=0, ema_max=0.0)
    result = train(dataset, blind, wild, tmp_path)
    assert result.is_complete and result.steps < 1000
    trainer = Trainer(dataset, blind, wild, tmp_path)
    trainer.resume()
    assert trainer.is_over and trainer.misses == 3
    mm = checkpoint.read_manifest(tmp_path).metrics["val_position_mm"]
    assert trainer.best_val is not None and result.val is not None
    assert mm == trainer.best_val.position_mm <= result.val.position_mm
    assert all(torch.equal(v, weights(tmp_path)[k]) for k, v in (trainer.best or {}).items())


def test_an_interruption_does_not_change_when_patience_ends(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    wild = replace(SMALL, steps=200, eval_every=4, patience=2, learning_rate=0.5, warmup_steps=0, ema_max=0.0)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    steps = train(dataset, blind, wild, whole).steps
    stop = 6
    assert stop < steps < 200
    count = iter(range(1, 1000))
    first = train(dataset, blind, wild, parts, should_stop=lambda: next(count) >= stop)
    assert first.steps == stop and not first.is_complete and first.val is not None
    second = train(dataset, blind, wild, parts, is_resumed=True)
    assert second.is_complete and second.steps == steps
    assert all(torch.equal(v, weights(parts)[k]) for k, v in weights(whole).items())
    train(dataset, blind, wild, parts, is_resumed=True)
    trainer = Trainer(dataset, blind, wild, parts)
    trainer.resume()
    assert trainer.misses == 2, "who resumes what is over validates the same step again, and counts it once"


def test_patience_and_held_out_parts_that_the_episodes_are_too_few_for_are_refused(
    dataset: ChunkDataset, blind: Setup, demos: list[Episode], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no episode is held out: there are 6 episodes and val_fraction is 0; have"):
        train(dataset, blind, replace(SMALL, patience=1, val_fraction=0.0), tmp_path)
    with pytest.raises(ConfigError, match="there are 3 episodes and val_fraction is 0.1"):
        train(ChunkDataset(demos[:3], blind, SMALL), blind, replace(SMALL, patience=1), tmp_path)
    with pytest.raises(ConfigError, match="val_fraction: 0.9 holds out all 4 episodes; hold out fewer, at most 0.75"):
        train(ChunkDataset(demos[:4], blind, SMALL), blind, replace(SMALL, val_fraction=0.9), tmp_path)


def test_demonstrations_that_were_marked_anew_are_other_data(
    blind: Setup, demos: list[Episode], tmp_path: Path
) -> None:
    weighed = replace(SMALL, quality_power=2.0)
    remarked = [replace(demos[0], notes={"quality": "1"}), *demos[1:]]
    train(ChunkDataset(demos, blind, weighed), blind, weighed, tmp_path)
    with pytest.raises(CheckpointError, match="cannot resume: its data_digest is not today's"):
        train(ChunkDataset(remarked, blind, weighed), blind, weighed, tmp_path, is_resumed=True)
    late = replace(SMALL, curriculum=CurriculumConfig(0.5, 0.5, Difficulty.NOTE))
    told = [[replace(d, notes={"difficulty": str(n)}) for d in demos] for n in (1, 2)]
    assert len({ChunkDataset(d, blind, late).digest() for d in told}) == 2
    unmarked = [ChunkDataset(d, blind, SMALL).digest() for d in (demos, remarked)]
    assert unmarked[0] == unmarked[1], "marks that do not count are not looked at"


def test_a_student_is_not_resumed_with_another_teacher(dataset: ChunkDataset, blind: Setup, tmp_path: Path) -> None:
    for name, seed in (("teacher", 0), ("again", 0), ("other", 1)):
        train(dataset, blind, replace(SMALL, head=Head.DIFFUSION, steps=2, seed=seed), tmp_path / name)
    config, out = adapted(replace(SMALL, steps=3), tmp_path / "teacher"), tmp_path / "student"
    train(dataset, blind, config, out, teacher=tmp_path / "teacher")
    words = r"cannot resume: the teacher \S+other has weights \w+, expected those it learned from .*, \w+ of \S+teacher"
    with pytest.raises(CheckpointError, match=words):
        train(dataset, blind, config, out, is_resumed=True, teacher=tmp_path / "other")
    longer = replace(config, steps=4)
    assert train(dataset, blind, longer, out, is_resumed=True, teacher=tmp_path / "again").steps == 4, "same weights"


def test_codes_that_were_taken_over_stay(
    dataset: ChunkDataset, blind: Setup, demos: list[Episode], tmp_path: Path
) -> None:
    config = replace(SMALL, head=Head.VQ, vq=VqConfig(codes=4))
    train(dataset, blind, config, tmp_path / "first")
    fewer = ChunkDataset(demos[3:], blind, config)
    trainer = Trainer(fewer, blind, config, tmp_path / "second", start=tmp_path / "first")
    codes = trainer.model.state_dict()["network.codes"]
    assert "network.codes" in trainer.transfer.copied
    assert torch.equal(codes, weights(tmp_path / "first")["network.codes"]), "the votes that came along mean these"
    fresh = Trainer(fewer, blind, config, tmp_path / "third").model.state_dict()["network.codes"]
    assert fresh.any() and not torch.equal(codes, fresh)
    more = replace(config, vq=VqConfig(codes=8))
    other = Trainer(fewer, blind, more, tmp_path / "fourth", start=tmp_path / "first")
    assert "network.codes" in other.transfer.fresh and other.model.state_dict()["network.codes"].any()


def test_half_precision_learns_and_keeps_its_weights_whole(dataset: ChunkDataset, blind: Setup, tmp_path: Path) -> None:
    losses: list[Progress] = []
    config = replace(SMALL, amp=True, steps=200, eval_every=1000, learning_rate=3e-3)
    train(dataset, blind, config, tmp_path, on_progress=losses.append)
    assert losses[-1].loss < 0.5 * losses[0].loss
    assert all(t.dtype == torch.float32 for t in weights(tmp_path).values())


def test_another_tasks_weights_are_taken_where_they_fit(
    dataset: ChunkDataset, blind: Setup, demos: list[Episode], tmp_path: Path
) -> None:
    train(dataset, blind, SMALL, tmp_path / "first")
    other = make_setup(cameras=(), objects=(), state=("ee_position", "gripper", "q"), instruction="something else")
    data = ChunkDataset(demos, other, SMALL)
    trainer = Trainer(data, other, SMALL, tmp_path / "second", start=tmp_path / "first")
    assert trainer.transfer.fresh == ("network.enter.weight",), "the layer that reads the observation"
    theirs, mine = weights(tmp_path / "first"), trainer.model.state_dict()
    assert len(trainer.transfer.copied) > 5
    assert all(torch.equal(theirs[k], mine[k]) for k in trainer.transfer.copied)
    assert not torch.equal(theirs["input_norm.centre"], mine["input_norm.centre"][:8])
    train(data, other, SMALL, tmp_path / "second", start=tmp_path / "first")
    unlike = replace(SMALL, network=NetworkConfig(NetworkKind.UNET1D, channels=(8, 16)))
    with pytest.raises(CheckpointError, match="no weight fits this training's network; it holds a mlp with head"):
        Trainer(dataset, blind, unlike, tmp_path / "third", start=tmp_path / "first")


def test_easy_episodes_come_first_and_all_come_in_the_end() -> None:
    sampler = WindowSampler([10, 10, 10, 10], [1.0] * 4, [3.0, 1.0, 4.0, 2.0], CurriculumConfig(0.5, 0.5))
    generator = torch.Generator().manual_seed(0)

    def episodes(fraction: float) -> set[int]:
        return set((sampler.draw(500, fraction, generator) // 10).tolist())

    assert episodes(0.0) == {1, 3} and episodes(0.25) == {0, 1, 3} and episodes(0.5) == {0, 1, 2, 3}
    assert sampler.part(0.25) == 0.75


def test_difficulty_is_measured_or_noted(blind: Setup, demos: list[Episode]) -> None:
    for measure in (Difficulty.LENGTH, Difficulty.PATH):
        config = replace(SMALL, curriculum=CurriculumConfig(0.5, 0.5, measure))
        hardness = [a.difficulty for a in ChunkDataset(demos, blind, config).arrays]
        assert hardness[0] < hardness[-1]
    noted = replace(SMALL, curriculum=CurriculumConfig(0.5, 0.5, Difficulty.NOTE))
    with pytest.raises(EpisodeError, match="d0: has no note 'difficulty'"):
        ChunkDataset(demos, blind, noted)
    told = [replace(d, notes={"difficulty": str(9 - i)}) for i, d in enumerate(demos)]
    assert [a.difficulty for a in ChunkDataset(told, blind, noted).arrays] == [9, 8, 7, 6, 5, 4]


def test_marks_decide_how_often_an_episode_is_seen(blind: Setup, demos: list[Episode]) -> None:
    data = ChunkDataset(demos[:2], blind, replace(SMALL, quality_power=4.0))  # marks 5 and 4
    n = [len(a.inputs) for a in data.arrays]
    drawn = data.sampler([0, 1], CurriculumConfig()).draw(4 * sum(n), 0.0, torch.Generator().manual_seed(0))
    share = (drawn < n[0]).float().mean().item()
    assert share == pytest.approx(n[0] / (n[0] + 0.8**4 * n[1]), abs=0.05)
    assert quality_weight("e", {}, 2.0) == 1.0
    for mark, words in (("good", "note 'quality' is 'good', expected a number"), ("7", "7 is not in 1..5")):
        with pytest.raises(EpisodeError, match=words):
            quality_weight("e", {"quality": mark}, 1.0)


def test_plans_are_blended_when_asked(
    dataset: ChunkDataset, blind: Setup, demos: list[Episode], tmp_path: Path
) -> None:
    for plans in (0, 3):
        train(dataset, blind, replace(SMALL, ensemble=EnsembleConfig(plans, 0.0)), tmp_path / str(plans))
    o = demos[0].observations
    rows = {}
    for plans in (0, 3):
        policy = checkpoint.load(tmp_path / str(plans), blind)
        rows[plans] = [policy.predict(o[k : k + 2]) for k in range(2)]
        assert policy.predict(o[:2]).rows == pytest.approx(rows[plans][0].rows), "back in time: a new run"
    first, second = (c.rows[:, :3, 3] for c in rows[0])
    expected = np.concatenate([(first[1:] + second[:-1]) / 2, second[-1:]])
    assert rows[3][1].rows[:, :3, 3] == pytest.approx(expected)
    assert rows[3][1].gripper_des is not None


# What a checkpoint of release 0.1.0 says about its training, and no more.
OLD_KEYS = {
    "policy", "head", "network", "diffusion", "norm", "augment", "action_encoding", "observed_ticks", "hold_at_end",
    "steps", "max_seconds", "batch_size", "learning_rate", "weight_decay", "warmup_steps", "grad_clip_norm",
    "ema_power", "ema_max", "val_fraction", "eval_every", "seed", "threads", "device",
}  # fmt: skip
OLD_PARTS = {
    "network": {"kind", "width", "depth", "channels", "kernel", "groups"},
    "diffusion": {"prediction", "train_steps", "inference_steps"},
    "augment": {"tool_m", "jitter_m", "gripper"},
}


@pytest.mark.parametrize("kind", [NetworkKind.MLP, NetworkKind.UNET1D])
@pytest.mark.parametrize("head", [Head.REGRESSION, Head.DIFFUSION])
def test_checkpoints_of_the_first_release_still_load(
    head: Head, kind: NetworkKind, dataset: ChunkDataset, blind: Setup, demos: list[Episode], tmp_path: Path
) -> None:
    config = replace(SMALL, head=head, network=NetworkConfig(kind, width=32, depth=1, channels=(8, 16)), steps=2)
    train(dataset, blind, config, tmp_path)
    window = demos[0].observations[:2]
    today = checkpoint.load(tmp_path, blind).predict(window).rows
    path = tmp_path / checkpoint.MANIFEST
    manifest = json.loads(path.read_text())
    old = {k: v for k, v in manifest["config"].items() if k in OLD_KEYS}
    for part, keys in OLD_PARTS.items():
        old[part] = {k: v for k, v in old[part].items() if k in keys}
    as_of_the_first_release(path, config=old)
    assert np.array_equal(checkpoint.load(tmp_path, blind).predict(window).rows, today)
    names = {"network", "input_norm", "action_norm"}
    assert {key.split(".")[0] for key in weights(tmp_path)} == names, "tensors keep their names"
