"""What a benchmark found: figures with their bounds, as a table, as JSON, and as an exit status."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: What was measured, in words.
        value: The number; None if it could not be taken.
        unit: Its unit, "" for a count or a ratio.
        bound: What it must keep to, such as ``<= 35``; "" for a figure that is only told.
        ok: Whether it does; None if there is no bound, or nothing was measured.
        reason: Why it could not be taken, or what to know about it.
    """

    name: str
    value: float | None
    unit: str = ""
    bound: str = ""
    ok: bool | None = None
    reason: str = ""


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
}


def figure(name: str, value: float, unit: str = "", bound: str = "", reason: str = "") -> Figure:
    """A measured number, compared with its bound: ``<= x``, ``>= x`` or ``== x``. NaN keeps to none."""
    ok = None
    if bound:
        sign, limit = bound.split()
        ok = not math.isnan(value) and _COMPARE[sign](value, float(limit))
    return Figure(name, value, unit, bound, ok, reason)


def not_taken(name: str, reason: str, unit: str = "", bound: str = "") -> Figure:
    """A figure that could not be taken here, and why; it is neither met nor missed."""
    return Figure(name, None, unit, bound, None, reason)


def file_of(name: str, wanted: Sequence[str], parts: Collection[str]) -> Path:
    """Where a benchmark writes: ``<name>.json`` if all its parts run, else a file of those that do."""
    chosen = "" if set(wanted) >= set(parts) else "_" + "_".join(wanted)
    return Path("outputs/bench") / f"{name}{chosen}.json"


@dataclass(slots=True)
class Bench:
    """Collects figures, shows each as it comes, and writes them all.

    Attributes:
        path: JSON file to write.
        figures: What was measured so far.
    """

    path: Path
    figures: list[Figure] = field(default_factory=list)
    console: Console = field(default_factory=lambda: Console(width=None if sys.stdout.isatty() else 160))

    def add(self, *figures: Figure) -> None:
        """Take figures and write what is there so far: a run that is cut short loses nothing."""
        self.figures += figures
        self._write()

    def attempt(self, name: str, measure: Callable[[], list[Figure]]) -> None:
        """Run one part; what it raises becomes a figure that was not taken, and the next part runs."""
        self.console.print(f"[dim]{name} ...[/dim]")
        try:
            self.add(*measure())
        except Exception as error:  # one part must not cost the others
            self.console.print_exception(max_frames=4)
            self.add(Figure(name, None, ok=False, reason=f"failed: {error!r}"))

    def finish(self) -> int:
        """Show the table.

        Returns:
            Exit status: 1 if a bound was missed or a part failed.
        """
        table = Table("figure", "value", "unit", "bound", "", "note")
        for f in self.figures:
            value = "not taken" if f.value is None else f"{f.value:.4g}"
            mark = {True: "[green]ok[/green]", False: "[red]MISSED[/red]", None: ""}[f.ok]
            table.add_row(f.name, value, f.unit, f.bound, mark, f.reason)
        self.console.print(table)
        self.console.print(f"written to {self.path}")
        return int(any(f.ok is False for f in self.figures))

    def _write(self) -> None:
        rows = []
        for f in self.figures:
            row = {"name": f.name, "value": f.value, "unit": f.unit, "bound": f.bound, "ok": f.ok}
            rows.append(row | ({"reason": f.reason} if f.reason else {}))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"machine": machine(), "figures": rows}, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """This machine, the code that ran, and how busy it was."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
