"""A trained policy on disk: two files, no code, refused unless whole and made for this robot and task.

``policy.json`` is the point of commit: it names the weight file and its SHA-256, and is replaced
atomically after that file is safe on disk. A reader therefore sees the old policy or the new one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from il_core.config import Setup
from il_core.errors import CheckpointError, SpecMismatchError
from il_policy.arrays import ArraySpec
from il_policy.config import TrainConfig, as_plain, plain
from il_policy.files import read_checked, write_named, write_sealed
from il_policy.manifest import (
    AGAIN,
    MANIFEST,
    ArrayManifest,
    Manifest,
    Stored,
    read_array_manifest,
    read_manifest,
    read_stored,
)
from il_policy.policy import ChunkMaker, ChunkModel, ChunkPolicy
from il_policy.primitives.policy import TrajectoryModel, TrajectoryPolicy
from il_policy.provenance import Origin, git_revision, now_utc
from il_policy.specs import specs_sha256

__all__ = ["AGAIN", "MANIFEST", "ArrayManifest", "Manifest", "Stored", "read_manifest", "read_stored"]
_FILE_NAME = re.compile(r"[a-z]+-[0-9a-f]{12}\.safetensors")


def write_tensors(directory: Path, stem: str, tensors: Mapping[str, Tensor]) -> tuple[str, str]:
    """Write tensors to ``<stem>-<digest>.safetensors``.

    Returns:
        File name and SHA-256.

    Raises:
        CheckpointError: a tensor is not finite, or the disk is full or not writable.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            problem = f"'{stem}' was not written: tensor '{name}' is not finite throughout; what was there stays"
            raise CheckpointError(directory, f"{problem}; {AGAIN} with a lower learning_rate, or with amp=false")
    data = save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    return write_named(directory, stem, "safetensors", data)


def read_tensors(directory: Path, name: str, sha256: str) -> dict[str, Tensor]:
    """Read tensors back.

    Raises:
        CheckpointError: strange name, missing, altered, or not a safetensors file.
    """
    if not _FILE_NAME.fullmatch(name):
        raise CheckpointError(directory, f"names a weight file '{name}' that is not ours; train again")
    data = read_checked(directory / name, sha256, AGAIN)
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(directory / name, f"not a safetensors file ({error}); nothing in it was run") from error


def make_folder(directory: Path) -> None:
    """Create the folder of a checkpoint if it is missing.

    Raises:
        CheckpointError: it cannot be created.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"folder cannot be created: {error.strerror}; choose another --out"
        raise CheckpointError(directory, problem) from error


def save(
    directory: Path,
    model: ChunkModel | TrajectoryModel,
    problem: Setup | ArraySpec,
    config: TrainConfig,
    data_digest: str,
    metrics: Mapping[str, float],
    origin: Origin | None = None,
) -> Path:
    """Write a checkpoint; an older one in the same place is replaced atomically.

    Args:
        directory: Where.
        model: Network and normalisers.
        problem: Robot and task; or, without an arm, the columns.
        config: Settings of the training.
        data_digest: Of the numbers it was trained on.
        metrics: Figures for people and tools.
        origin: Where it comes from, if that is known.

    Raises:
        CheckpointError: a weight is not finite, or the disk is full or not writable; an older one stays.
    """
    make_folder(directory)
    name, sha256 = write_tensors(directory, "model", model.state_dict())
    if isinstance(problem, Setup):
        about = {"spec_digest": problem.digest, "task": asdict(problem.task), "robot": asdict(problem.robot)}
        about["specs_sha256"] = specs_sha256(problem.robot, problem.task)
    else:
        about = {"arrays": asdict(problem)}
    manifest = {
        "weights": name,
        "weights_sha256": sha256,
        **about,
        "config": plain(config),
        "data_digest": data_digest,
        "git_revision": git_revision(),
        "metrics": {k: v for k, v in metrics.items() if math.isfinite(v)},  # JSON has no others
        "parameters": model.parameter_count,
        "origin": None if origin is None else as_plain(asdict(replace(origin, date_utc=now_utc()))),
    }
    write_sealed(directory / MANIFEST, manifest)
    remove_others(directory, "model", name)
    return directory


def remove_others(directory: Path, stem: str, keep: str) -> None:
    """Delete older weight files of the same stem."""
    for path in directory.glob(f"{stem}-*.safetensors*"):
        if path.name != keep:
            path.unlink(missing_ok=True)


def read_weights(directory: Path, manifest: Stored) -> dict[str, Tensor]:
    """The tensors a manifest names, each finite float32.

    Raises:
        CheckpointError: missing, damaged or hostile files.
    """
    tensors = read_tensors(directory, manifest.weights, manifest.weights_sha256)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            problem = f"tensor '{name}' is not finite float32 throughout; train again"
            raise CheckpointError(directory, problem)
    return tensors


def filled(directory: Path, make: Callable[[], ChunkModel], tensors: Mapping[str, Tensor]) -> ChunkModel:
    """A model with these weights.

    Raises:
        CheckpointError: they do not fit.
    """
    try:
        with torch.device("meta"):  # no memory for what a manifest claims, only for what the file holds
            model = make()
        model.load_state_dict(tensors, strict=True, assign=True)
    except (KeyError, RuntimeError, ValueError) as error:
        problem = f"weights do not fit the network it describes: {str(error).splitlines()[0]}"
        raise CheckpointError(directory, problem) from error
    return model


def load(directory: Path | str, setup: Setup, seed: int = 0) -> ChunkPolicy | TrajectoryPolicy:
    """Load a policy for this robot and task; executes nothing from the files.

    Args:
        directory: What ``il train`` wrote.
        setup: The robot and task to run on.
        seed: Of the diffusion noise.

    Raises:
        CheckpointError: missing, damaged or hostile files.
        SpecMismatchError: trained for another robot or task.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if manifest.spec_digest != setup.digest:
        step = "retrain it on data of this robot and task, or start the robot it was made for"
        what = f"checkpoint {directory}"
        raise SpecMismatchError(what, got=manifest.spec_digest, expected=setup.digest, next_step=step)
    tensors = read_weights(directory, manifest)
    if not manifest.config.head.is_trajectory:
        model = filled(directory, lambda: ChunkModel.for_setup(setup, manifest.config), tensors)
        return ChunkPolicy(setup, manifest.config, model, seed)
    try:
        return TrajectoryPolicy(setup, manifest.config, TrajectoryModel(tensors), seed)
    except (KeyError, RuntimeError, ValueError) as error:
        problem = f"weights do not fit the network it describes: {str(error).splitlines()[0]}"
        raise CheckpointError(directory, problem) from error


def load_arrays(directory: Path | str, arrays: ArraySpec | None = None, seed: int = 0) -> ChunkMaker:
    """Load a policy of columns without an arm; executes nothing from the files.

    Args:
        directory: What :func:`il_policy.generic.train` wrote.
        arrays: The columns it must be for; None = whatever it says.
        seed: Of the diffusion noise.

    Raises:
        CheckpointError: missing, damaged or hostile files, or trained for other columns.
    """
    directory = Path(directory)
    manifest = read_array_manifest(directory)
    if arrays not in (None, manifest.arrays):
        raise CheckpointError(directory, f"is for {manifest.arrays}, expected {arrays}; train again")
    tensors = read_weights(directory, manifest)
    model = filled(directory, lambda: ChunkModel.for_arrays(manifest.arrays, manifest.config), tensors)
    return ChunkMaker(model, manifest.config, seed)
