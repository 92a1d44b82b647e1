"""The live display of the demo: one line per phase, with a bar, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class PhaseDisplay:
    """Shows phases as they run; on a screen that is no terminal it prints a line per phase."""

    def __init__(self, console: Console, phases: list[dict[str, Any]]) -> None:
        """Show on ``console`` and append ``{"name", "seconds"}`` of each ended phase to ``phases``."""
        self._console = console
        self._phases = phases
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<32}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> PhaseDisplay:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing, leaving the last state on the screen."""
        self._progress.stop()

    @contextmanager
    def phase(self, name: str, total: float | None = None) -> Iterator[Callable[[float, str], None]]:
        """Run one phase.

        Args:
            name: What is being done, in words.
            total: Units of work, or None where that is not known.

        Yields:
            ``advance(units, note)``: report progress and a short note.
        """
        task = self._progress.add_task(name, total=total, note="")
        start = time.monotonic()
        notes = [""]

        def advance(units: float, note: str) -> None:
            notes[0] = note
            self._progress.update(task, advance=units, note=note)

        yield advance
        seconds = time.monotonic() - start
        self._phases.append({"name": name, "seconds": round(seconds, 2)})
        self._progress.update(task, total=total or 1.0, completed=total or 1.0)
        if not self._console.is_terminal:
            self._console.print(f"{name:<32} {seconds:7.1f} s  {notes[0]}")
