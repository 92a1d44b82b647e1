"""A checkpoint of format version 1, which carried no digests, plans, is watched and is trained on as it was then."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_world import HALF_M, demonstrate, make_setup

import il_policy
from il_core.config import Setup
from il_core.types import Episode
from il_policy import checkpoint
from il_policy.dataset import ChunkDataset
from il_policy.serving import doubt
from il_policy.serving.config import Runtime, ServeConfig
from il_policy.serving.loading import weights_sha256
from il_policy.train import train

GOLDEN = Path(__file__).parents[2] / "data" / "checkpoint_v1"


@pytest.fixture
def blind() -> Setup:
    """The tiny task without cameras."""
    return make_setup(cameras=(), objects=())


@pytest.fixture
def demos(blind: Setup) -> list[Episode]:
    """What it was trained on."""
    places = [np.array([0.4 + 0.03 * i, 0.02 * i, HALF_M]) for i in range(4)]
    return [demonstrate(blind, p, f"d{i}") for i, p in enumerate(places)]


@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.ONNX])
@pytest.mark.parametrize("is_setup_known", [True, False])
def test_it_plans_as_it_did(runtime: Runtime, is_setup_known: bool, blind: Setup, demos: list[Episode]) -> None:  # noqa: FBT001
    config = ServeConfig(runtime=runtime)
    policy = il_policy.load(GOLDEN, blind if is_setup_known else None, config=config)
    plan, kept = policy.predict(demos[0].observations[:2]), json.loads((GOLDEN / "plan.json").read_text())
    assert plan.rows[:, :3, 3] == pytest.approx(np.array(kept["rows"]), abs=1e-6)
    assert plan.gripper_des == pytest.approx(np.array(kept["gripper"]), abs=1e-6)


def test_its_calibration_is_read_and_its_training_goes_on(blind: Setup, demos: list[Episode], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(GOLDEN, tmp_path / "copy"))
    assert doubt.load(copy, weights_sha256(copy)) is not None
    before = checkpoint.read_manifest(copy)
    assert (before.format_version, before.origin, before.metrics["steps"]) == (1, None, 3)
    config = replace(before.config, steps=5)
    result = train(ChunkDataset(demos, blind, config), blind, config, copy, is_resumed=True)
    after = checkpoint.read_manifest(copy)
    assert result.steps == 5 and (after.format_version, after.metrics["steps"]) == (2, 5)
    assert after.origin is not None and after.origin.parent is None
