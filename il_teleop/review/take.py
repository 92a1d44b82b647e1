"""One recording made ready to be looked at: its numbers, its quality, its films, and what was decided."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import RecordingError
from il_core.spec import RobotSpec
from il_core.store.header import RecordingHeader
from il_core.store.recording import Recording
from il_teleop.review.decisions import history_of, is_kept, trim_of
from il_teleop.review.film import Films
from il_teleop.review.quality import Quality, limit_use, quality
from il_teleop.review.signals import Signals, read_signals
from il_teleop.review.sync import GAP_PERIODS, StampLog, SyncLimits, camera_rates

BINS = 250  # a plot is 600 pixels wide; each bin keeps its smallest and largest value
GAPS_MAX = 200  # per topic; more cannot be told apart on the page

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(slots=True)
class Reviewed:
    """What is known of one recording.

    Attributes:
        path: Its folder.
        header: What it says about itself.
        signals: Its numbers, of the whole recording.
        quality: Its quality, of the part that was not trimmed away.
        robot: The arm, if its file is known here.
        films: MP4 file, first stamp [ns] and note by topic.
        notes: What could not be shown, and why.
    """

    path: Path
    header: RecordingHeader
    signals: Signals
    quality: Quality
    robot: RobotSpec | None = None
    films: dict[str, tuple[bytes, int, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def review(
    path: Path,
    robot: RobotSpec | None,
    films: Films | None = None,
    limits: SyncLimits | None = None,
) -> Reviewed:
    """Read a recording once and judge it.

    Args:
        path: Folder of the recording.
        robot: The arm with its limits, if known.
        films: Where pictures go; none are made without it.
        limits: What counts as a timing problem.

    Raises:
        RecordingError: missing or damaged.
    """
    recording = Recording.open(path)
    signals, trim = read_signals(recording, films), trim_of(recording.header)
    judged = signals if trim is None else signals.within(*trim)
    made = Reviewed(path, recording.header, signals, quality(judged, robot, camera_rates(recording), limits), robot)
    for topic, film in sorted(films.films.items()) if films else ():
        near_far = film.range_m
        note = "" if near_far is None else f"white {near_far[0]:.2f} m, dark {near_far[1]:.2f} m, black: no measurement"
        made.films[topic] = (film.close(), film.start_ns, note)
    made.notes = [f"{topic}: {why}" for topic, why in (films.left_out.items() if films else ())]
    return made


def seconds_to_ns(signals: Signals, start_s: float, end_s: float) -> tuple[int, int]:
    """Stamps of two instants on the page's time axis [s], which starts at the earliest stamp.

    Raises:
        RecordingError: they are not in order, or the recording does not reach there.
    """
    if not 0.0 <= start_s < end_s or start_s > signals.seconds:
        what = f"{start_s:g} to {end_s:g} s is no part of {signals.seconds:.2f} s"
        raise RecordingError("trim", f"{what}; give start and end in seconds from the first message, start first")
    return signals.start_ns + round(start_s * 1e9), min(signals.start_ns + round(end_s * 1e9), signals.end_ns)


def page_values(take: Reviewed) -> dict[str, Any]:
    """Everything the page shows of a recording, as plain JSON values; stamps are text, times are seconds.

    Raises:
        RecordingError: its notes are damaged.
    """
    header, signals = take.header, take.signals
    trim, quality_ = trim_of(header), take.quality
    zero = signals.start_ns
    return {
        "name": header.name,
        "path": str(take.path.resolve()),
        "start_ns": str(zero),
        "seconds": _short(signals.seconds),
        "outcome": header.outcome.value,
        "kept": is_kept(header),
        "trim": None if trim is None else [_short((t - zero) / 1e9) for t in trim],
        "facts": _facts(header),
        "score": None if quality_.score is None else round(quality_.score),
        "parts": [asdict(part) for part in quality_.parts],
        "outlier": list(quality_.outlier),
        "problems": list(quality_.sync.problems),
        "topics": _topics(take),
        "gaps": {
            topic: _gap_spans(log, quality_.sync.topics.get(topic), zero) for topic, log in signals.stamps.items()
        },
        "warned": [
            [_short((w.stamp_ns - zero) / 1e9), f"{w.level} {w.node}: {w.reason}"] for w in signals.warned[:500]
        ],
        "plots": _plots(take),
        "path3d": _path(signals),
        "films": [
            {"name": topic, "at": _short((at_ns - zero) / 1e9), "note": note, "data": base64.b64encode(data).decode()}
            for topic, (data, at_ns, note) in take.films.items()
        ],
        "notes": take.notes,
        "history": history_of(header),
    }


def _facts(header: RecordingHeader) -> dict[str, str]:
    own = {"review", "trim_ns", "review_history", "sync"}  # shown elsewhere on the page
    notes = {k: v for k, v in header.notes.items() if k not in own}
    return {
        "task": header.task,
        "robot": header.robot,
        "instruction": header.instruction,
        "operator": header.operator,
        **notes,
    }


def _topics(take: Reviewed) -> list[dict[str, Any]]:
    """A row per topic for the table: timing, and losses from the recorder's account."""
    rows = []
    for topic, sync in take.quality.sync.topics.items():
        record = take.header.topics.get(topic)
        spreads = {"age": sync.age_ms, "skew": sync.skew_ms, "jitter": sync.jitter_ms}
        rows.append({
            "topic": topic,
            "count": sync.count,
            "lost": sum(record.lost.values()) if record else 0,
            "rate": _short(sync.rate_hz),
            "expected": None if sync.expected_hz is None else _short(sync.expected_hz),
            "gaps": sync.gaps,
            "gap_max": _short(sync.gap_max_ms),
            **{k: None if s is None else [_short(x) for x in (s.p50, s.p95, s.p99, s.max)] for k, s in spreads.items()},
        })  # fmt: skip
    return rows


