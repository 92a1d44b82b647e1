"""How well the pose of a camera was measured: part of its entry in config/robot and of every recording."""

from __future__ import annotations

from dataclasses import dataclass

from il_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CameraCalibration:
    """Account of a hand-eye calibration; the pose itself is the camera's ``p_`` and ``quat_xyzw_mount_optical``.

    Attributes:
        measured_utc: When, as ``2026-01-31T12:00:00Z``.
        views: Pictures it rests on.
        reprojection_px: Root mean square distance of seen and predicted board corners [px].
        held_out_mm: Median error of the board's predicted place in views left out of the solution [mm].
        held_out_deg: Median error of its predicted rotation in such views [deg].
        uncertainty_mm: Standard error of the camera's position (jackknife) [mm].
        uncertainty_deg: Standard error of the camera's rotation (jackknife) [deg].
    """

    measured_utc: str
    views: int
    reprojection_px: float
    held_out_mm: float
    held_out_deg: float
    uncertainty_mm: float
    uncertainty_deg: float

    def __post_init__(self) -> None:
        """Refuse figures that no calibration has."""
        figures = (self.reprojection_px, self.held_out_mm, self.held_out_deg, self.uncertainty_mm, self.uncertainty_deg)
        if self.views < 3 or min(figures) < 0.0:
            raise ConfigError("calibration", f"needs 3 or more views and no negative figure, got {self}")
