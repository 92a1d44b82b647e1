"""Training settings: one frozen dataclass per concern, values from config/train/<policy>.yaml."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from il_core.config import config_dir, from_mapping, load_yaml
from il_core.errors import ConfigError

MAX_WIDTH = 4096  # wider is a typing error, and a checkpoint must not make a server allocate gigabytes


class Head(str, Enum):
    """What turns a network into chunks."""

    REGRESSION = "regression"
    DIFFUSION = "diffusion"


class NetworkKind(str, Enum):
    """Networks of ``il_policy.models``."""

    MLP = "mlp"
    UNET1D = "unet1d"


class Norm(str, Enum):
    """Distance of the regression head."""

    L1 = "l1"
    L2 = "l2"


class Prediction(str, Enum):
    """What the denoiser estimates; names of diffusers' ``prediction_type``."""

    EPSILON = "epsilon"
    SAMPLE = "sample"


class ActionEncoding(str, Enum):
    """How tool poses become numbers for the network; a changed meaning gets a new name.

    ``relative_v1``: position minus the tool position at the observation, axes of base.
    ``absolute_v1``: position in base. Rotation (6-D, in base) and gripper are absolute in both.
    """

    RELATIVE_V1 = "relative_v1"
    ABSOLUTE_V1 = "absolute_v1"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        kind: Which network.
        width: Hidden width (mlp).
        depth: Residual blocks (mlp).
        channels: Channels per resolution (unet1d); each step down halves the horizon.
        kernel: Kernel length, odd (unet1d).
        groups: Groups of the group norms (unet1d).
    """

    kind: NetworkKind = NetworkKind.MLP
    width: int = 512
    depth: int = 3
    channels: tuple[int, ...] = (64, 128, 256)
    kernel: int = 5
    groups: int = 8

    def __post_init__(self) -> None:
        """Reject sizes that cannot be built."""
        if not 0 < self.width <= MAX_WIDTH or not 0 < self.depth <= 64:
            raise ValueError(f"width must be in 1..{MAX_WIDTH} and depth in 1..64")
        if not 0 < len(self.channels) <= 6 or not all(0 < c <= MAX_WIDTH for c in self.channels):
            raise ValueError(f"channels must be one to six numbers in 1..{MAX_WIDTH}, got {self.channels}")
        if not (0 < self.kernel < 32 and self.kernel % 2 == 1):
            raise ValueError(f"kernel must be odd and below 32, got {self.kernel}")
        if self.groups <= 0 or any(c % self.groups for c in self.channels):
            raise ValueError(f"groups {self.groups} must divide every one of channels {self.channels}")


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """Noise schedule.

    Attributes:
        prediction: What the network estimates.
        train_steps: Noise levels in training.
        inference_steps: DDIM steps per chunk.
    """

    prediction: Prediction = Prediction.SAMPLE
    train_steps: int = 100
    inference_steps: int = 10

    def __post_init__(self) -> None:
        """Check the order of the two step counts."""
        if not 1 <= self.inference_steps <= self.train_steps <= 10_000:
            raise ValueError("need 1 <= inference_steps <= train_steps <= 10000")


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Noise on inputs, consistent with the geometry: see ``dataset.augment``.

    Attributes:
        tool_m: Standard deviation of a common displacement of the tool over the window [m]; the
            targets stay where they are, so the policy learns the way back.
        jitter_m: Standard deviation of independent noise on each position read [m].
        gripper: Standard deviation of noise on the opening.
    """

    tool_m: float = 0.005
    jitter_m: float = 0.0005
    gripper: float = 0.01

    def __post_init__(self) -> None:
        """Reject negative noise."""
        if min(self.tool_m, self.jitter_m, self.gripper) < 0:
            raise ValueError("noise levels must not be negative")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that may vary between two trainings on the same data.

    Attributes:
        policy: Name of the recipe, shown in reports.
        head: How chunks are made.
        network: The network.
        diffusion: Used by the diffusion head.
        norm: Used by the regression head.
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

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.steps, self.batch_size, self.eval_every, self.threads) <= 0:
            raise ValueError("steps, batch_size, eval_every and threads must be positive")
        if min(self.max_seconds, self.weight_decay, self.warmup_steps, self.observed_ticks) < 0:
            raise ValueError("max_seconds, weight_decay, warmup_steps, observed_ticks must not be negative")
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
        overrides: Such as ``steps=2000`` or ``network.width=256``.

    Raises:
        ConfigError: unknown file, key or value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "train" / f"{name}.yaml"
    config = load_yaml(path, TrainConfig)
    if not overrides:
        return config
    values = plain(config)
    for override in overrides:
        _override(values, override)
    return from_mapping(TrainConfig, values, f"{path} with --set {' '.join(overrides)}")


def _override(values: dict[str, Any], override: str) -> None:
    """Write one ``a.b=value`` into nested mappings; unknown keys fail when the dataclass is built."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override}", "expected key=value, such as steps=2000")
    *parents, leaf = key.split(".")
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
    return _plain(asdict(config))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any nesting of plain values
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.value if isinstance(value, Enum) else value
