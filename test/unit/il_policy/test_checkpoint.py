"""A checkpoint gives the same policy everywhere, or is refused in one clear sentence."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tiny_world import HALF_M, World, make_setup, restate

import il_policy.checkpoint
from il_core.config import Setup
from il_core.errors import CheckpointError, SpecMismatchError
from il_policy import checkpoint
from il_policy.config import Head, NetworkConfig, TrainConfig
from il_policy.files import write_named
from il_policy.policy import ChunkModel, ChunkPolicy

CONFIG = TrainConfig("test", Head.DIFFUSION, NetworkConfig(width=64, depth=1))
FRESH_PROCESS = """
import sys
sys.path.insert(0, sys.argv[2])
from tiny_world import *
import il_policy.checkpoint
setup = make_setup()
o = World(setup, np.array([0.5, 0.1, HALF_M])).observe()
chunk = il_policy.checkpoint.load(sys.argv[1], setup, seed=7).predict([o, o])
print(chunk.start_ns, chunk.dt_ns, chunk.obs_ns)
print(chunk.T_base_ee_des.tobytes().hex(), chunk.gripper_des.tobytes().hex())
"""


@pytest.fixture
def model(setup: Setup) -> ChunkModel:
    torch.manual_seed(0)
    model = ChunkModel.for_setup(setup, CONFIG)
    model.action_norm.fit(np.random.default_rng(0).normal(0, 0.1, (50, 4)))
    return model


@pytest.fixture
def saved(setup: Setup, model: ChunkModel, tmp_path: Path) -> Path:
    return checkpoint.save(tmp_path / "ck", model, setup, CONFIG, "data", {"loss": 0.5})


def test_a_fresh_process_plans_the_same_bits(setup: Setup, model: ChunkModel, saved: Path) -> None:
    o = World(setup, np.array([0.5, 0.1, HALF_M])).observe()
    chunk = ChunkPolicy(setup, CONFIG, model, seed=7).predict([o, o])
    assert chunk.T_base_ee_des is not None and chunk.gripper_des is not None
    times = [chunk.start_ns, chunk.dt_ns, chunk.obs_ns]
    mine = [*map(str, times), chunk.T_base_ee_des.tobytes().hex(), chunk.gripper_des.tobytes().hex()]
    command = [sys.executable, "-c", FRESH_PROCESS, str(saved), str(Path(__file__).parent)]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd()).stdout.split()
    assert theirs == mine


def test_row_zero_is_wanted_one_tick_after_the_observation(setup: Setup, saved: Path) -> None:
    world = World(setup, np.array([0.5, 0.1, HALF_M]), tick=3)
    o = world.observe()
    chunk = il_policy.load(saved, setup).predict([o, o])
    assert (chunk.obs_ns, chunk.start_ns, chunk.dt_ns) == (300_000_000, 400_000_000, 100_000_000)
    assert chunk.horizon == 16


def test_one_rollout_keeps_its_noise_and_the_next_draws_anew(setup: Setup, saved: Path) -> None:
    policy, o = il_policy.load(saved, setup), World(setup, np.array([0.5, 0.1, HALF_M])).observe()
    first, again = (policy.predict([o, o]).rows for _ in range(2))
    policy.reset(1)
    other = policy.predict([o, o]).rows
    policy.reset(0)
    assert np.array_equal(first, again) and np.array_equal(first, policy.predict([o, o]).rows)
    assert not np.array_equal(first, other)


def test_another_task_is_refused(saved: Path) -> None:
    with pytest.raises(SpecMismatchError, match="was made for spec .* this robot and task are .*; retrain it"):
        il_policy.load(saved, make_setup(rate_hz=20))


def test_missing_and_damaged_files_are_refused(setup: Setup, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read: No such file or directory; give the directory"):
        il_policy.load(tmp_path / "nowhere", setup)
    weights = next(saved.glob("model-*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(CheckpointError, match="damaged: SHA-256 is"):
        il_policy.load(saved, setup)
    weights.unlink()
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        il_policy.load(saved, setup)


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def forge(saved: Path, data: bytes) -> None:
    """Replace the weights and make ``policy.json`` vouch for them."""
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"model-{sha256[:12]}.safetensors"
    (saved / name).write_bytes(data)
    edit(saved, weights=name, weights_sha256=sha256)


def edit(saved: Path, **changes: object) -> None:
    """Change entries of ``policy.json``, which vouches for them."""
    restate(saved / checkpoint.MANIFEST, **changes)


def test_a_pickle_in_disguise_is_refused_and_not_run(setup: Setup, saved: Path, tmp_path: Path) -> None:
    forge(saved, pickle.dumps(Bomb(tmp_path / "boom")))
    with pytest.raises(CheckpointError, match="not a safetensors file .* nothing in it was run"):
        il_policy.load(saved, setup)
    assert not (tmp_path / "boom").exists()
    pickle.loads(pickle.dumps(Bomb(tmp_path / "boom")))  # the bomb is real
    assert (tmp_path / "boom").exists()


def test_a_manifest_cannot_point_elsewhere_or_lie_about_sizes(setup: Setup, saved: Path) -> None:
    config = json.loads((saved / checkpoint.MANIFEST).read_text())["config"]
    edit(saved, config={**config, "network": {**config["network"], "width": 128}})
    with pytest.raises(CheckpointError, match="weights do not fit the network it describes"):
        il_policy.load(saved, setup)
    edit(saved, config={**config, "network": {**config["network"], "width": 10**9}})
    with pytest.raises(CheckpointError, match=r"width must be in 1..4096"):
        il_policy.load(saved, setup)
    edit(saved, config=config, weights="../../etc/passwd")
    with pytest.raises(CheckpointError, match="names a weight file .* that is not ours"):
        il_policy.load(saved, setup)
    edit(saved, format_version=99)
    with pytest.raises(CheckpointError, match="format_version is 99, this release reads 1 and 2; train again"):
        il_policy.load(saved, setup)
    (saved / checkpoint.MANIFEST).write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        il_policy.load(saved, setup)


def test_weights_that_are_not_finite_are_refused(setup: Setup, model: ChunkModel, tmp_path: Path) -> None:
    next(model.network.parameters()).data[0] = float("nan")
    saved = checkpoint.save(tmp_path / "ck", ChunkModel.for_setup(setup, CONFIG), setup, CONFIG, "data", {})
    data = save(dict(model.state_dict()))
    name, sha256 = write_named(saved, "model", "safetensors", data)
    edit(saved, weights=name, weights_sha256=sha256)
    with pytest.raises(CheckpointError, match=r"tensor 'network.enter.weight' is not finite float32"):
        il_policy.load(saved, setup)


def test_weights_that_are_not_finite_are_never_written_over_good_ones(
    setup: Setup, model: ChunkModel, saved: Path
) -> None:
    before = checkpoint.read_manifest(saved)
    next(model.network.parameters()).data[0] = float("inf")
    words = r"'model' was not written: tensor 'network.enter.weight' is not finite .*what was there stays; train again"
    with pytest.raises(CheckpointError, match=words):
        checkpoint.save(saved, model, setup, CONFIG, "data", {})
    assert checkpoint.read_manifest(saved) == before
    il_policy.checkpoint.load(saved, setup)


def test_saving_again_replaces_the_policy_and_leaves_no_old_files(setup: Setup, model: ChunkModel, saved: Path) -> None:
    next(model.network.parameters()).data[0] += 1.0
    checkpoint.save(saved, model, setup, CONFIG, "data", {"loss": 0.25})
    assert len(list(saved.glob("model-*"))) == 1
    assert checkpoint.read_manifest(saved).metrics == {"loss": 0.25}
    il_policy.load(saved, setup)
