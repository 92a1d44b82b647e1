r"""Real-time chunking: a new chunk that continues the one being executed.

Black, Galliker and Levine, "Real-time execution of action chunking flow policies", 2025 (arXiv
2506.07339), section 4: while a plan is computed, the first d rows of it pass by and are taken from the
plan before; later rows are pulled towards that plan with falling weight (eq. 5), by the pseudoinverse
guidance of Pokle et al., 2023 (eq. 2 to 4):

.. math:: v_{guided} = v + \min\left(\beta,\ \frac{1 - \tau}{\tau\,r_\tau^2}\right)
          \left(Y - \hat x\right)^\top \mathrm{diag}(W)\, \frac{\partial \hat x}{\partial z}, \qquad
          r_\tau^2 = \frac{(1 - \tau)^2}{\tau^2 + (1 - \tau)^2}

with Y the rows of the plan before, :math:`\hat x` the estimate of the clean chunk. In the coordinates of
:mod:`il_policy.serving.levels` this serves diffusion and flow alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ShapeError

BETA = 5.0  # the paper's clip of the guidance weight, section 4.2: above it few-step sampling diverges
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """The plan before, on the rows of the new one.

    Attributes:
        rows: Its normalised rows, (H, A); rows it does not reach are ignored.
        frozen: d: rows that will have passed before the new plan is in force, 0..known.
        known: Rows that the plan before covers, 0..H.
    """

    rows: Array
    frozen: int
    known: int

    def __post_init__(self) -> None:
        """Check the order of the counts."""
        if self.rows.ndim != 2 or not 0 <= self.frozen <= self.known <= len(self.rows):
            raise ShapeError("Prefix", expected="0 <= frozen <= known <= H", got=(self.frozen, self.known))

    @property
    def weights(self) -> Array:
        """Trust in each row, (H,): see :func:`soft_mask`."""
        return soft_mask(len(self.rows), self.frozen, self.known)


def soft_mask(horizon: int, frozen: int, known: int) -> Array:
    r"""Weight of the plan before, row by row, eq. 5 of the paper, (H,).

    .. math:: W_i = 1 \ (i < d), \qquad W_i = c_i \frac{e^{c_i} - 1}{e - 1} \ (d \le i < k), \qquad
              W_i = 0 \ (i \ge k), \qquad c_i = \frac{k - i}{k - d + 1}

    Args:
        horizon: Rows H.
        frozen: d, rows that are settled.
        known: k, rows the plan before covers (H - s in the paper).
    """
    i = np.arange(horizon, dtype=np.float64)
    c = (known - i) / (known - frozen + 1)
    falling = c * (np.exp(c) - 1) / (math.e - 1)
    return np.where(i < frozen, 1.0, np.where(i < known, falling, 0.0))


def guidance_weight(tau: float, beta: float = BETA) -> float:
    """Scalar factor of the guidance at one noise level; beta where the formula has its pole."""
    rest = 1.0 - tau
    if tau <= 0.0:
        return beta
    r2 = rest**2 / (tau**2 + rest**2)
    return min(beta, rest / (tau * r2)) if r2 > 0 else beta
