"""What each number of an action row is called, and in which unit its errors are told; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class ActionNumber:
    """One number of a row.

    Attributes:
        name: Its name, such as ``x`` or that of a joint.
        unit: In which its errors are told: ``mm``, ``mrad``, ``percent``, ``opening``, or ``unit``, the data's own.
        scale: Units of that kind per unit of the row.
    """

    name: str
    unit: str
    scale: float = 1.0


def positions() -> list[ActionNumber]:
    """Place of the tool."""
    return [ActionNumber(axis, "mm", 1000.0) for axis in AXES]


def rotations() -> list[ActionNumber]:
    """Two axes of the tool in base, six direction cosines: a small turn moves the tip of an axis by its angle."""
    return [ActionNumber(f"tool_{axis}.{c}", "mrad", 1000.0) for axis in AXES[:2] for c in AXES]


def stiffnesses() -> list[ActionNumber]:
    """Logarithms: a small difference of ln(1 + k) is a share of k."""
    return [ActionNumber(f"stiffness.{kind}{axis}", "percent", 100.0) for kind in ("", "r") for axis in AXES]


def openings() -> list[ActionNumber]:
    """Gripper, 0 closed to 1 open."""
    return [ActionNumber("gripper", "opening")]


def joints(names: Sequence[str]) -> list[ActionNumber]:
    """Joint postures."""
    return [ActionNumber(name, "mrad", 1000.0) for name in names]


def columns(count: int) -> tuple[ActionNumber, ...]:
    """Numbers without an arm, in whatever unit the data have."""
    return tuple(ActionNumber(f"action.{i}", "unit") for i in range(count))
