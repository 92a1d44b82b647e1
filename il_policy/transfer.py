"""Learning from another checkpoint: fine-tuning on another task, and distillation into one step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from il_core.errors import CheckpointError
from il_policy import checkpoint
from il_policy.config import Head, Prediction, TrainConfig
from il_policy.policy import ChunkModel

NORMS = ("input_norm.", "action_norm.")  # belong to the data, not to the skill


@dataclass(frozen=True, slots=True)
class Transfer:
    """What was taken over.

    Attributes:
        copied: Tensors taken from the other checkpoint.
        fresh: Tensors that begin anew, for want of one of that name and shape.
    """

    copied: tuple[str, ...]
    fresh: tuple[str, ...]


@torch.no_grad()
def start_from(model: ChunkModel, directory: Path) -> Transfer:
    """Begin with the weights of another checkpoint, of whatever robot and task.

    A tensor is copied where name and shape agree: networks of one config over other observations keep all
    but their first layer. Normalisers stay with the new data.

    Raises:
        CheckpointError: missing, damaged, or with nothing that fits.
    """
    manifest = checkpoint.read_stored(directory)
    tensors = checkpoint.read_tensors(directory, manifest.weights, manifest.weights_sha256)
    copied, fresh = [], []
    for name, mine in model.state_dict().items():
        if name.startswith(NORMS):
            continue
        theirs = tensors.get(name)
        if theirs is None or theirs.shape != mine.shape or not torch.isfinite(theirs).all():
            fresh.append(name)
            continue
        mine.copy_(theirs)
        copied.append(name)
    if not copied:
        network = f"{manifest.config.network.kind.value} with head {manifest.config.head.value}"
        raise CheckpointError(directory, f"no weight fits this training's network; it holds a {network}")
    return Transfer(tuple(copied), tuple(fresh))


def distilled(config: TrainConfig, teacher: TrainConfig, directory: Path) -> TrainConfig:
    """Settings of a one-step student: how to train from ``config``, everything else from its teacher.

    Raises:
        CheckpointError: the teacher does not remove noise in steps, or its network estimates the noise: at the first
            level hardly anything but noise is there, so that a single such estimate says nothing of the chunk.
    """
    if teacher.head not in (Head.DIFFUSION, Head.FLOW):
        problem = f"its head is '{teacher.head.value}'; only diffusion and flow can be distilled"
        raise CheckpointError(directory, problem)
    if teacher.head is Head.DIFFUSION and teacher.diffusion.prediction is Prediction.EPSILON:
        problem = "its network estimates noise, of which one step cannot make a chunk"
        raise CheckpointError(directory, f"{problem}; distil one trained with diffusion.prediction=sample, or a flow")
    return replace(
        config,
        head=Head.ONE_STEP,
        one_step=replace(config.one_step, teacher=teacher.head),
        network=teacher.network,
        diffusion=teacher.diffusion,
        flow=teacher.flow,
        action_encoding=teacher.action_encoding,
        observed_ticks=teacher.observed_ticks,
        observe=teacher.observe,
    )
