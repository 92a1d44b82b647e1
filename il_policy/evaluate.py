"""Open-loop error: how far the planned chunks are from what was demonstrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from il_policy.policy import ChunkMaker, ChunkPolicy

if TYPE_CHECKING:
    from il_policy.windows import Batch

MAX_SAMPLES = 512  # per forward pass; bounds memory


@dataclass(frozen=True, slots=True)
class OpenLoopError:
    """Mean absolute errors over the executed rows of held-out windows.

    Attributes:
        position_mm: Mean distance of the planned tool positions [mm]; with joint actions, of postures [mrad];
            without an arm, of the whole action in thousandths of its unit.
        axis_mm: Mean absolute error along x, y, z of base [mm]; else of the first three numbers.
        gripper: Mean absolute error of the opening, 0 if the task has no gripper.
        samples: Windows compared.
    """

    position_mm: float
    axis_mm: tuple[float, float, float]
    gripper: float
    samples: int


def errors(maker: ChunkMaker, batch: Batch, rows: int) -> Tensor:
    """Planned minus demonstrated, over the first ``rows`` rows of each window that are not padding, (M, Da)."""
    parts = [batch.take(slice(i, i + MAX_SAMPLES)) for i in range(0, len(batch.inputs), MAX_SAMPLES)]
    plans = torch.cat([maker.chunks(part.inputs, part.pixels) for part in parts])
    return (plans - batch.action)[:, :rows][~batch.is_pad[:, :rows]]


def open_loop(policy: ChunkPolicy, batch: Batch) -> OpenLoopError:
    """Compare plans with demonstrations over the first ``n_execute`` rows that are not padding."""
    error = errors(policy, batch, policy.setup.task.n_execute)
    n = policy.setup.robot.nq if policy.config.action_encoding.is_joint else 3
    gripper = error[:, -1].abs().mean().item() if policy.setup.task.action.gripper else 0.0
    return summed(error, n, gripper, len(batch.inputs))


def summed(error: Tensor, n: int, gripper: float, samples: int) -> OpenLoopError:
    """Mean errors over the first ``n`` numbers of each row."""
    axis_mm = [*(1000.0 * error[:, :3].abs().mean(0)).tolist(), 0.0, 0.0][:3]
    position_mm = 1000.0 * error[:, :n].norm(dim=-1).mean().item()
    return OpenLoopError(position_mm, (axis_mm[0], axis_mm[1], axis_mm[2]), gripper, samples)
