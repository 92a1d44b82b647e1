"""ROS parameters declared from a dataclass, so that defaults, types and checks live in one place."""

from __future__ import annotations

import typing
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from il_core.config import from_mapping

T = TypeVar("T")


def declare(node: Node, kind: type[T]) -> T:
    """Declare one read-only parameter per field and read them into the dataclass.

    Args:
        node: Node that gets the parameters.
        kind: Frozen dataclass of str, int, float, bool or tuples of them, every field with a default.

    Raises:
        ConfigError: a value has another type or is out of range; names node and parameter.
    """
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for f in fields(kind):  # type: ignore[arg-type]
        if f.default is MISSING:
            raise TypeError(f"{kind.__name__}.{f.name} needs a default to be a ROS parameter")
        default = f.default
        is_list = typing.get_origin(hints[f.name]) is tuple
        descriptor = ParameterDescriptor(read_only=True, dynamic_typing=True)
        declared = node.declare_parameter(f.name, list(default) if is_list else default, descriptor)
        value = declared.value
        values[f.name] = list(value) if is_list else value
    return from_mapping(kind, values, f"parameters of node '{node.get_name()}'")
