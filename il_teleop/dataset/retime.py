"""A demonstrated path without its timing: the same line at constant speed, then a rest at its end.

People pause and hurry as they like. A policy that sees only where the tool is cannot know how long a
pause shall last: it would stay for ever. So demonstrations of a path are resampled over its length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from il_core.errors import EpisodeError
from il_core.geometry import Array, interpolate_pose
from il_core.metrics import arc_length

STEP_M = 0.001  # sensor noise at rest is far below this, so a pause adds no length to the path


def without_pauses(poses: Sequence[Array], step_m: float = STEP_M) -> list[Array]:
    """Poses at least ``step_m`` away from the one kept before, and the last pose [m]."""
    kept = [poses[0]]
    for T in poses[1:]:
        if np.linalg.norm(T[:3, 3] - kept[-1][:3, 3]) >= step_m:
            kept.append(T)
    if len(kept) > 1 and np.linalg.norm(poses[-1][:3, 3] - kept[-1][:3, 3]) > 0:
        kept.append(poses[-1])
    return kept


def retime(poses: Sequence[Array], speed_m_s: float, rate_hz: int, rest_ticks: int) -> list[Array]:
    r"""Poses the tool passes at each tick when it follows the path at constant speed.

    Tick k is at the distance :math:`s_k = k\,v / f` from the start, measured along the path: position
    linear and rotation geodesic between the poses kept by :func:`without_pauses`. The last pose is
    repeated ``rest_ticks`` times, because stopping is part of what was shown.

    Args:
        poses: Measured tool poses in order, (4, 4) [m] each.
        speed_m_s: Speed v along the path [m/s].
        rate_hz: Tick rate f [Hz].
        rest_ticks: Ticks of rest at the end.

    Raises:
        EpisodeError: the tool did not move, or the speed is not positive.
    """
    if not speed_m_s > 0:
        raise EpisodeError("retiming", f"speed must be positive, got {speed_m_s} m/s; 0.03 to 0.05 suits drawing")
    kept = without_pauses(poses)
    s = arc_length(np.array([T[:3, 3] for T in kept]))
    if len(kept) < 2:
        raise EpisodeError("retiming", f"the tool moved less than {1e3 * STEP_M:g} mm; record the motion again")
    ticks = np.arange(0.0, s[-1], speed_m_s / rate_hz)
    out = []
    for at in ticks:
        i = min(int(np.searchsorted(s, at, side="right")) - 1, len(kept) - 2)
        alpha = float((at - s[i]) / (s[i + 1] - s[i]))  # unitless fraction of the leg
        out.append(interpolate_pose(kept[i], kept[i + 1], alpha))
    return [*out, *[kept[-1]] * (1 + rest_ticks)]
