"""Figures of a training: TensorBoard always, Weights & Biases where asked for and installed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tiny_world import HALF_M, demonstrate, make_setup

from il_core.config import Setup
from il_core.errors import ConfigError
from il_policy import checkpoint
from il_policy.config import Head, NetworkConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.logbook import Logbook
from il_policy.train import Progress, train

CONFIG = TrainConfig(
    "test", Head.REGRESSION, NetworkConfig(width=16, depth=1), steps=4, eval_every=2, batch_size=8, wandb="arm"
)


@dataclass
class Recorded:
    """A W&B run that remembers what it was told."""

    told: dict[str, Any]
    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    is_finished: bool = False

    def log(self, figures: dict[str, float], step: int) -> None:
        """As wandb's: steps never fall."""
        assert not self.logged or step >= self.logged[-1][0]
        self.logged.append((step, figures))

    def finish(self) -> None:
        """As wandb's."""
        self.is_finished = True


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Runs begun at a service that needs no network."""
    begun: list[Recorded] = []
    fake = ModuleType("wandb")

    def init(**told: Any) -> Recorded:  # noqa: ANN401 - whatever is told
        begun.append(Recorded(told))
        return begun[-1]

    fake.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return begun


@pytest.fixture
def blind() -> Setup:
    """The tiny task without cameras."""
    return make_setup(cameras=(), objects=())


@pytest.fixture
def dataset(blind: Setup) -> ChunkDataset:
    places = [np.array([0.4 + 0.03 * i, 0.0, HALF_M]) for i in range(4)]
    return ChunkDataset([demonstrate(blind, p, f"d{i}") for i, p in enumerate(places)], blind, CONFIG)


def test_figures_reach_the_project_and_a_resumed_training_may_tell_another(
    dataset: ChunkDataset, blind: Setup, runs: list[Recorded], tmp_path: Path
) -> None:
    out = tmp_path / "reach_bc"
    told: list[Progress] = []
    train(dataset, blind, CONFIG, out, on_progress=told.append)
    (run,) = runs
    assert run.is_finished and run.told["project"] == "arm" and run.told["name"] == "reach_bc"
    assert run.told["config"]["network"]["width"] == 16 and run.told["dir"] == str(out)
    step, last = run.logged[-1]
    metrics = checkpoint.read_manifest(out).metrics
    assert step == 4 and last["loss"] == told[-1].loss and last["val_x_mm"] == metrics["val_x_mm"]
    train(dataset, blind, replace(CONFIG, wandb="elsewhere", steps=6), out, is_resumed=True)
    train(dataset, blind, replace(CONFIG, wandb="", steps=8), out, is_resumed=True)
    assert [r.told["project"] for r in runs] == ["arm", "elsewhere"]
    assert runs[1].logged[-1][0] == 6 and runs[1].told["group"] == run.told["group"]


def test_without_the_library_the_training_does_not_begin(
    dataset: ChunkDataset, blind: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match="wandb: arm: Weights & Biases is not installed: pip install wandb"):
        train(dataset, blind, CONFIG, tmp_path)
    assert not (tmp_path / "policy.json").exists()


def test_what_is_not_finite_is_left_out(runs: list[Recorded], tmp_path: Path) -> None:
    book = Logbook(tmp_path, CONFIG, 0)
    book.add({"loss": float("nan"), "rate": 1.0}, 3)
    book.close()
    assert runs[0].logged == [(3, {"rate": 1.0})]
