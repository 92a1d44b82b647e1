"""Pictures of the scenes that a person puts back for `il eval --arm`, laid over what the camera sees."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from il_core import codec
from il_core.errors import ConfigError

OVERLAY_S = 0.5
PAGE = (
    "<!doctype html><meta charset='utf-8'><meta http-equiv='refresh' content='1'><title>scene</title>"
    "<h1>scene {scene}: move things until both pictures are one</h1><img src='{picture}' width='960'>"
)


def overlaid(wanted: NDArray[np.uint8], live: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures of one size, half and half, (H, W, 3): what lies right coincides.

    Raises:
        ConfigError: different sizes.
    """
    if wanted.shape != live.shape:
        raise ConfigError("--scenes", f"pictures are {wanted.shape}, the camera's are {live.shape}; use that camera")
    return ((wanted.astype(np.uint16) + live) // 2).astype(np.uint8)


class Scenes:
    """Wanted first pictures of the scenes, from the first ticks of a dataset's episodes."""

    def __init__(self, dataset: Path, camera: str, out: Path) -> None:
        """Open the dataset.

        Raises:
            EpisodeError: missing or damaged.
        """
        from il_core.store.episodes import EpisodeStore

        self._store, self.camera, self._out = EpisodeStore.open(dataset), camera, out
        self.page = out / "scene.html"
        self._shown_at = 0.0

    def wanted(self, scene: int) -> NDArray[np.uint8]:
        """Picture of a scene (H, W, 3); with fewer episodes than scenes they are used again.

        Raises:
            ConfigError: the dataset has no such camera.
        """
        images = self._store.episode(scene % len(self._store)).observations[0].images
        if self.camera not in images:
            raise ConfigError("--camera", f"the dataset has no '{self.camera}'; it has {', '.join(sorted(images))}")
        return images[self.camera].rgb

    def show(self, scene: int, live: NDArray[np.uint8] | None) -> None:
        """Write the page that a browser shows, with the live picture laid over, at most twice a second."""
        if time.monotonic() - self._shown_at < OVERLAY_S:
            return
        self._shown_at = time.monotonic()
        wanted = self.wanted(scene)
        partial = self._out / "scene.png.partial"
        partial.write_bytes(codec.encode_rgb(wanted if live is None else overlaid(wanted, live)))
        os.replace(partial, self._out / "scene.png")
        self.page.write_text(PAGE.format(scene=scene, picture="scene.png"))
