"""A camera of the robot: its name in topics and data, its picture, and where it sits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from il_core.calibrated import CameraCalibration
from il_core.errors import ConfigError
from il_core.geometry import Array, matrix_from_quat_xyzw, pose
from il_core.types import Intrinsics


class Mount(str, Enum):
    """What a camera is fixed to."""

    BASE = "base"
    EE = "ee"


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera of the robot.

    Attributes:
        name: Name used in topics, datasets and the simulator.
        width: [px].
        height: [px].
        rate_hz: Frame rate [Hz].
        fov_v_deg: Vertical field of view [deg]; square pixels, centred principal point.
        mount: Frame the camera is fixed to.
        p_mount_optical_m: Position of the optical frame in the mount frame, (3,) [m].
        quat_xyzw_mount_optical: Orientation of the optical frame (z forward, x right, y down).
        calibration: How well this pose was measured; None where it is only described.
    """

    name: str
    width: int
    height: int
    rate_hz: int
    fov_v_deg: float
    mount: Mount
    p_mount_optical_m: tuple[float, ...]
    quat_xyzw_mount_optical: tuple[float, ...]
    calibration: CameraCalibration | None = None

    def __post_init__(self) -> None:
        """Reject impossible cameras."""
        if min(self.width, self.height, self.rate_hz) <= 0 or not 1 < self.fov_v_deg < 179:
            raise ConfigError(f"camera '{self.name}'", "size, rate and field of view must be positive")
        matrix_from_quat_xyzw(self.quat_xyzw_mount_optical)

    @property
    def T_mount_optical(self) -> Array:
        """Pose of the optical frame in its mount frame, (4, 4) [m]."""
        return pose(self.p_mount_optical_m, matrix_from_quat_xyzw(self.quat_xyzw_mount_optical))

    @property
    def intrinsics(self) -> Intrinsics:
        """Nominal pinhole parameters."""
        f = self.height / 2 / float(np.tan(np.radians(self.fov_v_deg) / 2))
        return Intrinsics(self.width, self.height, f, f, (self.width - 1) / 2, (self.height - 1) / 2)
