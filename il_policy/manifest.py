"""What ``policy.json`` says of a trained policy; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from il_core.config import from_mapping
from il_core.errors import CheckpointError, ConfigError
from il_core.spec import RobotSpec, TaskSpec
from il_policy.arrays import ArraySpec
from il_policy.config import TrainConfig
from il_policy.files import read_sealed
from il_policy.provenance import Origin
from il_policy.specs import check_specs

MANIFEST = "policy.json"
AGAIN = "train again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What ``policy.json`` says of every policy.

    Attributes:
        format_version: Of this file's layout.
        weights: Name of the weight file.
        weights_sha256: Its digest, hex.
        config: Settings of the training.
        data_digest: Of the numbers it was trained on.
        git_revision: Of the code, or ``unknown``.
        metrics: Steps, seconds, losses.
        parameters: Trainable numbers of the network.
        origin: Where it comes from; None in files of release 0.1.
    """

    format_version: int
    weights: str
    weights_sha256: str
    config: TrainConfig
    data_digest: str
    git_revision: str
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: int = 0
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Stored):
    """What it says of an arm's policy.

    Attributes:
        spec_digest: Of the robot, task and URDF the policy is for.
        task: The task.
        robot: The robot.
        specs_sha256: Digest of these two; see :mod:`il_policy.specs`.
    """

    spec_digest: str
    task: TaskSpec
    robot: RobotSpec
    specs_sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse a robot and task that are not those that were written."""
        check_specs(self.robot, self.task, self.specs_sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayManifest(Stored):
    """What it says of a policy of columns without an arm.

    Attributes:
        arrays: The columns.
    """

    arrays: ArraySpec


M = TypeVar("M", bound=Stored)


def read_manifest(directory: Path) -> Manifest:
    """Read ``policy.json`` of an arm's policy without touching the weights.

    Raises:
        CheckpointError: missing, damaged, of an unknown version, or of a policy without an arm.
    """
    if is_of_arrays(directory):
        problem = "is a policy of columns without an arm; use it through il_policy.generic.load"
        raise CheckpointError(directory, problem)
    return _manifest(directory, Manifest)


def read_array_manifest(directory: Path) -> ArrayManifest:
    """Read ``policy.json`` of a policy without an arm.

    Raises:
        CheckpointError: missing, damaged, of an unknown version, or an arm's.
    """
    if not is_of_arrays(directory):
        raise CheckpointError(directory, "is an arm's policy; use it through il_policy.load")
    return _manifest(directory, ArrayManifest)


def read_stored(directory: Path) -> Stored:
    """Read ``policy.json``, whatever the policy is for.

    Raises:
        CheckpointError: missing, damaged or of an unknown version.
    """
    return read_array_manifest(directory) if is_of_arrays(directory) else read_manifest(directory)


def is_of_arrays(directory: Path) -> bool:
    """Whether a checkpoint was trained on columns of numbers without an arm (:mod:`il_policy.generic`).

    Raises:
        CheckpointError: missing or damaged.
    """
    return "arrays" in read_sealed(directory / MANIFEST, AGAIN)


def _manifest(directory: Path, kind: type[M]) -> M:
    path = directory / MANIFEST
    try:
        return from_mapping(kind, read_sealed(path, AGAIN), str(path))
    except ConfigError as error:
        raise CheckpointError(path, f"{error.problem} (in {error.source})") from error
