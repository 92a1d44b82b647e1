"""Whether a node that ended by itself is worth starting again: not when it would only end again."""

from __future__ import annotations

import signal

RESPAWN_DELAY_S = 2.0
"""Pause before a node is started again: devices need a moment to be free."""
SETTLED_S = 30.0  # longer than the slowest start, loading torch and a checkpoint: what still runs then was set up right
MOST_ENDS, WINDOW_S = 3, 60.0


class Lives:
    """The lives of one node, from start to end, on one steady clock."""

    def __init__(self) -> None:
        """Nothing has started yet."""
        self._began_s = 0.0
        self._has_settled = False
        self._ends_s: list[float] = []

    def begin(self, now_s: float) -> None:
        """The node was started."""
        self._began_s = now_s

    def end(self, status: int, now_s: float) -> str:
        """The node ended by itself.

        Args:
            status: Its exit status, negative for a signal.
            now_s: When [s].

        Returns:
            Why it must not be started again; empty if it may be.
        """
        self._has_settled |= now_s - self._began_s >= SETTLED_S
        self._ends_s = [t for t in self._ends_s if now_s - t < WINDOW_S] + [now_s]
        if status >= 0 and not self._has_settled:
            return "it refused to start"
        if len(self._ends_s) > MOST_ENDS:
            return f"it ended {len(self._ends_s)} times within {WINDOW_S:.0f} s"
        return ""


def how_it_ended(status: int) -> str:
    """Exit status in words, as subprocess has it: negative for a signal."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
