"""How many physics steps are due, so that simulated time keeps up with the wall's."""

from __future__ import annotations

from il_sim.plant import STEP_NS

MAX_BEHIND_NS = 20_000_000  # 20 ms: catching up on more would be a burst no controller can answer


class Pacer:
    """Compares the plant's time with the wall's.

    Attributes:
        slip_ns: Wall time given up because the process did not get to run [ns].
    """

    def __init__(self) -> None:
        """Nothing lost yet."""
        self.slip_ns = 0

    def due(self, plant_ns: int, wall_ns: int) -> tuple[int, int]:
        """Steps to take now.

        Args:
            plant_ns: Instant of the plant's present state [ns].
            wall_ns: Current instant [ns].

        Returns:
            Number of steps, and the instant the plant's present state should be given first [ns]:
            ``plant_ns`` itself unless time was lost or the clock went back.
        """
        behind_ns = wall_ns - plant_ns
        if not -MAX_BEHIND_NS <= behind_ns <= MAX_BEHIND_NS:
            present_ns = (wall_ns // STEP_NS - 1) * STEP_NS  # so that the one step ends now, not ahead of it
            self.slip_ns += max(0, present_ns - plant_ns)
            return 1, present_ns
        return max(0, behind_ns // STEP_NS), plant_ns
