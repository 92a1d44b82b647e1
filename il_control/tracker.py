"""Which plan is in force right now, and what does it ask for?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from il_core.geometry import rotvec_from_matrix
from il_core.types import ActionChunk, Vector

MAX_AHEAD_NS = 100_000_000  # 100 ms: more than clocks of one network differ by, less than any plan is long


class Mode(str, Enum):
    """What the plan in hand says about this instant."""

    WAITING = "no plan in force yet"
    TRACKING = "following a plan"
    FINISHED = "plan ran out"
    STALE = "plan rested on too old an observation when its turn came"
    AHEAD = "plan rests on an observation from the future: clocks disagree"


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What a source asks for at one instant, before shaping and safety.

    Exactly one of ``q_des`` and ``T_base_ee_des`` is given.

    Attributes:
        q_des: Joint positions, (nq,) [rad], or None.
        T_base_ee_des: Tool pose in base, (4, 4) [m], or None.
        rate_des: Velocity of that target: joints (nq,) [rad/s], or twist in axes of base, linear
            first, (6,) [m/s, rad/s].
        gripper_des: Opening in [0, 1], or None to leave the gripper alone.
        k_p_des: Tool stiffness, axes of base, (6,) [N/m, N·m/rad], or None for the controller's own.
    """

    q_des: Vector | None
    T_base_ee_des: Vector | None
    rate_des: Vector
    gripper_des: float | None
    k_p_des: Vector | None = None


class PlanTracker:
    """Follow the plan with the freshest observation.

    Plans are compared by the observation they rest on, never by arrival order: a slow inference
    that lands late must not displace a newer one. A plan that starts later waits its turn, so the
    arm never pauses between two plans; one that should have begun already is joined at this
    instant, its outdated rows are skipped.
    """

    def __init__(self, max_obs_age_ns: int) -> None:
        """Create a tracker with no plan.

        Args:
            max_obs_age_ns: Oldest observation a plan may rest on when its turn comes [ns]; a long
                plan is then followed to its end, and an abandoned one ends by itself.
        """
        self._max_obs_age_ns = max_obs_age_ns
        self.reset()

    def reset(self, since_ns: int | None = None) -> None:
        """Forget all plans; call it between episodes and after a clock jump.

        Args:
            since_ns: Plans on observations before this instant stay refused: inference that was
                under way when the world was reset knows nothing of the new one [ns].
        """
        self._plan: ActionChunk | None = None
        self._next: ActionChunk | None = None
        self._floor_ns = None if since_ns is None else since_ns - 1
        self._newest_obs_ns = self._floor_ns
        self._is_ahead = False
        self._began_ns = self._segment_end_ns = 0
        self._rate: Vector = np.zeros(0)

    def offer(self, plan: ActionChunk) -> bool:
        """Accept a plan if its observation is newer than that of every plan so far."""
        if self._newest_obs_ns is not None and plan.obs_ns <= self._newest_obs_ns:
            return False
        self._newest_obs_ns = plan.obs_ns
        self._next = plan
        return True

    def mode(self, now_ns: int) -> Mode:
        """Say what the plan in force at ``now_ns`` is good for, promoting the next one when due."""
        if self._next is not None and self._next.obs_ns > now_ns + MAX_AHEAD_NS:
            self._drop_next()
        if self._next is not None and now_ns >= self._next.start_ns:
            self._plan, self._next, self._began_ns = self._next, None, now_ns
            self._segment_end_ns, self._is_ahead = now_ns, False
        plan = self._plan
        if plan is None:
            return Mode.AHEAD if self._is_ahead else Mode.WAITING
        if now_ns < plan.obs_ns:
            return Mode.AHEAD
        if self._began_ns - plan.obs_ns > self._max_obs_age_ns:
            return Mode.STALE
        return Mode.FINISHED if now_ns > plan.end_ns else Mode.TRACKING

    def _drop_next(self) -> None:
        """Forget a plan from the future: kept, it would pass for fresher than every honest one."""
        self._next, self._is_ahead = None, True
        self._newest_obs_ns = self._plan.obs_ns if self._plan is not None else self._floor_ns

    def wish(self, now_ns: int) -> Wish | None:
        """What the plan asks for at ``now_ns``; None unless it is being tracked."""
        mode, plan = self.mode(now_ns), self._plan
        if plan is None or mode is not Mode.TRACKING:
            return None
        if now_ns >= self._segment_end_ns:  # the slope changes at rows only
            k = (now_ns - plan.start_ns) // plan.dt_ns
            self._segment_end_ns = plan.start_ns + (k + 1) * plan.dt_ns
            self._rate = rate_at(plan, now_ns)
        rate = self._rate
        target, gripper = plan.at(now_ns), plan.gripper_at(now_ns)
        if plan.q_des is not None:
            return Wish(target, None, rate, gripper)
        return Wish(None, target, rate, gripper, None if plan.k_p_des is None else plan.k_p_at(now_ns))


def rate_at(plan: ActionChunk, t_ns: int) -> Vector:
    """Slope of the segment that ``t_ns`` lies in; zero at the last row.

    Returns:
        Joint velocities (nq,) [rad/s], or twist in axes of base, linear first, (6,).
    """
    k = (t_ns - plan.start_ns) // plan.dt_ns
    rows, dt = plan.rows, plan.dt_ns * 1e-9
    if k + 1 >= len(rows):
        return np.zeros(rows.shape[1] if plan.q_des is not None else 6)
    if plan.q_des is not None:
        return np.asarray((rows[k + 1] - rows[k]) / dt)
    twist = np.empty(6)
    twist[:3] = (rows[k + 1][:3, 3] - rows[k][:3, 3]) / dt
    twist[3:] = rotvec_from_matrix(rows[k + 1][:3, :3] @ rows[k][:3, :3].T) / dt
    return twist
