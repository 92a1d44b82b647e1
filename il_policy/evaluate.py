"""Open-loop error: how far the planned chunks are from what was demonstrated."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from il_policy.dataset import Batch
from il_policy.policy import ChunkPolicy

MAX_SAMPLES = 512  # per forward pass; bounds memory


@dataclass(frozen=True, slots=True)
class OpenLoopError:
    """Mean absolute errors over the executed rows of held-out windows.

    Attributes:
        position_mm: Mean distance of the planned tool positions [mm]; with joint actions, of postures [mrad].
        axis_mm: Mean absolute error along x, y, z of base [mm]; with joint actions, of the first three [mrad].
        gripper: Mean absolute error of the opening, 0 if the task has no gripper.
        samples: Windows compared.
    """

    position_mm: float
    axis_mm: tuple[float, float, float]
    gripper: float
    samples: int


def open_loop(policy: ChunkPolicy, batch: Batch) -> OpenLoopError:
    """Compare plans with demonstrations over the first ``n_execute`` rows that are not padding."""
    rows = policy.setup.task.n_execute
    parts = [batch.take(slice(i, i + MAX_SAMPLES)) for i in range(0, len(batch.inputs), MAX_SAMPLES)]
    plans = torch.cat([policy.chunks(part.inputs, part.pixels) for part in parts])
    keep = ~batch.is_pad[:, :rows]
    error = (plans - batch.action)[:, :rows][keep]  # (M, Da)
    axis_mm = (1000.0 * error[:, :3].abs().mean(0)).tolist()
    n = policy.setup.robot.nq if policy.config.action_encoding.is_joint else 3
    gripper = error[:, -1].abs().mean().item() if policy.setup.task.action.gripper else 0.0
    position_mm = 1000.0 * error[:, :n].norm(dim=-1).mean().item()
    return OpenLoopError(position_mm, (axis_mm[0], axis_mm[1], axis_mm[-1]), gripper, len(batch.inputs))
