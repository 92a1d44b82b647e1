r"""Temporal ensembling: a row of a plan is averaged with what earlier plans said about the same instant.

.. math:: \bar a_t = \frac{\sum_i w_i\,a_t^{(i)}}{\sum_i w_i}, \qquad w_i = e^{-m i},\ i = 0\ \text{the oldest}

Zhao et al., ACT, 2023, section IV-A. It smooths, and it averages: not for policies that may change their
mind between two ways.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from il_core.geometry import Array


class TemporalEnsemble:
    """Remembers the last plans as rows of numbers on one time grid."""

    def __init__(self, plans: int, decay: float, dt_ns: int) -> None:
        """Begin empty.

        Args:
            plans: Earlier plans kept; 0 = rows pass unchanged.
            decay: m above, per plan.
            dt_ns: Period of the grid [ns].
        """
        self._decay, self._dt_ns = decay, dt_ns
        self._plans: deque[tuple[int, Array]] = deque(maxlen=plans + 1)

    def reset(self) -> None:
        """Forget all plans."""
        self._plans.clear()

    def blend(self, start_ns: int, rows: Array) -> Array:
        """Add a plan and return its rows blended with those before, (H, D).

        Args:
            start_ns: Instant of row 0 [ns]; rounded to the grid relative to the other plans.
            rows: Numbers that may be averaged, (H, D).
        """
        if self._plans and start_ns < self._plans[-1][0]:
            self.reset()  # time went backwards: another run
        self._plans.append((start_ns, rows))
        total, weight = np.zeros_like(rows), np.zeros((len(rows), 1))
        for i, (begin_ns, earlier) in enumerate(self._plans):
            shift = round((start_ns - begin_ns) / self._dt_ns)
            overlap = len(earlier) - shift
            if overlap > 0:
                w = math.exp(-self._decay * i)
                total[:overlap] += w * earlier[shift:][: len(rows)]
                weight[:overlap] += w
        return np.asarray(total / weight)
