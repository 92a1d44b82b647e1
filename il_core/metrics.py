"""How far apart two drawn lines are, and how smoothly one was drawn."""

from __future__ import annotations

import numpy as np

from il_core.errors import ShapeError
from il_core.geometry import Array

BLOCK = 256  # points compared at once: bounds the memory for long, trembling lines
SPACING_M = 0.0005  # finer than what hand-guided demonstrations of one symbol differ by (millimetres)


def arc_length(points: Array) -> Array:
    """Distance travelled along a polyline at each of its points, (N, D) [m] -> (N,) [m]."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def resample(points: Array, spacing_m: float) -> Array:
    """Points at equal distances along a polyline, first and last included, (N, D) -> (M, D) [m].

    The spacing is rounded so that it divides the length; a line of no length gives its one point.
    """
    s = arc_length(points)
    if s[-1] == 0.0:
        return np.array(points[:1])
    is_step = np.concatenate([[True], np.diff(s) > 0])  # np.interp wants increasing abscissae
    at = np.linspace(0.0, s[-1], max(2, round(float(s[-1]) / spacing_m) + 1))
    return np.stack([np.interp(at, s[is_step], column[is_step]) for column in points.T], axis=1)


def distance_to_path(points: Array, path: Array) -> Array:
    r"""Distance of each point to the nearest point of a polyline, (N, D) and (M, D) -> (N,) [m].

    .. math:: d(p) = \min_j \min_{\alpha \in [0, 1]} \| p - a_j - \alpha (a_{j+1} - a_j) \|
    """
    if len(path) == 1:
        return np.asarray(np.linalg.norm(points - path[0], axis=1))
    start, leg = path[:-1], np.diff(path, axis=0)
    length2 = np.maximum((leg**2).sum(axis=1), 1e-18)  # a leg of no length is its start point
    out = np.empty(len(points))
    for i in range(0, len(points), BLOCK):
        offset = points[i : i + BLOCK, None, :] - start
        alpha = np.clip((offset * leg).sum(axis=2) / length2, 0.0, 1.0)  # unitless
        out[i : i + BLOCK] = np.sqrt(((offset - alpha[..., None] * leg) ** 2).sum(axis=2).min(axis=1))
    return out


def path_error(path_a: Array, path_b: Array) -> tuple[float, float]:
    r"""Symmetric distance of two drawn lines in the xy plane; timing and direction play no part.

    Both polylines are resampled every 0.5 mm, so that where one lingered does not count more. With
    :math:`d_i` the distance of each point of either line to the other line,

    .. math:: e_{rms} = \sqrt{\tfrac12 (\overline{d_a^2} + \overline{d_b^2})}, \qquad e_{max} = \max_i d_i

    (the maximum is the Hausdorff distance). What one line has and the other lacks counts fully: a
    drawing that stops half way is far from its model.

    Args:
        path_a: Positions, (N, 2) or (N, 3) [m]; only x and y are used.
        path_b: Positions, (M, 2) or (M, 3) [m].

    Returns:
        Root mean square and maximum [mm].

    Raises:
        ShapeError: a path is not (N, 2) or (N, 3), or has no points.
    """
    for name, path in (("path_a", path_a), ("path_b", path_b)):
        if path.ndim != 2 or path.shape[1] not in (2, 3) or len(path) == 0:
            raise ShapeError(name, expected="(N, 2) or (N, 3), N >= 1", got=path.shape)
    a, b = (resample(np.asarray(p, dtype=np.float64)[:, :2], SPACING_M) for p in (path_a, path_b))
    d_a, d_b = distance_to_path(a, b), distance_to_path(b, a)
    rms = np.sqrt((np.mean(d_a**2) + np.mean(d_b**2)) / 2)
    return float(1e3 * rms), float(1e3 * max(d_a.max(), d_b.max()))


def moving(points: Array, share: float = 0.05) -> Array:
    """A path without the rest before and after it, (N, D) -> (M, D) [m].

    Movement is from the first step to the last that is longer than ``share`` of the longest; points must be
    equally far apart in time. A path that never moves gives no point.
    """
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    if not len(steps) or steps.max() == 0.0:
        return np.array(points[:0])
    moved = np.nonzero(steps > share * steps.max())[0]
    return np.array(points[moved[0] : moved[-1] + 2])


def log_dimensionless_jerk(points: Array, dt_s: float) -> float:
    r"""Smoothness of a movement: 0 would be perfect, the more negative, the more jerky; amplitude and duration cancel.

    .. math:: \eta = -\ln\left(\frac{T^3}{v_{peak}^2} \int_0^T \left\|\frac{d^2 v}{dt^2}\right\|^2 dt\right)

    S. Balasubramanian, A. Melendez-Calderon, A. Roby-Brami and E. Burdet, "On the analysis of movement smoothness",
    Journal of NeuroEngineering and Rehabilitation 12:112, 2015. There v is the speed of a discrete movement; here it
    is the velocity vector, so that a sharp turn at a steady speed counts too, and both agree on a straight line. The
    derivatives are differences, so that only values of one sampling rate may be compared. The movement of least
    jerk (Flash and Hogan 1985) has -ln(204.8) = -5.32.

    Args:
        points: Positions, (N, D) [m], equally far apart in time, without rest before and after (:func:`moving`).
        dt_s: Time between them [s].

    Raises:
        ShapeError: not (N, D) with N >= 5.
        ValueError: no movement, or none that ever changes its speed: its smoothness is not defined.
    """
    if points.ndim != 2 or len(points) < 5:
        raise ShapeError("points", expected="(N, D), N >= 5", got=points.shape)
    velocity = np.diff(points, axis=0) / dt_s
    jerk = np.diff(velocity, n=2, axis=0) / dt_s**2
    peak2 = float((velocity**2).sum(axis=1).max())
    seconds = (len(points) - 1) * dt_s
    amount = float((jerk**2).sum()) * dt_s * seconds**3
    if not (peak2 > 0.0 and amount > 1e-12 * peak2):  # rounding of positions is no jerk
        raise ValueError(f"smoothness needs a movement that begins or ends, got one of {seconds:.2f} s without jerk")
    return float(-np.log(amount / peak2))


def in_time(t_s: Array, points: Array, dt_s: float) -> Array:
    """Positions at equal distances in time, from the first instant on, (N,) and (N, D) -> (M, D); linear between.

    Args:
        t_s: Instants, increasing [s].
        points: Positions at them.
        dt_s: Time between the positions wanted [s].

    Raises:
        ShapeError: not one instant per position, or instants that do not increase.
    """
    if points.ndim != 2 or t_s.shape != (len(points),) or not (np.diff(t_s) > 0.0).all():
        raise ShapeError("t_s", expected=f"({len(points)},), increasing", got=t_s.shape)
    if not len(points):
        return np.array(points)
    at = t_s[0] + dt_s * np.arange(int((t_s[-1] - t_s[0]) / dt_s + 1e-9) + 1)
    return np.stack([np.interp(at, t_s, column) for column in points.T], axis=1)
