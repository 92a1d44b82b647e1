"""Training from the first batch to the checkpoint, stoppable and resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import torch

from il_core.config import Setup
from il_core.errors import CheckpointError, ConfigError
from il_policy import checkpoint
from il_policy.arrays import ArraySpec
from il_policy.config import TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.evaluate import OpenLoopError
from il_policy.logbook import Logbook
from il_policy.policy import ChunkModel, ChunkPolicy
from il_policy.primitives.policy import TrajectoryPolicy, check_settings, fit_trajectory
from il_policy.provenance import Origin, Parent, Source, Taken, machine_name, versions
from il_policy.resumption import STATE
from il_policy.trainer import Trainer
from il_policy.transfer import Transfer, distilled
from il_policy.windows import WindowSet

__all__ = ["STATE", "Progress", "TrainResult", "Trainer", "train"]
LOG_EVERY = 20  # steps between two reports of progress


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        step: Optimiser steps done.
        fraction: Part of the training done, by steps or by time, in [0, 1].
        loss: Mean training loss of the steps since the last report.
        val: Open-loop error on held-out episodes, None before the first validation.
        learning_rate: In force.
        elapsed_s: Time spent training [s], earlier runs included.
    """

    step: int
    fraction: float
    loss: float
    val: OpenLoopError | None
    learning_rate: float
    elapsed_s: float

    @property
    def val_mm(self) -> float:
        """Mean distance of the planned tool positions on held-out episodes [mm]; NaN before, or without a tool."""
        return self.val.position_mm if self.val else math.nan


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training left behind.

    Attributes:
        path: The checkpoint.
        steps: Optimiser steps done.
        seconds: Time spent training [s].
        loss: Last training loss.
        val: Open-loop error on held-out episodes, or None without any.
        parameters: Trainable numbers of the network.
        is_complete: False if it was interrupted; ``resume`` goes on.
        origin: Where the policy comes from.
    """

    path: Path
    steps: int
    seconds: float
    loss: float
    val: OpenLoopError | None
    parameters: int
    is_complete: bool
    origin: Origin = field(default_factory=Origin)


def train(
    dataset: WindowSet,
    setup: Setup | ArraySpec,
    config: TrainConfig,
    out: Path,
    *,
    is_resumed: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    start: Path | None = None,
    teacher: Path | None = None,
    source: Source | None = None,
) -> TrainResult:
    """Train a policy and write its checkpoint.

    Args:
        dataset: Samples.
        setup: Robot and task; or columns without an arm, see :mod:`il_policy.generic`.
        config: Settings.
        out: Directory of the checkpoint; TensorBoard's files go to ``out/tensorboard``, W&B's to ``out/wandb``.
        is_resumed: Go on from what an earlier call left in ``out``.
        on_progress: Told where the training stands, now and then.
        should_stop: Asked after every step; true saves and returns early.
        start: Checkpoint, of whatever task, whose weights to begin with.
        teacher: Checkpoint of a diffusion or flow policy of this task, to be done in one step.
        source: Where the demonstrations come from, to be written down.

    Raises:
        CheckpointError: ``out`` cannot be written or resumed from, ``start`` or ``teacher`` cannot be used.
        ConfigError: a movement primitive shall be fitted without an arm, a setting is of no use to this head or these
            episodes, or W&B is asked for and not installed.
        TrainingError: the loss is no longer finite; the last checkpoint is kept.
    """
    checkpoint.make_folder(out)
    if config.head.is_trajectory:
        if not isinstance(dataset, ChunkDataset) or not isinstance(setup, Setup):
            raise ConfigError(f"head {config.head.value}", "fits the path of a tool; take a head with a network")
        check_settings(config)
        if start is not None:
            raise ConfigError("--from", f"head {config.head.value} is fitted anew, from demonstrations alone; leave it")
        return _fit(dataset, setup, config, out, _origin(dataset, config, source))
    trainer = Trainer(dataset, setup, config, out, _teacher(teacher, setup), start)
    parent = _parent(teacher, Taken.TEACHER, trainer.transfer) or _parent(start, Taken.START, trainer.transfer)
    known = _origin(dataset, config, source)
    trainer.origin = replace(known, parent=parent, eyes_sha256=trainer.origin.eyes_sha256)
    if is_resumed:
        trainer.resume()
    with _Reports(trainer, on_progress) as reports:
        _run(trainer, reports, should_stop)
    trainer.processes.close()
    result = (trainer.step, trainer.elapsed_s, trainer.loss, trainer.val, trainer.model.parameter_count)
    return TrainResult(out, *result, is_complete=trainer.is_over, origin=trainer.origin)


def _run(trainer: Trainer, reports: _Reports, should_stop: Callable[[], bool]) -> None:
    """All steps that are left, or those until somebody wants it to stop."""
    began, before_s, is_stopped = time.monotonic(), trainer.elapsed_s, False
    while not trainer.is_over and not is_stopped:
        trainer.train_step()
        trainer.elapsed_s = trainer.processes.agree(before_s + time.monotonic() - began)
        is_stopped = bool(trainer.processes.agree(should_stop()))
        if trainer.step % trainer.config.eval_every == 0:
            trainer.validate()
            trainer.save()
        reports.losses.append(trainer.loss)
        if trainer.step % LOG_EVERY == 0 or is_stopped or trainer.is_over:
            reports.add()
    trainer.validate(is_counted=trainer.is_over)
    trainer.elapsed_s = trainer.processes.agree(before_s + time.monotonic() - began)
    trainer.save()
    reports.add()


class _Reports:
    """Tells the logbook and the caller where a training stands; in the main process only."""

    def __init__(self, trainer: Trainer, on_progress: Callable[[Progress], None]) -> None:
        self._trainer, self._on_progress = trainer, on_progress
        self.losses: list[float] = []  # of the steps since the last report
        self._loss = trainer.loss
        is_main = trainer.processes.is_main
        self._book = Logbook(trainer.out, trainer.config, trainer.step) if is_main else None

    def __enter__(self) -> _Reports:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._book:
            self._book.close()

    def add(self) -> None:
        """Where it stands now."""
        t = self._trainer
        self._loss, self.losses = fmean(self.losses) if self.losses else self._loss, []
        if self._book:
            rate = t.learning_rate()
            errors = t.val.metrics() if t.val else {}
            self._book.add({"loss": self._loss, "learning_rate": rate, **errors}, t.step)
            self._on_progress(Progress(t.step, t.fraction, self._loss, t.val, rate, t.elapsed_s))


def _origin(dataset: WindowSet, config: TrainConfig, source: Source | None) -> Origin:
    """What is known of where a policy comes from before it is trained."""
    accelerator = torch.cuda.get_device_name() if config.device == "cuda" else ""
    known = (len(dataset.arrays), "", machine_name(accelerator), versions())
    return Origin(source or Source(), *known)


def _parent(directory: Path | None, taken: Taken, transfer: Transfer) -> Parent | None:
    """What was taken from another checkpoint; None if there is none."""
    if directory is None:
        return None
    sha256 = checkpoint.read_stored(directory).weights_sha256
    return Parent(str(directory), sha256, taken, transfer.copied, transfer.fresh)


def adapted(config: TrainConfig, teacher: Path) -> TrainConfig:
    """Settings for distilling a checkpoint; a dataset must be encoded with these.

    Raises:
        CheckpointError: it cannot be read, or is no teacher.
    """
    return distilled(config, checkpoint.read_stored(teacher).config, teacher)


def _teacher(directory: Path | None, setup: Setup | ArraySpec) -> ChunkModel | None:
    if directory is None:
        return None
    if isinstance(setup, ArraySpec):
        return checkpoint.load_arrays(directory, setup).model
    policy = checkpoint.load(directory, setup)
    if not isinstance(policy, ChunkPolicy):
        raise CheckpointError(directory, "holds a trajectory; only diffusion and flow can be distilled")
    return policy.model


def _fit(dataset: ChunkDataset, setup: Setup, config: TrainConfig, out: Path, origin: Origin) -> TrainResult:
    """Fit a trajectory: no steps, no gradients."""
    began = time.monotonic()
    chosen, held_out = dataset.split(config.val_fraction, config.seed)
    model = fit_trajectory(dataset, chosen, setup, config)
    policy = TrajectoryPolicy(setup, config, model)
    error = policy.error(dataset, held_out or chosen)
    metrics = {"steps": 0.0, "seconds": time.monotonic() - began, "trajectory_mm": error.distance}
    metrics |= error.metrics() if held_out else {}
    checkpoint.save(out, model, setup, config, dataset.digest(), metrics, origin)
    fitted = (0, metrics["seconds"], error.distance, error if held_out else None, model.parameter_count)
    return TrainResult(out, *fitted, is_complete=True, origin=origin)
