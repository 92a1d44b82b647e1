"""Pictures of a training's episodes: in an unnamed file that is mapped, of which memory holds what it has room for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import EpisodeError
from il_policy.windows import EpisodeArrays

ALIGN = 64  # bytes; every array begins at a multiple
Placed = tuple[int, tuple[int, ...], np.dtype[Any]]


def on_disk(episodes: Iterable[EpisodeArrays]) -> list[EpisodeArrays]:
    """Move the pictures of episodes into a file, one episode after the other.

    The file has no name: its space is free again when the process ends, however it does. Pages that were read lately
    stay in memory as long as nobody needs it for something else, so small sets are as fast as in memory, and large
    ones are no larger than the disk. ``TMPDIR`` says where it is.

    Args:
        episodes: As they are made.

    Returns:
        The same episodes; their pictures cannot be written to.

    Raises:
        EpisodeError: the disk is full.
    """
    made: list[tuple[EpisodeArrays, dict[str, Placed]]] = []
    file: IO[bytes] | None = None
    for episode in episodes:
        placed: dict[str, Placed] = {}
        if episode.pixels:
            file = tempfile.TemporaryFile() if file is None else file  # noqa: SIM115 - the mapping outlives this
            placed = {name: _written(file, array) for name, array in episode.pixels.items()}
        made.append((replace(episode, pixels={}), placed))
    if file is None:
        return [episode for episode, _ in made]
    _flushed(file)
    mapped = np.memmap(file, np.uint8, "r")
    return [replace(e, pixels={name: _view(mapped, *place) for name, place in placed.items()}) for e, placed in made]


def _written(file: IO[bytes], array: NDArray[Any]) -> Placed:
    at = file.tell()
    content = np.ascontiguousarray(array)
    try:
        file.write(content.tobytes() + bytes(-content.nbytes % ALIGN))
    except OSError as error:
        raise _full(error, at + content.nbytes) from error
    return at, content.shape, content.dtype


def _flushed(file: IO[bytes]) -> None:
    size = file.tell()
    try:
        file.flush()
    except OSError as error:
        raise _full(error, size) from error


def _full(error: OSError, size: int) -> EpisodeError:
    where = f"{size / 1e6:.0f} MB of pictures do not fit into {tempfile.gettempdir()}: {error.strerror}"
    return EpisodeError("dataset", f"{where}; let TMPDIR name a folder with room, or look at less (observe.side)")


def _view(mapped: NDArray[np.uint8], at: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = int(np.prod(shape)) * dtype.itemsize
    return np.asarray(mapped[at : at + size].view(dtype).reshape(shape))
