"""What was measured before and need not be measured again: results and single attempts, on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.figures import machine

RESULTS = Path("benchmark/results/policies")
WORK, QUICK_WORK = Path("outputs/bench/policies"), Path("outputs/bench/policies_quick")
PAUSE = "BENCH_PAUSE"  # while the file this variable names exists, nothing heavy is begun

Values = dict[str, Any]


def wait_while_paused() -> None:
    """Wait until the machine may be used: somebody else measures on it now and then."""
    name = os.environ.get(PAUSE)
    while name and Path(name).exists():
        time.sleep(2.0)


def digest(settings: Mapping[str, Any]) -> str:
    """Short SHA-256 of settings: other settings are another measurement."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Keeper:
    """Where a run keeps what it finds.

    Attributes:
        work: Data sets, checkpoints and attempts; may be removed at any time.
        results: One JSON file per result, to be kept under version control; a quick run has its own in ``work``.
    """

    work: Path
    results: Path

    @classmethod
    def of(cls, *, quick: bool) -> Keeper:
        """The usual folders."""
        return cls(QUICK_WORK, QUICK_WORK / "results") if quick else cls(WORK, RESULTS)

    def forget(self) -> None:
        """Remove everything: the next run measures all anew."""
        for folder in (self.work, self.results):
            shutil.rmtree(folder, ignore_errors=True)

    def stored(self, name: str, settings: Mapping[str, Any]) -> Values | None:
        """The result of that name, if it is there and was taken with the same settings."""
        try:
            content = json.loads((self.results / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        return content["values"] if content.get("digest") == digest(settings) else None

    def measured(self, name: str, settings: Mapping[str, Any], measure: Callable[[], Values]) -> Values:
        """The stored result, or a new one, which is stored with its settings, commit and machine."""
        found = self.stored(name, settings)
        if found is not None:
            return found
        wait_while_paused()
        values = measure()
        path = self.results / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"digest": digest(settings), "settings": settings, "machine": machine(), "values": values}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(content, indent=1, default=str, allow_nan=False) + "\n")
        fresh.rename(path)
        return values

    def origin(self, name: str) -> str:
        """Commit and day of a stored result."""
        about = json.loads((self.results / f"{name}.json").read_text())["machine"]
        return f"{about['commit']}, {about['date'][:10]}"


class Journal:
    """One line per finished attempt: a run that is cut short goes on with the next one."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a line that was being written when the run was cut short is dropped."""
        self._path = path
        self.lines: list[Values] = []
        if path.exists():
            for text in path.read_text().splitlines():
                try:
                    self.lines.append(json.loads(text))
                except ValueError:
                    break
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def add(self, line: Values) -> None:
        """Append one attempt."""
        self.lines.append(line)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
