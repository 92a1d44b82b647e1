"""What every trajectory model offers, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from il_core.geometry import Array
from il_policy.head_config import PrimitiveConfig


class Primitive(ABC):
    """A map from a context (what is seen when the run begins) to a trajectory.

    All it knows is a handful of arrays: a checkpoint holds them and nothing else.
    """

    NAMES: ClassVar[tuple[str, ...]]

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        """Take fitted arrays.

        Raises:
            ValueError: an array is missing, strange or not finite.
        """
        if set(arrays) != set(self.NAMES):
            raise ValueError(f"expected the arrays {sorted(self.NAMES)}, got {sorted(arrays)}")
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"array '{name}' is not finite throughout")
        self.arrays = {name: np.asarray(array, dtype=np.float64) for name, array in arrays.items()}

    @classmethod
    @abstractmethod
    def fit(cls, contexts: Array, trajectories: Array, config: PrimitiveConfig, seed: int) -> Primitive:
        """Fit to M demonstrations.

        Args:
            contexts: What was seen at the start of each, (M, C).
            trajectories: All resampled to S samples at equal steps of phase, (M, S, D).
            config: Size and regularisation.
            seed: Of whatever is left to chance.
        """

    @abstractmethod
    def plan(self, context: Array, samples: int) -> Array:
        """Trajectory for a context (C,), at ``samples`` equal steps of phase, (samples, D)."""


def ridge(inputs: Array, outputs: Array, strength: float) -> Array:
    r"""Weights W (C, D) of :math:`Y \approx X W` with :math:`\lambda \|W\|^2` against overfitting.

    .. math:: W = (X^T X + \lambda I)^{-1} X^T Y

    Hoerl and Kennard, "Ridge regression", 1970.
    """
    gram = inputs.T @ inputs + (strength + 1e-12) * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(gram, inputs.T @ outputs))


def resample(rows: Array, samples: int) -> Array:
    """Rows (N, D) at ``samples`` equal steps from first to last, linear in between, (samples, D)."""
    at = np.linspace(0.0, len(rows) - 1.0, samples)
    return np.column_stack([np.interp(at, np.arange(len(rows)), column) for column in rows.T])
