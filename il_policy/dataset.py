"""Episodes into training samples: input vectors once per tick, action windows on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from il_core.config import Setup
from il_core.errors import EpisodeError
from il_core.geometry import Array
from il_core.types import Episode, Outcome
from il_policy.augment.pixels import augment_pixels
from il_policy.config import AugmentConfig, CurriculumConfig, TrainConfig
from il_policy.curriculum import WindowSampler, difficulty, quality_weight
from il_policy.encoders.pixels import PixelReader
from il_policy.joint_codec import Codec, JointCodec, joint_targets, make_codec
from il_policy.transforms import GRIPPER, JITTER, TOOL, ObservationEncoder

INSTRUCTION_NOTE = "instruction"  # the task in words, where an episode's differs from the task file's


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeArrays:
    """One episode as numbers; row k belongs to tick k.

    Attributes:
        name: Name of the episode.
        inputs: Input vectors, (N, D), NaN = not seen.
        p_base_ee: Tool position at each tick, (N, 3) [m].
        actions: Encoded targets as seen from each tick, (N, H, Da).
        is_pad: Rows beyond the end of the episode, (N, H).
        pixels: What encoders look at at each tick, by name, (N, ...).
        weight: How much its windows count.
        difficulty: How hard it is; larger is harder.
    """

    name: str
    inputs: Array
    p_base_ee: Array
    actions: Array
    is_pad: NDArray[np.bool_]
    pixels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    weight: float = 1.0
    difficulty: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Training windows, still in the data's units.

    Attributes:
        inputs: (B, D), NaN = not seen.
        action: (B, H, Da).
        is_pad: (B, H), true where no demonstrated row exists.
        pixels: What encoders look at, by name, (B, ...).
    """

    inputs: Tensor
    action: Tensor
    is_pad: Tensor
    pixels: Mapping[str, Tensor] = field(default_factory=dict)

    def take(self, chosen: Tensor | slice) -> Batch:
        """Some of the windows, in that order."""
        pixels = {name: tensor[chosen] for name, tensor in self.pixels.items()}
        return Batch(self.inputs[chosen], self.action[chosen], self.is_pad[chosen], pixels)


def episode_arrays(
    episode: Episode, encoder: ObservationEncoder, codec: Codec, reader: PixelReader | None = None
) -> EpisodeArrays:
    """Encode one episode with the very code that runs on the robot.

    Windows before the first tick repeat the first observation, as the policy node does when it is
    enabled; rows after the last tick repeat the last target and are marked as padding.

    Raises:
        EpisodeError: the episode was aligned at another rate than the task's.
    """
    if episode.rate_hz != encoder.task.rate_hz:
        expected = f"the task's {encoder.task.rate_hz} Hz; build the dataset again"
        raise EpisodeError(episode.name, f"aligned at {episode.rate_hz} Hz, expected {expected}")
    n, n_obs, horizon = len(episode.observations), encoder.task.n_obs, encoder.task.horizon
    first = episode.observations[:1] * (n_obs - 1)
    padded = (*first, *episode.observations)
    said = episode.notes.get(INSTRUCTION_NOTE, "")
    inputs = np.array([encoder.encode(padded[k : k + n_obs], said) for k in range(n)])
    p_base_ee = np.array([o.T_base_ee[:3, 3] for o in episode.observations])
    rows = np.arange(n)[:, None] + np.arange(horizon)  # (N, H): row j of tick k is action k + j
    clipped = np.minimum(rows, n - 1)
    if isinstance(codec, JointCodec):
        actions = joint_targets(episode, codec, horizon)
    else:
        T_des, g_des = episode.T_base_ee_des[clipped], episode.gripper_des[clipped]
        actions = codec.encode(T_des, g_des, p_base_ee[:, None, :])
    return EpisodeArrays(episode.name, inputs, p_base_ee, actions, rows >= n, _pixels(episode, reader))


def _pixels(episode: Episode, reader: PixelReader | None) -> dict[str, NDArray[Any]]:
    """Pictures of all ticks, stacked by name."""
    if reader is None:
        return {}
    before = (episode.observations[0], *episode.observations)
    seen = [reader.read(now, previous) for previous, now in zip(before, episode.observations, strict=False)]
    return {name: np.stack([s[name] for s in seen]) for name in seen[0]}


