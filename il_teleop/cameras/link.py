"""Plugged, unplugged, plugged again: when to try to open a camera, and what to tell the operator meanwhile. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

# The first retry comes soon, because a loose plug is back at once; the longest pause is what a person
# who plugs the camera in again has to wait at most.
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 500_000_000, 4_000_000_000


class Phase(str, Enum):
    """Where the connection stands."""

    CLOSED = "closed"  # to be opened as soon as ``retry_ns`` has come
    STREAMING = "streaming"


class Event(str, Enum):
    """What happened to the connection."""

    OPENED = "opened"
    REFUSED = "refused"  # it could not be opened
    LOST = "lost"  # it was unplugged, or went silent


@dataclass(frozen=True, slots=True)
class Link:
    """The connection between two events.

    Attributes:
        phase: Where it stands.
        since_ns: When that began [ns, steady clock].
        retry_ns: Not before this instant is opening tried again [ns].
        refusals: Failed attempts since it was last open.
        losses: Times it was lost since start-up.
        reason: Why it is closed.
    """

    phase: Phase = Phase.CLOSED
    since_ns: int = 0
    retry_ns: int = 0
    refusals: int = 0
    losses: int = 0
    reason: str = "not opened yet"

    def should_open(self, now_ns: int) -> bool:
        """Whether it is time for an attempt."""
        return self.phase is Phase.CLOSED and now_ns >= self.retry_ns

    def text(self, now_ns: int) -> str:
        """One sentence for the operator."""
        if self.phase is Phase.STREAMING:
            again = f", lost {self.losses} times before" if self.losses else ""
            return f"streaming for {(now_ns - self.since_ns) / 1e9:.0f} s{again}"
        wait_s = max(0, self.retry_ns - now_ns) / 1e9
        return f"no pictures for {(now_ns - self.since_ns) / 1e9:.0f} s: {self.reason}; next attempt in {wait_s:.1f} s"


def step(link: Link, event: Event, now_ns: int, reason: str = "") -> Link:
    """Apply one event.

    Args:
        link: The connection before.
        event: What happened.
        now_ns: When [ns, steady clock].
        reason: For REFUSED and LOST: why.

    Returns:
        The connection after. Pauses between attempts double up to LONGEST_PAUSE_NS.
    """
    if event is Event.OPENED:
        return replace(link, phase=Phase.STREAMING, since_ns=now_ns, refusals=0, reason="")
    if event is Event.LOST:
        if link.phase is Phase.CLOSED:
            return link
        retry_ns = now_ns + FIRST_PAUSE_NS
        return Link(Phase.CLOSED, now_ns, retry_ns, losses=link.losses + 1, reason=reason)
    pause_ns = min(FIRST_PAUSE_NS << min(link.refusals, 16), LONGEST_PAUSE_NS)
    return replace(link, retry_ns=now_ns + pause_ns, refusals=link.refusals + 1, reason=reason)
