"""Where two ways of doing a task lead: how much of the ground they share, and how far they are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ShapeError
from il_core.geometry import Array

BLOCK = 256  # points compared at once: bounds the memory


def coverage(visited: Array, reference: Array, cell_m: float = 0.03) -> float:
    """Share of the cells that the reference visited which were visited too, in [0, 1].

    Args:
        visited: Positions, (N, D) [m].
        reference: Positions, (M, D) [m].
        cell_m: Edge of a cell [m].

    Raises:
        ShapeError: not two sets of points of one dimension, or an empty one.
    """
    _check(visited, reference, 1)
    cells = {tuple(c) for c in np.floor(reference / cell_m).astype(np.int64)}
    seen = {tuple(c) for c in np.floor(visited / cell_m).astype(np.int64)}
    return len(cells & seen) / len(cells)


def kl_divergence(p: Array, q: Array, k: int = 5, p_path: NDArray[np.int64] | None = None) -> float:
    r"""Estimate of the divergence of the distribution behind one set of points from that behind another [nat].

    .. math:: \hat D(p \| q) = \frac{1}{n} \sum_{i=1}^n
              \left( d \log \frac{\nu_k(i)}{\rho_k(i)} + \log \frac{m}{n_i} \right)

    with :math:`\rho_k(i)` the distance of point i to its k-th neighbour among the :math:`n_i` others of p,
    :math:`\nu_k(i)` to its k-th of the m in q. Wang, Kulkarni and Verdú, "Divergence estimation for multidimensional
    densities via k-nearest-neighbor distances", IEEE Transactions on Information Theory 2009. It is an estimate: noise
    may make it negative.

    The points of one path are no independent draws: a point's neighbours on its own path are near whatever the
    distribution is. So where paths are given, the others are those of other paths.

    Args:
        p: Points, (n, d), n > k.
        q: Points, (m, d), m >= k.
        k: Neighbour that is looked at; more smooths more.
        p_path: Number of the path each point of p is on, (n,); None = independent points.

    Raises:
        ShapeError: not two sets of enough points of one dimension, or fewer than k points beside some path.
    """
    _check(p, q, k)
    path = np.arange(len(p)) if p_path is None else p_path
    _, index, counts = np.unique(path, return_inverse=True, return_counts=True)
    others = len(p) - counts[index]
    if others.min() < k:
        raise ShapeError("p", expected=f"at least {k} points beside those of any path", got=(int(others.min()),))
    n, d = p.shape
    own, other = np.empty(n), np.empty(n)
    for i in range(0, n, BLOCK):
        block = slice(i, i + BLOCK)
        own[block] = _kth(p[block], p, k, is_left_out=path[block, None] == path)
        other[block] = _kth(p[block], q, k)
    tiny = 1e-9  # [m]: points measured twice at the same place have neighbours at no distance
    ratio = np.log(np.maximum(other, tiny) / np.maximum(own, tiny))
    return float(np.mean(d * ratio + np.log(len(q) / others)))


def _kth(points: Array, among: Array, k: int, is_left_out: NDArray[np.bool_] | None = None) -> Array:
    """Distance of each point to its k-th nearest of those that are not left out, (B,)."""
    distance = np.linalg.norm(points[:, None, :] - among, axis=2)
    if is_left_out is not None:
        distance[is_left_out] = np.inf
    return np.asarray(np.partition(distance, k - 1, axis=1)[:, k - 1])


def _check(a: Array, b: Array, least: int) -> None:
    for name, points in (("first set", a), ("second set", b)):
        if points.ndim != 2 or len(points) < least or points.shape[1] != a.shape[1]:
            raise ShapeError(name, expected=f"(N, D), N >= {least}, of one D", got=points.shape)
