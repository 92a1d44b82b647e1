"""librealsense's filters on depth, in the order its makers advise; colour passes through untouched."""

from __future__ import annotations

from il_core.errors import DeviceError
from il_teleop.cameras.config import FilterConfig, Holes

try:
    import pyrealsense2 as rs
except ImportError as error:
    raise DeviceError(f"RealSense cameras need pyrealsense2 ({error}); pip install pyrealsense2") from error

_HOLES = {Holes.LEFT: 0, Holes.FARTHEST: 1, Holes.NEAREST: 2}
_FAR_M = 16.0  # the threshold filter's own limit; beyond it a D400 measures nothing


class DepthFilters:
    """The filters of one camera; they remember earlier frames, so each camera has its own."""

    def __init__(self, config: FilterConfig) -> None:
        """Build those that are switched on."""
        smooth: list[rs.filter] = []
        if config.spatial_passes:
            smooth.append(rs.spatial_filter(config.spatial_alpha, config.spatial_delta, config.spatial_passes, 0))
        if config.temporal_alpha < 1.0:
            # persistence 0: what is not measured now stays invalid, whatever was measured before
            smooth.append(rs.temporal_filter(config.temporal_alpha, config.temporal_delta, 0))
        if smooth and config.in_disparity:
            smooth = [rs.disparity_transform(True), *smooth, rs.disparity_transform(False)]
        self._chain: list[rs.filter] = []
        if config.decimation > 1:
            self._chain.append(rs.decimation_filter(float(config.decimation)))
        self._chain += smooth
        if config.holes is not Holes.NONE:
            self._chain.append(rs.hole_filling_filter(_HOLES[config.holes]))
        if config.has_threshold:
            self._chain.append(rs.threshold_filter(config.min_distance_m, config.max_distance_m or _FAR_M))

    def process(self, frames: rs.composite_frame) -> rs.composite_frame:
        """Filter the depth of a colour and depth pair."""
        for one in self._chain:
            frames = one.process(frames).as_frameset()
        return frames
