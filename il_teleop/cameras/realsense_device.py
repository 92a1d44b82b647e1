"""One RealSense device: found by serial, opened with the wanted streams, its geometry read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from il_core.errors import DeviceError, IlError
from il_core.geometry import pose
from il_core.types import Intrinsics
from il_teleop.cameras.config import DeviceConfig, Sync
from il_teleop.cameras.distortion import fit_plumb_bob
from il_teleop.cameras.port import Calibration

try:
    import pyrealsense2 as rs
except ImportError as error:
    raise DeviceError(f"RealSense cameras need pyrealsense2 ({error}); pip install pyrealsense2") from error

Devices = Callable[[], Sequence[rs.device]]
_SYNC = {Sync.NONE: 0, Sync.MASTER: 1, Sync.SLAVE: 2, Sync.FULL_SLAVE: 3}
QUEUE = 2  # pictures that may wait for us; older ones give way, so that what is read is new
_GRID = 17  # pixels per side on which the distortion is sampled


@cache
def _context() -> rs.context:
    """The one that watches USB; each further one would start watchers of its own."""
    return rs.context()


def connected_devices() -> list[rs.device]:
    """Devices on this machine's USB, now."""
    return list(_context().query_devices())


def find(serial: str, devices: Sequence[rs.device]) -> rs.device:
    """The device with a serial number; with an empty one the only device there is.

    Raises:
        DeviceError: it is not there, or an empty serial could mean several; lists what was found.
    """
    found = {_info(d, rs.camera_info.serial_number): d for d in devices}
    names = ", ".join(f"{_info(d, rs.camera_info.name)} {s}" for s, d in found.items()) or "nothing"
    if serial in found:
        return found[serial]
    if serial:
        raise DeviceError(
            f"RealSense with serial {serial}: not connected; found {names}; check the plug (USB 3) "
            "and config/camera/realsense.yaml"
        )
    if len(found) != 1:
        raise DeviceError(f"no serial given, expected exactly one RealSense, found {names}; name one in the config")
    return next(iter(found.values()))


def _info(device: rs.device, what: rs.camera_info) -> str:
    return str(device.get_info(what)) if device.supports(what) else "unknown"


class OpenDevice:
    """Running sensors that feed one queue of colour and depth pairs."""

    def __init__(self, device: rs.device, config: DeviceConfig, color: tuple[int, int, int], global_time: bool) -> None:
        """Configure and start the streams.

        Args:
            device: From :func:`find`.
            config: The camera's settings.
            color: Width [px], height [px] and rate [Hz] of colour.
            global_time: Whether the driver should map its time to this machine's where it can.

        Raises:
            DeviceError: a stream, or synchronisation, is not what the device can do; lists what it can.
        """
        self._device = device
        self._started: list[rs.sensor] = []
        self.serial = _info(device, rs.camera_info.serial_number)
        self.name = _info(device, rs.camera_info.name)
        try:
            sensors = list(device.query_sensors())
            depth_size = (config.depth_width, config.depth_height, color[2])
            depth_at, depth = _profile(sensors, rs.stream.depth, rs.format.z16, depth_size)
            color_at, rgb = _profile(sensors, rs.stream.color, rs.format.rgb8, color)
            self._depth_sensor = sensors[depth_at]
            _synchronise(self._depth_sensor, config.sync, self.name)
            for sensor in sensors:
                if sensor.supports(rs.option.global_time_enabled):
                    sensor.set_option(rs.option.global_time_enabled, float(global_time))
            self.calibration = _calibration(depth, rgb, self._depth_sensor)
            self.syncer = rs.syncer(QUEUE)
            wanted: dict[int, list[rs.stream_profile]] = {}
            for at, profile in ((depth_at, depth), (color_at, rgb)):
                wanted.setdefault(at, []).append(profile)  # a D405 has both in one sensor
            for at, profiles in wanted.items():
                sensors[at].open(profiles)
                self._started.append(sensors[at])
                sensors[at].start(self.syncer)
        except RuntimeError as error:
            self.close()
            raise DeviceError(f"{self.name} {self.serial} cannot be opened: {error}; unplug it, plug it in") from error
        except IlError:
            self.close()
            raise

    @property
    def is_connected(self) -> bool:
        """Whether the driver still sees it."""
        try:
            return bool(self._device.is_connected())
        except RuntimeError:
            return False

    def temperature_c(self) -> float | None:
        """Temperature of its chip [degC]; None where it has no such sensor or is gone."""
        option = rs.option.asic_temperature
        with contextlib.suppress(RuntimeError):
            if self._depth_sensor.supports(option):
                return float(self._depth_sensor.get_option(option))
        return None

    def close(self) -> None:
        """Stop the streams; a device that is gone may complain, to nobody's use."""
        for sensor in self._started:
            for action in (sensor.stop, sensor.close):
                with contextlib.suppress(RuntimeError):
                    action()
        self._started = []


