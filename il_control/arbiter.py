"""Which source drives: by rank, by request, and never because another one stopped."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from enum import Enum


class Source(str, Enum):
    """Who asks for motion."""

    HOLD = "hold"
    PLAN = "policy"
    REPLAY = "replay"
    GO_TO = "go-to"
    TELEOP = "teleop"
    GUIDING = "hand guiding"


RANK = {source: rank for rank, source in enumerate(Source)}
"""Higher drives before lower: a hand on the arm before a hand on a device, a person before a program."""

_BY_RANK = sorted(Source, key=lambda s: -RANK[s])


@dataclass(frozen=True, slots=True)
class Change:
    """One hand-over of the arm.

    Attributes:
        before: Who drove.
        after: Who drives now.
        cause: Why, in words.
    """

    before: Source
    after: Source
    cause: str


class Arbiter:
    """Decides who drives.

    A source is active while it talks (a fresh target, a plan that is being tracked). Of the active ones
    the highest in rank drives. A source that was active while another drove is locked out until it has
    fallen silent or is asked for: nobody starts driving because somebody else stopped.

    A request claims the arm: until it is released nobody of lower rank drives, not even while the claimer
    is silent. Hand guiding drives by request only, and is active by itself.

    Attributes:
        source: Who drives.
        change: The last hand-over, None before the first.
    """

    def __init__(self) -> None:
        """Start with nobody in charge."""
        self.source = Source.HOLD
        self.change: Change | None = None
        self._claim: Source | None = None
        self._locked_out: set[Source] = set()
        self._cause = ""

    @property
    def claim(self) -> Source | None:
        """Who has claimed the arm, if anybody."""
        return self._claim

    def request(self, source: Source, cause: str = "requested") -> str:
        """Claim the arm for a source.

        Args:
            source: Who is to drive.
            cause: Why, in words; part of the next change.

        Returns:
            Why not, in words; empty if it was granted.
        """
        claim = self._claim
        if claim is not None and RANK[claim] > RANK[source]:
            return f"{claim.value} has claimed the arm; release it first"
        if source is Source.HOLD:
            return "hold is what the arm does when nobody drives; release the source that does"
        self._claim, self._cause = source, cause
        self._locked_out.discard(source)
        return ""

    def release(self, source: Source, cause: str = "released") -> bool:
        """End the claim of a source, and its driving; say whether it had a part in either."""
        had_part = source in (self._claim, self.source) and source is not Source.HOLD
        if had_part:
            self._claim, self._cause = None, cause
            self._locked_out.add(source)
        return had_part

    def clear(self, cause: str) -> None:
        """End every claim: the arm was asked to hold, or stopped."""
        self._claim, self._cause = None, cause

    def choose(self, active: Set[Source]) -> Source:
        """Who drives now.

        Args:
            active: Sources that talk at this instant.
        """
        if self._locked_out:
            self._locked_out.intersection_update(active)
        before, after = self.source, self._best(active)
        if len(active) > 1 or (active and after not in active):
            self._locked_out.update(s for s in active if s is not after and RANK[s] < RANK[after])
            if self._claim is not None:
                self._locked_out.update(s for s in active if s is not self._claim)
        if after is not before:
            self.change = Change(before, after, self._why(before, after, active))
            self.source, self._cause = after, ""
        elif self._claim is None:
            self._cause = ""  # it explains what happens at once, not who comes later
        return after

    def _best(self, active: Set[Source]) -> Source:
        claim = self._claim
        if claim is not None:
            return claim if claim is Source.GUIDING or claim in active else Source.HOLD
        if not active:
            return Source.HOLD
        for source in _BY_RANK:
            if source in active and source not in self._locked_out and source is not Source.GUIDING:
                return source
        return Source.HOLD

    def _why(self, before: Source, after: Source, active: Set[Source]) -> str:
        if self._cause:
            return self._cause
        if after is Source.HOLD:
            return f"{before.value} fell silent"
        return f"{after.value} began" + ("" if before is Source.HOLD else f" and comes before {before.value}")
