"""A score of 0 to 100 per episode with the parts it is made of, and the outliers of a set.

The score is the weighted mean of the parts that could be measured, times 100; a part that could not is
listed as such and weighs nothing. Each part is 1 when nothing is wrong and 0 at a stated bound, straight
in between. The bounds are conventions, not science: use the score to decide what to look at first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.spec import RobotSpec
from il_core.topics import CONTROL_SOURCE, DIAGNOSTICS
from il_teleop.review.motion import Motion, measure
from il_teleop.review.signals import Signals
from il_teleop.review.sync import SyncLimits, SyncReport, sync_report

WEIGHTS = {"sync": 0.3, "smoothness": 0.2, "limits": 0.2, "idle": 0.15, "warnings": 0.05, "typical": 0.1}
IDLE_FREE_S, IDLE_SHARE_MAX = 1.0, 0.5
SPARC_FREE, SPARC_PER_S = 3.0, 0.3  # a reach is -1.5; people make about one movement per second
STOPS_FREE_HZ, STOPS_MAX_HZ = 4.0, 10.0  # recorded hand-guided and scripted motion has 3 to 4, with its sensor noise
NEAR_LIMIT, NEAR_SHARE_MAX = 0.95, 0.05
Z_OUTLIER = 3.5  # Iglewicz and Hoaglin
SET_MIN = 5  # below, a median says nothing about what is usual
# Deviations smaller than these mean nothing, however alike the set is.
FLOORS = {
    "seconds": 0.3,
    "path_m": 0.01,
    "speed_p95_m_s": 0.01,
    "stop_rate_hz": 0.5,
    "idle_head_s": 0.3,
    "idle_tail_s": 0.3,
}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a score.

    Attributes:
        name: Key of ``WEIGHTS``.
        score: In [0, 1]; None if it could not be measured.
        why: What was found, or why nothing was.
    """

    name: str
    score: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of one episode.

    Attributes:
        score: 0 to 100; None if no part could be measured.
        parts: What it is made of.
        figures: Numbers compared within a set, unit in the key.
        sync: Timing of the topics.
        outlier: What is unusual for the set, one sentence each.
    """

    score: float | None
    parts: tuple[Part, ...]
    figures: dict[str, float] = field(default_factory=dict)
    sync: SyncReport = field(default_factory=lambda: SyncReport(""))
    outlier: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)


def quality(
    signals: Signals,
    robot: RobotSpec | None,
    expected_hz: Mapping[str, float] | None = None,
    limits: SyncLimits | None = None,
) -> Quality:
    """Judge one episode; :func:`compare` adds what only a set can tell.

    Args:
        signals: Its numbers.
        robot: The arm with its limits; without it the parts that need them are not measured.
        expected_hz: Rates of topics that are known [Hz].
        limits: What counts as a timing problem.
    """
    sync = sync_report(signals.stamps, expected_hz, limits=limits)
    opening = _opening(signals, robot)
    motion = measure(signals.pose_ns, signals.p_base, signals.arm_ns[: len(opening)], opening)
    parts = (_sync(sync), _smoothness(motion), _limits(signals, robot), _idle(motion), _warnings(signals))
    figures = {} if motion is None else {k: v for k, v in asdict(motion).items() if v is not None}
    return Quality(_score(parts), parts, figures, sync)


def compare(qualities: Mapping[str, Quality]) -> dict[str, Quality]:
    """The same qualities with the part ``typical`` and the outliers of the set.

    Args:
        qualities: By name of the episode.

    Returns:
        By name; unchanged but for a note if there are fewer than five.
    """
    have = {k: [n for n, q in qualities.items() if k in q.figures] for k in FLOORS}
    zs: dict[str, dict[str, float]] = {name: {} for name in qualities}
    for key, names in have.items():
        if len(names) >= SET_MIN:
            values = [qualities[n].figures[key] for n in names]
            for name, z in zip(names, robust_z(values, FLOORS[key]), strict=True):
                zs[name][key] = float(z)
    return {name: _compared(q, zs[name]) for name, q in qualities.items()}


def _compared(q: Quality, z: dict[str, float]) -> Quality:
    outlier: tuple[str, ...] = ()
    part = Part("typical", None, f"needs a set of {SET_MIN} episodes")
    if z:
        worst = max(z, key=lambda k: abs(z[k]))
        part = Part("typical", _falling(abs(z[worst]), 2.0, 2 * Z_OUTLIER), f"{worst} is {z[worst]:+.1f} robust z")
        outlier = tuple(
            f"{k} {q.figures[k]:.3g} is far from the set's median (robust z {v:+.1f})"
            for k, v in z.items()
            if abs(v) > Z_OUTLIER
        )
    parts = (*(p for p in q.parts if p.name != "typical"), part)
    return replace(q, parts=parts, score=_score(parts), outlier=outlier)


def robust_z(values: Sequence[float], floor: float = 0.0) -> Floats:
    r"""Modified z-scores, (N,).

    .. math:: z_i = 0.6745\,(x_i - \tilde x) / \mathrm{MAD}

    B. Iglewicz, D. Hoaglin, "How to detect and handle outliers", ASQC 1993; |z| > 3.5 is an outlier. Where
    more than half of the values are equal the MAD is 0, and 1.2533 times the mean absolute deviation
    takes the place of MAD / 0.6745; where all are equal, every z is 0.

    Args:
        values: What to compare, (N,).
        floor: Least standard deviation taken for usual, in the unit of the values.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        return np.zeros(0)
    away = x - np.median(x)
    scale = float(np.median(np.abs(away))) / 0.6745
    if scale == 0.0:
        scale = 1.2533 * float(np.mean(np.abs(away)))
    scale = max(scale, floor)
    return away / scale if scale > 0 else np.zeros(len(x))


