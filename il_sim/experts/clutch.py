"""How a person holds the clutch: pressed while driving, let go and pressed again when nothing moves."""

from __future__ import annotations

from collections import deque

import numpy as np

from il_core.types import Vector

OPEN_TICKS = 5  # let go for a tenth of a second at 50 Hz
PATIENCE_TICKS = 50  # a second of pushing without motion
PUSHING_M_S, MOVED_M = 0.03, 0.002


class ClutchHand:
    """Decides for every moment whether the clutch is held."""

    def __init__(self) -> None:
        """Begin with the clutch open: teleoperation engages on pressing it."""
        self._open_left = OPEN_TICKS
        self._recent: deque[Vector] = deque(maxlen=PATIENCE_TICKS)

    def is_held(self, p_ee: Vector, velocity: Vector) -> bool:
        """Whether to hold it now.

        Args:
            p_ee: Measured tool position, (3,) [m].
            velocity: Velocity asked for, (3,) [m/s].
        """
        if self._open_left > 0:
            self._open_left -= 1
            return False
        if float(np.linalg.norm(velocity)) < PUSHING_M_S:
            self._recent.clear()
        self._recent.append(np.array(p_ee))
        if len(self._recent) == PATIENCE_TICKS and np.ptp(self._recent, axis=0).max() < MOVED_M:
            self._open_left = OPEN_TICKS
            self._recent.clear()
        return True
