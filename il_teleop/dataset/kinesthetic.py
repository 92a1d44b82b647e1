"""Action labels of kinesthetic demonstrations: what the arm did next is what was meant."""

from __future__ import annotations

import numpy as np

from il_core.errors import EpisodeError, ShapeError
from il_core.geometry import Array, interpolate_pose


def future_poses(stamps_ns: Array, T_base_ee: Array, ticks_ns: Array, lead_ns: int, max_gap_ns: int) -> Array:
    r"""Measured pose a moment after each tick: the action of a demonstration led by the hand.

    The hand's wish is not measured, but the arm, which weighs nothing while it is guided, is where the
    hand led it. The action of tick :math:`t_k` is the pose at :math:`t_k + \ell`, between two
    measurements on the geodesic. With :math:`\ell` = one tick this is the label ``next_measured``; a
    longer lead makes up for the lag with which a stiff arm follows its targets.

    Args:
        stamps_ns: Instants of the measurements [ns], (N,), rising.
        T_base_ee: Measured tool poses, (N, 4, 4) [m].
        ticks_ns: Ticks [ns], (K,).
        lead_ns: How much later the pose is taken [ns], not negative.
        max_gap_ns: Longest distance of two measurements to interpolate across [ns].

    Returns:
        Actions, (K, 4, 4) [m].

    Raises:
        ShapeError: the arrays do not belong together.
        EpisodeError: an action lies outside of the measurements, or in a hole; nothing is made up.
    """
    stamps, T = np.asarray(stamps_ns, dtype=np.int64), np.asarray(T_base_ee, dtype=np.float64)
    if stamps.ndim != 1 or T.shape != (len(stamps), 4, 4) or len(stamps) < 2:
        raise ShapeError("T_base_ee", expected=f"({len(stamps)}, 4, 4), two rows or more", got=T.shape)
    if lead_ns < 0 or np.any(np.diff(stamps) <= 0):
        raise EpisodeError("kinesthetic labels", "need rising stamps and a lead that is not negative")
    at = np.asarray(ticks_ns, dtype=np.int64) + lead_ns
    if at.min() < stamps[0] or at.max() > stamps[-1]:
        missing_ns = max(stamps[0] - at.min(), at.max() - stamps[-1])
        raise EpisodeError(
            "kinesthetic labels",
            f"the arm was not measured for {missing_ns / 1e6:.0f} ms that an action lies in; leave those ticks out",
        )
    after = np.clip(np.searchsorted(stamps, at, side="right"), 1, len(stamps) - 1)
    span = stamps[after] - stamps[after - 1]
    share = (at - stamps[after - 1]) / span  # unitless
    holes = (span > max_gap_ns) & (share > 0) & (share < 1)
    if holes.any():
        raise EpisodeError(
            "kinesthetic labels",
            f"hole of {span[holes].max() / 1e6:.0f} ms in the measured poses, limit {max_gap_ns / 1e6:.0f} ms",
        )
    pairs = zip(after, share, strict=True)
    return np.array([interpolate_pose(T[k - 1], T[k], float(alpha)) for k, alpha in pairs])


def openings_in_force(stamps_ns: Array, openings: Array, ticks_ns: Array, lead_ns: int) -> Array:
    """Opening asked for a moment after each tick: the last one before it; a wish is not interpolated.

    Args:
        stamps_ns: Instants at which an opening was asked for [ns], (N,), rising.
        openings: Openings, (N,) in [0, 1].
        ticks_ns: Ticks [ns], (K,).
        lead_ns: How much later the opening is taken [ns].

    Returns:
        Openings, (K,).

    Raises:
        EpisodeError: a tick lies before the first opening.
    """
    at = np.searchsorted(stamps_ns, np.asarray(ticks_ns) + lead_ns, side="right") - 1
    if len(at) and at.min() < 0:
        raise EpisodeError("kinesthetic labels", "no opening of the gripper was known at the first tick; leave it out")
    return np.asarray(openings)[at]