def _score(parts: Sequence[Part]) -> float | None:
    """Weighted mean of what was measured, times 100."""
    known = [(WEIGHTS[p.name], p.score) for p in parts if p.score is not None]
    return 100.0 * sum(w * s for w, s in known) / sum(w for w, _ in known) if known else None


def _falling(value: float, good: float, bad: float) -> float:
    """1 up to ``good``, 0 from ``bad`` on, straight in between."""
    return float(np.clip((bad - value) / (bad - good), 0.0, 1.0))


def _opening(signals: Signals, robot: RobotSpec | None) -> Floats:
    """Opening of the gripper, (M,) in [0, 1]; empty if there is none to know."""
    if robot is None or not robot.gripper_joint or robot.gripper_joint not in signals.joint_names:
        return np.zeros(0)
    closed, opened = robot.gripper_closed_m, robot.gripper_open_m
    q_m = signals.q[:, signals.joint_names.index(robot.gripper_joint)]
    return np.asarray(np.clip((q_m - closed) / (opened - closed), 0.0, 1.0))


def _sync(sync: SyncReport) -> Part:
    if not sync.topics:
        return Part("sync", None, "nothing was recorded")
    n = len(sync.problems)
    why = f"{n} problems, first: {sync.problems[0]}" if n else f"{len(sync.topics)} topics in order"
    return Part("sync", sync.health, why)


def _smoothness(motion: Motion | None) -> Part:
    if motion is None or motion.sparc is None:
        return Part("smoothness", None, "the tool never moved" if motion else "no tool pose was recorded")
    moving_s = motion.seconds - motion.idle_head_s - motion.idle_tail_s
    free = SPARC_FREE + SPARC_PER_S * moving_s
    rate_hz = motion.stop_rate_hz or 0.0
    why = (
        f"as jerky as {rate_hz:.1f} stops a second, SPARC {motion.sparc:.1f} ({-free:.1f} is free in {moving_s:.1f} s)"
    )
    score = min(_falling(-motion.sparc, free, 3 * free), _falling(rate_hz, STOPS_FREE_HZ, STOPS_MAX_HZ))
    return Part("smoothness", score, why)


def _idle(motion: Motion | None) -> Part:
    if motion is None:
        return Part("idle", None, "no tool pose was recorded")
    idle_s = motion.idle_head_s + motion.idle_tail_s
    share = max(0.0, idle_s - IDLE_FREE_S) / motion.seconds
    why = f"{motion.idle_head_s:.1f} s before, {motion.idle_tail_s:.1f} s after the motion of {motion.seconds:.1f} s"
    return Part("idle", _falling(share, 0.0, IDLE_SHARE_MAX), why)


def limit_use(signals: Signals, robot: RobotSpec) -> dict[str, Floats]:
    """How much of each limit every sample uses, (M, nq) by ``position``, ``velocity``, ``torque``; 1 is the limit.

    Position counts from the middle of the range: 0 there, 1 at either end. Empty if nothing was recorded.
    """
    if len(signals.arm_ns) == 0 or not set(robot.joint_names) <= set(signals.joint_names):
        return {}
    order = [signals.joint_names.index(name) for name in robot.joint_names]
    low, high = np.array(robot.q_min_rad), np.array(robot.q_max_rad)
    return {
        "position": np.abs(signals.q[:, order] - (low + high) / 2) / ((high - low) / 2),
        "velocity": np.abs(signals.v[:, order]) / np.array(robot.v_max_rad_s),
        "torque": np.abs(signals.tau[:, order]) / np.array(robot.tau_max_nm),
    }


def _limits(signals: Signals, robot: RobotSpec | None) -> Part:
    if robot is None:
        return Part("limits", None, "the arm's limits are not known on this machine")
    use = limit_use(signals, robot)
    if not use:
        return Part("limits", None, "no joint states of this arm were recorded")
    found, worst = [], 0.0
    for what, share in use.items():
        broken = int((~np.isfinite(share)).any(axis=1).sum())
        if broken:
            return Part("limits", 0.0, f"{broken} joint states are not numbers ({what})")
        near = float((share > NEAR_LIMIT).any(axis=1).mean())
        worst = max(worst, near)
        peak = np.unravel_index(int(share.argmax()), share.shape)
        found.append(f"{what} up to {share.max():.0%} ({robot.joint_names[int(peak[1])]})")
    near_text = f"; beyond {NEAR_LIMIT:.0%} for {worst:.1%} of the time" if worst else ""
    return Part("limits", _falling(worst, 0.0, NEAR_SHARE_MAX), ", ".join(found) + near_text)


def _warnings(signals: Signals) -> Part:
    if not any(len(log) for topic, log in signals.stamps.items() if topic in (DIAGNOSTICS, CONTROL_SOURCE)):
        return Part("warnings", None, "no diagnostics were recorded")
    reasons = {f"{w.node}: {re.sub(r'[0-9.]+', '#', w.reason)}" for w in signals.warned}  # numbers change, reasons stay
    first = f", first: {signals.warned[0].node}: {signals.warned[0].reason}" if signals.warned else ""
    return Part("warnings", _falling(len(reasons), 0.0, 4.0), f"{len(reasons)} reasons{first}")
