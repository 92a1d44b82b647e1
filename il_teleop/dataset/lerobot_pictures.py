"""The pictures of one camera and episode into a video or a column, with their statistics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core import codec
from il_core.errors import EpisodeError
from il_core.store.files import sync_folder
from il_core.store.video import RGB_ENCODERS, write_depth_codes, write_rgb
from il_core.types import CameraFrame, Episode
from il_teleop.dataset import lerobot_format as lr

RGB_KINDS = (*RGB_ENCODERS, "png")
DEPTH_KINDS = ("png", "video")
_MAX_MM = 65535


def write_pictures(
    episode: Episode, camera: str, is_depth: bool, kind: str, target: Path
) -> tuple[list[bytes] | None, lr.Stats]:
    """Store the pictures of one camera.

    Args:
        episode: The episode.
        camera: The camera.
        is_depth: Its depth rather than its colour.
        kind: Of :data:`RGB_KINDS` or :data:`DEPTH_KINDS`.
        target: The video file, if the kind is one.

    Returns:
        Encoded pictures for the data table, or None if a video was written; and their statistics.

    Raises:
        EpisodeError: a picture is damaged, or the encoder refuses it.
    """
    tally = lr.PictureStats(1, _MAX_MM + 1, 1.0) if is_depth else lr.PictureStats(3, 256, 1 / 255)

    def counted() -> Iterator[NDArray[Any]]:
        for observation in episode.observations:
            frame = observation.images[camera]
            picture = depth_mm(frame) if is_depth else frame.rgb
            tally.add(picture)
            yield picture

    if kind == "png":
        encode = _encode_mm if is_depth else codec.encode_rgb
        return [encode(picture) for picture in counted()], tally.stats()
    fps = episode.rate_hz
    if is_depth:
        _whole(target, lambda fresh: write_depth_codes(fresh, map(lr.depth_codes, counted()), fps))
    else:
        _whole(target, lambda fresh: write_rgb(fresh, counted(), fps, kind))
    return None, tally.stats()


def depth_mm(frame: CameraFrame) -> NDArray[np.uint16]:
    """Depth of a picture in whole millimetres, (H, W) uint16; 0 = no measurement, or beyond 65.5 m."""
    mm = np.rint(frame.depth_m * np.float32(1000.0))
    return np.where((mm >= 0) & (mm <= _MAX_MM), mm, 0.0).astype(np.uint16)


def _encode_mm(mm: NDArray[np.uint16]) -> bytes:
    return codec.encode_depth(mm.astype(np.float32) * np.float32(1e-3))


def _whole(path: Path, write: Callable[[Path], int]) -> None:
    """Write beside, wait for the disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    try:
        write(fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except EpisodeError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