class ChunkDataset:
    """Samples of several episodes in memory; input vectors are computed once, here."""

    def __init__(
        self,
        episodes: Iterable[Episode],
        setup: Setup,
        config: TrainConfig,
        on_episode: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Encode the successful episodes.

        Args:
            episodes: Demonstrations, read one at a time; those judged a failure are left out.
            setup: Robot and task.
            config: Encoding of actions and observed ticks.
            on_episode: Told after each episode how many were read; pictures take a while.

        Raises:
            EpisodeError: no episode is left.
        """
        self.encoder = ObservationEncoder(setup, config.observed_ticks, config.observe)
        self._reader = PixelReader(setup, config.observe) if config.observe.has_pixels else None
        self.codec = make_codec(setup, config.action_encoding)
        self.arrays: list[EpisodeArrays] = []
        count = 0
        for count, episode in enumerate(episodes, start=1):
            if episode.outcome in (Outcome.SUCCESS, Outcome.UNLABELLED):
                self.arrays.append(self._judged(episode, config))
            on_episode(count)
        if not self.arrays:
            raise EpisodeError("dataset", f"none of {count} episodes is a success; record demonstrations")

    def _judged(self, episode: Episode, config: TrainConfig) -> EpisodeArrays:
        """One episode as numbers, with what its notes say about it."""
        arrays = episode_arrays(episode, self.encoder, self.codec, self._reader)
        weight = quality_weight(episode.name, episode.notes, config.quality_power) if config.quality_power else 1.0
        c = config.curriculum
        hardness = difficulty(episode.name, episode.notes, arrays.p_base_ee, c.measure) if c.start < 1 else 0.0
        return replace(arrays, weight=weight, difficulty=hardness)

    def sampler(self, episode_indices: Sequence[int], curriculum: CurriculumConfig) -> WindowSampler:
        """Sampler of the windows that :meth:`batch` stacks for the same episodes."""
        chosen = [self.arrays[i] for i in episode_indices]
        lengths, weights = [len(a.inputs) for a in chosen], [a.weight for a in chosen]
        return WindowSampler(lengths, weights, [a.difficulty for a in chosen], curriculum)

    @property
    def horizon(self) -> int:
        """Rows per chunk."""
        return self.encoder.task.horizon

    def digest(self) -> str:
        """SHA-256 of all numbers a training sees, hex."""
        content = hashlib.sha256()
        for a in self.arrays:
            content.update(a.name.encode())
            for array in (a.inputs, a.actions, a.is_pad, *a.pixels.values()):
                content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()

    def split(self, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
        """Indices of training and held-out episodes; whole episodes, so that nothing leaks."""
        n = len(self.arrays)
        n_val = 0 if n < 4 or val_fraction == 0 else max(1, round(val_fraction * n))
        order = np.random.default_rng(seed).permutation(n).tolist()
        return sorted(order[n_val:]), sorted(order[:n_val])

    def batch(self, episode_indices: Sequence[int]) -> Batch:
        """All samples of some episodes as one batch."""
        chosen = [self.arrays[i] for i in episode_indices]
        return Batch(
            torch.from_numpy(np.concatenate([a.inputs for a in chosen])).float(),
            torch.from_numpy(np.concatenate([a.actions for a in chosen])).float(),
            torch.from_numpy(np.concatenate([a.is_pad for a in chosen])),
            {k: torch.from_numpy(np.concatenate([a.pixels[k] for a in chosen])) for k in chosen[0].pixels},
        )


class Augmenter:
    """Noise that keeps inputs and relative targets consistent with each other.

    The tool is displaced while the world and the targets stay: positions of the tool grow by the
    displacement, object positions seen from it and relative targets shrink by it. So the policy is
    taught the way back to the demonstrated path from beside it, which plain cloning never sees.
    """

    def __init__(self, encoder: ObservationEncoder, codec: Codec, config: AugmentConfig) -> None:
        """Take the layout of inputs and actions."""
        s = encoder.sensitivity()
        self._tool = torch.from_numpy(s[TOOL].T).float()  # (3, D)
        independent = config.jitter_m * s[JITTER] + config.gripper * s[GRIPPER]
        self._independent = torch.from_numpy(independent).float()
        self._is_relative = codec.is_relative
        self._tool_m, self._config = config.tool_m, config

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Noisy copy of a batch."""
        shift = self._tool_m * torch.randn(len(batch.inputs), 3, generator=generator)
        inputs = batch.inputs + shift @ self._tool
        inputs = inputs + self._independent * torch.randn(inputs.shape, generator=generator)
        action = batch.action.clone()
        if self._is_relative:
            action[..., :3] -= shift[:, None, :]
        if self._config.action:
            action += self._config.action * torch.randn(action.shape, generator=generator)
        return Batch(inputs, action, batch.is_pad, augment_pixels(batch.pixels, self._config, generator))
