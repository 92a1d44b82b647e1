"""Policies of columns without an arm: what is seen and done, as numbers of any size; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.arrays import ArrayEpisode
from il_core.errors import EpisodeError, ShapeError, nearest
from il_core.geometry import Array
from il_core.types import ActionChunk
from il_policy.encoders.pixels import blank, shrink
from il_policy.layout import Layout
from il_policy.observe_config import ObserveConfig
from il_policy.translate import Pixels, Rhythm

DEFAULT_HZ = 10.0  # where the data do not say: only the time between plans hangs on it
MAX_NUMBERS = 1_000_000  # more in a column is a picture, or hostile


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the observation.

    Attributes:
        name: Its name.
        size: Numbers per step.
    """

    name: str
    size: int

    def __post_init__(self) -> None:
        """Refuse sizes nobody has."""
        if not 0 < self.size <= MAX_NUMBERS:
            raise ValueError(f"column '{self.name}' has {self.size} numbers, expected 1..{MAX_NUMBERS}")


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """What a policy without an arm sees and does: the counterpart of robot and task.

    Attributes:
        columns: Numbers it sees, in this order.
        action_dim: Numbers per action.
        rate_hz: Steps per second.
        n_obs: Observations it sees at once.
        horizon: Actions per plan.
        n_execute: Actions between two plans.
    """

    columns: tuple[Column, ...]
    action_dim: int
    rate_hz: float = DEFAULT_HZ
    n_obs: int = 2
    horizon: int = 16
    n_execute: int = 8

    def __post_init__(self) -> None:
        """Reject impossible sizes."""
        if not 0 < self.action_dim <= MAX_NUMBERS or not 0 < self.rate_hz <= 1e6:
            raise ValueError(f"need action_dim in 1..{MAX_NUMBERS} and rate_hz in (0, 1e6]")
        if not 1 <= self.n_obs <= 1000 or not 1 <= self.n_execute <= self.horizon <= 10_000:
            raise ValueError("need 1 <= n_obs <= 1000 and 1 <= n_execute <= horizon <= 10000")

    @property
    def input_dim(self) -> int:
        """Length of the input vector: all columns of ``n_obs`` steps."""
        return self.n_obs * sum(c.size for c in self.columns)

    @property
    def layout(self) -> Layout:
        """All of the input is history."""
        return Layout(self.n_obs, self.input_dim // self.n_obs)

    def vector(self, values: Mapping[str, Any], where: str) -> Array:
        """The columns of one step side by side, (D,).

        Raises:
            EpisodeError: a column is missing.
            ShapeError: one has another size.
        """
        parts = [np.zeros(0)]
        for column in self.columns:
            if column.name not in values:
                raise EpisodeError(where, f"has no column '{column.name}'; {nearest(column.name, list(values))}")
            part = np.asarray(values[column.name], np.float64).reshape(-1)
            if len(part) != column.size:
                raise ShapeError(f"column '{column.name}' of {where}", expected=f"({column.size},)", got=part.shape)
            parts.append(part)
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True, eq=False)
class ArrayObservation:
    """What is seen at one step.

    Attributes:
        tick_ns: Instant of the step [ns].
        values: Numbers and pictures by name.
    """

    tick_ns: int
    values: Mapping[str, Any]


class ArrayTranslator:
    """Speaks for columns: a plan's rows are its actions, which travel in the place of joint targets."""

    def __init__(self, spec: ArraySpec, observe: ObserveConfig) -> None:
        """Take the columns, and the pictures that ``observe.rgb`` names."""
        self.spec, self._observe = spec, observe

    @property
    def rhythm(self) -> Rhythm:
        """That of the columns."""
        return Rhythm(self.spec.n_obs, self.spec.n_execute, round(1e9 / self.spec.rate_hz))

    @property
    def input_dim(self) -> int:
        """Length of the input vector."""
        return self.spec.input_dim

    def inputs(self, window: Sequence[ArrayObservation]) -> Array:
        """Columns of the window, oldest step first, (D,).

        Raises:
            ShapeError: another number of steps, or a column of another size.
            EpisodeError: a column is missing.
        """
        if len(window) != self.spec.n_obs:
            raise ShapeError("window", expected=f"{self.spec.n_obs} observations", got=(len(window),))
        return np.concatenate([self.spec.vector(o.values, f"observation at {o.tick_ns}") for o in window])

    def pixels(self, window: Sequence[ArrayObservation]) -> Pixels:
        """Pictures of the newest step, averaged down.

        Raises:
            EpisodeError: a picture is missing or none.
        """
        now = window[-1]
        return {f"rgb.{n}": small(now.values, n, self._observe.side, now.tick_ns) for n in self._observe.rgb}

    def blank(self) -> Pixels:
        """Black pictures."""
        return blank(self._observe)

    def signs(self, window: Sequence[ArrayObservation]) -> Array:
        """Nothing more."""
        return np.zeros(0)

    def plan(self, rows: Array, now: ArrayObservation) -> ActionChunk:
        """Actions as a plan."""
        dt_ns = self.rhythm.dt_ns
        return ActionChunk(now.tick_ns + dt_ns, dt_ns, now.tick_ns, q_des=rows)

    def rows(self, plan: ActionChunk, now: ArrayObservation) -> Array:
        """The same numbers again."""
        return plan.rows

    def rest(self, now: ArrayObservation) -> Array:
        """Nothing done: zeros."""
        return np.zeros(self.spec.action_dim)


def small(values: Mapping[str, Any], name: str, side: int, where: object) -> NDArray[np.uint8]:
    """A colour picture (H, W, 3) uint8 averaged down, channels first, (3, side, side).

    Raises:
        EpisodeError: missing, or no picture.
    """
    picture = np.asarray(values.get(name))
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        problem = f"'{name}' is {picture.shape} {picture.dtype}, expected a picture (H, W, 3) uint8"
        raise EpisodeError(f"observation at {where}", problem)
    return np.rint(shrink(picture, side)).astype(np.uint8).transpose(2, 0, 1)


def spec_of(episodes: Sequence[ArrayEpisode], *, n_obs: int = 2, horizon: int = 16, n_execute: int = 8) -> ArraySpec:
    """Columns that all episodes share, in the order of the first.

    Args:
        episodes: Demonstrations.
        n_obs: Observations a policy sees at once.
        horizon: Actions per plan.
        n_execute: Actions between two plans.

    Raises:
        EpisodeError: no episode, or one has other columns or another rate than the first.
        ValueError: impossible numbers.
    """
    if not episodes:
        raise EpisodeError("dataset", "holds no episodes; record or import demonstrations")

    def sizes(episode: ArrayEpisode) -> tuple[dict[str, int], int, float | None]:
        columns = {name: column.shape[1] for name, column in episode.observations.items()}
        return columns, episode.action.shape[1], episode.rate_hz

    first = sizes(episodes[0])
    for episode in episodes[1:]:
        if sizes(episode) != first:
            raise EpisodeError(episode.name, f"has {sizes(episode)}, expected {first} as '{episodes[0].name}' has")
    columns, action_dim, rate_hz = first
    laid_out = tuple(Column(name, size) for name, size in columns.items())
    return ArraySpec(laid_out, action_dim, rate_hz or DEFAULT_HZ, n_obs, horizon, n_execute)
