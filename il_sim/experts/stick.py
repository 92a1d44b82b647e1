"""A thumb on a stick."""

from __future__ import annotations

import numpy as np

from il_core.types import Vector

GAIN_1_S = 4.0  # how eagerly the stick follows the distance seen
ACCELERATION_M_S2 = 1.2  # a thumb does not jump


class Stick:
    """A thumb on a stick: follows the distance seen, with bounded speed and acceleration."""

    def __init__(self, speed_m_s: float) -> None:
        """Begin at rest."""
        self._speed_m_s = speed_m_s
        self._velocity = np.zeros(3)

    def towards(self, error: Vector, dt: float, share: float = 1.0) -> Vector:
        """Tool velocity of this moment, (3,) [m/s], for a distance to go, (3,) [m], at a share of the speed."""
        wanted = error * GAIN_1_S
        speed = float(np.linalg.norm(wanted))
        if speed > share * self._speed_m_s:
            wanted *= share * self._speed_m_s / speed
        change = np.clip(wanted - self._velocity, -ACCELERATION_M_S2 * dt, ACCELERATION_M_S2 * dt)
        self._velocity = self._velocity + change
        return self._velocity.copy()
