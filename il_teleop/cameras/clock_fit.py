"""When was that, on our clock? Offset and drift of a device's clock, from messages that arrive late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClockFitConfig:
    """How offset and drift are estimated.

    Attributes:
        bucket_s: Of every such span only the quickest message counts [s].
        window_s: Spans older than this are forgotten [s]; crystals change with temperature over minutes.
        min_samples: Messages needed before stamps are given.
        drift_max_ppm: No crystal is worse than this [ppm].
        step_ms: A mismatch beyond it means that a clock was set [ms].
    """

    bucket_s: float = 1.0
    window_s: float = 60.0
    min_samples: int = 30
    drift_max_ppm: float = 200.0
    step_ms: float = 5.0

    def __post_init__(self) -> None:
        """Reject what could never give an estimate."""
        if min(self.bucket_s, self.min_samples, self.drift_max_ppm, self.step_ms) <= 0:
            raise ValueError("bucket_s, min_samples, drift_max_ppm and step_ms must be positive")
        if self.window_s < 5 * self.bucket_s:
            raise ValueError(f"window_s {self.window_s} must hold at least 5 buckets of {self.bucket_s} s")


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """How the device's clock relates to ours.

    Attributes:
        offset_ns: Ours minus the device's, at the newest message, least delay included [ns].
        drift_ppm: How much faster ours runs [ppm].
        error_ns: How far the offset may be off, the least delay aside [ns].
        samples: Messages behind it.
        resets: Times a clock was found to have been set.
    """

    offset_ns: int
    drift_ppm: float
    error_ns: int
    samples: int
    resets: int


@dataclass(slots=True)
class _Bucket:
    """Messages of one span: when it began, the instant and lateness of the quickest, and the sum of all."""

    start_s: float
    at_s: float
    least_ns: float
    sum_ns: float = 0.0
    count: int = 0


class ClockFit:
    r"""Lower envelope of arrival minus device stamp.

    A message stamped d by the device arrives at :math:`h = d + o + s\,d + l` with a delay :math:`l \ge l_{min}`
    that varies. The quickest messages lie on the line :math:`o + s\,d + l_{min}`: the slope is the median of the
    slopes between the minima of all pairs of spans (Theil 1950, Sen 1968), and the line is lowered until it
    touches the lowest of them. One way only, :math:`l_{min}` itself cannot be seen: it has to be known.
    """

    def __init__(self, config: ClockFitConfig | None = None) -> None:
        """Start without an estimate."""
        self._config = config or ClockFitConfig()
        self._resets = -1
        self._reset()

    def _reset(self) -> None:
        self._resets += 1
        self._origin: tuple[int, int] | None = None  # device instant and offset of the first message
        self._buckets: deque[_Bucket] = deque()
        self._slope = 0.0  # ns per s
        self._is_fitted = False
        self._samples = 0
        self._late_buckets = 0
        self._newest_ns = 0

    def push(self, device_ns: int, arrival_ns: int) -> None:
        """Take a message: its stamp on the device's clock and its arrival on ours [ns]."""
        if self._origin is not None and device_ns <= self._newest_ns:
            self._reset()  # the device restarted
        if self._origin is None:
            self._origin = (device_ns, arrival_ns - device_ns)
        t_s = (device_ns - self._origin[0]) / _S
        late_ns = float(arrival_ns - device_ns - self._origin[1])  # a small number, so that a float is exact
        if self._is_fitted and late_ns < self._line(t_s) - self._config.step_ms * 1e6:
            self._reset()  # it seems to arrive before it was sent: ours was set back, or the device's forward
            self._origin = (device_ns, arrival_ns - device_ns)
            t_s, late_ns = 0.0, 0.0
        self._newest_ns = device_ns
        self._samples += 1
        self._store(t_s, late_ns)

    def _store(self, t_s: float, late_ns: float) -> None:
        if not self._buckets or t_s - self._buckets[-1].start_s > self._config.bucket_s:
            if self._buckets:
                self._close_bucket()
            if self._origin is None:  # closing it showed that a clock was set: begin anew with the next message
                return
            self._buckets.append(_Bucket(t_s, t_s, late_ns))
        bucket = self._buckets[-1]
        if late_ns < bucket.least_ns:
            bucket.at_s, bucket.least_ns = t_s, late_ns
        bucket.sum_ns += late_ns
        bucket.count += 1

    def _close_bucket(self) -> None:
        """Fit the slope anew, unless the clock was set."""
        newest = self._buckets[-1]
        is_late = self._is_fitted and newest.least_ns > self._line(newest.at_s) + self._config.step_ms * 1e6
        self._late_buckets = self._late_buckets + 1 if is_late else 0
        if self._late_buckets >= 2:  # not even the quickest came in time: ours was set forward
            self._reset()
            return
        while newest.at_s - self._buckets[0].at_s > self._config.window_s:
            self._buckets.popleft()
        if len(self._buckets) >= 5:
            t = np.array([b.at_s for b in self._buckets])
            y = np.array([b.least_ns for b in self._buckets])
            i, j = np.triu_indices(len(t), 1)
            limit = self._config.drift_max_ppm * 1e3
            self._slope = float(np.clip(np.median((y[j] - y[i]) / (t[j] - t[i])), -limit, limit))
            self._is_fitted = True

    def _line(self, t_s: float) -> float:
        """Lateness of the quickest messages at an instant [ns]."""
        return self._slope * t_s + self._floor()

    def _floor(self) -> float:
        """Lateness of the quickest messages at the first message [ns]."""
        return min(b.least_ns - self._slope * b.at_s for b in self._buckets)

    def host_ns(self, device_ns: int) -> int | None:
        """Instant on our clock, least delay included [ns]; None while there is no estimate."""
        if self._origin is None or self._samples < self._config.min_samples:
            return None
        t_s = (device_ns - self._origin[0]) / _S
        return device_ns + self._origin[1] + round(self._line(t_s))

    @property
    def estimate(self) -> ClockEstimate | None:
        """Offset, drift and their uncertainty; None while there is no estimate."""
        host_ns = self.host_ns(self._newest_ns)
        if host_ns is None:
            return None
        drift_ppm = self._slope / 1e3
        return ClockEstimate(host_ns - self._newest_ns, drift_ppm, self._error_ns(), self._samples, self._resets)

    @property
    def resets(self) -> int:
        """Times a clock was found to have been set."""
        return self._resets

    def _error_ns(self) -> int:
        """Spread of the minima over the line, what a few messages may have missed, and drift not yet known."""
        floor = self._floor()
        lines = [floor + self._slope * b.at_s for b in self._buckets]
        above = [b.least_ns - line for b, line in zip(self._buckets, lines, strict=True)]
        late = sum(b.sum_ns - b.count * line for b, line in zip(self._buckets, lines, strict=True))
        count = sum(b.count for b in self._buckets)
        span_s = self._buckets[-1].at_s - self._buckets[0].at_s
        unknown_drift = 0.0 if self._is_fitted else 0.5 * self._config.drift_max_ppm * 1e3 * span_s
        return round(float(np.median(above)) + late / count / count**0.5 + unknown_drift)
