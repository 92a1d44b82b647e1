"""Numbers into about [-1, 1] and back; lives inside the checkpoint."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from il_core.errors import NonFiniteError
from il_core.geometry import Array

MIN_RANGE = 1e-4  # a dimension that moves less (0.1 mm, 0.006 deg) is constant: only its offset goes


class MinMaxNormalizer(nn.Module):
    r"""Affine map of each dimension's range in the data to [-1, 1].

    .. math:: y = (x - c) / h, \qquad c = \tfrac12 (x_{min} + x_{max}),\quad h = \tfrac12 (x_{max} - x_{min})

    A constant dimension keeps its unit (h = 1). NaN, "not seen", becomes 0, the middle of the range.
    """

    centre: Tensor
    half_range: Tensor

    def __init__(self, dim: int) -> None:
        """Start as the identity of ``dim`` dimensions."""
        super().__init__()
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("half_range", torch.ones(dim))

    def fit(self, rows: Array) -> None:
        """Take range and middle from rows (N, D), ignoring NaN.

        Raises:
            NonFiniteError: infinity inside.
        """
        if np.isinf(rows).any():
            raise NonFiniteError("training data", int(np.flatnonzero(np.isinf(rows))[0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column never seen is all NaN: handled below
            low, high = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
        low, high = np.nan_to_num(low), np.nan_to_num(high)
        half = (high - low) / 2
        self.centre.copy_(torch.from_numpy((low + high) / 2))
        self.half_range.copy_(torch.from_numpy(np.where(2 * half < MIN_RANGE, 1.0, half)))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D); NaN -> 0."""
        return torch.nan_to_num((x - self.centre) / self.half_range, nan=0.0)

    def inverse(self, y: Tensor) -> Tensor:
        """Back to the data's units, (..., D)."""
        return y * self.half_range + self.centre
