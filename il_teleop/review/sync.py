"""Synchronisation report: rate, age, skew, jitter and gaps per topic, from the two stamps of every message.

Pure: whoever has the stamps (the recorder while it runs, a finished recording) gets the same report.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from il_core import topics as names
from il_core.store.recording import Recording

ESSENTIAL = (names.JOINT_STATES, names.EE_POSE)  # of the others, an arm or task may have no use
# Published for as long as their nodes run; teleop and policy topics rest whenever nobody drives.
CONTINUOUS = frozenset({
    names.JOINT_STATES, names.EFFORT_SETPOINT, names.EE_POSE, names.TARGET_POSE, names.TARGET_GRIPPER,
    names.STIFFNESS, names.HAND_POSITION, names.HAND_FORCE,
})  # fmt: skip
GAP_PERIODS = 1.5  # a missing message doubles the distance of two stamps; healthy jitter stays below half
STEADY_SPREAD = 0.25  # topics whose intervals spread more, relative to their median, are sent on events
NO_STAMP_NS = 3_600_000_000_000  # a stamp an hour from its receive time is on another clock, or none at all
Ints = NDArray[np.int64]


class StampLog:
    """Header stamp and receive time of every message of one topic, 16 bytes each."""

    def __init__(self) -> None:
        """Start empty."""
        self.stamp_ns, self.log_ns = array("q"), array("q")

    def __len__(self) -> int:
        """Number of messages."""
        return len(self.stamp_ns)

    def append(self, stamp_ns: int, log_ns: int) -> None:
        """Note one message: header stamp and receive time [ns]."""
        self.stamp_ns.append(stamp_ns)
        self.log_ns.append(log_ns)

    def arrays(self) -> tuple[Ints, Ints]:
        """Header stamps and receive times, (N,) [ns] each, in order of arrival."""
        return np.array(self.stamp_ns, dtype=np.int64), np.array(self.log_ns, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity is distributed [ms]: p50, p95, p99 and the largest."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values_ns: NDArray[np.int64]) -> Spread | None:
        """Spread of values in ns; None of no values: nothing was measured, which is not zero."""
        if len(values_ns) == 0:
            return None
        ms = np.asarray(values_ns, dtype=np.float64) / 1e6
        p50, p95, p99 = np.percentile(ms, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99), float(ms.max()))


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """What a topic may do before it counts as bad; the recorder's reject rule uses the same numbers.

    Attributes:
        rate_share_min: Least mean rate, as a share of the expected one.
        missing_share_max: Most messages missing in gaps, as a share of those expected.
        gap_max_ms: Longest hole [ms].
        age_p99_max_ms: Receive time minus stamp, 99th percentile [ms].
        skew_p95_max_ms: Distance to the reference's stamps, 95th percentile [ms], beside half a period.
        backward_max: Most stamps older than the one before.
    """

    rate_share_min: float = 0.9
    missing_share_max: float = 0.02
    gap_max_ms: float = 300.0
    age_p99_max_ms: float = 100.0
    skew_p95_max_ms: float = 20.0
    backward_max: int = 0


@dataclass(frozen=True, slots=True)
class TopicSync:
    """Timing of one topic in one episode.

    Attributes:
        count: Messages.
        seconds: From first to last stamp [s].
        rate_hz: Mean rate by stamps [Hz]; 0 of fewer than two messages.
        expected_hz: Rate it should keep [Hz]: stated, or 1 / median interval; None if sent on events.
        is_stamped: Whether header stamps are usable; if not, receive times stand for them, without age.
        age_ms: Receive time minus header stamp: what the message waited on its way.
        age_min_ms: The smallest age; negative means that two clocks disagree.
        jitter_ms: Distance of every interval from the median one.
        skew_ms: Distance of the reference's stamps to the nearest stamp here, where both run.
        gaps: Intervals above 1.5 expected periods.
        gap_max_ms: Longest interval [ms].
        missing: Messages that would have filled the gaps.
        backward: Stamps older than the one before.
        starts_late_ms: First stamp after the reference's first [ms].
        ends_early_ms: Last stamp before the reference's last [ms].
    """

    count: int
    seconds: float = 0.0
    rate_hz: float = 0.0
    expected_hz: float | None = None
    is_stamped: bool = True
    age_ms: Spread | None = None
    age_min_ms: float | None = None
    jitter_ms: Spread | None = None
    skew_ms: Spread | None = None
    gaps: int = 0
    gap_max_ms: float = 0.0
    missing: int = 0
    backward: int = 0
    starts_late_ms: float = 0.0
    ends_early_ms: float = 0.0

    @property
    def missing_share(self) -> float:
        """Missing messages as a share of those that should be there, in [0, 1]."""
        return self.missing / (self.count + self.missing) if self.count else 1.0


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Timing of all topics of one episode.

    Attributes:
        reference: Topic the others are compared with.
        topics: Timing by topic.
        problems: What breaks a limit, one sentence each, the topic first.
    """

    reference: str
    topics: dict[str, TopicSync] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def health(self) -> float:
        """Share of topics without a problem, in [0, 1]; 0 if nothing was recorded."""
        bad = {p.split(":", 1)[0] for p in self.problems}
        return 1.0 - len(bad) / len(self.topics) if self.topics else 0.0


