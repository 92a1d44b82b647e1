"""Trajectories from few demonstrations: they reach, they follow the scene, they run on absolute time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_world import BIN, HALF_M, World, demonstrate, make_setup, random_cube

from il_core.config import Setup
from il_core.errors import CheckpointError, ConfigError, EpisodeError
from il_core.geometry import Array
from il_policy import checkpoint
from il_policy.config import (
    AugmentConfig,
    CurriculumConfig,
    EnsembleConfig,
    Head,
    Language,
    ObserveConfig,
    PrimitiveConfig,
    TrainConfig,
)
from il_policy.dataset import ChunkDataset
from il_policy.primitives import PRIMITIVES, Dmp, ProMp
from il_policy.primitives.base import resample, ridge
from il_policy.train import train

SAMPLES = 60


def via(context: Array) -> Array:
    """Home, down to a place that the context names, and over to the bin, (S, 3)."""
    u = np.linspace(0.0, 1.0, SAMPLES)[:, None]
    ease = lambda x: 3 * x**2 - 2 * x**3  # noqa: E731
    home, place = np.array([0.45, 0.0, 0.3]), np.array([*context, 0.02])
    down, over = ease(np.clip(2 * u, 0, 1)), ease(np.clip(2 * u - 1, 0, 1))
    return home + (place - home) * down + (BIN - place) * over


CONTEXTS = np.random.default_rng(0).uniform([0.35, -0.1], [0.6, 0.2], (10, 2))
DEMOS = np.array([via(c) for c in CONTEXTS])
OTHERS = np.random.default_rng(1).uniform([0.38, -0.07], [0.57, 0.17], (10, 2))
BOUND_M = {Head.DMP: None, Head.PROMP: 0.002, Head.GMR: 0.03}  # a DMP bends one mean shape


@pytest.mark.parametrize("head", list(PRIMITIVES))
def test_ten_demonstrations_are_enough_for_places_never_shown(head: Head) -> None:
    fitted = PRIMITIVES[head].fit(CONTEXTS, DEMOS, PrimitiveConfig(8 if head is Head.GMR else 20), 0)
    worst = max(float(np.abs(fitted.plan(c, SAMPLES) - via(c)).max()) for c in OTHERS)
    ends = max(float(np.linalg.norm(fitted.plan(c, SAMPLES)[-1] - BIN)) for c in OTHERS)
    assert ends < 0.03
    if BOUND_M[head] is not None:
        assert worst < BOUND_M[head]
    again = PRIMITIVES[head].fit(CONTEXTS, DEMOS, PrimitiveConfig(8 if head is Head.GMR else 20), 0)
    assert np.array_equal(again.plan(OTHERS[0], SAMPLES), fitted.plan(OTHERS[0], SAMPLES))


def test_a_movement_primitive_repeats_one_demonstration_and_moves_to_any_goal() -> None:
    fitted = Dmp.fit(CONTEXTS[:1], DEMOS[:1], PrimitiveConfig(40), 0)
    rows = fitted.roll_out(DEMOS[0, 0], DEMOS[0, -1], SAMPLES)
    assert np.abs(rows - DEMOS[0]).max() < 0.02
    goal = np.array([0.3, 0.3, 0.1])
    assert np.linalg.norm(fitted.roll_out(DEMOS[0, 0], goal, SAMPLES)[-1] - goal) < 0.01


def test_a_promp_knows_where_demonstrations_differ_for_no_visible_reason() -> None:
    rng = np.random.default_rng(0)
    noisy = DEMOS + 0.02 * rng.normal(size=(10, 1, 3)) * np.linspace(0, 1, SAMPLES)[:, None]
    fitted = ProMp.fit(CONTEXTS, noisy, PrimitiveConfig(), 0)
    std = fitted.std(SAMPLES)
    assert std[-1].max() > 3 * std[0].max()
    left = noisy - np.array([fitted.plan(c, SAMPLES) for c in CONTEXTS])
    assert std == pytest.approx(np.sqrt((left**2).mean(0)), abs=5e-4), "as far as they are from the plan"


def test_a_promp_of_the_first_release_is_read_as_what_it_says() -> None:
    fitted = ProMp.fit(CONTEXTS, DEMOS, PrimitiveConfig(), 0)
    arrays = dict(fitted.arrays)
    arrays["residual_std"] = np.sqrt(np.einsum("dkk->kd", arrays.pop("residual_cov")))
    old = ProMp(arrays)
    assert np.array_equal(old.plan(OTHERS[0], SAMPLES), fitted.plan(OTHERS[0], SAMPLES))
    basis = ProMp.basis(np.linspace(0, 1, SAMPLES), 20)
    assert old.std(SAMPLES) == pytest.approx(np.sqrt(basis**2 @ arrays["residual_std"] ** 2))


def test_bumps_sum_to_one_and_regression_without_a_ridge_is_exact() -> None:
    assert ProMp.basis(np.linspace(0, 1, 50), 12).sum(1) == pytest.approx(np.ones(50))
    x = np.random.default_rng(0).normal(size=(20, 3))
    w = np.array([[1.0], [2.0], [-3.0]])
    assert ridge(x, x @ w, 0.0) == pytest.approx(w)
    assert resample(np.array([[0.0], [2.0]]), 3)[:, 0].tolist() == [0.0, 1.0, 2.0]


@pytest.fixture(scope="module")
def setup() -> Setup:
    """The tiny task seen by the front camera only: cheap, and it always sees the cube."""
    return make_setup(cameras=("front",))


@pytest.fixture(scope="module")
def dataset(setup: Setup) -> ChunkDataset:
    rng = np.random.default_rng(0)
    demos = [demonstrate(setup, random_cube(rng), f"d{i}") for i in range(5)]
    return ChunkDataset(demos, setup, TrainConfig("p", Head.PROMP, val_fraction=0.0))


@pytest.mark.parametrize("head", list(PRIMITIVES))
def test_a_fitted_trajectory_is_saved_loaded_and_served_bit_for_bit(
    head: Head, setup: Setup, dataset: ChunkDataset, tmp_path: Path
) -> None:
    config = TrainConfig("p", head, val_fraction=0.0, gmr=PrimitiveConfig(4))
    result = train(dataset, setup, config, tmp_path)
    assert result.is_complete and result.steps == 0 and result.parameters > 0
    a, b = checkpoint.load(tmp_path, setup), checkpoint.load(tmp_path, setup)
    world = World(setup, np.array([0.5, 0.05, HALF_M]))
    for tick in (0, 8):
        world.tick = tick
        o = world.observe()
        first, second = a.predict([o, o]), b.predict([o, o])
        assert np.array_equal(first.rows, second.rows)
        assert first.start_ns == o.tick_ns + first.dt_ns
    weights = next(tmp_path.glob("model-*"))
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(tmp_path, setup)


def test_a_run_is_planned_once_and_read_off_by_time(setup: Setup, dataset: ChunkDataset, tmp_path: Path) -> None:
    train(dataset, setup, TrainConfig("p", Head.PROMP, val_fraction=0.0), tmp_path)
    policy = checkpoint.load(tmp_path, setup)
    world = World(setup, np.array([0.5, 0.05, HALF_M]))
    first = policy.predict([world.observe()] * 2)
    world.tick, world.p_cube = 4, np.array([0.4, -0.1, HALF_M])
    later = policy.predict([world.observe()] * 2)
    assert np.array_equal(first.rows[4:], later.rows[:-4]), "a cube moved on the way changes nothing"
    policy.reset(0)
    assert not np.allclose(first.rows[4:], policy.predict([world.observe()] * 2).rows[:-4]), "a new run looks anew"
    world.tick = 10_000
    end = policy.predict([world.observe()] * 2)
    assert np.ptp(end.rows, axis=0).max() == 0.0, "after its end the last target stays"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("quality_power", {"quality_power": 1.0}),
        ("curriculum.start", {"curriculum": CurriculumConfig(0.5)}),
        ("patience", {"patience": 2}),
        ("ensemble.plans", {"ensemble": EnsembleConfig(3)}),
        ("augment", {"augment": AugmentConfig(tool_m=0.02)}),
        ("observe", {"observe": ObserveConfig(language=Language.NGRAM)}),
    ],
)
def test_settings_that_a_fit_cannot_heed_are_refused_by_name(
    name: str, changes: dict[str, object], setup: Setup, dataset: ChunkDataset, tmp_path: Path
) -> None:
    config = TrainConfig("p", Head.PROMP, val_fraction=0.0)
    with pytest.raises(ConfigError, match=f"^{name}: head promp fits whole trajectories in one go and has no use"):
        train(dataset, setup, replace(config, **changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_trajectory_does_not_begin_with_the_weights_of_another(
    setup: Setup, dataset: ChunkDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--from: head promp is fitted anew, from demonstrations alone; leave it"):
        train(dataset, setup, TrainConfig("p", Head.PROMP, val_fraction=0.0), tmp_path, start=tmp_path)


def test_what_is_not_seen_is_refused(setup: Setup, dataset: ChunkDataset, tmp_path: Path) -> None:
    train(dataset, setup, TrainConfig("p", Head.PROMP, val_fraction=0.0), tmp_path)
    away = World(setup, np.array([3.0, 3.0, HALF_M]))
    with pytest.raises(EpisodeError, match="an object is not seen, but the trajectory depends on where it is"):
        checkpoint.load(tmp_path, setup).predict([away.observe()] * 2)
    blind = replace(dataset.arrays[0], inputs=np.full_like(dataset.arrays[0].inputs, np.nan))
    dataset.arrays[0], kept = blind, dataset.arrays[0]
    try:
        with pytest.raises(EpisodeError, match="d0: an object is not seen when it begins"):
            train(dataset, setup, TrainConfig("p", Head.DMP, val_fraction=0.0), tmp_path)
    finally:
        dataset.arrays[0] = kept
