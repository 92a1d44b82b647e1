"""An exported policy on disk: serving.json beside the checkpoint, and the graphs it names by digest.

Nothing here needs torch: a robot's computer reads this file, ONNX or OpenVINO graphs and the tensors of
the normaliser, and nothing in them is run as Python. Like ``policy.json`` it is the point of commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from il_core.config import Setup, from_mapping
from il_core.errors import CheckpointError, ConfigError, SpecMismatchError
from il_core.spec import RobotSpec, TaskSpec
from il_policy.config import ActionEncoding
from il_policy.serving.levels import SamplerSpec

FORMAT_VERSION = 1
FILE = "serving.json"
MAX_JSON_BYTES = 4_000_000  # ours are a few kB
MAX_FILE_BYTES = 4_000_000_000
_NAME = re.compile(r"[a-z_]+-[0-9a-f]{12}\.(onnx|xml|bin|safetensors)")
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file and what it must hold.

    Attributes:
        name: Name in the checkpoint's folder.
        sha256: Digest, hex.
    """

    name: str
    sha256: str

    def __post_init__(self) -> None:
        """Refuse names that could leave the folder."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"names a file '{self.name}' that is not ours; export again")


@dataclass(frozen=True, slots=True)
class Artifact:
    """What serving.json says.

    Attributes:
        format_version: Of this file's layout.
        weights_sha256: Digest of the weights the graphs were made from.
        spec_digest: Of robot, task and URDF.
        task: The task.
        robot: The robot.
        action_encoding: What the numbers of a row mean.
        observed_ticks: Ticks of proprioception used.
        chunk_shape: Rows and numbers per row.
        input_dim: Length of the input vector.
        sampler: How noise becomes a chunk.
        tensors: File with ``action_centre`` and ``action_half_range``.
        graphs: Files by ``<format>/<graph>``, such as ``onnx/step``; OpenVINO has two files per graph,
            ``openvino/step`` and ``openvino/step.bin``.
        max_error: Largest difference of a whole chunk from torch's on the same noise, per format, normalised
            units (a range of 2).
    """

    format_version: int
    weights_sha256: str
    spec_digest: str
    task: TaskSpec
    robot: RobotSpec
    action_encoding: ActionEncoding
    observed_ticks: int
    chunk_shape: tuple[int, ...]
    input_dim: int
    sampler: SamplerSpec
    tensors: StoredFile
    graphs: dict[str, StoredFile] = field(default_factory=dict)
    max_error: dict[str, float] = field(default_factory=dict)

    def formats(self) -> list[str]:
        """Formats with graphs, sorted."""
        return sorted({key.split("/")[0] for key in self.graphs})

    def setup(self) -> Setup:
        """Robot and task as the policy knows them; the description files are not looked for."""
        return Setup(self.robot, self.task, Path(self.robot.urdf), Path(self.robot.srdf), self.spec_digest)


def store(directory: Path, stem: str, suffix: str, data: bytes) -> StoredFile:
    """Write bytes under a name that holds their digest, whole or not at all.

    Raises:
        CheckpointError: the disk is full or not writable.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{stem}-{sha256[:12]}.{suffix}"
    write(directory / name, data)
    return StoredFile(name, sha256)


def write(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably.

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
        raise CheckpointError(path, f"cannot be written: {error.strerror}; free space") from error


def read(path: Path, max_bytes: int) -> bytes:
    """Read a file of bounded size.

    Raises:
        CheckpointError: missing, unreadable or larger than anything of ours.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise CheckpointError(path, f"{path.stat().st_size} bytes, over {max_bytes}; not ours")
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {error.strerror}; give the directory that `il train` wrote, or export it again"
        raise CheckpointError(path, problem) from error


def checked(directory: Path, entry: StoredFile) -> bytes:
    """Bytes of a stored file.

    Raises:
        CheckpointError: missing, or a byte differs from what was written.
    """
    data = read(directory / entry.name, MAX_FILE_BYTES)
    got = hashlib.sha256(data).hexdigest()
    if got != entry.sha256:
        problem = f"damaged: SHA-256 is {got[:12]}, expected {entry.sha256[:12]}; copy it again or export again"
        raise CheckpointError(directory / entry.name, problem)
    return data


def store_tensors(directory: Path, stem: str, tensors: Mapping[str, NDArray[Any]]) -> StoredFile:
    """Write arrays as safetensors."""
    return store(directory, stem, "safetensors", save_tensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}))


def read_tensors(directory: Path, entry: StoredFile) -> dict[str, NDArray[Any]]:
    """Read arrays back.

    Raises:
        CheckpointError: missing, altered, not safetensors, or not finite.
    """
    try:
        tensors = load_tensors(checked(directory, entry))
    except SafetensorError as error:
        raise CheckpointError(directory / entry.name, f"not a safetensors file ({error})") from error
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise CheckpointError(directory / entry.name, f"tensor '{name}' is not finite; export again")
    return tensors


def plain(value: Any) -> Any:  # noqa: ANN401 - any nesting of plain values
    """Dataclass values as JSON-ready ones."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.value if isinstance(value, Enum) else value


def save_artifact(directory: Path, artifact: Artifact) -> None:
    """Commit: from now on the graphs are in force; files of an older export are removed."""
    write(directory / FILE, json.dumps(plain(asdict(artifact)), indent=1).encode())
    keep = {artifact.tensors.name, *(f.name for f in artifact.graphs.values())}
    for path in directory.glob("serving*-*"):
        if path.name not in keep and _NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def read_artifact(directory: Path) -> Artifact:
    """Read serving.json.

    Raises:
        CheckpointError: missing, damaged or of another version.
    """
    path = directory / FILE
    values = read_json(path)
    if values.get("format_version") != FORMAT_VERSION:
        got = values.get("format_version")
        raise CheckpointError(path, f"format_version is {got!r}, this release reads {FORMAT_VERSION}; export again")
    try:
        return from_mapping(Artifact, values, str(path))
    except ConfigError as error:
        raise CheckpointError(path, f"{error.problem} (in {error.source})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON object.

    Raises:
        CheckpointError: missing, too large, or not a JSON object.
    """
    try:
        values = json.loads(read(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"not valid JSON ({error}); export again") from error
    if not isinstance(values, dict):
        raise CheckpointError(path, f"holds a {type(values).__name__}, expected an object")
    return values


def check_current(directory: Path, artifact: Artifact) -> None:
    """Refuse an export of weights that were trained again since.

    Raises:
        CheckpointError: policy.json names other weights than the graphs were made from.
    """
    manifest = directory / "policy.json"
    if manifest.exists() and read_json(manifest).get("weights_sha256") != artifact.weights_sha256:
        raise CheckpointError(directory / FILE, "made from other weights than policy.json names; run `il export` again")


def check_setup(directory: Path, artifact: Artifact, setup: Setup) -> None:
    """Refuse another robot or task.

    Raises:
        SpecMismatchError: the digests differ.
    """
    if artifact.spec_digest != setup.digest:
        what = f"export {directory}"
        step = "retrain on data of this robot and task, or start the robot it was made for"
        raise SpecMismatchError(what, got=artifact.spec_digest, expected=setup.digest, next_step=step)
