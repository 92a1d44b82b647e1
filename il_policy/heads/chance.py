"""Choices as functions of the one noise a rollout keeps: plans stay with the way once taken."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniforms(noise: Tensor, count: int) -> Tensor:
    r"""Independent uniform numbers out of standard normal noise (B, H, D), (B, count) in [0, 1].

    .. math:: u_i = \Phi\Big(\tfrac{1}{\sqrt{|S_i|}} \sum_{j \in S_i} \epsilon_j\Big), \qquad
              S_i = \{j : j \equiv i \bmod n\}

    Raises:
        ValueError: the chunk has fewer numbers than are asked for.
    """
    flat = noise.flatten(1)
    if flat.shape[1] < count:
        raise ValueError(f"{count} choices need chunks of at least as many numbers, got {flat.shape[1]}")
    sums = torch.stack(
        [flat[:, i::count].sum(1) / math.sqrt(len(range(i, flat.shape[1], count))) for i in range(count)], 1
    )
    return 0.5 * (1.0 + torch.erf(sums / math.sqrt(2.0)))  # not special.ndtr, which ONNX lacks


def choose(logits: Tensor, u: Tensor) -> Tensor:
    """Index of the category whose interval of the cumulative distribution holds u; (B, K), (B,) -> (B,)."""
    cumulative = logits.softmax(-1).cumsum(-1)
    return (u[:, None] > cumulative).sum(-1).clamp(max=logits.shape[-1] - 1)
