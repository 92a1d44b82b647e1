"""Fenced blocks of the documentation, and what a test changes in them before it runs them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
WRITTEN = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")])
NEEDS = {"time", "ros", "ros2", "build", "apt", "hardware"}  # docs/README.md says what they mean
SHELLS = ("sh", "bash")

_COMMENTS = r"(?:<!-- graph: (?P<graph>.*?) -->\n)?(?:<!-- test: (?P<swaps>.*?) -->\n)?"
_FENCE = re.compile(_COMMENTS + r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it is.
        language: First word behind the fence.
        needs: The other words, some of ``NEEDS``.
        body: Its lines.
        swaps: What a test writes instead of what, to be quick or to use what is there.
        graph: Commands that have to run meanwhile.
    """

    page: Path
    language: str
    needs: frozenset[str]
    body: str
    swaps: tuple[tuple[str, str], ...]
    graph: tuple[str, ...]

    @property
    def name(self) -> str:
        """Page and first line, for people."""
        return f"{place(self.page)}: {self.body.splitlines()[0]}"

    @property
    def lines(self) -> list[str]:
        """Commands as a test runs them, continued lines joined, without comments.

        Raises:
            ValueError: Text to be changed is not there.
        """
        text = self.body.replace("\\\n", " ")
        for old, new in self.swaps:
            if old not in text:
                raise ValueError(f"{place(self.page)}: {old!r} is not in the block that its comment changes")
            text = text.replace(old, new)
        return [line.strip() for line in text.splitlines() if shlex.split(line, comments=True)]


def place(path: Path) -> str:
    """A page's path from the root of the project."""
    return path.relative_to(ROOT).as_posix()


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """All fenced blocks of a page."""
    found = []
    for match in _FENCE.finditer(page.read_text()):
        language, *needs = match["info"].split() or [""]
        swaps, graph = ((match[part] or "").split("; ") for part in ("swaps", "graph"))
        pairs = tuple(_swap(words) for words in swaps if words)
        running = tuple(line for line in graph if line)
        found.append(Block(page, language, frozenset(needs), match["body"], pairs, running))
    return tuple(found)


def _swap(words: str) -> tuple[str, str]:
    old, _, new = words.partition(" -> ")
    return old, new


def shell_blocks(need: str = "") -> list[Block]:
    """Blocks of shell that need just this; those that need nothing without it."""
    wanted = {need} if need else set()
    return [b for page in WRITTEN for b in blocks(page) if b.language in SHELLS and b.needs == wanted]
