"""A checkpoint says where it comes from: data, people, machine, versions, and what it began with."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import HALF_M, demonstrate, make_setup

from il_core.config import Setup
from il_policy import checkpoint
from il_policy.config import Head, NetworkConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.provenance import Origin, Parent, Source, Taken, counted, git_revision
from il_policy.train import train

CONFIG = TrainConfig("test", Head.DIFFUSION, NetworkConfig(width=16, depth=1), steps=2, batch_size=8)
SOURCE = Source("outputs/dataset", "ab" * 32, {"anna": 1, "": 1})


@pytest.fixture
def blind() -> Setup:
    """The tiny task without cameras."""
    return make_setup(cameras=(), objects=())


@pytest.fixture
def dataset(blind: Setup) -> ChunkDataset:
    places = (np.array([0.4, 0.1, HALF_M]), np.array([0.5, 0.0, HALF_M]))
    return ChunkDataset([demonstrate(blind, p, f"d{i}") for i, p in enumerate(places)], blind, CONFIG)


def origin_of(folder: Path) -> Origin:
    """What a checkpoint says of its origin."""
    found = checkpoint.read_manifest(folder).origin
    assert found is not None
    return found


def test_data_machine_and_versions_are_written_down(dataset: ChunkDataset, blind: Setup, tmp_path: Path) -> None:
    result = train(dataset, blind, CONFIG, tmp_path, source=SOURCE)
    origin = origin_of(tmp_path)
    assert (origin.source, origin.episodes, origin.parent) == (SOURCE, 2, None)
    assert origin.versions["torch"] == torch.__version__ and origin.versions["numpy"] == np.__version__
    assert origin.machine and origin.date_utc.endswith("+00:00")
    assert result.origin == replace(origin, date_utc="")
    said = "2 episodes of outputs/dataset (digest abababababab; shown by unnamed 1, anna 1); python 3."
    assert result.origin.line().startswith(said)
    assert len(git_revision()) == 40 or git_revision() == "unknown"


def test_what_it_began_with_is_written_down_and_outlives_a_resumed_training(
    dataset: ChunkDataset, blind: Setup, tmp_path: Path
) -> None:
    first, second, student = tmp_path / "first", tmp_path / "second", tmp_path / "student"
    train(dataset, blind, CONFIG, first)
    sha256 = hashlib.sha256(next(first.glob("model-*")).read_bytes()).hexdigest()
    train(dataset, blind, CONFIG, second, start=first)
    parent = origin_of(second).parent
    assert parent is not None and (parent.path, parent.weights_sha256) == (str(first), sha256)
    assert parent.taken is Taken.START and parent.copied and not parent.fresh
    assert f"start {first} (weights {sha256[:12]}, {len(parent.copied)} tensors taken over, 0 fresh)" in (
        origin_of(second).line()
    )
    train(dataset, blind, replace(CONFIG, steps=3), second, is_resumed=True)
    assert origin_of(second).parent == parent
    train(dataset, blind, replace(CONFIG, head=Head.ONE_STEP), student, teacher=first)
    taught = origin_of(student).parent
    assert taught is not None and (taught.taken, taught.weights_sha256) == (Taken.TEACHER, sha256)
    assert set(taught.copied) > set(parent.copied), "the normalisers too"


def test_a_fitted_trajectory_says_it_too(dataset: ChunkDataset, blind: Setup, tmp_path: Path) -> None:
    train(dataset, blind, replace(CONFIG, head=Head.PROMP), tmp_path, source=SOURCE)
    assert origin_of(tmp_path).source == SOURCE


def test_operators_are_counted_and_what_is_unknown_is_said_to_be() -> None:
    assert counted({"a": "anna", "b": "", "c": "anna"}) == {"": 1, "anna": 2}
    assert Origin(parent=Parent("x", "12" * 32, Taken.START)).line().startswith("0 episodes of data in memory; start x")
