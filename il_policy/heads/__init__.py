"""What turns a network into chunks: one head per file."""

from __future__ import annotations

from torch import nn

from il_policy.config import Head, TrainConfig
from il_policy.heads.act import ActHead
from il_policy.heads.base import ChunkHead, Sizes
from il_policy.heads.diffusion import DiffusionHead
from il_policy.heads.flow import FlowHead
from il_policy.heads.gmm import GmmHead
from il_policy.heads.ibc import IbcHead
from il_policy.heads.moe import MoeHead
from il_policy.heads.one_step import OneStepHead
from il_policy.heads.regression import RegressionHead
from il_policy.heads.vq import VqHead

__all__ = ["ChunkHead", "Sizes", "make_head"]


def make_head(config: TrainConfig, teacher: nn.Module | None = None) -> ChunkHead:
    """Build the head a config names.

    Args:
        config: Settings.
        teacher: Network a one-step student learns from; needed only to train it.

    Raises:
        ValueError: the head fits trajectories and has no network; see ``il_policy.primitives``.
    """
    if config.head is Head.ONE_STEP:
        is_flow = config.one_step.teacher is Head.FLOW
        base = FlowHead(config.flow) if is_flow else DiffusionHead(config.diffusion)
        return OneStepHead(config.one_step, base, teacher)
    simple: dict[Head, ChunkHead] = {
        Head.REGRESSION: RegressionHead(config.norm),
        Head.GMM: GmmHead(config.gmm),
        Head.ACT: ActHead(config.act),
        Head.DIFFUSION: DiffusionHead(config.diffusion),
        Head.FLOW: FlowHead(config.flow),
        Head.IBC: IbcHead(config.ibc),
        Head.VQ: VqHead(config.vq),
        Head.MOE: MoeHead(config.moe),
    }
    if config.head not in simple:
        raise ValueError(f"head '{config.head.value}' fits trajectories; it has no network")
    return simple[config.head]
