"""Where a policy comes from: data, people, machine, versions, and the checkpoint it began with; needs no torch."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from importlib import metadata
from pathlib import Path

PACKAGES = ("il_robot", "torch", "numpy")
UNKNOWN = "unknown"


class Taken(str, Enum):
    """What a training took from another checkpoint."""

    START = "start"  # weights to begin with
    TEACHER = "teacher"  # also what it learns to do in one step


@dataclass(frozen=True, slots=True)
class Parent:
    """The checkpoint that a training began with.

    Attributes:
        path: Its folder then.
        weights_sha256: Digest of its weights, hex.
        taken: What it was for.
        copied: Tensors that were taken over.
        fresh: Tensors that began anew, for want of one of that name and shape.
    """

    path: str
    weights_sha256: str
    taken: Taken
    copied: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """The demonstrations, as far as who trains knows them.

    Attributes:
        path: Folder or file; empty if they were only in memory.
        sha256: Digest of what is there, hex: of ``dataset.json``, which holds those of all episodes.
        operators: Who demonstrated, and how many episodes; the name is empty where nobody wrote it down.
    """

    path: str = ""
    sha256: str = ""
    operators: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a policy comes from.

    Attributes:
        source: The demonstrations.
        episodes: How many of them were used, held-out ones included.
        date_utc: When it was written, ISO 8601.
        machine: Where it was trained.
        versions: Of Python and the packages that made it.
        parent: The checkpoint it began with, if any.
        eyes_sha256: Digest of the file of ``observe.weights``, hex; empty if its encoders began with random weights.
    """

    source: Source = field(default_factory=Source)
    episodes: int = 0
    date_utc: str = ""
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    parent: Parent | None = None
    eyes_sha256: str = ""

    def line(self) -> str:
        """All of it in one line, for people."""
        operators = ", ".join(f"{name or 'unnamed'} {n}" for name, n in sorted(self.source.operators.items()))
        shown = f"; shown by {operators}" if operators else ""
        data = f"{self.source.path} (digest {self.source.sha256[:12]}{shown})" if self.source.path else "data in memory"
        parts = [f"{self.episodes} episodes of {data}"]
        if self.parent is not None:
            p = self.parent
            kept = f"{len(p.copied)} tensors taken over, {len(p.fresh)} fresh"
            parts.append(f"{p.taken.value} {p.path} (weights {p.weights_sha256[:12]}, {kept})")
        if self.eyes_sha256:
            parts.append(f"encoders of pictures from weights {self.eyes_sha256[:12]}")
        parts.append(", ".join(f"{name} {version}" for name, version in self.versions.items()))
        return "; ".join([*parts, f"on {self.machine}", *([self.date_utc] if self.date_utc else [])])


def git_revision() -> str:
    """Revision of the checkout this code runs from, or ``unknown`` in an installed package."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN


def now_utc() -> str:
    """This second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of Python and the packages that a training stands on; ``unknown`` where a package is not installed."""

    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return UNKNOWN

    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def machine_name(accelerator: str = "") -> str:
    """This machine: its name, architecture, cores, and what else computes."""
    cores = f"{len(os.sched_getaffinity(0))} cores"
    return ", ".join(part for part in (platform.node(), platform.machine(), cores, accelerator) if part)


def counted(operators: Mapping[str, str]) -> dict[str, int]:
    """Episodes per operator, given the operator of each episode by its name."""
    names = list(operators.values())
    return {name: names.count(name) for name in sorted(set(names))}
