"""Training samples of several episodes: input vectors, windows of actions, pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from il_core.errors import ConfigError
from il_core.geometry import Array
from il_policy.config import AugmentConfig, CurriculumConfig, TrainConfig
from il_policy.curriculum import WindowSampler
from il_policy.evaluate import OpenLoopError
from il_policy.policy import ChunkModel


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeArrays:
    """One episode as numbers; row k belongs to tick k.

    Attributes:
        name: Name of the episode.
        inputs: Input vectors, (N, D), NaN = not seen.
        p_base_ee: Tool position at each tick, (N, 3) [m]; (N, 0) without an arm.
        actions: Encoded targets as seen from each tick, (N, H, Da).
        is_pad: Rows beyond the end of the episode, (N, H).
        pixels: What encoders look at at each tick, by name, (N, ...).
        weight: How much its windows count.
        difficulty: How hard it is; larger is harder.
        views: Place of the cameras of clouds in base [m], and the direction they look along, by camera, (N, 2, 3);
            only noise needs it.
    """

    name: str
    inputs: Array
    p_base_ee: Array
    actions: Array
    is_pad: NDArray[np.bool_]
    pixels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    weight: float = 1.0
    difficulty: float = 0.0
    views: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Training windows, still in the data's units.

    Attributes:
        inputs: (B, D), NaN = not seen.
        action: (B, H, Da).
        is_pad: (B, H), true where no demonstrated row exists.
        pixels: What encoders look at, by name, (B, ...).
        views: Where the cameras of clouds were and looked, in base, by camera, (B, 2, 3); see ``EpisodeArrays``.
    """

    inputs: Tensor
    action: Tensor
    is_pad: Tensor
    pixels: Mapping[str, Tensor] = field(default_factory=dict)
    views: Mapping[str, Tensor] = field(default_factory=dict)

    def take(self, chosen: Tensor | slice) -> Batch:
        """Some of the windows, in that order."""
        pixels = {name: tensor[chosen] for name, tensor in self.pixels.items()}
        views = {name: tensor[chosen] for name, tensor in self.views.items()}
        return Batch(self.inputs[chosen], self.action[chosen], self.is_pad[chosen], pixels, views)


class Pictures:
    """Rows of several arrays one behind the other, without a copy of all of them."""

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        """Take the arrays, (N, ...) each."""
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self._begins = self._ends - [len(part) for part in parts]

    def __getitem__(self, chosen: Tensor | slice) -> Tensor:
        """Copy of some rows, in that order."""
        rows = np.arange(self._ends[-1])[chosen if isinstance(chosen, slice) else chosen.numpy()]
        which = np.searchsorted(self._ends, rows, side="right")
        out = np.empty((len(rows), *self._parts[0].shape[1:]), self._parts[0].dtype)
        for k, (part, row) in enumerate(zip(which, rows - self._begins[which], strict=True)):
            out[k] = self._parts[part][row]
        return torch.from_numpy(out)


@dataclass(frozen=True, slots=True)
class Pool(Batch):
    """All windows of a training; their pictures are read when some are taken.

    Attributes:
        pictures: What encoders look at, by name; ``pixels`` are empty.
    """

    pictures: Mapping[str, Pictures] = field(default_factory=dict)

    def take(self, chosen: Tensor | slice) -> Batch:
        """Some of the windows with their pictures, in that order."""
        pixels = {name: rows[chosen] for name, rows in self.pictures.items()}
        taken = Batch.take(self, chosen)
        return Batch(taken.inputs, taken.action, taken.is_pad, pixels, taken.views)


Noise = Callable[[Batch, torch.Generator], Batch]


def spread(data: Batch) -> Tensor:
    """Standard deviation of each input in the data, (D,); 0 where something was not always seen."""
    return data.inputs.std(0, correction=0).nan_to_num(0.0)


class WindowSet:
    """What a training needs of its data, whatever they mean.

    Attributes:
        arrays: The episodes.
    """

    arrays: list[EpisodeArrays]

    def new_model(self, config: TrainConfig) -> ChunkModel:
        """Model of the right sizes, untrained."""
        raise NotImplementedError

    def noise(self, config: AugmentConfig, data: Batch) -> Noise:
        """What makes noisy copies of batches, given all that is trained on."""
        raise NotImplementedError

    def judge(self, model: ChunkModel, config: TrainConfig, batch: Batch) -> OpenLoopError:
        """How far a model's plans are from what was demonstrated."""
        raise NotImplementedError

    def sampler(self, episode_indices: Sequence[int], curriculum: CurriculumConfig) -> WindowSampler:
        """Sampler of the windows that :meth:`batch` stacks for the same episodes."""
        chosen = [self.arrays[i] for i in episode_indices]
        lengths, weights = [len(a.inputs) for a in chosen], [a.weight for a in chosen]
        return WindowSampler(lengths, weights, [a.difficulty for a in chosen], curriculum)

    def digest(self) -> str:
        """SHA-256 of all that a training sees of the episodes, hex: their numbers, and how much and when they count."""
        content = hashlib.sha256()
        for a in self.arrays:
            content.update(a.name.encode())
            for array in (a.inputs, a.actions, a.is_pad, *a.pixels.values()):
                content.update(np.ascontiguousarray(array).tobytes())
        marks = [(a.weight, a.difficulty) for a in self.arrays]
        if any(mark != (1.0, 0.0) for mark in marks):  # where none is in force, digests stay those of release 0.1
            content.update(np.array(marks, np.float64).tobytes())
        return content.hexdigest()

    def split(self, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
        """Indices of training and held-out episodes; whole episodes, so that nothing leaks.

        Raises:
            ConfigError: nothing is left to train on.
        """
        n = len(self.arrays)
        n_val = 0 if n < 4 or val_fraction == 0 else max(1, round(val_fraction * n))
        if n_val == n:
            problem = f"{val_fraction:g} holds out all {n} episodes; hold out fewer, at most {(n - 1) / n:.2f} of them"
            raise ConfigError("val_fraction", problem)
        order = np.random.default_rng(seed).permutation(n).tolist()
        return sorted(order[n_val:]), sorted(order[:n_val])

    def batch(self, episode_indices: Sequence[int]) -> Batch:
        """All samples of some episodes as one batch, pictures and all."""
        return self.pool(episode_indices).take(slice(None))

    def pool(self, episode_indices: Sequence[int]) -> Pool:
        """All samples of some episodes; pictures stay where they are."""
        chosen = [self.arrays[i] for i in episode_indices]
        return Pool(
            torch.from_numpy(np.concatenate([a.inputs for a in chosen])).float(),
            torch.from_numpy(np.concatenate([a.actions for a in chosen])).float(),
            torch.from_numpy(np.concatenate([a.is_pad for a in chosen])),
            views={k: torch.from_numpy(np.concatenate([a.views[k] for a in chosen])).float() for k in chosen[0].views},
            pictures={k: Pictures([a.pixels[k] for a in chosen]) for k in chosen[0].pixels},
        )


def action_rows(length: int, horizon: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Row j of step k is action k + j: indices (N, H), held at the last, and which of them are beyond it."""
    rows = np.arange(length)[:, None] + np.arange(horizon)
    return np.minimum(rows, length - 1), rows >= length