def _profile(
    sensors: Sequence[rs.sensor], stream: rs.stream, encoding: rs.format, size: tuple[int, int, int]
) -> tuple[int, rs.video_stream_profile]:
    """Index of the sensor, and its profile, that gives a stream in a size.

    Raises:
        DeviceError: none does; lists the sizes there are.
    """
    others = set()
    for at, sensor in enumerate(sensors):
        for profile in sensor.get_stream_profiles():
            if profile.stream_type() != stream or profile.format() != encoding:
                continue
            video = profile.as_video_stream_profile()
            got = (video.width(), video.height(), video.fps())
            if got == size:
                return at, video
            others.add(got)
    there = ", ".join("{}x{} at {} Hz".format(*s) for s in sorted(others)) or "none in that format"
    raise DeviceError(
        f"no {stream.name} stream of {size[0]}x{size[1]} at {size[2]} Hz; the device has: {there} "
        "(fewer over USB 2); change the size in config/robot/<arm>.yaml or config/camera/realsense.yaml"
    )


def _synchronise(sensor: rs.sensor, sync: Sync, name: str) -> None:
    option = rs.option.inter_cam_sync_mode
    if not sensor.supports(option):
        if sync is Sync.NONE:
            return
        raise DeviceError(f"{name} has no hardware synchronisation, '{sync.value}' was asked for; set sync: none")
    highest = sensor.get_option_range(option).max
    if _SYNC[sync] > highest:
        raise DeviceError(f"{name} knows synchronisation modes 0 to {highest:.0f}, '{sync.value}' is {_SYNC[sync]}")
    sensor.set_option(option, float(_SYNC[sync]))


def _calibration(depth: rs.video_stream_profile, rgb: rs.video_stream_profile, sensor: rs.sensor) -> Calibration:
    i = rgb.get_intrinsics()
    extrinsics = depth.get_extrinsics_to(rgb)
    R_color_depth = np.array(extrinsics.rotation, dtype=np.float64).reshape(3, 3).T  # stored by columns
    # float32 from the device: make it a rotation to double precision
    u, _, vt = np.linalg.svd(R_color_depth)
    return Calibration(
        Intrinsics(i.width, i.height, float(i.fx), float(i.fy), float(i.ppx), float(i.ppy)),
        _distortion(i),
        pose(np.array(extrinsics.translation, dtype=np.float64), u @ vt),
        float(sensor.get_option(rs.option.depth_units)),
    )


def _distortion(i: rs.intrinsics) -> tuple[float, ...]:
    """Coefficients for ROS, sampled through librealsense's own model of the lens, whichever it is."""
    us, vs = np.meshgrid(np.linspace(0, i.width - 1, _GRID), np.linspace(0, i.height - 1, _GRID))
    pixels: NDArray[np.float64] = np.stack([us.ravel(), vs.ravel()], axis=1)
    rays = np.array([rs.rs2_deproject_pixel_to_point(i, [float(u), float(v)], 1.0)[:2] for u, v in pixels])
    seen = (pixels - [i.ppx, i.ppy]) / [i.fx, i.fy]
    return fit_plumb_bob(rays, seen, float(i.fx))[0]
