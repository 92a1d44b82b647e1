"""A trained policy on disk: two files, no code, refused unless whole and made for this robot and task.

``policy.json`` is the point of commit: it names the weight file and its SHA-256, and is replaced
atomically after that file is safe on disk. A reader therefore sees the old policy or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from il_core.config import Setup, from_mapping
from il_core.errors import CheckpointError, ConfigError, SpecMismatchError
from il_core.spec import RobotSpec, TaskSpec
from il_policy.config import TrainConfig, plain
from il_policy.policy import ChunkModel, ChunkPolicy
from il_policy.primitives.policy import TrajectoryModel, TrajectoryPolicy

FORMAT_VERSION = 1
MANIFEST = "policy.json"
MAX_MANIFEST_BYTES = 4_000_000  # ours are a few kB; a larger one is not ours
MAX_WEIGHT_BYTES = 4_000_000_000  # far above any policy meant for a robot's computer
_FILE_NAME = re.compile(r"[a-z]+-[0-9a-f]{12}\.safetensors")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``policy.json`` says.

    Attributes:
        format_version: Of this file's layout.
        weights: Name of the weight file.
        weights_sha256: Its digest, hex.
        spec_digest: Of the robot, task and URDF the policy is for.
        config: Settings of the training.
        task: The task, for people and tools.
        robot: The robot, for people and tools.
        data_digest: Of the numbers it was trained on.
        git_revision: Of the code, or ``unknown``.
        metrics: Steps, seconds, losses.
        parameters: Trainable numbers of the network.
    """

    format_version: int
    weights: str
    weights_sha256: str
    spec_digest: str
    config: TrainConfig
    task: TaskSpec
    robot: RobotSpec
    data_digest: str
    git_revision: str
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: int = 0


def git_revision() -> str:
    """Revision of the checkout this code runs from, or ``unknown`` in an installed package."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, even after a power cut.

    Raises:
        CheckpointError: the disk is full or not writable.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(path, f"cannot be written: {error}; free space or choose another --out") from error


def write_tensors(directory: Path, stem: str, tensors: Mapping[str, Tensor]) -> tuple[str, str]:
    """Write tensors to ``<stem>-<digest>.safetensors``.

    Returns:
        File name and SHA-256.
    """
    data = save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{stem}-{sha256[:12]}.safetensors"
    write_durably(directory / name, data)
    return name, sha256


def read_tensors(directory: Path, name: str, sha256: str) -> dict[str, Tensor]:
    """Read tensors back.

    Raises:
        CheckpointError: strange name, missing, altered, or not a safetensors file.
    """
    if not _FILE_NAME.fullmatch(name):
        raise CheckpointError(directory, f"names a weight file '{name}' that is not ours; train again")
    path = directory / name
    data = _read(path, MAX_WEIGHT_BYTES)
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        problem = f"damaged: SHA-256 is {got[:12]}, {MANIFEST} says {sha256[:12]}; copy it again"
        raise CheckpointError(path, problem)
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(path, f"not a safetensors file ({error}); nothing in it was run") from error


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        if path.stat().st_size > max_bytes:
            raise CheckpointError(path, f"{path.stat().st_size} bytes, over {max_bytes}; not ours")
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}; give the directory that `il train` wrote"
        raise CheckpointError(path, problem) from error


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
    setup: Setup,
    config: TrainConfig,
    data_digest: str,
    metrics: Mapping[str, float],
) -> Path:
    """Write a checkpoint; an older one in the same place is replaced atomically.

    Raises:
        CheckpointError: the disk is full or not writable.
    """
    make_folder(directory)
    name, sha256 = write_tensors(directory, "model", model.state_dict())
    manifest = {
        "format_version": FORMAT_VERSION,
        "weights": name,
        "weights_sha256": sha256,
        "spec_digest": setup.digest,
        "config": plain(config),
        "task": asdict(setup.task),
        "robot": asdict(setup.robot),
        "data_digest": data_digest,
        "git_revision": git_revision(),
        "metrics": dict(metrics),
        "parameters": model.parameter_count,
    }
    write_durably(directory / MANIFEST, json.dumps(manifest, indent=1).encode())
    remove_others(directory, "model", name)
    return directory


def remove_others(directory: Path, stem: str, keep: str) -> None:
    """Delete older weight files of the same stem."""
    for path in directory.glob(f"{stem}-*.safetensors*"):
        if path.name != keep:
            path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON object.

    Raises:
        CheckpointError: missing, too large or not a JSON object.
    """
    try:
        values = json.loads(_read(path, MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"not valid JSON ({error}); copy it again or train again") from error
    if not isinstance(values, dict):
        raise CheckpointError(path, f"holds a {type(values).__name__}, expected an object")
    return values


def read_manifest(directory: Path) -> Manifest:
    """Read ``policy.json`` without touching the weights.

    Raises:
        CheckpointError: missing, damaged or of an unknown version.
    """
    path = directory / MANIFEST
    values = read_json(path)
    if values.get("format_version") != FORMAT_VERSION:
        got = values.get("format_version")
        problem = f"format_version is {got!r}, this release reads {FORMAT_VERSION}; train again"
        raise CheckpointError(path, problem)
    try:
        return from_mapping(Manifest, values, str(path))
    except ConfigError as error:
        raise CheckpointError(path, f"{error.problem} (in {error.source})") from error


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
    tensors = read_tensors(directory, manifest.weights, manifest.weights_sha256)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            problem = f"tensor '{name}' is not finite float32 throughout; train again"
            raise CheckpointError(directory, problem)
    try:
        if manifest.config.head.is_trajectory:
            return TrajectoryPolicy(setup, manifest.config, TrajectoryModel(tensors), seed)
        with torch.device("meta"):  # no memory for what a manifest claims, only for what the file holds
            model = ChunkModel.for_setup(setup, manifest.config)
        model.load_state_dict(tensors, strict=True, assign=True)
    except (KeyError, RuntimeError, ValueError) as error:
        problem = f"weights do not fit the network it describes: {str(error).splitlines()[0]}"
        raise CheckpointError(directory, problem) from error
    return ChunkPolicy(setup, manifest.config, model, seed)
