"""What a depth camera gives: pictures with the instant they show, its calibration, and how it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ShapeError
from il_core.types import CameraFrame, Intrinsics, frozen_pose


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Geometry of a depth camera, as the device itself tells it.

    Attributes:
        intrinsics: Pinhole part of the colour camera; depth is aligned to it.
        distortion: k1, k2, p1, p2, k3 of the colour camera, in the Brown-Conrady model that ROS calls ``plumb_bob``.
        T_color_depth: Pose of the depth camera's optical frame in the colour camera's, (4, 4) [m].
        depth_unit_m: What one step of the device's own depth means [m].
    """

    intrinsics: Intrinsics
    distortion: tuple[float, ...]
    T_color_depth: NDArray[np.float64]
    depth_unit_m: float

    def __post_init__(self) -> None:
        """Freeze and check."""
        object.__setattr__(self, "T_color_depth", frozen_pose("Calibration.T_color_depth", self.T_color_depth))
        if len(self.distortion) != 5:
            raise ShapeError("Calibration.distortion", expected="(5,)", got=(len(self.distortion),))
        if not self.depth_unit_m > 0:
            raise ValueError(f"Calibration.depth_unit_m must be positive, got {self.depth_unit_m}")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Colour and aligned depth of one instant, as views of the driver's memory: nothing is copied.

    Attributes:
        stamp_ns: Middle of the exposure where the device tells it, on the clock the camera was given [ns].
        stamp_error_ns: How far the clock mapping may be off [ns].
        number: The device's frame number; a gap means lost frames.
        rgb: Colour, (H, W, 3) uint8.
        depth_mm: Distance along the optical axis, (H, W) uint16 [mm]; 0 = no measurement.
    """

    stamp_ns: int
    stamp_error_ns: int
    number: int
    rgb: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16]

    def frame(self, camera: str, intrinsics: Intrinsics) -> CameraFrame:
        """The same as the type that policies and datasets use; copies both images."""
        depth_m = self.depth_mm.astype(np.float32) * np.float32(1e-3)
        return CameraFrame(self.stamp_ns, camera, self.rgb.copy(), depth_m, intrinsics)


@dataclass(frozen=True, slots=True)
class Condition:
    """How a camera is doing.

    Attributes:
        is_streaming: Whether pictures come.
        text: One sentence for the operator.
        values: Named numbers: frames, drops, offset of the clocks, temperature and the like.
    """

    is_streaming: bool
    text: str
    values: Mapping[str, object]


class DepthCamera(Protocol):
    """A camera that survives being unplugged: it is opened, lost and found again inside :meth:`read`."""

    @property
    def calibration(self) -> Calibration | None:
        """Geometry of the device last opened; None before the first time."""
        ...

    def read(self, timeout_s: float) -> Picture | None:
        """Wait for the next picture.

        Args:
            timeout_s: Longest wait [s].

        Returns:
            The picture, or None if none came in time; :meth:`condition` says why.
        """
        ...

    def condition(self) -> Condition:
        """Say how it is doing; may be called from another thread."""
        ...

    def close(self) -> None:
        """Give the device back."""
        ...
