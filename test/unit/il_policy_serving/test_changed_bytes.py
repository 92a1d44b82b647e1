"""One changed byte in any file of a checkpoint is refused, in words and in numbers alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from serving_world import CONFIGS, make_data
from tiny_world import as_of_the_first_release, make_setup, restate

import il_policy
from il_core.config import Setup, config_dir, from_mapping, load_setup
from il_core.errors import CheckpointError
from il_core.spec import RobotSpec, TaskSpec
from il_policy import checkpoint, files
from il_policy.serving import artifact as stored
from il_policy.serving import doubt
from il_policy.serving.export import export
from il_policy.serving.loading import torch_policy, weights_sha256
from il_policy.specs import specs_sha256
from il_policy.train import STATE, train

STRUCTURE = b'{}[],:"\n'
EVERY = 61  # of all bytes, besides every ninth of those; a run over all of them takes minutes


@pytest.fixture(scope="module")
def blind() -> Setup:
    """The tiny task without cameras."""
    return make_setup(cameras=(), objects=())


@pytest.fixture(scope="module")
def whole(blind: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with everything in it: weights, what a training resumes from, graphs, calibration."""
    folder, config = tmp_path_factory.mktemp("whole"), replace(CONFIGS["bc"], steps=2, batch_size=8)
    train(make_data(blind, config), blind, config, folder)
    export(folder, ["onnx"], torch_policy(folder, blind))
    features = [np.random.default_rng(k).normal(size=(9, 4)) for k in range(3)]
    doubt.save(folder, doubt.calibrate(features), weights_sha256(folder), 3)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def read_state(folder: Path) -> object:
    """What a resumed training reads."""
    state = files.read_sealed(folder / STATE, "train again", oldest=1)
    return checkpoint.read_tensors(folder, state["tensors"], state["sha256"])


def read_graphs(folder: Path) -> object:
    """All that an exported policy reads."""
    artifact = stored.read_artifact(folder)
    stored.read_tensors(folder, artifact.tensors)
    return [stored.checked(folder, entry) for entry in artifact.graphs.values()]


def read_weights(folder: Path) -> object:
    """All that a policy in torch reads."""
    return checkpoint.read_weights(folder, checkpoint.read_manifest(folder))


def read_doubt(folder: Path) -> object:
    """All that a calibration reads."""
    return doubt.load(folder, weights_sha256(folder))


READERS: dict[str, Callable[[Path], object]] = {
    "policy.json": checkpoint.read_manifest,
    "training.json": read_state,
    "serving.json": stored.read_artifact,
    "doubt.json": read_doubt,
    "model-*.safetensors": read_weights,
    "training-*.safetensors": read_state,
    "serving_norm-*.safetensors": read_graphs,
    "serving_whole-*.onnx": read_graphs,
    "serving_encode-*.onnx": read_graphs,
    "doubt-*.safetensors": read_doubt,
}


def test_the_files_are_those_of_a_checkpoint(whole: Path) -> None:
    known = {path.name for pattern in READERS for path in whole.glob(pattern)}
    assert {p.name for p in whole.iterdir() if p.is_file()} == known


@pytest.mark.parametrize("pattern", READERS)
def test_no_changed_byte_passes(pattern: str, copy: Path) -> None:
    path, read = next(copy.glob(pattern)), READERS[pattern]
    data, rng = path.read_bytes(), np.random.default_rng(0)
    places = [i for i, byte in enumerate(data) if byte in STRUCTURE][::9] + list(range(0, len(data), EVERY))
    if path.suffix != ".json":
        places = [0, 7, 8, len(data) - 1, *rng.integers(len(data), size=40).tolist()]
    assert read(copy) is not None
    for i in places:
        changed = bytearray(data)
        changed[i] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises(CheckpointError):
            read(copy)
            pytest.fail(f"byte {i} of {path.name}: {data[i : i + 1]!r} became {changed[i : i + 1]!r}")


def test_the_whole_policy_refuses_what_its_parts_refuse(copy: Path, blind: Setup) -> None:
    path = copy / "serving.json"
    text = path.read_text()
    assert '"observed_ticks": 0' in text
    path.write_text(text.replace('"observed_ticks": 0', '"observed_ticks": 1'))
    with pytest.raises(CheckpointError, match=r"damaged: it was changed .* copy it again or export again"):
        il_policy.load(copy, blind)


@pytest.mark.parametrize("name", ["policy.json", "training.json", "serving.json", "doubt.json"])
def test_a_digest_that_is_cut_out_does_not_help(name: str, copy: Path) -> None:
    path, read = copy / name, READERS[name]
    values = json.loads(path.read_text())
    digest = values.pop("digest")
    for changed in (values, {**values, "digst": digest}, {**values, "digest": ""}):
        path.write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match="damaged"):
            read(copy)


def test_what_release_0_1_wrote_has_no_digest_and_is_still_read(copy: Path, blind: Setup) -> None:
    for name in ("policy.json", "serving.json", "doubt.json"):
        as_of_the_first_release(copy / name)
    assert il_policy.load(copy, blind) is not None
    for read in READERS.values():
        read(copy)
    restate(copy / "policy.json", format_version=3)
    with pytest.raises(CheckpointError, match="format_version is 3, this release reads 1 and 2; train again"):
        checkpoint.read_manifest(copy)


def test_numbers_that_json_lacks_are_left_out_or_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written: Out of range float"):
        files.write_sealed(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_a_robot_or_task_that_is_read_otherwise_than_written_is_refused(copy: Path) -> None:
    for name, read in (("policy.json", checkpoint.read_manifest), ("serving.json", stored.read_artifact)):
        path = copy / name
        task = json.loads(path.read_text())["task"]
        restate(path, task={**task, "press_m": 0.001})
        with pytest.raises(CheckpointError, match="robot and task read from it have the digest .*, expected"):
            read(copy)


@pytest.mark.parametrize("task", sorted(p.stem for p in (config_dir() / "task").glob("*.yaml")))
def test_every_robot_and_task_is_the_same_after_a_journey_through_json(task: str) -> None:
    setup = load_setup(task)
    robot, spec = (json.loads(json.dumps(stored.plain(asdict(part)))) for part in (setup.robot, setup.task))
    again = specs_sha256(from_mapping(RobotSpec, robot, "robot"), from_mapping(TaskSpec, spec, "task"))
    assert again == specs_sha256(setup.robot, setup.task)
