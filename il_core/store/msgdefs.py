"""Definitions of ROS message types as text, so that recordings explain themselves without ROS."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from mcap_ros2._dynamic import serialize_dynamic

from il_core.errors import ConfigError

SEPARATOR = "=" * 80
_FIELD = re.compile(r"^([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*")
_PRIMITIVES = frozenset(
    "bool byte char float32 float64 int8 uint8 int16 uint16 int32 uint32 int64 uint64 string wstring".split()
)


def share_dirs() -> list[Path]:
    """Folders that may hold ``<package>/msg/<Type>.msg``: ROS underlays, then the wheels' prefix."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [Path(p) / "share" for p in [*prefixes, sys.prefix]]


def short_name(type_name: str) -> str:
    """``pkg/msg/Type`` or ``pkg/Type`` -> ``pkg/Type``.

    Raises:
        ConfigError: not the name of a message type.
    """
    parts = type_name.split("/")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[1] != "msg"):
        raise ConfigError(f"message type '{type_name}'", "expected a name like sensor_msgs/msg/JointState")
    return f"{parts[0]}/{parts[-1]}"


def _read(name: str) -> str:
    """Text of one .msg file; ``name`` is ``pkg/Type``."""
    package, kind = name.split("/")
    searched = share_dirs()
    for share in searched:
        path = share / package / "msg" / f"{kind}.msg"
        if path.is_file():
            return path.read_text()
    raise ConfigError(
        f"message type '{name}'",
        f"no {package}/msg/{kind}.msg under {', '.join(map(str, searched))}; "
        f"install the package '{package}' or source the ROS underlay that has it",
    )


def _dependencies(package: str, text: str) -> list[str]:
    """Types a definition refers to, as ``pkg/Type`` in order of appearance."""
    found = []
    for line in text.splitlines():
        match = _FIELD.match(line.split("#")[0].strip())
        if match and match.group(1) not in _PRIMITIVES:
            name = match.group(1)
            if "/" not in name:
                name = "std_msgs/Header" if name == "Header" else f"{package}/{name}"
            found.append(short_name(name))
    return found


@lru_cache(maxsize=None)
def definition(type_name: str) -> str:
    """Concatenated text of a type and all it contains, in MCAP's ``ros2msg`` form.

    Args:
        type_name: Such as ``sensor_msgs/msg/Image``.

    Raises:
        ConfigError: the .msg file of the type or of one it contains is not installed.
    """
    root = short_name(type_name)
    texts = {root: _read(root)}
    queue = [root]
    while queue:
        name = queue.pop(0)
        for dependency in _dependencies(name.split("/")[0], texts[name]):
            if dependency not in texts:
                texts[dependency] = _read(dependency)
                queue.append(dependency)
    rest = [f"{SEPARATOR}\nMSG: {name}\n{text}" for name, text in texts.items() if name != root]
    return "\n".join([texts[root], *rest])


@lru_cache(maxsize=None)
def encoder(type_name: str) -> Callable[[Any], bytes]:
    """Serialiser of a type to CDR for importers without ROS.

    Returns:
        Function of a nested mapping (or any object with the message's fields); what is missing
        gets the type's default.
    """
    return serialize_dynamic(type_name, definition(type_name))[short_name(type_name)]
