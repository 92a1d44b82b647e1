"""From a checkpoint's folder to a policy at work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from il_core.config import Setup
from il_core.errors import CheckpointError, ConfigError
from il_policy.serving import artifact as stored
from il_policy.serving import doubt
from il_policy.serving.acting import WorkingPolicy
from il_policy.serving.artifact import Exported
from il_policy.serving.backend import CPU, TORCH, Backend
from il_policy.serving.choose import fastest, installed, is_guided, measured_backend
from il_policy.serving.config import Device, Runtime, ServeConfig
from il_policy.serving.device import places, problem
from il_policy.serving.plain import PlainPolicy
from il_policy.serving.planner import Machine
from il_policy.serving.policy import Parts, ServedPolicy

if TYPE_CHECKING:
    from il_policy.arrays import ArraySpec
    from il_policy.observe_config import ObserveConfig
    from il_policy.policy import ChunkMaker, ChunkPolicy
    from il_policy.primitives.policy import TrajectoryPolicy


def load(
    path: Path | str, setup: Setup | None = None, seed: int = 0, config: ServeConfig | None = None
) -> WorkingPolicy:
    """Load a policy to use; executes nothing from the files.

    An exported policy runs without torch; with ``runtime: auto`` what is installed is measured first (0.6 s), on a
    GPU too where there is one. A checkpoint that was never exported runs in torch.

    Args:
        path: Folder that ``il train`` wrote.
        setup: Robot and task to run on; None = those it was trained for, unchecked against any robot.
        seed: Of the noise.
        config: How to serve; None = the defaults.

    Raises:
        CheckpointError: missing, damaged or hostile files, or no export for the runtime asked for.
        SpecMismatchError: trained for another robot or task.
        ConfigError: the runtime asked for is not installed, or cannot use the device asked for; or the policy cannot
            join plans, or doubt, as asked.
    """
    directory, config = Path(path), config or ServeConfig()
    if is_lerobot(directory):
        return _from_lerobot(directory, setup, seed, config)
    is_exported = (directory / stored.FILE).exists()
    if config.runtime is Runtime.TORCH or (config.runtime is Runtime.AUTO and not is_exported):
        return _from_torch(directory, setup, seed, config)
    artifact = stored.read_artifact(directory)
    if setup is not None:
        stored.check_setup(directory, artifact, setup)
    backend = _backend(directory, artifact, config, lambda: _torch_beside(directory, config))
    if backend is None:
        return _from_torch(directory, setup, seed, config)
    machine = _machine(directory, artifact, backend)
    arm = (setup or artifact.setup(), artifact.action_encoding, artifact.observed_ticks)
    return ServedPolicy(Parts(*arm, machine, artifact.observe), config, seed)


def open_machine(directory: Path, config: ServeConfig) -> tuple[ArraySpec, ObserveConfig, Machine]:
    """What computes a policy of columns; see :func:`il_policy.generic.load`.

    Raises:
        CheckpointError: missing, damaged or hostile files, or an arm's policy.
        ConfigError: the runtime asked for is not installed.
    """
    is_exported = (directory / stored.FILE).exists()
    if config.runtime is not Runtime.TORCH and (is_exported or config.runtime is not Runtime.AUTO):
        artifact = stored.read_array_artifact(directory)
        backend = _backend(directory, artifact, config, list)
        if backend is not None:
            return artifact.arrays, artifact.observe, _machine(directory, artifact, backend)
    from il_policy import checkpoint

    maker, spec = checkpoint.load_arrays(directory), checkpoint.read_array_manifest(directory).arrays
    return spec, maker.config.observe, _torch_machine(directory, maker, config)


def _backend(
    directory: Path, artifact: Exported, config: ServeConfig, others: Callable[[], list[Backend]]
) -> Backend | None:
    """The runtime asked for, or the fastest; None if none is installed."""
    stored.check_current(directory, artifact)
    if config.runtime is Runtime.AUTO and not installed(artifact):
        return None
    return measured_backend(directory, artifact, config, others)


def _machine(directory: Path, artifact: Exported, backend: Backend) -> Machine:
    """What computes an exported policy."""
    tensors = stored.read_tensors(directory, artifact.tensors)
    shape = (artifact.chunk_shape[-1],)
    norm = [tensors.get(name, np.zeros(0)) for name in ("action_centre", "action_half_range")]
    if any(t.shape != shape for t in norm):
        raise CheckpointError(directory, f"normaliser does not fit rows of {shape[0]}; run `il export` again")
    detector = doubt.load(directory, artifact.weights_sha256)
    return Machine(artifact.chunk_shape, artifact.sampler, norm[0], norm[1], backend, detector, artifact.ensemble)


def _torch_machine(directory: Path, policy: ChunkMaker, config: ServeConfig) -> Machine:
    """What computes a policy in torch, where it is fastest."""
    from il_policy.serving.torch_graphs import TorchBackend, sizes_of

    sizes, norm = sizes_of(policy), policy.model.action_norm
    ways = [TorchBackend(policy, config.threads, place) for place in places(TORCH, config.device)]
    return Machine(
        sizes.chunk_shape,
        sizes.sampler,
        norm.centre.numpy(),
        norm.half_range.numpy(),
        fastest(ways, sizes, is_guided=is_guided(config, sizes)),
        doubt.load(directory, weights_sha256(directory)),
        policy.config.ensemble,
    )


def is_lerobot(directory: Path) -> bool:
    """Whether a folder is a LeRobot checkpoint and none of ours."""
    return (directory / "config.json").exists() and not (directory / "policy.json").exists()


def _from_lerobot(directory: Path, setup: Setup | None, seed: int, config: ServeConfig) -> WorkingPolicy:
    from il_policy.serving.lerobot_adapter import LeRobotPolicy

    if setup is None:
        raise ConfigError(
            f"checkpoint {directory}", "is of LeRobot and names no task; say which, as in il serve --task"
        )
    return LeRobotPolicy(directory, setup, config, seed)


def weights_sha256(directory: Path) -> str:
    """Digest of the weights that ``policy.json`` names.

    Raises:
        CheckpointError: missing or damaged.
    """
    return str(stored.read_sealed(directory / "policy.json").get("weights_sha256"))


def task_of(directory: Path) -> str:
    """Name of the task a checkpoint is for; needs no torch.

    Raises:
        CheckpointError: missing or damaged.
    """
    if is_lerobot(directory):
        raise ConfigError(f"checkpoint {directory}", "is of LeRobot and names no task; give --task")
    task = stored.read_sealed(directory / "policy.json").get("task")
    if not isinstance(task, dict) or not isinstance(task.get("name"), str):
        raise CheckpointError(directory / "policy.json", "names no task; copy it again or train again")
    return str(task["name"])


def check(directory: Path, setup: Setup) -> None:
    """Say why a checkpoint cannot be served to a robot, if so; torch is loaded only where it was never exported.

    Raises:
        CheckpointError: missing or damaged files.
        SpecMismatchError: trained for another robot or task.
    """
    if is_lerobot(directory):
        from il_policy.serving.lerobot_adapter import check_folder

        check_folder(directory)
        return
    if not (directory / stored.FILE).exists():
        torch_policy(directory, setup)
        return
    artifact = stored.read_artifact(directory)
    stored.check_setup(directory, artifact, setup)
    stored.check_current(directory, artifact)


def torch_policy(directory: Path, setup: Setup | None) -> ChunkPolicy:
    """The checkpoint's network in torch; see :func:`_any_policy`.

    Raises:
        CheckpointError: also where it is a trajectory that has no network.
    """
    from il_policy.policy import ChunkPolicy

    policy = _any_policy(directory, setup)
    if not isinstance(policy, ChunkPolicy):
        raise CheckpointError(directory, "is a movement primitive, it has no network; `il serve` takes it as it is")
    return policy


def exportable(directory: Path) -> ChunkMaker:
    """The network of a checkpoint, of an arm or of columns, in torch.

    Raises:
        CheckpointError: missing, damaged or hostile files, or a trajectory that has no network.
    """
    from il_policy import checkpoint
    from il_policy.manifest import is_of_arrays

    return checkpoint.load_arrays(directory) if is_of_arrays(directory) else torch_policy(directory, None)


def _any_policy(directory: Path, setup: Setup | None) -> ChunkPolicy | TrajectoryPolicy:
    """The checkpoint in torch; None = for the robot and task it was trained for.

    Raises:
        CheckpointError: missing, damaged or hostile files.
        SpecMismatchError: trained for another robot or task.
    """
    from il_policy import checkpoint

    if setup is None:
        m = checkpoint.read_manifest(directory)
        setup = Setup(m.robot, m.task, Path(m.robot.urdf), Path(m.robot.srdf), m.spec_digest)
    return checkpoint.load(directory, setup)


def _from_torch(directory: Path, setup: Setup | None, seed: int, config: ServeConfig) -> WorkingPolicy:
    """Put a checkpoint together that torch computes."""
    from il_policy.policy import ChunkPolicy

    policy = _any_policy(directory, setup)
    if not isinstance(policy, ChunkPolicy):
        return PlainPolicy(policy, policy.config.head.value, config, seed)
    recipe = policy.config
    arm = (policy.setup, recipe.action_encoding, recipe.observed_ticks)
    return ServedPolicy(Parts(*arm, _torch_machine(directory, policy, config), recipe.observe), config, seed)


def _torch_beside(directory: Path, config: ServeConfig) -> list[Backend]:
    """Torch takes seconds and 200 MB to import: it is measured where it is loaded already, and on a GPU."""
    is_loaded = sys.modules.get("torch") is not None
    is_wanted = is_loaded or (config.device is not Device.CPU and not problem(TORCH))
    if not is_wanted or not (directory / "policy.json").exists():
        return []
    try:
        where = places(TORCH, config.device)
    except ConfigError:
        return []  # the export's own runtimes may use the GPU; if not, the reasons are told together
    from il_policy.serving.torch_graphs import TorchBackend

    policy = torch_policy(directory, None)
    return [TorchBackend(policy, config.threads, place) for place in where if is_loaded or place != CPU]
