"""YAML values into frozen dataclasses, strictly: unknown, missing and mistyped keys all fail."""

from __future__ import annotations

import os
import re
import sys
import types
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from il_core.errors import ConfigError, nearest
from il_core.spec import RobotSpec, TaskSpec, digest

T = TypeVar("T")
CONFIG_KEY = "IL_ROBOT_CONFIG"
"""Environment variable that names the folder of the configuration files."""


def config_dir() -> Path:
    """Folder of the configuration files: $IL_ROBOT_CONFIG, else beside the sources, else where setup.py put them.

    Raises:
        ConfigError: the variable names no such folder, or no place exists.
    """
    if named := os.environ.get(CONFIG_KEY, ""):
        place = Path(named).expanduser().resolve()
        if (place / "robot").is_dir():
            return place
        problem = f"'{named}' has no folder robot/; name the folder config of the sources, or unset the variable"
        raise ConfigError(f"${CONFIG_KEY}", problem)
    beside = Path(__file__).resolve().parents[1] / "config"
    prefixes = [Path(p) / "share" / "il_robot" / "config" for p in _prefixes()]
    for place in (beside, *prefixes):
        if (place / "robot").is_dir():
            return place
    raise ConfigError("config", f"no folder config/robot found beside the sources or in {prefixes[0]}")


def _prefixes() -> list[str]:
    """Install prefixes to search: the interpreter's, and the colcon prefix this file lies in."""
    here = Path(__file__).resolve()
    return [sys.prefix, *(str(p) for p in here.parents if (p / "share" / "il_robot").is_dir())]


def require_source(path: Path) -> None:
    """Refuse to write configuration into what an installation copied: the next build brings the old file back.

    Args:
        path: File or folder to be written.

    Raises:
        ConfigError: it lies in an install prefix.
    """
    for place in (path.resolve(), *path.resolve().parents):
        if place.parts[-2:] == ("share", "il_robot") and not (place / "setup.py").is_file():
            problem = "is an installed copy, which the next build replaces, expected a file of the sources; "
            remedy = f"export {CONFIG_KEY}=<workspace>/src/il_robot/config and try again"
            raise ConfigError(str(path), f"{problem}{remedy}, or without sources name your own copy of {place}/config")


def load_yaml(path: Path, kind: type[T]) -> T:
    """Read one YAML file into a dataclass.

    Raises:
        ConfigError: missing file, broken YAML, unknown or missing key, wrong type or range.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        options = sorted(p.stem for p in path.parent.glob(f"*{path.suffix}"))
        raise ConfigError(str(path), f"no such file; {nearest(path.stem, options)}") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"not valid YAML: {error}") from error
    return from_mapping(kind, values, str(path))


def from_mapping(kind: type[T], values: object, source: str) -> T:
    """Build a dataclass from a mapping of plain values.

    Args:
        kind: Dataclass to build.
        values: Mapping of field names to plain values.
        source: File (and key) for messages.

    Raises:
        ConfigError: unknown or missing key, wrong type or range.
    """
    if not isinstance(values, dict):
        raise ConfigError(source, f"expected a mapping, got {type(values).__name__}")
    assert is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    for key in values:
        if key not in known:
            raise ConfigError(source, f"unknown key '{key}'; {nearest(str(key), list(known))}")
    arguments = {}
    for name, f in known.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], f"{source}: {name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(source, f"missing key '{name}' ({hints[name]})")
    try:
        return kind(**arguments)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(source, str(error)) from error


def _convert(hint: Any, value: Any, source: str) -> Any:  # noqa: ANN401 - any YAML value
    """Check one value against its type hint and convert it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, source)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(source, f"expected a list, got {value!r}")
        return tuple(_convert(arguments[0], v, f"{source}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(source, f"expected a mapping, got {value!r}")
        return {str(k): _convert(arguments[1], v, f"{source}.{k}") for k, v in value.items()}
    if is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, source)
    return _convert_scalar(hint, value, source)


_POWER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # numbers of YAML 1.2 that PyYAML takes for words: 1e-3


def _convert_scalar(hint: Any, value: Any, source: str) -> Any:  # noqa: ANN401 - any YAML value
    """Check one number, string, flag or enum member."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            options = [str(m.value) for m in hint]
            raise ConfigError(source, f"unknown value '{value}'; {nearest(str(value), options)}") from None
    if hint is float and isinstance(value, str) and _POWER.fullmatch(value):
        value = float(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if value != value or abs(value) == float("inf"):
            raise ConfigError(source, f"expected a finite number, got {value}")
        return float(value)
    if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise ConfigError(source, f"expected {hint.__name__}, got {value!r}")


@dataclass(frozen=True, slots=True)
class Setup:
    """A robot and a task that fit together, with the digest they share.

    Attributes:
        robot: The arm.
        task: The task.
        urdf_path: Robot description file.
        srdf_path: Collision pairs file.
        digest: Digest of robot, task and URDF, hex.
    """

    robot: RobotSpec
    task: TaskSpec
    urdf_path: Path
    srdf_path: Path
    digest: str


def load_robot(name: str) -> tuple[RobotSpec, Path]:
    """Read config/robot/<name>.yaml, or the file itself if ``name`` is a path to one.

    Returns:
        The spec and the path it was read from.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "robot" / f"{name}.yaml"
    return load_yaml(path, RobotSpec), path


def load_setup(task: str, robot: str | None = None) -> Setup:
    """Read a task and its robot, and compute their digest.

    Args:
        task: Name in config/task/, or path of a YAML file.
        robot: Name in config/robot/ or path, if another than the task's own.

    Raises:
        ConfigError: a file is missing or wrong, or the task observes what the robot lacks.
    """
    path = Path(task) if task.endswith((".yaml", ".yml")) else config_dir() / "task" / f"{task}.yaml"
    task_spec = load_yaml(path, TaskSpec)
    robot_spec, robot_path = load_robot(robot or task_spec.robot)
    for camera in task_spec.cameras:
        robot_spec.camera(camera)
    if task_spec.wrench:
        robot_spec.force_sensor()
        task_spec.max_age_ns("wrench")  # or recordings would be made that no dataset can be built from
    urdf_path = robot_path.parent / robot_spec.urdf
    try:
        urdf_text = urdf_path.read_text()
    except OSError as error:
        raise ConfigError(str(robot_path), f"cannot read urdf '{robot_spec.urdf}': {error}") from error
    return Setup(
        robot=robot_spec,
        task=task_spec,
        urdf_path=urdf_path,
        srdf_path=robot_path.parent / robot_spec.srdf,
        digest=digest(robot_spec, task_spec, urdf_text),
    )
