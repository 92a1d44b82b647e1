"""Open-loop error: how far the planned chunks are from what was demonstrated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from il_policy.action_numbers import ActionNumber
from il_policy.policy import ChunkMaker, ChunkPolicy

if TYPE_CHECKING:
    from il_policy.windows import Batch

MAX_SAMPLES = 512  # per forward pass; bounds memory


@dataclass(frozen=True, slots=True)
class NumberError:
    """Error of one number of the action.

    Attributes:
        name: Its name.
        unit: Unit of the error: ``mm``, ``mrad``, ``percent``, ``opening``, or ``unit``, the data's own.
        error: Mean absolute error.
    """

    name: str
    unit: str
    error: float


@dataclass(frozen=True, slots=True)
class OpenLoopError:
    """Mean absolute errors over the executed rows of held-out windows.

    Attributes:
        distance: Mean distance of the planned tool positions; with joint actions, of postures; without an arm, of
            whole actions.
        unit: Of that distance: ``mm``, ``mrad`` or ``unit``, the data's own.
        numbers: Error of every number of the action.
        samples: Windows compared.
    """

    distance: float
    unit: str
    numbers: tuple[NumberError, ...]
    samples: int

    @property
    def position_mm(self) -> float:
        """Mean distance of the planned tool positions [mm]; NaN where actions are none."""
        return self.distance if self.unit == "mm" else math.nan

    def metrics(self) -> dict[str, float]:
        """All errors by name and unit, as checkpoints and TensorBoard keep them."""
        head = "position" if self.unit == "mm" else "distance"
        return {
            f"val_{head}_{self.unit}": self.distance,
            **{f"val_{n.name}_{n.unit}": n.error for n in self.numbers},
        }

    def line(self) -> str:
        """All errors in words, for people."""
        each = ", ".join(f"{n.name} {n.error:.3g} {n.unit}" for n in self.numbers)
        return f"{self.distance:.3g} {self.unit} off on held-out episodes ({each})"


def errors(maker: ChunkMaker, batch: Batch, rows: int) -> Tensor:
    """Planned minus demonstrated, over the first ``rows`` rows of each window that are not padding, (M, Da)."""
    parts = [batch.take(slice(i, i + MAX_SAMPLES)) for i in range(0, len(batch.inputs), MAX_SAMPLES)]
    plans = torch.cat([maker.chunks(part.inputs, part.pixels) for part in parts])
    return (plans - batch.action)[:, :rows][~batch.is_pad[:, :rows]]


def open_loop(policy: ChunkPolicy, batch: Batch) -> OpenLoopError:
    """Compare plans with demonstrations over the first ``n_execute`` rows that are not padding."""
    error = errors(policy, batch, policy.setup.task.n_execute)
    return summed(error, policy.translator.codec.numbers, len(batch.inputs))


def summed(error: Tensor, numbers: Sequence[ActionNumber], samples: int) -> OpenLoopError:
    """Mean errors of rows (M, Da); the distance is that of the leading numbers of one unit."""
    count = len(list(takewhile(lambda n: n.unit == numbers[0].unit, numbers)))
    distance = numbers[0].scale * error[:, :count].norm(dim=-1).mean().item()
    means = error.abs().mean(0).tolist()
    each = tuple(NumberError(n.name, n.unit, n.scale * m) for n, m in zip(numbers, means, strict=True))
    return OpenLoopError(distance, numbers[0].unit, each, samples)
