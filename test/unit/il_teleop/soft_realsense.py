"""A RealSense without hardware: librealsense's own software device, fed frame by frame."""

from __future__ import annotations

import numpy as np
import pyrealsense2 as rs

from il_core.clock import ManualClock
from il_core.spec import CameraSpec, Mount
from il_teleop.cameras.config import DeviceConfig, RealsenseConfig
from il_teleop.cameras.realsense import Clocks, RealsenseCamera

W, H, HZ = 160, 120, 30
DEPTH_F, COLOR_F = 110.0, 140.0
P_COLOR_DEPTH = (0.015, 0.0, 0.0)  # as on a D435
START_NS = 1_700_000_000_000_000_000
PERIOD_MS = 1000.0 / HZ


def intrinsics(f: float, model=rs.distortion.none, coefficients=(0.0,) * 5) -> rs.intrinsics:
    i = rs.intrinsics()
    i.width, i.height, i.fx, i.fy, i.ppx, i.ppy = W, H, f, f, (W - 1) / 2, (H - 1) / 2
    i.model, i.coeffs = model, list(coefficients)
    return i


def _stream(kind, uid, bpp, encoding, i) -> rs.video_stream:
    stream = rs.video_stream()
    stream.type, stream.uid, stream.width, stream.height, stream.fps = kind, uid, W, H, HZ
    stream.bpp, stream.fmt, stream.intrinsics = bpp, encoding, i
    return stream


_PARALLEL = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


class SoftRealsense:
    """A device with a depth and a colour sensor that shows whatever it is given."""

    def __init__(self, serial="123", *, unit_m=0.001, can_sync=False, rotation=_PARALLEL, color=None):
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.serial_number, serial)
        self.device.register_info(rs.camera_info.name, "Soft D435")
        self.unit_m = unit_m
        self.depth, self.color = self.device.add_sensor("Stereo Module"), self.device.add_sensor("RGB Camera")
        depth = _stream(rs.stream.depth, 0, 2, rs.format.z16, intrinsics(DEPTH_F))
        rgb = _stream(rs.stream.color, 1, 3, rs.format.rgb8, color or intrinsics(COLOR_F))
        self._depth_profile = rs.video_stream_profile(self.depth.add_video_stream(depth))
        self._color_profile = rs.video_stream_profile(self.color.add_video_stream(rgb))
        self.depth.add_read_only_option(rs.option.depth_units, unit_m)
        self.depth.add_read_only_option(rs.option.asic_temperature, 41.0)
        if can_sync:
            bounds = rs.option_range()
            bounds.min, bounds.max, bounds.step, bounds.default = 0, 2, 1, 0
            self.depth.add_option(rs.option.inter_cam_sync_mode, bounds, True)
        for sensor in (self.depth, self.color):
            sensor.set_metadata(rs.frame_metadata_value.actual_fps, 1000 * HZ)  # as firmware tells; pairing needs it
        self.device.create_matcher(rs.matchers.dlr_c)
        extrinsics = rs.extrinsics()
        extrinsics.rotation = list(np.asarray(rotation).T.ravel())  # stored by columns
        extrinsics.translation = list(P_COLOR_DEPTH)
        self._depth_profile.register_extrinsics_to(self._color_profile, extrinsics)

    def show(self, number, stamp_ms, rgb, depth, domain=rs.timestamp_domain.hardware_clock):
        """Send one pair of frames on its way."""
        for sensor, profile, image in (
            (self.depth, self._depth_profile, depth),
            (self.color, self._color_profile, rgb),
        ):
            frame = rs.software_video_frame()
            frame.pixels, frame.stride, frame.bpp = np.ascontiguousarray(image), image.strides[0], image.strides[1]
            frame.timestamp, frame.domain, frame.frame_number, frame.profile = stamp_ms, domain, number, profile
            if sensor is self.depth:
                frame.depth_units = self.unit_m
            sensor.on_video_frame(frame)


def plain(level=1000, shade=90):
    """Images of a wall: colour of one shade, depth of one level."""
    return np.full((H, W, 3), shade, np.uint8), np.full((H, W), level, np.uint16)


class Bench:
    """A camera on a software device, with clocks that move by hand."""

    def __init__(self, soft, *, offset_ms=5_000.0, **config):
        self.soft, self.plugged = soft, [soft.device]
        self.ros, self.steady = ManualClock(START_NS), ManualClock()
        own = config.pop("own", None) or DeviceConfig("eye", "123", W, H)
        self.config = RealsenseConfig((own,), **config)
        spec = CameraSpec("eye", W, H, HZ, 60.0, Mount.BASE, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0))
        clocks = Clocks(self.ros, self.ros, self.steady)
        self.camera = RealsenseCamera(spec, self.config, self.ros, lambda: self.plugged, clocks)
        self.number, self._offset_ms = 0, offset_ms

    def device_ms(self):
        """What the device's counter shows now."""
        return (self.ros.now_ns() - START_NS) / 1e6 + self._offset_ms

    def advance(self, ms):
        self.ros.advance(round(ms * 1e6))
        self.steady.advance(round(ms * 1e6))

    def picture(self, rgb=None, depth=None, *, delay_ms=0.0, stamp_ms=None, **times):
        """Expose, wait for the delay, read; the true instant of the exposure goes with the picture."""
        wall = plain()
        true_ns = self.ros.now_ns()
        stamp_ms = self.device_ms() if stamp_ms is None else stamp_ms
        self.advance(delay_ms)
        self.soft.show(
            self.number, stamp_ms, wall[0] if rgb is None else rgb, wall[1] if depth is None else depth, **times
        )
        self.number += 1
        got = self.camera.read(0.02)
        while (newer := self.camera.read(0.0)) is not None:  # the thread of the node never leaves anything waiting
            got = newer
        self.advance(PERIOD_MS - delay_ms)
        return true_ns, got

    def warm_up(self, *args, **kwargs):
        """Open, and send the same until a picture comes that shows it: clocks fitted, queue filled."""
        self.camera.read(0.0)
        for _ in range(60):
            true_ns, got = self.picture(*args, **kwargs)
            if got is not None and self.number > 45:
                return got
        raise AssertionError(self.camera.condition())
