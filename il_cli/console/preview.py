"""Camera pictures made small enough for a page."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from il_core.errors import DeviceError


def preview(rgb: NDArray[np.uint8], width_px: int, quality: int) -> bytes:
    """JPEG of a colour picture, (H, W, 3) uint8 RGB, narrowed to ``width_px``; a narrower one keeps its size.

    Raises:
        DeviceError: OpenCV cannot encode it.
    """
    height, width = rgb.shape[:2]
    step = max(1, width // (2 * width_px))  # whole pixels first: averaging all of a large picture costs more
    small = rgb[::step, ::step]
    if small.shape[1] > width_px:
        size = (width_px, max(1, round(height * width_px / width)))
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    bgr = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DeviceError(f"OpenCV cannot encode a picture of {width}x{height} as JPEG; check the camera")
    return bytes(data.tobytes())
