"""Stops that stay: a latch that only an operator opens, and only when its cause is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from il_control.reasons import Behaviour, Reason, strongest


class StopLatch:
    """Remembers why the arm was stopped for good.

    Attributes:
        causes: Reasons of the latched stop, in the order they came; empty when not stopped.
    """

    def __init__(self, table: Mapping[Reason, Behaviour]) -> None:
        """Take what to do for each reason; see :func:`il_control.reasons.behaviour_table`."""
        self._table = table
        self.causes: tuple[Reason, ...] = ()
        self._present: frozenset[Reason] = frozenset()

    @property
    def is_latched(self) -> bool:
        """Whether the arm stays stopped until :meth:`resume`."""
        return bool(self.causes)

    def latch(self, causes: Iterable[Reason]) -> None:
        """Stop for causes that no cycle found: a person's word, or a stop from before the controller began anew."""
        self.causes = (*self.causes, *(r for r in dict.fromkeys(causes) if r not in self.causes))

    def update(self, reasons: set[Reason]) -> Behaviour:
        """Take the reasons of one cycle; return what to do in it."""
        found = strongest(reasons, self._table)
        if found is Behaviour.LATCHED_STOP:
            latching = frozenset(r for r in reasons if self._table[r] is Behaviour.LATCHED_STOP)
            self._present = latching
            new = sorted(latching.difference(self.causes), key=lambda r: r.name)
            self.causes = (*self.causes, *new)
        elif self._present:
            self._present = frozenset()
        return Behaviour.LATCHED_STOP if self.causes else found

    def resume(self) -> str:
        """Open the latch, if the last cycle found no cause for it any more.

        Returns:
            Empty if the arm may move again (or was not stopped), else why it may not.
        """
        if self._present:
            return "; ".join(sorted(r.value for r in self._present)) + "; remove the cause, then resume again"
        self.causes = ()
        return ""
