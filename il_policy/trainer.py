"""Everything that changes during a training, and how to write it down and take it up again."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from il_core.config import Setup
from il_core.errors import CheckpointError, ConfigError, TrainingError
from il_policy import checkpoint
from il_policy.arrays import ArraySpec
from il_policy.config import Head, TrainConfig
from il_policy.ema import EmaWeights
from il_policy.evaluate import OpenLoopError
from il_policy.files import write_sealed
from il_policy.heads import make_head
from il_policy.parallel import Processes
from il_policy.policy import ChunkModel
from il_policy.provenance import Origin
from il_policy.resumption import STATE, best_of, comparable, origin_of, read_state
from il_policy.serving.torch_graphs import deterministic
from il_policy.transfer import Transfer, start_from
from il_policy.windows import Batch, WindowSet

BETAS = (0.95, 0.999)  # Chi et al. 2023: less momentum suits the noisy loss of diffusion
RANK_SEED = 1_000_003  # apart from each other, so that processes draw different batches


class Trainer:
    """Model, optimiser, data and chance of one training."""

    def __init__(
        self,
        dataset: WindowSet,
        setup: Setup | ArraySpec,
        config: TrainConfig,
        out: Path,
        teacher: ChunkModel | None = None,
        start: Path | None = None,
    ) -> None:
        """Build the model, fit its normalisers to the training episodes, and get ready for step 0.

        Args:
            dataset: Samples.
            setup: Robot and task, or columns without an arm.
            config: Settings.
            out: Directory of the checkpoint.
            teacher: Model that a one-step student learns from.
            start: Checkpoint whose weights to begin with.

        Raises:
            ConfigError: head one_step without a teacher, patience or ``val_fraction`` that the episodes are too few
                for, or ``observe.weights`` is not of these encoders.
            CheckpointError: ``start`` cannot be read or does not fit.
        """
        torch.set_num_threads(config.threads)
        if config.head is Head.ONE_STEP and teacher is None:
            raise ConfigError("head one_step", "learns from a teacher; use `il train --distill CHECKPOINT`")
        self.processes = Processes(config.device)
        self.dataset, self.setup, self.config, self.out = dataset, setup, config, out
        self.data_digest = dataset.digest()
        train, held_out = dataset.split(config.val_fraction, config.seed)
        if config.patience and not held_out:
            found = f"there are {len(dataset.arrays)} episodes and val_fraction is {config.val_fraction:g}"
            step = "have four or more and val_fraction above 0, or set patience=0"
            raise ConfigError("patience", f"counts validations, and no episode is held out: {found}; {step}")
        self.data = dataset.pool(train)
        self.sampler = dataset.sampler(train, config.curriculum)
        self.val_data = dataset.pool(held_out) if held_out else None
        self.transfer = Transfer((), ())
        self.origin = Origin(episodes=len(dataset.arrays))
        self._build(teacher, start)
        self.augment = dataset.noise(config.augment, self.data)
        self.ema = EmaWeights(self.model, config.ema_power, config.ema_max)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, config.learning_rate, betas=BETAS, weight_decay=config.weight_decay, foreach=True
        )
        self.generator = torch.Generator().manual_seed(config.seed + RANK_SEED * self.processes.rank)
        self.step, self.elapsed_s, self.loss = 0, 0.0, math.nan
        self.val: OpenLoopError | None = None
        self.best: dict[str, Tensor] | None = None  # weights of the best validation, kept if patience is limited
        self.best_val: OpenLoopError | None = None
        self.misses, self._validated = 0, -1
        self.counted = self.saved = -1  # step of the last validation that patience counted, and of the last checkpoint

    def _build(self, teacher: ChunkModel | None, start: Path | None) -> None:
        """Model and head: fresh, from another checkpoint's weights, or a copy of the teacher."""
        config = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = self.dataset.new_model(config)
        if teacher is not None:
            self.model.load_state_dict(teacher.state_dict())  # its normalisers too: same noise, same chunk
            self.transfer = Transfer(tuple(teacher.state_dict()), ())
            if self.model.eyes is not None:
                self.model.eyes.requires_grad_(False)
            self.model.to(config.device)
            self.head = make_head(config, copy.deepcopy(self.model.network))
            return
        self.model.input_norm.fit(self.data.inputs.numpy())
        rows = self.data.action.flatten(0, 1) if config.hold_at_end else self.data.action[~self.data.is_pad]
        self.model.action_norm.fit(rows.numpy())
        if config.observe.weights and self.model.eyes is not None:
            self.origin = replace(self.origin, eyes_sha256=self.model.eyes.begin_with(Path(config.observe.weights)))
        if start is not None:
            self.transfer = start_from(self.model, start)
        self.model.to(config.device)
        self.head = make_head(config)
        self.head.fit(self.model.network, self.model.action_norm(self.data.action.to(config.device)))

    @property
    def fraction(self) -> float:
        """Part of the training done: by steps, or by time where that is shorter."""
        by_time = self.elapsed_s / self.config.max_seconds if self.config.max_seconds else 0.0
        return min(1.0, max(self.step / self.config.steps, by_time))

    @property
    def is_over(self) -> bool:
        """Whether all is done, or nothing got better for too long."""
        return self.fraction >= 1.0 or 0 < self.config.patience <= self.misses

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to zero at the end of the training."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        return self.config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * self.fraction))

    def sample_batch(self) -> Batch:
        """Random windows with noise added."""
        chosen = self.data.take(self.sampler.draw(self.config.batch_size, self.fraction, self.generator))
        if self.config.hold_at_end:
            chosen = replace(chosen, is_pad=torch.zeros_like(chosen.is_pad))
        return self.augment(chosen, self.generator)

    def train_step(self) -> None:
        """One optimiser step.

        Raises:
            TrainingError: loss or gradient is not finite; the weights stay as they were.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        batch, device = self.sample_batch(), self.config.device
        self.model.train()
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.config.amp):
            cond = self.model.condition(batch.inputs, batch.pixels)
            action = self.model.action_norm(batch.action.to(device))
            loss = self.head.loss(self.model.network, action, batch.is_pad.to(device), cond, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip_norm)
        self.loss, size = torch.stack([loss.detach().float(), norm.float()]).tolist()  # an accelerator is awaited once
        if not math.isfinite(self.loss) or not math.isfinite(size):
            raise TrainingError(self._diverged(size))
        self.optimizer.step()
        self.ema.update(self.model, self.step)
        self.step += 1

    def _diverged(self, norm: float) -> str:
        """What is to be said of a step that came out as no number."""
        got = f"got loss {self.loss:g} and gradient norm {norm:g}, expected finite numbers"
        kept = f"the checkpoint of step {self.saved} in {self.out} is kept" if self.saved >= 0 else "nothing was saved"
        amp = ", or with amp=false" if self.config.amp else ""
        step = f"train anew with a learning_rate below {self.config.learning_rate:g}{amp}"
        return f"training diverged at step {self.step + 1}: {got}; {kept}; {step}"

    def served_model(self) -> ChunkModel:
        """What is saved: the best model where patience is limited, else the averaged one."""
        return self._model(self.best) if self.best is not None else self.averaged_model()

    def averaged_model(self) -> ChunkModel:
        """The model with averaged weights."""
        return self._model(self.ema.network.state_dict())

    def _model(self, state: dict[str, Tensor]) -> ChunkModel:
        model = self.dataset.new_model(self.config).to(self.config.device)
        model.load_state_dict(state)
        return model

    def validate(self, *, is_counted: bool = True) -> OpenLoopError | None:
        """Open-loop error on held-out episodes of the averaged model, sampled as it will be served.

        Args:
            is_counted: Whether patience counts it, and the best model may be this one. One that only an interruption
                brings about must not be: without the interruption it would not have been.
        """
        if self.val_data is None or self.step == self._validated:
            return self.val
        self._validated = self.step
        if self.processes.is_main:
            model = self.averaged_model()
            self.val = self.dataset.judge(model, deterministic(self.config), self.val_data)
            best = math.inf if self.best_val is None else self.best_val.distance
            if is_counted and self.step > self.counted:
                self.misses, self.counted = self.misses + 1, self.step
                if self.config.patience and self.val.distance < best:
                    self.best_val, self.misses = self.val, 0
                    self.best = {k: v.clone() for k, v in model.state_dict().items()}
        self.misses = int(self.processes.agree(self.misses))
        return self.val

    def save(self) -> None:
        """Write the checkpoint, and what a resumed training needs to go on bit for bit.

        Raises:
            CheckpointError: a weight is not finite, or the disk is full or not writable; what was there stays.
        """
        generators = self.processes.gather(self.generator.get_state())
        if not self.processes.is_main:
            self.saved = self.step
            return
        metrics = {"steps": float(self.step), "seconds": self.elapsed_s, "loss": self.loss}
        served = self.val if self.best is None else self.best_val
        if served is not None:
            metrics |= served.metrics()
        checkpoint.save(self.out, self.served_model(), self.setup, self.config, self.data_digest, metrics, self.origin)
        name, sha256 = checkpoint.write_tensors(self.out, "training", self._tensors(generators))
        state = {
            "tensors": name,
            "sha256": sha256,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "config": comparable(self.config),
            "data_digest": self.data_digest,
            "best_val": asdict(self.best_val) if self.best_val else None,
            "misses": self.misses,
            "counted": self.counted,
        }
        write_sealed(self.out / STATE, state)
        checkpoint.remove_others(self.out, "training", name)
        self.saved = self.step

    def _tensors(self, generators: list[Tensor]) -> dict[str, Tensor]:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        for i, slot in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adamw.{i}.{k}": v for k, v in slot.items()}
        return tensors | {f"generator.{rank}": state for rank, state in enumerate(generators)}

    def resume(self) -> None:
        """Go back to where :meth:`save` was called last.

        Raises:
            CheckpointError: nothing to resume, other data, settings or teacher, or damaged files.
        """
        state = read_state(self.out, self.config, self.data_digest)
        self.origin = origin_of(self.out, self.origin)
        tensors = checkpoint.read_tensors(self.out, str(state.get("tensors")), str(state.get("sha256")))
        try:
            self._restore(tensors)
            self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])
            self.misses, self.counted = int(state["misses"]), int(state.get("counted", -1))  # new in 0.2
            self.saved = self.step
            loss = state.get("loss")
            self.loss = math.nan if loss is None else float(loss)
            if self.best is not None:
                self.best_val = best_of(state, self.out / STATE)
        except (ConfigError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(self.out / STATE, f"cannot resume: {error}; train anew") from error

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.ema.network.load_state_dict(part("ema."))
        self.best = part("best.") or None
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in part("adamw.").items():
            i, name = key.split(".")
            slots.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        generators = part("generator.")
        if len(generators) != self.processes.count:
            raise ValueError(f"it ran in {len(generators)} processes, now there are {self.processes.count}")
        self.generator.set_state(generators[str(self.processes.rank)])
