"""One chunk per observation: the plain regression of behaviour cloning (Pomerleau, "ALVINN", 1988)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from il_policy.head_config import Norm
from il_policy.heads.base import ChunkHead
from il_policy.heads.loss import masked_mean

HUBER_DELTA = 0.1  # normalised units: errors below count squared, above linearly


def distance(error: Tensor, norm: Norm) -> Tensor:
    r"""Distance of each number.

    .. math:: |e|, \qquad e^2, \qquad
              \tfrac{e^2}{2\delta}\ \text{if}\ |e| < \delta\ \text{else}\ |e| - \tfrac{\delta}{2}

    Huber, "Robust estimation of a location parameter", 1964 (divided by delta, as in torch).
    """
    if norm is Norm.HUBER:
        return smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=HUBER_DELTA)
    return error.abs() if norm is Norm.L1 else error.square()


class RegressionHead(ChunkHead):
    """Predicts the chunk in one pass; averages where demonstrations disagree."""

    def __init__(self, norm: Norm) -> None:
        """Choose the distance."""
        self._norm = norm

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean distance over rows that are not padding; ``generator`` is not needed here."""
        error = self.sample(network, cond, torch.zeros_like(action)) - action
        return masked_mean(distance(error, self._norm), is_pad)

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Normalised chunks (B, H, D) for conditions (B, C); ``noise`` only gives the shape."""
        t = torch.zeros(len(cond), device=cond.device)
        return network(torch.zeros_like(noise), t, cond)
