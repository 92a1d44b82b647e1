"""Tables of settings: fields of dataclasses with type, default, range and the words of their docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from docs.markdown import code, prose, slug, table
from il_core.parameters import descriptions, is_dynamic, range_of

ROOT = Path(__file__).parents[1]


def section(kind: type, level: int, linked: Callable[[type], str]) -> str:
    """One dataclass: heading, what it is, and a row per field.

    Args:
        kind: Dataclass to show.
        level: Level of the heading.
        linked: What to write for a dataclass that has a section of its own.
    """
    parts = [f"{'#' * level} {kind.__name__}", prose(summary(kind)), field_table(kind, linked)]
    return "\n\n".join(p for p in parts if p)


def field_table(kind: type, linked: Callable[[type], str]) -> str:
    """A row per field of a dataclass."""
    return table(["key", "type", "default", "meaning"], [_row(kind, f, linked) for f in fields(kind)])  # type: ignore[arg-type]


def parameter_table(kinds: list[tuple[type, tuple[str, ...]]]) -> str:
    """A row per parameter: some fields of some dataclasses, which say when they may change."""
    rows = []
    for kind, names in kinds:
        for f in fields(kind):  # type: ignore[arg-type]
            if f.name in names:
                row = _row(kind, f, lambda inner: inner.__name__)
                row[2] = "from its file" if row[2] == "required" else row[2]
                rows.append([*row[:3], f"{row[3]} May change while the node works." if is_dynamic(f) else row[3]])
    return table(["parameter", "type", "default", "meaning"], rows)


def _row(kind: type, f: Field[Any], linked: Callable[[type], str]) -> list[str]:
    hint = typing.get_type_hints(kind)[f.name]
    words = next((w[f.name] for k in kind.__mro__ if f.name in (w := descriptions(k))), "")
    meaning, limits = prose(words or _summary_of(hint)), range_of(f)
    if limits is not None:
        meaning = f"{meaning} From {limits.low:g} to {limits.high:g}."
    return [code(f.name), type_text(hint, linked), default_text(f), meaning]


def _summary_of(hint: Any) -> str:  # noqa: ANN401 - any hint
    """What the dataclass in a hint says of itself; empty without one."""
    inner = next((k for k in (hint, *typing.get_args(hint)) if is_dataclass(k)), None)
    return summary(typing.cast(type, inner)) if inner is not None else ""


def summary(kind: type) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def type_text(hint: Any, linked: Callable[[type], str] = lambda kind: kind.__name__) -> str:  # noqa: ANN401 - any hint
    """A type in words of YAML."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        rest = [a for a in arguments if a is not type(None)]
        return " or ".join([*(type_text(a, linked) for a in rest), *(["null"] if len(rest) < len(arguments) else [])])
    if origin is tuple:
        return f"list of {type_text(arguments[0], linked)}"
    if origin in (dict, typing.get_origin(typing.Mapping)):
        return f"map to {type_text(arguments[1], linked)}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " or ".join(code(member.value) for member in hint)
    if is_dataclass(hint):
        return linked(typing.cast(type, hint))
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(hint, "__name__", str(hint)), getattr(hint, "__name__", str(hint))
    )


def default_text(f: Field[Any]) -> str:
    """The default of a field as YAML would say it."""
    if f.default is not MISSING:
        return _value(f.default)
    if f.default_factory is not MISSING:
        made = f.default_factory()
        return "its defaults" if is_dataclass(made) else _value(made)
    return "required"


def _value(value: object) -> str:
    if isinstance(value, Enum):
        return code(value.value)
    if is_dataclass(value):
        return "its defaults"
    if isinstance(value, tuple | list):
        return code("[" + ", ".join(_bare(v) for v in value) + "]")
    if isinstance(value, dict):
        return code("{" + ", ".join(f"{k}: {_bare(v)}" for k, v in value.items()) + "}")
    return code(_bare(value))


def _bare(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:g}"
    if is_dataclass(value):
        return "..."
    return '""' if value == "" else str(value)


def nested(kind: type) -> Iterator[type]:
    """Dataclasses inside the fields of one, each once, in the order they are met."""
    seen: list[type] = []

    def visit(hint: Any) -> None:  # noqa: ANN401 - any hint
        if is_dataclass(hint):
            if hint not in seen:
                seen.append(typing.cast(type, hint))
                for inner in typing.get_type_hints(hint).values():
                    visit(inner)
        for argument in typing.get_args(hint):
            visit(argument)

    visit(kind)
    return iter(seen)


def configuration_sections(roots: list[tuple[str, str, type]]) -> list[str]:
    """Pages of the YAML files.

    Args:
        roots: Title, what the files are, and the dataclass they are read into.
    """
    sections = []
    shown: set[type] = set()
    for title, what, kind in roots:
        sections += [f"## {title}", what]
        for part in nested(kind):
            if part not in shown:
                sections.append(section(part, 3, _link))
                shown.add(part)
    return sections


def _link(kind: type) -> str:
    return f"[{kind.__name__}](#{slug(kind.__name__)})"


def node_parameters() -> dict[str, list[tuple[type, tuple[str, ...]]]]:
    """By executable: dataclasses whose fields are its parameters, and which fields; found where nodes declare them."""
    found: dict[str, list[tuple[type, tuple[str, ...]]]] = {}
    for path in sorted(ROOT.glob("il_*/ros/**/*.py")):
        tree, node = ast.parse(path.read_text()), _executable(path)
        calls = [d for c in ast.walk(tree) if isinstance(c, ast.Call) and (d := _declared(c))]
        if not calls or not node:
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if any(isinstance(c, ast.ClassDef) and "ManagedNode" in map(ast.unparse, c.bases) for c in ast.walk(tree)):
            calls.insert(0, ("ManagedParams", ""))
        for name, subset in calls:
            kind = getattr(module, name, None) or getattr(importlib.import_module("il_core.ros.lifecycle"), name, None)
            if isinstance(kind, type) and is_dataclass(kind):
                names = tuple(getattr(module, subset, ())) or tuple(f.name for f in fields(kind))
                found.setdefault(node, []).append((kind, names))
    return found


def _declared(call: ast.Call) -> tuple[str, str] | None:
    """Dataclass and variable of the wanted fields, of a call that makes parameters of a dataclass."""
    function = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    place = {"declare": 1, "Parameters": 1, "parameters": 0}.get(function)
    if place is None or len(call.args) <= place or not isinstance(call.args[place], ast.Name):
        return None
    return ast.unparse(call.args[place]), next((ast.unparse(k.value) for k in call.keywords if k.arg == "names"), "")


def _executable(path: Path) -> str:
    """The node that a file belongs to: itself, or the only one of its package."""
    if path.stem.endswith("_node"):
        return path.stem
    package = path.relative_to(ROOT).parts[0]
    nodes = sorted({p.stem for p in (ROOT / package).glob("ros/**/*_node.py")})
    return nodes[0] if len(nodes) == 1 else ""


def executables() -> list[str]:
    """Executables that setup.py installs."""
    return re.findall(r'^    "(\w+_node)":', (ROOT / "setup.py").read_text(), re.MULTILINE)