def _gap_spans(log: StampLog, sync: Any, zero_ns: int) -> list[list[float]]:  # noqa: ANN401 - TopicSync or None
    """Begin and end of every hole [s]."""
    if sync is None or not sync.expected_hz or not sync.is_stamped:
        return []
    stamps = np.sort(log.arrays()[0])
    holes = np.flatnonzero(np.diff(stamps) * sync.expected_hz / 1e9 > GAP_PERIODS)[:GAPS_MAX]
    return [[_short((stamps[i] - zero_ns) / 1e9), _short((stamps[i + 1] - zero_ns) / 1e9)] for i in holes]


def _plots(take: Reviewed) -> list[dict[str, Any]]:
    """Lines over time: position, speed, tracking, joints, and shares of limits."""
    s, zero = take.signals, take.signals.start_ns
    plots = []
    if len(s.pose_ns) > 2:
        plots.append(_plot("tool position", "m", s.pose_ns, zero, dict(zip("xyz", s.p_base.T, strict=True))))
        dt = np.maximum(np.diff(s.pose_ns), 1) / 1e9
        speed = np.linalg.norm(np.diff(s.p_base, axis=0), axis=1) / dt
        plots.append(_plot("tool speed", "m/s", s.pose_ns[1:], zero, {"speed": speed}))
    if len(s.pose_ns) > 2 and len(s.target_ns) > 2:
        at = np.stack([np.interp(s.pose_ns, s.target_ns, x) for x in s.p_base_des.T], axis=1)
        error = 1e3 * np.linalg.norm(at - s.p_base, axis=1)
        plots.append(_plot("distance to the target", "mm", s.pose_ns, zero, {"error": error}))
    if len(s.arm_ns) > 2:
        plots.append(_plot("joint position", "rad, m", s.arm_ns, zero, dict(zip(s.joint_names, s.q.T, strict=True))))
        use = limit_use(s, take.robot) if take.robot else {}
        for what, share in use.items():
            lines = dict(zip(take.robot.joint_names, share.T, strict=True)) if take.robot else {}
            plots.append(_plot(f"share of {what} limit", "", s.arm_ns, zero, lines))
        if not use:
            plots.append(_plot("joint torque", "N·m", s.arm_ns, zero, dict(zip(s.joint_names, s.tau.T, strict=True))))
    return plots


def _plot(title: str, unit: str, stamps_ns: Ints, zero_ns: int, lines: Mapping[str, Floats]) -> dict[str, Any]:
    seconds = (stamps_ns - zero_ns) / 1e9
    return {"title": title, "unit": unit, "lines": [[name, *thinned(seconds, y)] for name, y in lines.items()]}


def thinned(t: Floats, y: Floats, bins: int = BINS) -> tuple[list[float], list[float | None]]:
    """Smallest and largest value of each bin in their order, so that no peak is lost.

    Args:
        t: Times, (N,) [s].
        y: Values, (N,); not a number becomes None.
        bins: Number of bins; fewer than two samples per bin are kept as they are.
    """
    if len(t) <= 2 * bins:
        chosen = np.arange(len(t))
    else:
        edges = np.linspace(0, len(t), bins + 1).astype(int)
        clean = np.where(np.isfinite(y), y, 0.0)
        pairs = [
            sorted((a + int(clean[a:b].argmin()), a + int(clean[a:b].argmax())))
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        chosen = np.unique(np.array(pairs).ravel())
    return [_short(x) for x in t[chosen]], [_short(x) if np.isfinite(x) else None for x in y[chosen]]


def _path(signals: Signals) -> dict[str, list[Any]]:
    """Tool path for the 3-D view: at most 600 points with their times."""
    n = len(signals.pose_ns)
    chosen = np.unique(np.linspace(0, n - 1, min(n, 600)).astype(int)) if n else np.zeros(0, dtype=int)
    t = (signals.pose_ns[chosen] - signals.start_ns) / 1e9
    return {"t": [_short(x) for x in t], "p": [[_short(x) for x in p] for p in signals.p_base[chosen]]}


def _short(x: float) -> float:
    """Five digits: enough for a plot, a third of the bytes."""
    return float(f"{float(x):.5g}")
