"""Where two ways of doing a task lead: how much of the ground they share, and how far they are apart."""

from __future__ import annotations

import numpy as np

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


def kl_divergence(p: Array, q: Array, k: int = 5) -> float:
    r"""Estimate of the divergence of the distribution behind one set of points from that behind another [nat].

    .. math:: \hat D(p \| q) = \frac{d}{n} \sum_{i=1}^n \log \frac{\nu_k(i)}{\rho_k(i)} + \log \frac{m}{n - 1}

    with :math:`\rho_k(i)` the distance of point i to its k-th neighbour among the others of p, :math:`\nu_k(i)` to
    its k-th in q. Wang, Kulkarni and Verdú, "Divergence estimation for multidimensional densities via k-nearest-
    neighbor distances", IEEE Transactions on Information Theory 2009. It is an estimate: noise may make it negative.

    Args:
        p: Points, (n, d), n > k.
        q: Points, (m, d), m >= k.
        k: Neighbour that is looked at; more smooths more.

    Raises:
        ShapeError: not two sets of enough points of one dimension.
    """
    _check(p, q, k)
    if len(p) <= k:
        raise ShapeError("p", expected=f"more than {k} points", got=p.shape)
    n, d = p.shape
    own, other = np.empty(n), np.empty(n)
    for i in range(0, n, BLOCK):
        block = p[i : i + BLOCK]
        own[i : i + BLOCK] = _kth(block, p, k + 1)  # the nearest of its own set is the point itself
        other[i : i + BLOCK] = _kth(block, q, k)
    tiny = 1e-9  # [m]: points measured twice at the same place have neighbours at no distance
    return float(d * np.mean(np.log(np.maximum(other, tiny) / np.maximum(own, tiny))) + np.log(len(q) / (n - 1)))


def _kth(points: Array, among: Array, k: int) -> Array:
    """Distance of each point to its k-th nearest, (B,)."""
    distance = np.linalg.norm(points[:, None, :] - among, axis=2)
    return np.asarray(np.partition(distance, k - 1, axis=1)[:, k - 1])


def _check(a: Array, b: Array, least: int) -> None:
    for name, points in (("first set", a), ("second set", b)):
        if points.ndim != 2 or len(points) < least or points.shape[1] != a.shape[1]:
            raise ShapeError(name, expected=f"(N, D), N >= {least}, of one D", got=points.shape)