def sync_report(
    stamps: Mapping[str, StampLog],
    expected_hz: Mapping[str, float] | None = None,
    reference: str | None = None,
    limits: SyncLimits | None = None,
) -> SyncReport:
    """Judge the timing of an episode.

    Args:
        stamps: Stamps by topic; a topic without messages belongs in it too.
        expected_hz: Rates that are known, such as those of cameras [Hz]; the others are estimated. Only
            these topics and those of ``CONTINUOUS`` are judged by rate, gaps and skew: the others may rest.
        reference: Topic to measure skew against; the first colour image by default, else the first topic.
        limits: What is allowed.

    Raises:
        ValueError: the reference is not among the topics.
    """
    limits, expected_hz = limits or SyncLimits(), expected_hz or {}
    name = reference if reference is not None else default_reference(stamps)
    if name and name not in stamps:
        raise ValueError(f"reference '{name}' was not recorded; topics: {', '.join(stamps)}")
    base = np.sort(_times(stamps[name])[0]) if name else np.zeros(0, dtype=np.int64)
    topics = {topic: _topic(log, expected_hz.get(topic), base, topic == name) for topic, log in stamps.items()}
    judged = CONTINUOUS | set(expected_hz)
    alive = {t: s for t, s in topics.items() if s.count or t in expected_hz or t in ESSENTIAL}
    problems = [f"{t}: {p}" for t, sync in alive.items() for p in _problems(sync, t in judged, limits)]
    return SyncReport(name, topics, tuple(problems))


def default_reference(stamps: Mapping[str, StampLog]) -> str:
    """The first colour image that has messages, else the first topic that has; empty if none has."""
    alive = [topic for topic, log in stamps.items() if len(log)]
    return next((t for t in sorted(alive) if t.endswith("/color/image_raw")), alive[0] if alive else "")


def stamps_of(recording: Recording) -> dict[str, StampLog]:
    """Stamps of every message of a recording, by topic; those without messages too.

    Raises:
        RecordingError: the data are damaged.
    """
    logs = {topic: StampLog() for topic in recording.topics}
    for topic, _, log_ns, stamp_ns in recording.raw_messages():
        logs[topic].append(stamp_ns, log_ns)
    return logs


def camera_rates(recording: Recording) -> dict[str, float]:
    """Expected rate of every camera topic, from the calibration stored with the recording [Hz]."""
    rates = {c.name: float(c.rate_hz) for c in recording.header.cameras}
    parts = {topic: topic.split("/") for topic in recording.topics if topic.startswith("camera/")}
    return {topic: rates[p[1]] for topic, p in parts.items() if p[1] in rates}


def report_of(recording: Recording, limits: SyncLimits | None = None) -> SyncReport:
    """Report of a finished recording.

    Raises:
        RecordingError: the data are damaged.
    """
    return sync_report(stamps_of(recording), camera_rates(recording), limits=limits)


def _times(log: StampLog) -> tuple[Ints, Ints, bool]:
    """Stamps to judge by, receive times, and whether the stamps are the header's."""
    stamp_ns, log_ns = log.arrays()
    if len(stamp_ns) and abs(float(np.median(log_ns - stamp_ns))) > NO_STAMP_NS:
        return log_ns, log_ns, False
    return stamp_ns, log_ns, True


