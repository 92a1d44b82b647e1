"""Demonstrations as plain columns of numbers and pictures, whatever they mean: data without an arm of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import EpisodeError
from il_core.types import Outcome

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayEpisode:
    """One demonstration of N steps; row k of everything belongs to step k.

    Attributes:
        name: Its name.
        observations: Numbers by name, each (N, D) or (N,), in the data's own units.
        action: What was done after each observation, (N, A).
        pictures: Colour pictures by name, each (N, H, W, 3) uint8; see :class:`LazyPictures` for many.
        rate_hz: Steps per second; None if the data do not say [Hz].
        outcome: How it ended.
        instruction: The task in words; empty if unknown.
    """

    name: str
    observations: Mapping[str, Array]
    action: Array
    pictures: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    rate_hz: float | None = None
    outcome: Outcome = Outcome.UNLABELLED
    instruction: str = ""

    def __post_init__(self) -> None:
        """Give every column two axes, and check that all have one row per step and are finite."""
        if not self.observations and not self.pictures:
            raise EpisodeError(self.name, "has no observations; name at least one column")
        columns = {name: _column(self.name, name, values) for name, values in self.observations.items()}
        object.__setattr__(self, "observations", columns)
        object.__setattr__(self, "action", _column(self.name, "action", self.action))
        lengths = {name: len(c) for name, c in columns.items()}
        if not isinstance(self.pictures, LazyPictures):
            lengths |= {name: len(p) for name, p in self.pictures.items()}
        if not len(self.action) or any(n != len(self.action) for n in lengths.values()):
            raise EpisodeError(self.name, f"{len(self.action)} actions for columns of {lengths} rows; expected as many")
        if isinstance(self.pictures, LazyPictures):
            object.__setattr__(self, "pictures", self.pictures.of(self.name, len(self.action)))
            return
        for name, pictures in self.pictures.items():
            _check(self.name, name, pictures)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.action)


class LazyPictures(Mapping[str, NDArray[np.uint8]]):
    """Pictures that are read when they are asked for, each time anew: of many, one set at a time is in memory."""

    def __init__(
        self, names: Sequence[str], read: Callable[[str], NDArray[Any]], episode: str = "", steps: int | None = None
    ) -> None:
        """Take the names, and what reads the pictures of one (N, H, W, 3)."""
        self._names, self._read, self._episode, self._steps = tuple(names), read, episode, steps

    def of(self, episode: str, steps: int) -> LazyPictures:
        """The same, of an episode of so many steps."""
        return LazyPictures(self._names, self._read, episode, steps)

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        """Read them.

        Raises:
            KeyError: no such name.
            EpisodeError: they are no pictures, or not one per step.
        """
        if name not in self._names:
            raise KeyError(name)
        pictures = self._read(name)
        _check(self._episode, name, pictures)
        if self._steps is not None and len(pictures) != self._steps:
            raise EpisodeError(self._episode, f"{self._steps} actions, but {len(pictures)} pictures '{name}'")
        return pictures

    def __iter__(self) -> Iterator[str]:
        """Names."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many names."""
        return len(self._names)


def _check(episode: str, name: str, pictures: NDArray[Any]) -> None:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        problem = f"pictures '{name}' are {pictures.shape} {pictures.dtype}, expected (N, H, W, 3) uint8"
        raise EpisodeError(episode, problem)


def _column(episode: str, name: str, values: NDArray[Any]) -> Array:
    """A read-only (N, D) copy.

    Raises:
        EpisodeError: no numbers, more axes, or NaN or infinity inside.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        problem = f"column '{name}' is {array.shape} {array.dtype}, expected numbers of shape (N, D)"
        raise EpisodeError(episode, problem)
    column = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column).all(axis=1))[0])
        raise EpisodeError(episode, f"column '{name}' is not finite at step {row}; leave the episode out, or mend it")
    column.setflags(write=False)
    return column
