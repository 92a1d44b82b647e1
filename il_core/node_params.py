"""Parameter files as ROS 2 writes them (``ros__parameters`` below node names), read for one node at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import yaml

from il_core.errors import ConfigError, nearest

Parameter = str | int | float | bool | list[str] | list[int] | list[float] | list[bool]

_KEY = "ros__parameters"
_SCALARS = (str, int, float, bool)


class NodeParams:
    """What a parameter file says, by node.

    Keys are node names as in ROS 2: ``controller`` or ``/controller`` in the root namespace, ``/left/controller``
    in another, ``/**/controller`` in any, ``/**`` for every node. Later entries win.
    """

    def __init__(self, source: str, values: object) -> None:
        """Check the content of a file.

        Raises:
            ConfigError: it is not a parameter file, or holds a value no node can take.
        """
        self.source = source
        self._entries = [(pattern, self._flat(pattern, v)) for pattern, v in self._sections("", values)]

    def _sections(self, prefix: str, values: object) -> Iterator[tuple[str, object]]:
        """Full name pattern and content of every ``ros__parameters``."""
        if not isinstance(values, dict):
            raise ConfigError(self.source, f"expected nodes with '{_KEY}' below them, got {values!r}")
        for key, inner in values.items():
            name = f"{prefix}/{str(key).strip('/')}"
            if isinstance(inner, dict) and _KEY in inner:
                yield name, inner[_KEY]
                inner = {k: v for k, v in inner.items() if k != _KEY}  # noqa: PLW2901
                if not inner:
                    continue
            yield from self._sections(name, inner)

    def _flat(self, pattern: str, values: object, prefix: str = "") -> dict[str, Parameter]:
        """Values with the names of their groups in front, joined by dots."""
        if values is None:  # a section with every line commented out
            return {}
        if not isinstance(values, dict):
            raise ConfigError(self.source, f"'{pattern}': expected names and values, got {values!r}")
        flat: dict[str, Parameter] = {}
        for key, value in values.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict):
                flat |= self._flat(pattern, value, f"{name}.")
            elif isinstance(value, _SCALARS) or _is_list(value):
                flat[name] = value
            else:
                problem = f"'{pattern}': {name} is {value!r}; a node takes text, numbers, true or false, or a list"
                raise ConfigError(self.source, f"{problem} of one of these")
        return flat

    def of(self, name: str, namespace: str = "") -> dict[str, Parameter]:
        """Parameters of one node.

        Args:
            name: Its name.
            namespace: Its namespace, with or without a leading slash.
        """
        full = "/".join(["", *filter(None, namespace.split("/")), name])
        found: dict[str, Parameter] = {}
        for pattern, values in self._entries:
            if _fits(pattern, full):
                found |= values
        return found

    def check_names(self, known: Sequence[str]) -> None:
        """Refuse names that are nearly those of our nodes; whole strangers may have their parameters here too.

        Raises:
            ConfigError: a node name that looks misspelt.
        """
        for pattern, _ in self._entries:
            name = pattern.rsplit("/", 1)[-1]
            if "*" not in name and name not in known and get_close_matches(name, known, n=1, cutoff=0.8):
                raise ConfigError(self.source, f"unknown node '{name}'; {nearest(name, list(known))}")


def _is_list(value: object) -> bool:
    """Whether it is a list of one simple type."""
    return isinstance(value, list) and len({type(v) for v in value}) == 1 and isinstance(value[0], _SCALARS)


def _fits(pattern: str, full: str) -> bool:
    """Whether a pattern with ``*`` (one part) and ``**`` (any number of parts) matches a full name."""
    expression = ""
    for part in pattern.strip("/").split("/"):
        expression += "(?:/[^/]+)*" if part == "**" else "/[^/]+" if part == "*" else "/" + re.escape(part)
    return re.fullmatch(expression, full) is not None


def load_node_params(path: Path) -> NodeParams:
    """Read a parameter file.

    Raises:
        ConfigError: no such file, broken YAML, or something else than a parameter file.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ConfigError(str(path), "no such parameter file; name one with `params`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read as a parameter file: {error}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"not valid YAML: {error}") from error
    return NodeParams(str(path), {} if values is None else values)
