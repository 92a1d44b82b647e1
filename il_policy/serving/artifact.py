"""An exported policy on disk: serving.json beside the checkpoint, and the graphs it names by digest.

Nothing here needs torch: a robot's computer reads this file, ONNX or OpenVINO graphs and the tensors of
the normaliser, and nothing in them is run as Python. Like ``policy.json`` it is the point of commit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from il_core.config import Setup, from_mapping
from il_core.errors import CheckpointError, ConfigError, SpecMismatchError
from il_core.spec import RobotSpec, TaskSpec
from il_policy import files
from il_policy.arrays import ArraySpec
from il_policy.data_config import ActionEncoding, EnsembleConfig
from il_policy.files import read_checked, write_named, write_sealed
from il_policy.observe_config import ObserveConfig
from il_policy.serving.levels import SamplerSpec
from il_policy.specs import check_specs

FORMAT_VERSION = files.FORMAT_VERSION
FILE = "serving.json"
AGAIN = "export again"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What serving.json says of every policy.

    Attributes:
        format_version: Of this file's layout.
        weights_sha256: Digest of the weights the graphs were made from.
        chunk_shape: Rows and numbers per row.
        input_dim: Length of the input vector.
        sampler: How noise becomes a chunk.
        tensors: File with ``action_centre`` and ``action_half_range``.
        graphs: Files by ``<format>/<graph>``, such as ``onnx/step``; OpenVINO has two files per graph,
            ``openvino/step`` and ``openvino/step.bin``.
        max_error: Largest difference of a whole chunk from torch's on the same noise, per format, normalised
            units (a range of 2).
        observe: Pictures and numbers beyond the task's.
        ensemble: How the recipe wants successive plans averaged.
    """

    format_version: int
    weights_sha256: str
    chunk_shape: tuple[int, ...]
    input_dim: int
    sampler: SamplerSpec
    tensors: StoredFile
    graphs: dict[str, StoredFile] = field(default_factory=dict)
    max_error: dict[str, float] = field(default_factory=dict)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)

    def formats(self) -> list[str]:
        """Formats with graphs, sorted."""
        return sorted({key.split("/")[0] for key in self.graphs})


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Exported):
    """What it says of an arm's policy.

    Attributes:
        spec_digest: Of robot, task and URDF.
        task: The task.
        robot: The robot.
        action_encoding: What the numbers of a row mean.
        observed_ticks: Ticks of proprioception used.
        specs_sha256: Digest of robot and task; see :mod:`il_policy.specs`.
    """

    spec_digest: str
    task: TaskSpec
    robot: RobotSpec
    action_encoding: ActionEncoding
    observed_ticks: int
    specs_sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse a robot and task that are not those that were written."""
        check_specs(self.robot, self.task, self.specs_sha256)

    def setup(self) -> Setup:
        """Robot and task as the policy knows them; the description files are not looked for."""
        return Setup(self.robot, self.task, Path(self.robot.urdf), Path(self.robot.srdf), self.spec_digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayArtifact(Exported):
    """What it says of a policy of columns without an arm.

    Attributes:
        arrays: The columns.
    """

    arrays: ArraySpec


E = TypeVar("E", bound=Exported)


def store(directory: Path, stem: str, suffix: str, data: bytes) -> StoredFile:
    """Write bytes under a name that holds their digest, whole or not at all.

    Raises:
        CheckpointError: the disk is full or not writable.
    """
    return StoredFile(*write_named(directory, stem, suffix, data))


def checked(directory: Path, entry: StoredFile) -> bytes:
    """Bytes of a stored file.

    Raises:
        CheckpointError: missing, or a byte differs from what was written.
    """
    return read_checked(directory / entry.name, entry.sha256, AGAIN)


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


def save_artifact(directory: Path, artifact: Exported) -> None:
    """Commit: from now on the graphs are in force; files of an older export are removed."""
    write_sealed(directory / FILE, plain(asdict(artifact)))
    keep = {artifact.tensors.name, *(f.name for f in artifact.graphs.values())}
    for path in directory.glob("serving*-*"):
        if path.name not in keep and _NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def read_artifact(directory: Path) -> Artifact:
    """Read serving.json of an arm's policy.

    Raises:
        CheckpointError: missing, damaged, of another version, or of a policy without an arm.
    """
    return _artifact(directory, Artifact)


def read_array_artifact(directory: Path) -> ArrayArtifact:
    """Read serving.json of a policy of columns.

    Raises:
        CheckpointError: missing, damaged, of another version, or an arm's.
    """
    return _artifact(directory, ArrayArtifact)


def _artifact(directory: Path, kind: type[E]) -> E:
    path = directory / FILE
    values = read_sealed(path)
    if ("arrays" in values) != (kind is ArrayArtifact):
        right = "il_policy.generic.load" if "arrays" in values else "il_policy.load"
        raise CheckpointError(directory, f"is another kind of policy; use it through {right}")
    try:
        return from_mapping(kind, values, str(path))
    except ConfigError as error:
        raise CheckpointError(path, f"{error.problem} (in {error.source})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON object of others.

    Raises:
        CheckpointError: missing, too large, or not a JSON object.
    """
    return files.read_json(path, AGAIN)


def read_sealed(path: Path, again: str = AGAIN) -> dict[str, Any]:
    """Read a JSON object of ours; ``again`` says how to make it anew.

    Raises:
        CheckpointError: missing, too large, not a JSON object, of another version, or changed since it was written.
    """
    return files.read_sealed(path, again)


def check_current(directory: Path, artifact: Exported) -> None:
    """Refuse an export of weights that were trained again since.

    Raises:
        CheckpointError: policy.json names other weights than the graphs were made from.
    """
    manifest = directory / "policy.json"
    if manifest.exists() and read_sealed(manifest).get("weights_sha256") != artifact.weights_sha256:
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
