"""How well a motion was shown: idle ends, smoothness, length; pure functions of a tool path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 100.0  # paths are resampled to it; people move below 10 Hz
FC_HZ, AMPLITUDE, PAD = 10.0, 0.05, 4  # Balasubramanian et al. 2015, as published
MOVED_M, MOVED_OPENING = 0.001, 0.02  # below: hand tremor, not intent (as `il dataset build` cuts)
REACH_JERK = 720.0 / 1.875**2  # T^3 / v_max^2 times the integral of squared jerk of a minimum-jerk reach
PAUSE_M_S = 0.005  # slower counts as a pause inside the motion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Motion:
    """A tool path in numbers.

    Attributes:
        seconds: Duration of what was recorded [s].
        path_m: Length of the path [m].
        idle_head_s: Before the first intended motion [s].
        idle_tail_s: After the last intended motion [s].
        pause_share: Share of the time between them slower than 5 mm/s, in [0, 1].
        speed_p95_m_s: 95th percentile of the speed while moving [m/s].
        sparc: Spectral arc length of the speed while moving, unitless, negative; nearer 0 is smoother.
            None if it never moved.
        stop_rate_hz: As jerky as this many stops per second [Hz], see :func:`stop_rate`. None if it never moved.
    """

    seconds: float
    path_m: float
    idle_head_s: float
    idle_tail_s: float
    pause_share: float
    speed_p95_m_s: float
    sparc: float | None
    stop_rate_hz: float | None


def measure(stamps_ns: Ints, p_m: Floats, opening_ns: Ints, opening: Floats) -> Motion | None:
    """Measure a path; None of fewer than three samples.

    Args:
        stamps_ns: Stamps of the positions, (N,) [ns], increasing.
        p_m: Positions, (N, 3) [m].
        opening_ns: Stamps of the gripper's opening, (M,) [ns]; may be empty.
        opening: Opening in [0, 1], (M,).
    """
    if len(stamps_ns) < 3 or stamps_ns[-1] <= stamps_ns[0]:
        return None
    seconds = float(stamps_ns[-1] - stamps_ns[0]) / 1e9
    t = np.arange(0.0, seconds, 1.0 / RATE_HZ)
    at = (stamps_ns - stamps_ns[0]) / 1e9
    is_step = np.concatenate([[True], np.diff(at) > 0])  # np.interp wants increasing abscissae
    p = np.stack([np.interp(t, at[is_step], column[is_step]) for column in p_m.T], axis=1)
    span = moving_span(stamps_ns, p_m, opening_ns, opening)
    if span is None or len(t) < 4:
        return Motion(seconds, 0.0, seconds, 0.0, 0.0, 0.0, None, None)
    head, tail = (span[0] - stamps_ns[0]) / 1e9, (stamps_ns[-1] - span[1]) / 1e9
    speed = np.linalg.norm(np.gradient(p, 1.0 / RATE_HZ, axis=0), axis=1)
    moving = speed[(t >= head) & (t <= seconds - tail)]
    path = float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum())
    if len(moving) < 4 or moving.max() <= 0:
        return Motion(seconds, path, head, tail, 0.0, 0.0, None, None)
    pause, p95 = float((moving < PAUSE_M_S).mean()), float(np.percentile(moving, 95))
    return Motion(seconds, path, head, tail, pause, p95, sparc(moving), stop_rate(moving))


def moving_span(stamps_ns: Ints, p_m: Floats, opening_ns: Ints, opening: Floats) -> tuple[int, int] | None:
    """First and last instant of intended motion [ns]; None if nothing ever moved.

    Intent is a tool more than 1 mm away from where it was first (or will be last), or a gripper that
    opened or closed by 2 %.
    """
    first, last = [], []
    for stamps, values, limit in ((stamps_ns, p_m, MOVED_M), (opening_ns, opening.reshape(-1, 1), MOVED_OPENING)):
        if len(stamps) == 0:
            continue
        away = np.flatnonzero(np.linalg.norm(values - values[0], axis=1) > limit)
        left = np.flatnonzero(np.linalg.norm(values - values[-1], axis=1) > limit)
        if len(away) and len(left):
            first.append(int(stamps[away[0]]))
            last.append(int(stamps[min(left[-1] + 1, len(stamps) - 1)]))
    return (min(first), max(last)) if first else None


def sparc(speed: Floats, rate_hz: float = RATE_HZ) -> float:
    r"""Spectral arc length of a speed profile.

    .. math:: -\int_0^{\omega_c} \sqrt{(1/\omega_c)^2 + (d\hat V / d\omega)^2}\, d\omega, \quad
              \hat V(\omega) = V(\omega) / V_{max}

    with :math:`\omega_c` the last frequency up to 10 Hz at which :math:`\hat V \ge 0.05`. S. Balasubramanian,
    A. Melendez-Calderon, A. Roby-Brami, E. Burdet, "On the analysis of movement smoothness", J. NeuroEng.
    Rehab. 12:112, 2015. :math:`V_{max}` is the largest of the spectrum, as in the authors' program. A single
    reach gives about -1.5; each further movement or stop adds to it.

    Args:
        speed: Speed at equal steps, (N,), not all zero.
        rate_hz: Sample rate [Hz].

    Raises:
        ValueError: fewer than two samples, or a speed that is zero throughout.
    """
    if len(speed) < 2 or not np.any(speed):
        raise ValueError(f"need a speed profile that is not zero throughout, got {len(speed)} samples")
    n = 2 ** (int(np.ceil(np.log2(len(speed)))) + PAD)
    amplitude = np.abs(np.fft.rfft(speed, n))
    amplitude /= amplitude.max()
    f = np.fft.rfftfreq(n, 1.0 / rate_hz)
    kept = np.flatnonzero((f <= FC_HZ) & (amplitude >= AMPLITUDE))
    f, amplitude = f[kept[0] : kept[-1] + 1], amplitude[kept[0] : kept[-1] + 1]
    if len(f) < 2:
        return 0.0
    return -float(np.hypot(np.diff(f) / (f[-1] - f[0]), np.diff(amplitude)).sum())


def log_jerk(speed: Floats, rate_hz: float = RATE_HZ) -> float:
    r"""Log dimensionless jerk of a speed profile.

    .. math:: -\ln\Bigl( \frac{T^3}{v_{max}^2} \int_0^T \ddot v(t)^2\, dt \Bigr)

    N. Hogan, D. Sternad, "Sensitivity of smoothness measures to movement duration, amplitude, and arrests",
    J. Motor Behavior 41(6), 2009; in this form Balasubramanian et al. 2015. Below -30 for trembling motion.

    Args:
        speed: Speed at equal steps, (N,), N >= 4, not all zero.
        rate_hz: Sample rate [Hz].

    Raises:
        ValueError: fewer than four samples, or a speed that is zero throughout.
    """
    if len(speed) < 4 or not np.any(speed):
        raise ValueError(f"need a speed profile of four samples that is not zero throughout, got {len(speed)}")
    dt = 1.0 / rate_hz
    jerk = np.diff(speed, 2) / dt**2
    duration = len(speed) * dt
    dimensionless = float((jerk**2).sum() * dt * duration**3 / speed.max() ** 2)
    return -float(np.log(max(dimensionless, 1e-12)))


def stop_rate(speed: Floats, rate_hz: float = RATE_HZ) -> float:
    r"""Stops per second of the stop-and-go motion that is as jerky as this one [Hz].

    A minimum-jerk reach (Flash and Hogan 1985) has the log dimensionless jerk :math:`-\ln 204.8`, and N such
    reaches in a row have :math:`-\ln(204.8\,N^4)`. So the N that a motion is worth, per second, is

    .. math:: f = \frac1T \Bigl( \frac{e^{-LDLJ}}{204.8} \Bigr)^{1/4}

    which, unlike the log dimensionless jerk itself, does not grow with the length of the task.
    """
    return float(np.exp((-log_jerk(speed, rate_hz) - np.log(REACH_JERK)) / 4.0)) * rate_hz / len(speed)
