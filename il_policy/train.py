"""Training from the first batch to the checkpoint, stoppable and resumable at any step."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from il_core.config import Setup
from il_core.errors import CheckpointError
from il_policy import checkpoint
from il_policy.config import TrainConfig, plain
from il_policy.dataset import Augmenter, Batch, ChunkDataset
from il_policy.ema import EmaWeights
from il_policy.evaluate import OpenLoopError, open_loop
from il_policy.heads import make_head
from il_policy.policy import ChunkModel, ChunkPolicy

STATE = "training.json"  # beside policy.json; names the tensors to resume from
BETAS = (0.95, 0.999)  # Chi et al. 2023: less momentum suits the noisy loss of diffusion
LOG_EVERY = 20  # steps between two reports of progress


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        step: Optimiser steps done.
        fraction: Part of the training done, by steps or by time, in [0, 1].
        loss: Mean training loss since the last report.
        val_mm: Open-loop error on held-out episodes [mm], NaN before the first validation.
        learning_rate: In force.
        elapsed_s: Time spent training [s], earlier runs included.
    """

    step: int
    fraction: float
    loss: float
    val_mm: float
    learning_rate: float
    elapsed_s: float


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
    """

    path: Path
    steps: int
    seconds: float
    loss: float
    val: OpenLoopError | None
    parameters: int
    is_complete: bool


class Trainer:
    """Everything that changes during a training, and how to write it down."""

    def __init__(self, dataset: ChunkDataset, setup: Setup, config: TrainConfig, out: Path) -> None:
        """Build the model, fit its normalisers to the training episodes, and get ready for step 0."""
        torch.set_num_threads(config.threads)
        self.setup, self.config, self.out = setup, config, out
        self.data_digest = dataset.digest()
        train, held_out = dataset.split(config.val_fraction, config.seed)
        self.data = dataset.batch(train)
        self.val_data = dataset.batch(held_out) if held_out else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = ChunkModel.for_setup(setup, config)
        self.model.input_norm.fit(self.data.inputs.numpy())
        rows = self.data.action.flatten(0, 1) if config.hold_at_end else self.data.action[~self.data.is_pad]
        self.model.action_norm.fit(rows.numpy())
        self.model.to(config.device)
        self.head = make_head(config)
        self.augment = Augmenter(dataset.encoder, dataset.codec, config.augment)
        self.ema = EmaWeights(self.model.network, config.ema_power, config.ema_max)
        parameters = list(self.model.network.parameters())
        self.optimizer = torch.optim.AdamW(
            parameters, config.learning_rate, betas=BETAS, weight_decay=config.weight_decay, foreach=True
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step, self.elapsed_s, self.loss = 0, 0.0, math.nan
        self.val: OpenLoopError | None = None

    @property
    def fraction(self) -> float:
        """Part of the training done: by steps, or by time where that is shorter."""
        by_time = self.elapsed_s / self.config.max_seconds if self.config.max_seconds else 0.0
        return min(1.0, max(self.step / self.config.steps, by_time))

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to zero at the end of the training."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        return self.config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * self.fraction))

    def sample_batch(self) -> Batch:
        """Random windows with noise added."""
        n = len(self.data.inputs)
        chosen = torch.randint(0, n, (min(self.config.batch_size, 4 * n),), generator=self.generator)
        is_pad = self.data.is_pad[chosen]
        if self.config.hold_at_end:
            is_pad = torch.zeros_like(is_pad)
        batch = Batch(self.data.inputs[chosen], self.data.action[chosen], is_pad)
        return self.augment(batch, self.generator)

    def train_step(self) -> None:
        """One optimiser step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        batch, device = self.sample_batch(), self.config.device
        self.model.network.train()
        cond = self.model.input_norm(batch.inputs.to(device))
        action = self.model.action_norm(batch.action.to(device))
        is_pad = batch.is_pad.to(device)
        loss = self.head.loss(self.model.network, action, is_pad, cond, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.network.parameters(), self.config.grad_clip_norm)
        self.optimizer.step()
        self.ema.update(self.model.network, self.step)
        self.loss = loss.item()
        self.step += 1

    def averaged_model(self) -> ChunkModel:
        """The model with averaged weights: what is served."""
        model = ChunkModel.for_setup(self.setup, self.config).to(self.config.device)
        model.load_state_dict(self.model.state_dict())
        model.network.load_state_dict(self.ema.network.state_dict())
        return model

    def validate(self) -> OpenLoopError | None:
        """Open-loop error of the averaged model on held-out episodes."""
        if self.val_data is not None:
            policy = ChunkPolicy(self.setup, self.config, self.averaged_model())
            self.val = open_loop(policy, self.val_data)
        return self.val

    def save(self) -> None:
        """Write the checkpoint, and what a resumed training needs to go on bit for bit."""
        metrics = {"steps": float(self.step), "seconds": self.elapsed_s, "loss": self.loss}
        if self.val is not None:
            metrics["val_position_mm"] = self.val.position_mm
        model = self.averaged_model()
        checkpoint.save(self.out, model, self.setup, self.config, self.data_digest, metrics)
        name, sha256 = checkpoint.write_tensors(self.out, "training", self._tensors())
        state = {
            "tensors": name,
            "sha256": sha256,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "config": _comparable(self.config),
            "data_digest": self.data_digest,
            "val": asdict(self.val) if self.val else None,
        }
        checkpoint.write_durably(self.out / STATE, json.dumps(state, indent=1).encode())
        checkpoint.remove_others(self.out, "training", name)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"network.{k}": v for k, v in self.model.network.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.network.state_dict().items()}
        for i, slot in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adamw.{i}.{k}": v for k, v in slot.items()}
        tensors["generator"] = self.generator.get_state()
        return tensors

    def resume(self) -> None:
        """Go back to where :meth:`save` was called last.

        Raises:
            CheckpointError: nothing to resume, other data or other settings, or damaged files.
        """
        state = checkpoint.read_json(self.out / STATE)
        for key, mine in (("data_digest", self.data_digest), ("config", _comparable(self.config))):
            if state.get(key) != mine:
                problem = f"cannot resume: its {key} is not today's; train anew with another --out"
                raise CheckpointError(self.out / STATE, problem)
        tensors = checkpoint.read_tensors(self.out, str(state.get("tensors")), str(state.get("sha256")))
        try:
            self._restore(tensors)
            self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(self.out / STATE, f"cannot resume: {error}; train anew") from error

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.network.load_state_dict(part("network."))
        self.ema.network.load_state_dict(part("ema."))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in part("adamw.").items():
            i, name = key.split(".")
            slots.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        self.generator.set_state(tensors["generator"])


