"""Exponential moving average of weights: what is validated, saved and served."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EmaWeights:
    r"""Average whose memory grows with training.

    .. math:: \bar\theta \leftarrow \beta_n \bar\theta + (1 - \beta_n)\,\theta, \qquad
              \beta_n = \min\left(\beta_{max},\ 1 - (1 + n)^{-p}\right)
    """

    def __init__(self, network: nn.Module, power: float, maximum: float) -> None:
        """Start as a copy of the network."""
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._power, self._maximum = power, maximum

    @torch.no_grad()
    def update(self, network: nn.Module, n: int) -> None:
        """Take in the weights after optimiser step ``n`` = 0, 1, ..."""
        beta = min(self._maximum, 1.0 - (1.0 + n) ** -self._power)
        for averaged, current in zip(self.network.parameters(), network.parameters(), strict=True):
            averaged.lerp_(current, 1.0 - beta)
