"""How far apart two drawn lines are."""

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