def _comparable(config: TrainConfig) -> dict[str, object]:
    """Settings a resumed training must share; when to stop may differ."""
    return plain(replace(config, steps=1, max_seconds=0.0, threads=1))


def train(
    dataset: ChunkDataset,
    setup: Setup,
    config: TrainConfig,
    out: Path,
    *,
    is_resumed: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train a policy and write its checkpoint.

    Args:
        dataset: Samples.
        setup: Robot and task.
        config: Settings.
        out: Directory of the checkpoint; TensorBoard's files go to ``out/tensorboard``.
        is_resumed: Go on from what an earlier call left in ``out``.
        on_progress: Told where the training stands, now and then.
        should_stop: Asked after every step; true saves and returns early.

    Raises:
        CheckpointError: ``out`` cannot be written, or resumed from.
    """
    trainer = Trainer(dataset, setup, config, out)
    if is_resumed:
        trainer.resume()
    checkpoint.make_folder(out)
    writer = SummaryWriter(str(out / "tensorboard"), purge_step=trainer.step)
    began, before_s, is_stopped = time.monotonic(), trainer.elapsed_s, False
    while trainer.fraction < 1.0 and not is_stopped:
        trainer.train_step()
        trainer.elapsed_s = before_s + time.monotonic() - began
        is_stopped = should_stop()
        if trainer.step % config.eval_every == 0:
            trainer.validate()
            trainer.save()
        if trainer.step % LOG_EVERY == 0 or is_stopped or trainer.fraction >= 1.0:
            _report(trainer, writer, on_progress)
    trainer.validate()
    trainer.elapsed_s = before_s + time.monotonic() - began
    trainer.save()
    _report(trainer, writer, on_progress)
    writer.close()
    parameters = sum(p.numel() for p in trainer.model.network.parameters())
    result = (trainer.step, trainer.elapsed_s, trainer.loss, trainer.val, parameters)
    return TrainResult(out, *result, is_complete=trainer.fraction >= 1.0)


def _report(trainer: Trainer, writer: SummaryWriter, on_progress: Callable[[Progress], None]) -> None:
    """Tell TensorBoard and the caller where the training stands."""
    val_mm = trainer.val.position_mm if trainer.val else math.nan
    rate = trainer.learning_rate()
    for name, value in (("loss", trainer.loss), ("val_position_mm", val_mm), ("learning_rate", rate)):
        if math.isfinite(value):
            writer.add_scalar(name, value, trainer.step)
    on_progress(Progress(trainer.step, trainer.fraction, trainer.loss, val_mm, rate, trainer.elapsed_s))
