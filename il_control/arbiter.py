"""Which source drives: the one in charge keeps the arm until it falls silent."""

from __future__ import annotations

from enum import Enum


class Source(str, Enum):
    """Who asks for motion."""

    HOLD = "hold"
    TELEOP = "teleop"
    PLAN = "plan"


class Arbiter:
    """First come, first served: nobody takes the arm from a source that is still talking."""

    def __init__(self) -> None:
        """Start with nobody in charge."""
        self.source = Source.HOLD

    def choose(self, *, has_teleop: bool, has_plan: bool) -> Source:
        """Who drives now.

        Args:
            has_teleop: A fresh teleoperated target is there.
            has_plan: A plan is being tracked.
        """
        active = {Source.TELEOP: has_teleop, Source.PLAN: has_plan}
        if not active.get(self.source, False):
            # A person comes before a plan when both begin at the same instant.
            self.source = next((s for s in (Source.TELEOP, Source.PLAN) if active[s]), Source.HOLD)
        return self.source
