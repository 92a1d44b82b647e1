"""Training settings: one frozen dataclass per concern, values from config/train/<policy>.yaml."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from il_core.config import config_dir, from_mapping, load_yaml
from il_core.errors import ConfigError
from il_policy.data_config import ActionEncoding, AugmentConfig, CurriculumConfig, Difficulty, EnsembleConfig
from il_policy.head_config import (
    ActConfig,
    DiffusionConfig,
    Distillation,
    FlowConfig,
    GmmConfig,
    Head,
    IbcConfig,
    MoeConfig,
    Norm,
    OneStepConfig,
    Prediction,
    PrimitiveConfig,
    Sampler,
    Solver,
    VqConfig,
)
from il_policy.network_config import MAX_WIDTH, NetworkConfig, NetworkKind
from il_policy.observe_config import Language, ObserveConfig, PictureEncoder

__all__ = [
    "MAX_WIDTH",
    "ActConfig",
    "ActionEncoding",
    "AugmentConfig",
    "CurriculumConfig",
    "DiffusionConfig",
    "Difficulty",
    "Distillation",
    "EnsembleConfig",
    "FlowConfig",
    "GmmConfig",
    "Head",
    "IbcConfig",
    "Language",
    "MoeConfig",
    "NetworkConfig",
    "NetworkKind",
    "Norm",
    "ObserveConfig",
    "OneStepConfig",
    "PictureEncoder",
    "Prediction",
    "PrimitiveConfig",
    "Sampler",
    "Solver",
    "TrainConfig",
    "VqConfig",
    "as_plain",
    "load_train_config",
    "plain",
]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that may vary between two trainings on the same data.

    Attributes:
        policy: Name of the recipe, shown in reports.
        head: How chunks are made.
        network: The network.
        diffusion: Used by the diffusion head; so is each section below by the head of its name.
        norm: Used by the regression head.
        ensemble: Blending of successive plans.
        curriculum: Which episodes take part when.
        quality_power: Weight of an episode's windows is (mark / 5) to this power; 0 = marks do not count.
        patience: Validations without a better one before the training ends early, and the best model is
            kept; 0 = the last one is.
        observe: Inputs beyond the task's.
        amp: Whether the network computes in bfloat16 where torch deems it safe.
        augment: Noise on inputs.
        action_encoding: Numbers the network predicts.
        observed_ticks: Ticks of proprioception the policy looks at; 0 = the task's ``n_obs``.
        hold_at_end: Whether rows beyond the end of a demonstration teach to stay at its last target
            (true) or are masked out of the loss (false).
        steps: Optimiser steps.
        max_seconds: Stop after this long [s], learning rate annealed all the same; 0 = no limit.
        batch_size: Windows per step.
        learning_rate: Peak of the cosine.
        weight_decay: AdamW's.
        warmup_steps: Linear rise of the learning rate.
        grad_clip_norm: Largest gradient norm.
        ema_power: Rise of the averaging of weights.
        ema_max: Strongest averaging.
        val_fraction: Part of the episodes held out, at least one if there are four or more.
        eval_every: Steps between two validations (and resumable checkpoints).
        seed: Of initial weights, batches and noise.
        threads: CPU threads of the training.
        device: ``cpu`` or ``cuda``.
        wandb: Project of Weights & Biases that is told the figures too; empty = none.
    """

    policy: str
    head: Head
    network: NetworkConfig = field(default_factory=NetworkConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    norm: Norm = Norm.L1
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    action_encoding: ActionEncoding = ActionEncoding.RELATIVE_V1
    observed_ticks: int = 0
    hold_at_end: bool = True
    steps: int = 4000
    max_seconds: float = 0.0
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    grad_clip_norm: float = 1.0
    ema_power: float = 0.75
    ema_max: float = 0.9999
    val_fraction: float = 0.1
    eval_every: int = 500
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    gmm: GmmConfig = field(default_factory=GmmConfig)
    act: ActConfig = field(default_factory=ActConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    one_step: OneStepConfig = field(default_factory=OneStepConfig)
    ibc: IbcConfig = field(default_factory=IbcConfig)
    vq: VqConfig = field(default_factory=VqConfig)
    moe: MoeConfig = field(default_factory=MoeConfig)
    dmp: PrimitiveConfig = field(default_factory=PrimitiveConfig)
    promp: PrimitiveConfig = field(default_factory=PrimitiveConfig)
    gmr: PrimitiveConfig = field(default_factory=lambda: PrimitiveConfig(basis=8))
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    quality_power: float = 0.0
    patience: int = 0
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    amp: bool = False
    wandb: str = ""

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.steps, self.batch_size, self.eval_every, self.threads) <= 0:
            raise ValueError("steps, batch_size, eval_every and threads must be positive")
        if min(self.max_seconds, self.weight_decay, self.warmup_steps, self.observed_ticks) < 0:
            raise ValueError("max_seconds, weight_decay, warmup_steps, observed_ticks must not be negative")
        if min(self.patience, self.quality_power) < 0:
            raise ValueError("patience and quality_power must not be negative")
        if self.learning_rate <= 0 or self.grad_clip_norm <= 0:
            raise ValueError("learning_rate and grad_clip_norm must be positive")
        if not 0 <= self.val_fraction < 1 or not 0 <= self.ema_max < 1 or self.ema_power <= 0:
            raise ValueError("need 0 <= val_fraction < 1, 0 <= ema_max < 1 and ema_power > 0")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device must be cpu or cuda, got '{self.device}'")


def load_train_config(name: str, overrides: tuple[str, ...] = ()) -> TrainConfig:
    """Read config/train/<name>.yaml (or the file itself) and apply ``key=value`` overrides.

    Args:
        name: Recipe (``bc``, ``diffusion``, ...) or path of a YAML file.
        overrides: Such as ``steps=2000`` or ``network.width=256``; ``head.x`` is x of the chosen head's section.

    Raises:
        ConfigError: unknown file, key or value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "train" / f"{name}.yaml"
    config = load_yaml(path, TrainConfig)
    if not overrides:
        return config
    values = plain(config)
    for override in sorted(overrides, key=lambda o: not o.startswith("head=")):  # the head decides what head.x means
        _override(values, override)
    return from_mapping(TrainConfig, values, f"{path} with --set {' '.join(overrides)}")


def _override(values: dict[str, Any], override: str) -> None:
    """Write one ``a.b=value`` into nested mappings; unknown keys fail when the dataclass is built."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override}", "expected key=value, such as steps=2000")
    *parents, leaf = key.split(".")
    if parents[:1] == ["head"]:
        parents[0] = str(values["head"])
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}", f"'{parent}' has no keys of its own")
    try:
        values[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}", f"not a YAML value: {error}") from error


def plain(config: TrainConfig) -> dict[str, Any]:
    """Settings as JSON-ready values; :func:`il_core.config.from_mapping` reads them back."""
    values: dict[str, Any] = as_plain(asdict(config))
    return values


def as_plain(value: Any) -> Any:  # noqa: ANN401 - any nesting of plain values
    """Enums and tuples, however deep, as JSON has them."""
    if isinstance(value, dict):
        return {k: as_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(v) for v in value]
    return value.value if isinstance(value, Enum) else value
