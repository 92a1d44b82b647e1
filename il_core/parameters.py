"""What a dataclass says of its settings: description, range, and whether one may change while a node works."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from il_core.errors import ConfigError

T = TypeVar("T")
_ENTRY = re.compile(r"^(\w+):\s+(.*)$")
_RANGE, _DYNAMIC = "range", "is_dynamic"


@dataclass(frozen=True, slots=True)
class Range:
    """Values a number may have, both ends included.

    Attributes:
        low: Smallest.
        high: Largest.
    """

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        """Whether a value lies inside; not-a-number does not."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """As in ``within 0 and 60``."""
        return f"within {self.low:g} and {self.high:g}"


def limits(low: float, high: float, *, is_dynamic: bool = False) -> dict[str, Any]:
    """Metadata of a dataclass field without a default; see :func:`setting`."""
    return {_DYNAMIC: is_dynamic, _RANGE: Range(low, high)}


def setting(default: T, low: float | None = None, high: float | None = None, *, is_dynamic: bool = False) -> T:
    """Default of a dataclass field, with what a node parameter made of it may be.

    Args:
        default: Value where nobody says otherwise.
        low: Smallest value of a number; None together with ``high`` means any.
        high: Largest value of a number.
        is_dynamic: Whether it may change while the node works.

    Returns:
        A dataclass field, typed as its default so that it reads like one.
    """
    if (low is None) is not (high is None):
        raise TypeError("a range needs both ends, because ROS parameters do")
    metadata: dict[str, Any] = {_DYNAMIC: is_dynamic}
    if low is not None and high is not None:
        metadata = limits(low, high, is_dynamic=is_dynamic)
    made: Any = field(default=default, metadata=metadata)
    return made  # type: ignore[no-any-return]


def range_of(f: Field[Any]) -> Range | None:
    """Range of a field made by :func:`setting`, if it has one."""
    return f.metadata.get(_RANGE)


def is_dynamic(f: Field[Any]) -> bool:
    """Whether a field made by :func:`setting` may change while a node works."""
    return bool(f.metadata.get(_DYNAMIC, False))


def check_ranges(settings: object, source: str) -> None:
    """Check every field of a dataclass that has a range; for its ``__post_init__``.

    Args:
        settings: Instance of a dataclass.
        source: Where the values came from, for the message.

    Raises:
        ConfigError: a value outside its range, or not a number.
    """
    for f in fields(settings):  # type: ignore[arg-type]
        allowed, value = range_of(f), getattr(settings, f.name)
        if allowed is not None and value not in allowed:
            raise ConfigError(source, f"{f.name} must be {allowed}, got {value}")


def descriptions(kind: type) -> dict[str, str]:
    """What the ``Attributes:`` section of a dataclass's docstring says of each field, on one line each.

    Args:
        kind: Dataclass with a Google-style docstring.

    Returns:
        Text by name; empty for a docstring without that section.
    """
    texts: dict[str, str] = {}
    name = ""
    for indent, line in _section(inspect.getdoc(kind) or "", "Attributes:"):
        entry = _ENTRY.match(line)
        if indent == 4 and entry is not None:
            name = entry[1]
            texts[name] = entry[2].strip()
        elif name:
            texts[name] = f"{texts[name]} {line}"
    return texts


def _section(text: str, title: str) -> Iterator[tuple[int, str]]:
    """Indentation and content of the lines of one section."""
    is_inside = False
    for line in text.splitlines():
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if bare and indent == 0:
            is_inside = bare == title
        elif is_inside and bare:
            yield indent, bare
