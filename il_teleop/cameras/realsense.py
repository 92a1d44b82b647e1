"""A RealSense as a DepthCamera: opened by serial, lost and found again, pictures aligned and stamped."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from il_core.clock import SteadyClock, SystemClock
from il_core.errors import DeviceError, IlError
from il_core.ports import Clock
from il_core.spec import CameraSpec
from il_teleop.cameras.config import RealsenseConfig
from il_teleop.cameras.link import Event, Link, Phase, step
from il_teleop.cameras.port import Calibration, Condition, Picture
from il_teleop.cameras.realsense_device import Devices, OpenDevice, connected_devices, find, rs
from il_teleop.cameras.realsense_filters import DepthFilters
from il_teleop.cameras.stamps import FrameTimes, StampSource

log = logging.getLogger(__name__)

_MM_M = 1e-3
_OPENING = threading.Lock()  # two cameras that enumerate USB at once disturb each other
_METADATA = rs.frame_metadata_value


@dataclass(slots=True)
class Counts:
    """Pictures given, and those that were not.

    Attributes:
        pictures: Pictures given.
        drops: Frames missing between two frame numbers.
        incomplete: Colour without depth, or depth without colour, or too far apart.
        unstamped: Came before the clocks were known.
        backward: Not newer than the one before.
    """

    pictures: int = 0
    drops: int = 0
    incomplete: int = 0
    unstamped: int = 0
    backward: int = 0


@dataclass(slots=True)
class Clocks:
    """Clocks a camera reads: for stamps, for the driver's own times, and for patience."""

    ros: Clock
    system: Clock
    steady: Clock


