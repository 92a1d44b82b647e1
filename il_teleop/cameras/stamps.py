"""The instant a picture shows, from what the device tells about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from il_core.errors import DeviceError
from il_teleop.cameras.clock_fit import ClockFit, ClockFitConfig

_WRAP_US = 1 << 32  # the device counts microseconds in 32 bits: 71.6 min
_WRAP_NS = _WRAP_US * 1000
# The longest exposure of any D400 at 6 Hz; a larger difference means that the metadata are of another frame.
_EXPOSURE_MAX_NS = 200_000_000
_AGE_MAX_NS = 1_000_000_000  # a picture a second old, or from the future, was stamped by another clock


class Domain(str, Enum):
    """Whose clock a frame is stamped with."""

    HARDWARE = "hardware_clock"  # the device's own counter
    GLOBAL = "global_time"  # the driver already mapped it to this machine's clock, by asking the device
    SYSTEM = "system_time"  # this machine's clock when the frame arrived: the exposure is unknown


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """What a device tells about the time of one frame.

    Attributes:
        domain: Name of the clock of ``stamp_ms``, as the driver calls it.
        stamp_ms: The frame's stamp [ms].
        readout_us: Device counter when readout began [us], or None.
        exposure_us: Device counter at the middle of the exposure [us], or None.
        arrival_ms: This machine's clock when the frame arrived [ms], or None.
    """

    domain: str
    stamp_ms: float
    readout_us: int | None = None
    exposure_us: int | None = None
    arrival_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Stamped:
    """An instant on our clock and how far it may be off [ns]."""

    stamp_ns: int
    error_ns: int


class StampSource:
    """Maps the stamps of one device to our clock."""

    def __init__(self, *, least_delay_ms: float, accept_arrival: bool, fit: ClockFitConfig | None = None) -> None:
        """Start without an estimate.

        Args:
            least_delay_ms: Quickest way of a frame from its stamp to its arrival here [ms]. With
                HARDWARE stamps it cannot be measured and has to be known.
            accept_arrival: Whether SYSTEM stamps will do: they say when a frame came, not what it shows.
            fit: How HARDWARE stamps are mapped.
        """
        self._least_delay_ns = round(least_delay_ms * 1e6)
        self._accept_arrival = accept_arrival
        self._fit = ClockFit(fit)
        self._wraps, self._last_ns = 0, 0
        self._offset_ns: int | None = None
        self._error_ns = 0
        self._is_mid_exposure = False
        self._domain = ""

    def stamp(self, times: FrameTimes, now_ns: int, system_ns: int) -> Stamped | None:
        """Instant a frame shows.

        Args:
            times: What the device tells.
            now_ns: Our clock now [ns].
            system_ns: This machine's clock at the same moment [ns]; the driver's times are on it.

        Returns:
            The instant, or None while the clocks are not yet known well enough.

        Raises:
            DeviceError: the domain is unknown, is not accepted, or its stamp cannot be true.
        """
        self._domain = times.domain
        try:
            domain = Domain(times.domain)
        except ValueError:
            known = ", ".join(d.value for d in Domain)
            raise DeviceError(
                f"frames are stamped on the clock '{times.domain}', known are {known}; update pyrealsense2"
            ) from None
        mid_ns = _mid_exposure_ns(times)
        self._is_mid_exposure = mid_ns is not None
        arrived_ns = now_ns if times.arrival_ms is None else now_ns - (system_ns - round(times.arrival_ms * 1e6))
        if domain is Domain.HARDWARE:
            return self._from_device(times, mid_ns or 0, min(arrived_ns, now_ns))
        if domain is Domain.SYSTEM and not self._accept_arrival:
            raise DeviceError(
                "frames are stamped on arrival, not at exposure: this kernel passes no frame metadata; install "
                "librealsense's udev rules and kernel patch, or set accept_arrival_stamps and a measured least_delay_ms"
            )
        return self._from_system(times, domain, mid_ns or 0, now_ns, system_ns)

    def _from_device(self, times: FrameTimes, mid_ns: int, arrived_ns: int) -> Stamped | None:
        device_ns = self._unwrapped(round(times.stamp_ms * 1e6))
        self._fit.push(device_ns, arrived_ns)
        estimate, host_ns = self._fit.estimate, self._fit.host_ns(device_ns)
        if estimate is None or host_ns is None:
            return None
        self._offset_ns, self._error_ns = estimate.offset_ns - self._least_delay_ns, estimate.error_ns
        return Stamped(host_ns - self._least_delay_ns + mid_ns, estimate.error_ns)

    def _from_system(self, times: FrameTimes, domain: Domain, mid_ns: int, now_ns: int, system_ns: int) -> Stamped:
        taken_ns = round(times.stamp_ms * 1e6)
        age_ns = system_ns - taken_ns
        if not -_AGE_MAX_NS < age_ns < _AGE_MAX_NS:
            raise DeviceError(
                f"a frame stamped on '{domain.value}' is {age_ns / 1e9:.3f} s old; this machine's clock was set, "
                "or the driver's mapping is wrong: unplug the camera and plug it in again"
            )
        delay_ns = self._least_delay_ns if domain is Domain.SYSTEM else 0
        self._offset_ns, self._error_ns = now_ns - system_ns - delay_ns, delay_ns
        return Stamped(now_ns - age_ns - delay_ns + mid_ns, delay_ns)

    def _unwrapped(self, device_ns: int) -> int:
        """The device's count without the jump back every 71.6 min."""
        if device_ns + self._wraps * _WRAP_NS < self._last_ns - _WRAP_NS // 2:
            self._wraps += 1
        self._last_ns = device_ns + self._wraps * _WRAP_NS
        return self._last_ns

    @property
    def values(self) -> dict[str, object]:
        """What diagnostics show of it."""
        known: dict[str, object] = {
            "stamp_domain": self._domain or "none yet",
            "stamp_is": "middle of exposure" if self._is_mid_exposure else "start of readout",
        }
        if self._offset_ns is None:
            return known
        known |= {"clock_offset_ms": f"{self._offset_ns / 1e6:.3f}", "clock_error_ms": f"{self._error_ns / 1e6:.3f}"}
        estimate = self._fit.estimate
        if estimate is not None:
            known |= {"clock_drift_ppm": f"{estimate.drift_ppm:.1f}", "clock_resets": estimate.resets}
        return known


def _mid_exposure_ns(times: FrameTimes) -> int | None:
    """Middle of the exposure relative to the frame's stamp [ns], negative; None if the device does not tell.

    Both are readings of one 32-bit counter [us], so their difference is taken modulo 2^32.
    """
    if times.readout_us is None or times.exposure_us is None:
        return None
    before_ns = ((times.readout_us - times.exposure_us) % _WRAP_US) * 1000
    return -before_ns if before_ns <= _EXPOSURE_MAX_NS else None
