"""How a condition vector is made up, for networks that read it as a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """The first ``ticks * state_dim`` numbers are proprioception, oldest tick first; the rest belongs to now.

    Attributes:
        ticks: Observed ticks; 0 = the condition is one vector without history.
        state_dim: Numbers per tick.
    """

    ticks: int = 0
    state_dim: int = 0

    @property
    def history_dim(self) -> int:
        """Numbers that are history."""
        return self.ticks * self.state_dim

    def split(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Condition (B, C) -> history (B, ticks, state_dim) and the rest (B, C - ticks * state_dim)."""
        n = self.history_dim
        return cond[:, :n].unflatten(1, (self.ticks, self.state_dim)), cond[:, n:]