class RealsenseCamera:
    """Fills :class:`il_teleop.cameras.port.DepthCamera`; one thread reads, others may ask for its condition."""

    def __init__(
        self,
        spec: CameraSpec,
        config: RealsenseConfig,
        clock: Clock,
        devices: Devices = connected_devices,
        clocks: Clocks | None = None,
    ) -> None:
        """Prepare; the device is opened by the first :meth:`read`, or by :meth:`open`.

        Args:
            spec: Name, size and rate of the colour pictures.
            config: All cameras' settings; this one's is looked up by name.
            clock: Clock of the stamps.
            devices: Lists what is connected; software devices take the same way.
            clocks: All clocks, for tests.

        Raises:
            ConfigError: the config has no camera of that name.
        """
        self._spec, self._config = spec, config
        self._own = config.camera(spec.name)
        self._devices = devices
        self._clocks = clocks or Clocks(clock, SystemClock(), SteadyClock())
        self._align = rs.align(rs.stream.color)
        self._device: OpenDevice | None = None
        self._calibration: Calibration | None = None
        self._link = Link(since_ns=self._clocks.steady.now_ns())
        self._heard_ns = 0
        self._number: int | None = None
        self._stamp_ns = 0
        self._start_anew()
        self.counts = Counts()

    def _start_anew(self) -> None:
        """Forget what belonged to the last connection."""
        self._filters = DepthFilters(self._own.filters)
        self._stamps = StampSource(
            least_delay_ms=self._config.least_delay_ms, accept_arrival=self._config.accept_arrival_stamps
        )
        self._number = None

    @property
    def calibration(self) -> Calibration | None:
        """Geometry of the device last opened; None before the first time."""
        return self._calibration

    def open(self) -> None:
        """Open the device now, as at start-up, where a wrong serial should be told at once.

        Raises:
            DeviceError: it is not there, or cannot do what is configured.
        """
        size = (self._spec.width, self._spec.height, self._spec.rate_hz)
        self._start_anew()
        with _OPENING:
            device = find(self._own.serial, self._devices())
            self._device = OpenDevice(device, self._own, size, self._config.use_global_time)
        self._calibration = self._device.calibration
        self._heard_ns = self._clocks.steady.now_ns()
        self._move(Event.OPENED)

    def read(self, timeout_s: float) -> Picture | None:
        """Wait for the next picture; opens and reopens the device as needed."""
        if self._device is None:
            self._try_open()
        if self._device is None:
            return None
        try:
            came, frames = self._device.syncer.try_wait_for_frames(round(timeout_s * 1e3))
            picture = self._picture(frames) if came else None
        except (RuntimeError, DeviceError) as error:
            self._lose(str(error))
            return None
        now_ns = self._clocks.steady.now_ns()
        if came:
            self._heard_ns = now_ns
        elif now_ns - self._heard_ns > self._config.silent_ms * 1e6:
            gone = "" if self._device.is_connected else ", it was unplugged"
            self._lose(f"no frame for {(now_ns - self._heard_ns) / 1e9:.1f} s{gone}; check the plug and the cable")
        return picture

    def _try_open(self) -> None:
        now_ns = self._clocks.steady.now_ns()
        if not self._link.should_open(now_ns):
            return
        try:
            self.open()
        except (IlError, RuntimeError) as error:
            self._move(Event.REFUSED, str(error))

    def _lose(self, reason: str) -> None:
        self.close()
        self._move(Event.LOST, reason)

    def _move(self, event: Event, reason: str = "") -> None:
        """Apply an event to the link; tell changes once."""
        before, now_ns = self._link, self._clocks.steady.now_ns()
        self._link = step(before, event, now_ns, reason)
        if self._link.phase is not before.phase or reason != before.reason:
            log.log(
                logging.INFO if event is Event.OPENED else logging.ERROR,
                "camera '%s': %s",
                self._spec.name,
                self._link.text(now_ns),
            )

    def _picture(self, frames: rs.composite_frame) -> Picture | None:
        """Filter, align and stamp one pair; None if it is none.

        librealsense's alignment moves each distance to the colour pixel that sees it, but keeps it as the depth
        camera measured it: along that camera's axis, which in a D400 is parallel to the colour camera's within
        a degree and 1 mm.

        Raises:
            DeviceError: its stamp means nothing.
        """
        color, depth = frames.get_color_frame(), frames.get_depth_frame()
        if not color or not depth or abs(color.get_timestamp() - depth.get_timestamp()) > self._config.skew_max_ms:
            self.counts.incomplete += self._number is not None  # the first ones after opening never have a partner
            return None
        stamped = self._stamps.stamp(_times(color), self._clocks.ros.now_ns(), self._clocks.system.now_ns())
        number = int(color.get_frame_number())
        if self._number is not None and number > self._number + 1:
            self.counts.drops += number - self._number - 1
        self._number = number
        if stamped is None:
            self.counts.unstamped += 1
            return None
        if stamped.stamp_ns <= self._stamp_ns:
            self.counts.backward += 1
            self._stamp_ns = stamped.stamp_ns  # a clock set back costs one picture, not all that follow
            return None
        self._stamp_ns = stamped.stamp_ns
        aligned = self._align.process(self._filters.process(frames))
        self.counts.pictures += 1
        return Picture(
            stamped.stamp_ns,
            stamped.error_ns,
            number,
            np.asanyarray(aligned.get_color_frame().get_data()),
            _millimetres(aligned.get_depth_frame()),
        )

    def condition(self) -> Condition:
        """Say how it is doing; may be called from another thread."""
        device, counts, link = self._device, self.counts, self._link
        values: dict[str, object] = {
            "pictures": counts.pictures,
            "drops": counts.drops,
            "incomplete": counts.incomplete,
            "before_clock_known": counts.unstamped,
            "stamped_backward": counts.backward,
            "losses": link.losses,
            **self._stamps.values,
        }
        if device is not None:
            values["device"] = f"{device.name} {device.serial}"
            temperature_c = device.temperature_c()
            values["temperature_c"] = "not told" if temperature_c is None else f"{temperature_c:.0f}"
        return Condition(link.phase is Phase.STREAMING, link.text(self._clocks.steady.now_ns()), values)

    def close(self) -> None:
        """Give the device back."""
        device, self._device = self._device, None
        if device is not None:
            device.close()


def _millimetres(depth: rs.depth_frame) -> NDArray[np.uint16]:
    """Depth in whole millimetres; a view where the device already counts so. 0 stays 0."""
    raw: NDArray[np.uint16] = np.asanyarray(depth.get_data())
    unit_m = float(depth.get_units())
    if abs(unit_m - _MM_M) < 1e-9:
        return raw
    mm = np.rint(raw * np.float32(unit_m / _MM_M))
    return np.where(mm < 65535.0, mm, 0.0).astype(np.uint16)  # beyond 65.5 m does not fit: invalid


def _times(frame: rs.video_frame) -> FrameTimes:
    """What a frame tells about its time."""

    def told(value: rs.frame_metadata_value) -> int | None:
        return int(frame.get_frame_metadata(value)) if frame.supports_frame_metadata(value) else None

    arrival_ms = told(_METADATA.time_of_arrival)
    return FrameTimes(
        domain=frame.get_frame_timestamp_domain().name,
        stamp_ms=float(frame.get_timestamp()),
        readout_us=told(_METADATA.frame_timestamp),
        exposure_us=told(_METADATA.sensor_timestamp),
        # cut to whole milliseconds: the next one is never too early, and the quickest of many is right
        arrival_ms=None if arrival_ms is None else arrival_ms + 1.0,
    )
