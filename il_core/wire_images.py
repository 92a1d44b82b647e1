"""Image messages of any driver into pictures: RGB, metres, and 0 where nothing was measured.

Any object with the fields of the message will do, as in ``il_core/wire.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from il_core.errors import DeviceError
from il_core.types import Intrinsics

Message = Any  # message-shaped: live or decoded

_COLOUR_LAYOUTS = {"rgb8": (3, (0, 1, 2)), "bgr8": (3, (2, 1, 0)), "rgba8": (4, (0, 1, 2)), "bgra8": (4, (2, 1, 0))}
_DEPTH_TYPES = {"16UC1": "u2", "32FC1": "f4"}


def intrinsics_from(msg: Message) -> Intrinsics:
    """sensor_msgs/CameraInfo -> Intrinsics; coefficients that are all zero are no distortion."""
    k, d = msg.k, tuple(float(c) for c in msg.d)
    lens = (str(msg.distortion_model), d) if any(d) else ()
    return Intrinsics(int(msg.width), int(msg.height), float(k[0]), float(k[4]), float(k[2]), float(k[5]), *lens)


def rgb_from(msg: Message) -> np.ndarray:
    """sensor_msgs/Image rgb8, bgr8, rgba8 or bgra8 -> (H, W, 3) uint8 RGB; transparency is dropped.

    Raises:
        DeviceError: another encoding, or fewer bytes than the size says.
    """
    if msg.encoding not in _COLOUR_LAYOUTS:
        expected = ", ".join(_COLOUR_LAYOUTS)
        raise DeviceError(f"colour image has encoding '{msg.encoding}', expected {expected}; set the driver's format")
    channels, order = _COLOUR_LAYOUTS[msg.encoding]
    rows = _rows(msg, np.dtype(np.uint8), channels)
    image = rows[:, : channels * msg.width].reshape(msg.height, msg.width, channels)
    return image if msg.encoding == "rgb8" else np.ascontiguousarray(image[..., order])


def depth_m_from(msg: Message) -> np.ndarray:
    """sensor_msgs/Image 16UC1 [mm] or 32FC1 [m] -> (H, W) float32 [m], 0 = no measurement.

    NaN, infinities and negative distances are no measurement.

    Raises:
        DeviceError: another encoding, or fewer bytes than the size says.
    """
    if msg.encoding not in _DEPTH_TYPES:
        expected = "16UC1 (mm) or 32FC1 (m)"
        raise DeviceError(f"depth image has encoding '{msg.encoding}', expected {expected}; set the driver's format")
    order = ">" if getattr(msg, "is_bigendian", 0) else "<"
    rows = _rows(msg, np.dtype(order + _DEPTH_TYPES[msg.encoding]), 1)[:, : msg.width]
    if msg.encoding == "16UC1":
        return rows.astype(np.float32) * np.float32(1e-3)
    return np.where(np.isfinite(rows) & (rows > 0), rows, 0.0).astype(np.float32)


def _rows(msg: Message, dtype: np.dtype[Any], channels: int) -> np.ndarray:
    """The image's rows with their padding, (H, step / item size).

    Raises:
        DeviceError: step or data are shorter than the size needs.
    """
    needed = int(msg.width) * channels * dtype.itemsize
    if msg.step < needed or msg.step % dtype.itemsize or len(msg.data) < msg.step * msg.height:
        raise DeviceError(
            f"image of {msg.width}x{msg.height} '{msg.encoding}' has rows of {msg.step} bytes and {len(msg.data)} "
            f"bytes in all, expected at least {needed} and {msg.step * msg.height}; the driver is at fault"
        )
    data = np.frombuffer(msg.data, dtype=np.uint8)[: msg.step * msg.height]
    return data.view(dtype).reshape(msg.height, msg.step // dtype.itemsize)
