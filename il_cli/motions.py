"""Short motions that scripts ask for: a smooth straight line of the tool."""

from __future__ import annotations

import numpy as np

from il_core.geometry import Array, interpolate_pose
from il_core.types import ActionChunk

DT_NS = 20_000_000  # 50 Hz: dense enough that linear interpolation shows no corner
LEAD_NS = 50_000_000  # the first row lies this far ahead, so that the chunk is not late on arrival


def straight_line(T_from: Array, T_to: Array, seconds: float, now_ns: int, gripper: float) -> ActionChunk:
    r"""Pose chunk from one pose to another with zero speed and acceleration at both ends.

    .. math:: s(u) = 10 u^3 - 15 u^4 + 6 u^5, \quad u = t / T

    Flash and Hogan, "The coordination of arm movements", J. Neurosci. 1985: minimum jerk.

    Args:
        T_from: Pose to start from, (4, 4) [m].
        T_to: Pose to end at, (4, 4) [m].
        seconds: Duration [s], positive.
        now_ns: Current instant, the ROS clock [ns].
        gripper: Opening kept meanwhile, in [0, 1].

    Raises:
        ValueError: ``seconds`` is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"straight_line: seconds must be positive, got {seconds}")
    rows = max(2, round(seconds * 1e9 / DT_NS) + 1)
    u = np.linspace(0.0, 1.0, rows)
    s = 10 * u**3 - 15 * u**4 + 6 * u**5
    return ActionChunk(
        start_ns=now_ns + LEAD_NS,
        dt_ns=DT_NS,
        obs_ns=now_ns,
        T_base_ee_des=np.stack([interpolate_pose(T_from, T_to, float(a)) for a in s]),
        gripper_des=np.full(rows, gripper),
    )
