"""One chunk per observation: the plain regression of behaviour cloning."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.config import Norm
from il_policy.heads.loss import masked_mean


class RegressionHead:
    """Predicts the chunk in one pass; averages where demonstrations disagree."""

    def __init__(self, norm: Norm) -> None:
        """Choose the distance."""
        self._norm = norm

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean distance over rows that are not padding; ``generator`` is not needed here."""
        error = self.sample(network, cond, torch.zeros_like(action)) - action
        return masked_mean(error.abs() if self._norm is Norm.L1 else error.square(), is_pad)

    def sample(self, network: nn.Module, cond: Tensor, noise: Tensor) -> Tensor:
        """Normalised chunks (B, H, D) for conditions (B, C); ``noise`` only gives the shape."""
        t = torch.zeros(len(cond), device=cond.device)
        return network(torch.zeros_like(noise), t, cond)
