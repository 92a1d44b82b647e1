"""ROS parameters declared from a dataclass, so that defaults, types, ranges and words live in one place."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from il_core.config import from_mapping
from il_core.errors import ConfigError
from il_core.parameters import descriptions, is_dynamic, range_of

T = TypeVar("T")
WHILE_UNCONFIGURED = "changes only while the node is unconfigured"
ANY_TIME = "changes at any time"


def declare(node: Node, kind: type[T]) -> T:
    """Declare one read-only parameter per field and read them into the dataclass.

    Args:
        node: Node that gets the parameters.
        kind: Frozen dataclass of str, int, float, bool, Enum or tuples of them, every field with a default.

    Raises:
        ConfigError: a value has another type or is out of range; names node and parameter.
    """
    return Parameters(node, kind).value


class Parameters(Generic[T]):
    """The parameters of a node that make up one dataclass.

    Fields made with :func:`il_core.parameters.setting` may say that they change at any time. The others
    are read-only, or change only while ``is_open`` says so.

    Attributes:
        value: The newest values, checked.
    """

    def __init__(
        self,
        node: Node,
        kind: type[T],
        *,
        default: T | None = None,
        names: Iterable[str] | None = None,
        is_open: Callable[[], bool] | None = None,
        on_change: Callable[[T], None] | None = None,
    ) -> None:
        """Declare them.

        Args:
            node: Node that gets the parameters.
            kind: Frozen dataclass, as in :func:`declare`.
            default: Values where nobody says otherwise; None: those of the dataclass.
            names: Fields that become parameters; None: all of them.
            is_open: Whether those that are not dynamic may change now; None: never.
            on_change: Called with the new values after each change.

        Raises:
            ConfigError: a value has another type or is out of range; names node and parameter.
        """
        self._node, self._kind, self._is_open, self._on_change = node, kind, is_open, on_change
        self._source = f"parameters of node '{node.get_name()}'"
        wanted = None if names is None else set(names)
        self._fields = {f.name: f for f in fields(kind) if wanted is None or f.name in wanted}  # type: ignore[arg-type]
        others = () if default is None else fields(kind)  # type: ignore[arg-type]
        self._others = {f.name: _plain(getattr(default, f.name)) for f in others if f.name not in self._fields}
        self._hints, self._words = typing.get_type_hints(kind), descriptions(kind)
        values = {name: self._declare(f, default) for name, f in self._fields.items()}
        self.value = self._made(values)
        node.add_on_set_parameters_callback(self._check)
        self._tells_after = hasattr(node, "add_post_set_parameters_callback")  # Humble has none
        if self._tells_after:
            node.add_post_set_parameters_callback(self._take)

    def _declare(self, f: Field[Any], default: T | None) -> object:
        """Declare one; its value, from the command line, a file, or the default."""
        if default is None and f.default is MISSING:
            raise TypeError(f"{self._kind.__name__}.{f.name} needs a default to be a ROS parameter")
        start = _plain(f.default if default is None else getattr(default, f.name))
        try:
            return self._node.declare_parameter(f.name, start, self._descriptor(f)).value
        except InvalidParameterValueException as error:
            raise ConfigError(f"{self._source}: {f.name}", f"must be {range_of(f)}; {error}") from error

    def _descriptor(self, f: Field[Any]) -> ParameterDescriptor:
        free, hint = is_dynamic(f), self._hints[f.name]
        descriptor = ParameterDescriptor(
            description=self._words.get(f.name, ""),
            read_only=not free and self._is_open is None,
            dynamic_typing=True,  # so that 1 is as good as 1.0, and a wrong type is refused in our words
            additional_constraints=ANY_TIME if free else WHILE_UNCONFIGURED if self._is_open else "",
        )
        if isinstance(hint, type) and issubclass(hint, Enum):
            options = f"one of {', '.join(str(member.value) for member in hint)}"
            descriptor.additional_constraints = "; ".join(filter(None, (options, descriptor.additional_constraints)))
        limits = range_of(f)
        if limits is not None and hint is int:
            descriptor.integer_range = [IntegerRange(from_value=int(limits.low), to_value=int(limits.high), step=0)]
        elif limits is not None:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(limits.low), to_value=float(limits.high))
            ]
        return descriptor

    def _made(self, values: dict[str, Any]) -> T:
        """The dataclass of values as ROS has them."""
        named = {k: list(v) if typing.get_origin(self._hints[k]) is tuple else v for k, v in values.items()}
        return from_mapping(self._kind, {**self._others, **named}, self._source)

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        """Answer a request to change some: why not, if not."""
        ours = [p for p in parameters if p.name in self._fields]
        for parameter in ours:
            is_free = is_dynamic(self._fields[parameter.name])
            if not is_free and self._is_open is not None and not self._is_open():
                reason = f"'{parameter.name}' {WHILE_UNCONFIGURED}: deactivate it and clean it up first"
                return SetParametersResult(successful=False, reason=reason)
        try:
            self._with(ours)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not self._tells_after:
            self._take(ours)
        return SetParametersResult(successful=True)

    def _with(self, changes: Iterable[Parameter]) -> T:
        now = {name: _plain(getattr(self.value, name)) for name in self._fields}
        return self._made({**now, **{p.name: p.value for p in changes}})

    def _take(self, parameters: list[Parameter]) -> None:
        """Put accepted changes in force."""
        ours = [p for p in parameters if p.name in self._fields]
        if ours:
            self.value = self._with(ours)
            if self._on_change is not None:
                self._on_change(self.value)

    def set(self, value: T) -> None:
        """Give the parameters new values from inside the node, as if somebody had set them.

        Raises:
            ConfigError: refused; says why.
        """
        pairs = [(n, _plain(getattr(value, n)), _plain(getattr(self.value, n))) for n in self._fields]
        changed = [Parameter(name, value=new) for name, new, old in pairs if new != old]
        if changed:
            answer = self._node.set_parameters_atomically(changed)
            if not answer.successful:
                raise ConfigError(self._source, answer.reason)

    def withdraw(self) -> None:
        """Undeclare them, so that they can be declared again with other defaults."""
        self._node.remove_on_set_parameters_callback(self._check)
        if self._tells_after:
            self._node.remove_post_set_parameters_callback(self._take)
        for name in self._fields:
            self._node.undeclare_parameter(name)


def _plain(value: object) -> Any:  # noqa: ANN401 - any value of a ROS parameter
    """A field's value as ROS takes it."""
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
