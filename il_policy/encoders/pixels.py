"""Camera frames into the arrays that encoders look at; no torch, the same code offline and on the robot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.config import Setup
from il_core.errors import DeviceError
from il_core.geometry import Array
from il_core.spec import CameraSpec, Mount
from il_core.types import CameraFrame, Observation
from il_policy.observe_config import ObserveConfig
from il_policy.transforms import tool_pose_at

Pixels = Mapping[str, NDArray[Any]]


def shrink(image: NDArray[Any], side: int) -> Array:
    """Mean over the cells of a ``side`` by ``side`` grid laid over an image (H, W, C), (side, side, C).

    An image smaller than the grid repeats pixels.
    """
    rows, columns = (_edges(n, side) for n in image.shape[:2])
    total = np.zeros((image.shape[0] + 1, image.shape[1] + 1, image.shape[2]))
    total[1:, 1:] = image.cumsum(0, dtype=np.float64).cumsum(1)  # integral image
    (top, bottom), (left, right) = rows, columns
    area = (bottom - top)[:, None] * (right - left)
    corners = total[bottom][:, right] - total[top][:, right] - total[bottom][:, left] + total[top][:, left]
    return np.asarray(corners / area[..., None])


def _edges(length: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Begin and end of every cell, at least one pixel each."""
    edges = np.linspace(0, length, side + 1)
    begin = np.floor(edges[:-1]).astype(np.int64)
    return begin, np.maximum(np.floor(edges[1:]).astype(np.int64), begin + 1)


def small_rgb(frame: CameraFrame, side: int) -> NDArray[np.uint8]:
    """Colour picture, channels first, (3, side, side)."""
    return np.rint(shrink(frame.rgb, side)).astype(np.uint8).transpose(2, 0, 1)


def small_depth(frame: CameraFrame, side: int, max_m: float) -> NDArray[np.float16]:
    """Depth picture (1, side, side) [m], 0 = missing; means are taken over what was measured."""
    is_valid = (frame.depth_m > 0) & (frame.depth_m <= max_m)
    both = shrink(np.stack([np.where(is_valid, frame.depth_m, 0.0), is_valid], axis=-1), side)
    with np.errstate(invalid="ignore"):
        depth = np.where(both[..., 1] > 0, both[..., 0] / both[..., 1], 0.0)
    return depth[None].astype(np.float16)  # 16 bits: 1 mm at 2 m, as good as the cameras


def cloud(frame: CameraFrame, T_base_optical: Array, count: int, max_m: float) -> NDArray[np.float32]:
    """Coloured points spread evenly over the valid pixels, (count, 6): base [m], then colour in [0, 1].

    Raises:
        DeviceError: nothing was measured.
    """
    v, u = np.nonzero((frame.depth_m > 0) & (frame.depth_m <= max_m))
    if len(u) == 0:
        raise DeviceError(f"camera '{frame.camera}' measures no depth within {max_m:g} m; clear its view")
    chosen = np.linspace(0, len(u) - 1, count).round().astype(np.int64)
    v, u = v[chosen], u[chosen]
    i, z = frame.intrinsics, frame.depth_m[v, u].astype(np.float64)
    points = np.column_stack([z * (u - i.cx) / i.fx, z * (v - i.cy) / i.fy, z])
    points = points @ T_base_optical[:3, :3].T + T_base_optical[:3, 3]
    return np.column_stack([points, frame.rgb[v, u] / 255.0]).astype(np.float32)


def blank(config: ObserveConfig) -> dict[str, NDArray[Any]]:
    """Black pictures of one tick, as :meth:`PixelReader.read` shapes them."""
    side = config.side
    pixels: dict[str, NDArray[Any]] = {f"rgb.{n}": np.zeros((3, side, side), np.uint8) for n in config.rgb}
    pixels |= {f"depth.{n}": np.zeros((1, side, side), np.float16) for n in config.depth}
    return pixels | {f"points.{n}": np.zeros((config.point_count, 6), np.float32) for n in config.points}


class PixelReader:
    """Reads the pictures that ``ObserveConfig`` names."""

    def __init__(self, setup: Setup, config: ObserveConfig) -> None:
        """Look the cameras up.

        Raises:
            ConfigError: the robot has no such camera.
        """
        self._config = config
        wanted = sorted({*config.rgb, *config.depth, *config.points})
        self._cameras: dict[str, CameraSpec] = {name: setup.robot.camera(name) for name in wanted}

    def read(self, observation: Observation, previous: Observation) -> dict[str, NDArray[Any]]:
        """Arrays of one tick: ``rgb.<camera>``, ``depth.<camera>``, ``points.<camera>``.

        Args:
            observation: The tick.
            previous: The tick before (or the same): tells where a camera on the tool was.

        Raises:
            DeviceError: a camera is missing from the observation, or measures nothing.
        """
        c = self._config
        for name in self._cameras:
            if name not in observation.images:
                raise DeviceError(f"camera '{name}' is not in the observation; it has {sorted(observation.images)}")
        pixels: dict[str, NDArray[Any]] = {}
        pixels |= {f"rgb.{n}": small_rgb(observation.images[n], c.side) for n in c.rgb}
        pixels |= {f"depth.{n}": small_depth(observation.images[n], c.side, c.depth_max_m) for n in c.depth}
        for n in c.points:
            T = self._pose(n, observation, previous)
            pixels[f"points.{n}"] = cloud(observation.images[n], T, c.point_count, c.depth_max_m)
        return pixels

    def views(self, observation: Observation, previous: Observation) -> dict[str, Array]:
        """Where the cameras of clouds were, and along what they looked: place [m] and z axis in base, (2, 3) each."""
        poses = {n: self._pose(n, observation, previous) for n in self._config.points}
        return {n: np.stack([T[:3, 3], T[:3, 2]]) for n, T in poses.items()}

    def _pose(self, name: str, observation: Observation, previous: Observation) -> Array:
        """``T_base_optical`` of a camera when its picture was taken."""
        camera = self._cameras[name]
        if camera.mount is not Mount.EE:
            return camera.T_mount_optical
        stamp_ns = observation.images[name].stamp_ns
        return tool_pose_at(stamp_ns, observation, previous) @ camera.T_mount_optical
