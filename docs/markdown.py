"""Small pieces of Markdown that all generated pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MADE = "<!-- Made by `make docs` from the code; do not edit. -->"


def page(title: str, intro: str, sections: Iterable[str]) -> str:
    """A whole page."""
    return "\n\n".join([f"# {title}", MADE, intro, *(s.strip("\n") for s in sections if s)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty text for no rows."""
    lines = ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])


def cell(text: str) -> str:
    """Text that stays inside one cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def code(text: object) -> str:
    """Text as code; empty stays empty."""
    return f"`{text}`" if str(text) else ""


def slug(heading: str) -> str:
    """Anchor that GitHub gives a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def prose(text: str) -> str:
    """Docstring text in Markdown: double backquotes become single ones, roles lose their name."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")