def _topic(log: StampLog, expected_hz: float | None, reference: Ints, is_reference: bool) -> TopicSync:
    """Timing of one topic."""
    stamp_ns, log_ns, is_stamped = _times(log)
    if len(stamp_ns) == 0:
        return TopicSync(0, expected_hz=expected_hz)
    age_ns = log_ns - stamp_ns
    ordered = np.sort(stamp_ns)
    steps = np.diff(ordered)
    seconds = float(ordered[-1] - ordered[0]) / 1e9
    period_ns = float(np.median(steps)) if len(steps) else 0.0
    if expected_hz is None and period_ns > 0:
        spread = float(np.median(np.abs(steps - period_ns))) / period_ns
        expected_hz = 1e9 / period_ns if spread <= STEADY_SPREAD else None
    gaps, missing = _gaps(steps, expected_hz)
    return TopicSync(
        count=len(stamp_ns),
        seconds=seconds,
        rate_hz=len(steps) / seconds if seconds > 0 else 0.0,
        expected_hz=expected_hz,
        is_stamped=is_stamped,
        age_ms=Spread.of(age_ns) if is_stamped else None,
        age_min_ms=float(age_ns.min()) / 1e6 if is_stamped else None,
        jitter_ms=Spread.of(np.abs(steps - np.int64(period_ns))),
        skew_ms=None if is_reference else _skew(reference, ordered),
        gaps=gaps,
        gap_max_ms=float(steps.max(initial=0)) / 1e6,
        missing=missing,
        backward=int((np.diff(stamp_ns) < 0).sum()),
        starts_late_ms=float(ordered[0] - reference[0]) / 1e6 if len(reference) else 0.0,
        ends_early_ms=float(reference[-1] - ordered[-1]) / 1e6 if len(reference) else 0.0,
    )


def _gaps(steps: Ints, expected_hz: float | None) -> tuple[int, int]:
    """Intervals above 1.5 periods, and how many messages they lack."""
    if expected_hz is None:
        return 0, 0
    periods = steps * expected_hz / 1e9
    holes = periods > GAP_PERIODS
    return int(holes.sum()), int((np.rint(periods[holes]) - 1).sum())


def _skew(reference: Ints, ordered: Ints) -> Spread | None:
    """Distance of the reference's stamps to the nearest of ``ordered``, where both run."""
    inside = reference[(reference >= ordered[0]) & (reference <= ordered[-1])]
    right = np.clip(np.searchsorted(ordered, inside), 1, max(1, len(ordered) - 1))
    if len(ordered) < 2:
        return None
    return Spread.of(np.minimum(np.abs(inside - ordered[right - 1]), np.abs(ordered[right] - inside)))


def _problems(sync: TopicSync, is_continuous: bool, limits: SyncLimits) -> list[str]:
    """What breaks a limit; topics that may rest are judged by age and order only."""
    if sync.count == 0:
        return ["no message"]
    found = []
    if is_continuous and sync.expected_hz is not None:
        if sync.rate_hz < limits.rate_share_min * sync.expected_hz:
            found.append(f"{sync.rate_hz:.1f} Hz, expected {sync.expected_hz:.1f} Hz")
        if sync.missing_share > limits.missing_share_max:
            found.append(f"{sync.missing} messages missing in {sync.gaps} gaps ({sync.missing_share:.1%})")
        if sync.gap_max_ms > limits.gap_max_ms:
            found.append(f"a hole of {sync.gap_max_ms:.0f} ms")
        half_period_ms = 500.0 / sync.expected_hz
        if sync.skew_ms is not None and sync.skew_ms.p95 > limits.skew_p95_max_ms + half_period_ms:
            found.append(f"skew {sync.skew_ms.p95:.1f} ms (p95) against the reference")
    if sync.age_ms is not None and sync.age_ms.p99 > limits.age_p99_max_ms:
        found.append(f"messages come {sync.age_ms.p99:.0f} ms late (p99)")
    if sync.age_min_ms is not None and sync.age_min_ms < -1.0:
        found.append(f"stamped {-sync.age_min_ms:.1f} ms after it was received: clocks disagree")
    if sync.backward > limits.backward_max:
        found.append(f"{sync.backward} stamps go backward")
    return found
