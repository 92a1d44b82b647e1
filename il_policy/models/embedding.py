"""Sinusoidal embedding of a scalar, so that a network can tell noise levels apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal(t: Tensor, dim: int) -> Tensor:
    r"""Sines and cosines of ``t`` (B,) at geometrically spaced frequencies, (B, dim), dim even.

    .. math:: [\sin(t\,\omega_i), \cos(t\,\omega_i)], \qquad \omega_i = 10^{-4 i / (d/2 - 1)}

    Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """
    half = dim // 2
    omega = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000.0) / (half - 1)))
    angles = t.float()[:, None] * omega
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
