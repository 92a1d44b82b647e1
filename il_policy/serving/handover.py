"""How one plan follows another without a jump, on plans in absolute time: pure functions of chunks."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from il_core.geometry import interpolate_pose, rotvec_from_matrix
from il_core.types import ActionChunk
from il_policy.serving.rtc import soft_mask

Array = NDArray[np.float64]


def frozen_rows(latency_ns: int, dt_ns: int, horizon: int) -> int:
    r"""Rows of a new plan that are settled by the one before, 1..horizon.

    Row j is wanted at ``obs + (j + 1) dt``. Those up to ``obs + latency`` pass before the plan is in force;
    one more, because between rows a plan is interpolated: :math:`d = \lfloor latency / dt \rfloor + 1`.
    """
    return min(horizon, max(0, latency_ns) // dt_ns + 1)


def known_rows(previous: ActionChunk | None, start_ns: int, dt_ns: int, horizon: int) -> int:
    """Rows of a new plan, from its first on, that the plan before covers too, 0..horizon."""
    if previous is None or not previous.start_ns <= start_ns <= previous.end_ns:
        return 0
    return min(horizon, (previous.end_ns - start_ns) // dt_ns + 1)


def resampled(previous: ActionChunk, start_ns: int, dt_ns: int, horizon: int) -> ActionChunk:
    """The plan before on the time grid of a new one, H rows; held where it does not reach."""
    grid = start_ns + dt_ns * np.arange(horizon)
    times = [int(t) for t in np.clip(grid, previous.start_ns, previous.end_ns)]
    rows = np.array([previous.at(t) for t in times])
    opening, k_p = previous.gripper_des, previous.k_p_des
    is_joint = previous.q_des is not None
    return ActionChunk(
        start_ns,
        dt_ns,
        previous.obs_ns,
        q_des=rows if is_joint else None,
        T_base_ee_des=None if is_joint else rows,
        gripper_des=None if opening is None else np.array([previous.gripper_at(t) for t in times], dtype=np.float64),
        k_p_des=None if k_p is None else np.array([previous.k_p_at(t) for t in times]),
    )


def mixed(plan: ActionChunk, other: ActionChunk, weights: Array) -> ActionChunk:
    """Every row of a plan moved towards that of another on the same grid, by shares (H,) in [0, 1].

    Rotations go the shortest way. A gripper or stiffness that only one of them has stays the plan's.
    """
    rows = np.array([_between(a, b, w) for a, b, w in zip(plan.rows, other.rows, weights, strict=True)])
    opening, k_p = plan.gripper_des, plan.k_p_des
    if opening is not None and other.gripper_des is not None:
        opening = (1 - weights) * opening + weights * other.gripper_des
    if k_p is not None and other.k_p_des is not None:
        k_p = (1 - weights)[:, None] * k_p + weights[:, None] * other.k_p_des
    if plan.q_des is not None:
        return replace(plan, q_des=rows, gripper_des=opening)
    return replace(plan, T_base_ee_des=rows, gripper_des=opening, k_p_des=k_p)


def blend(plan: ActionChunk, previous: ActionChunk | None, latency_ns: int) -> ActionChunk:
    """Cross-fade from the plan before to a new one, row by row with the weights of real-time chunking.

    Frozen rows are those of the plan before, exactly. For policies that make a chunk in one pass (ACT,
    behaviour cloning), where guidance has nothing to act on.
    """
    known = known_rows(previous, plan.start_ns, plan.dt_ns, plan.horizon)
    if previous is None or known == 0 or (previous.q_des is None) != (plan.q_des is None):
        return plan
    frozen = min(known, frozen_rows(latency_ns, plan.dt_ns, plan.horizon))
    weights = soft_mask(plan.horizon, frozen, known)
    return mixed(plan, resampled(previous, plan.start_ns, plan.dt_ns, plan.horizon), weights)


def with_frozen(plan: ActionChunk, previous: ActionChunk, frozen: int) -> ActionChunk:
    """The plan with its first rows replaced by what the plan before says about their instants."""
    is_frozen = (np.arange(plan.horizon) < frozen).astype(np.float64)
    return mixed(plan, resampled(previous, plan.start_ns, plan.dt_ns, plan.horizon), is_frozen)


class Ensemble:
    r"""Average of what the last plans say about the same instants.

    .. math:: x(t) = \sum_i w_i\,x_i(t) \Big/ \sum_i w_i, \qquad w_i = e^{-m i},\ i = 0 \text{ the oldest}

    Zhao et al., "Learning fine-grained bimanual manipulation with low-cost hardware" (ACT), RSS 2023,
    section IV-A, here over plans in absolute time, so that inference need not run at every tick. Rotations
    are averaged pairwise along the shortest way, with the same weights.
    """

    def __init__(self, plans: int, decay: float) -> None:
        """Begin empty.

        Args:
            plans: Plans averaged, the newest included.
            decay: m; larger trusts older plans more.
        """
        self._plans: deque[ActionChunk] = deque(maxlen=plans)
        self._decay = decay

    def reset(self) -> None:
        """Forget all plans."""
        self._plans.clear()

    def add(self, plan: ActionChunk) -> ActionChunk:
        """The new plan averaged with the ones before where they reach; time that goes back begins anew."""
        if self._plans and plan.start_ns < self._plans[-1].start_ns:
            self.reset()
        self._plans.append(plan)
        averaged, total = plan, np.zeros(plan.horizon)
        for i, old in enumerate(self._plans):
            if (old.q_des is None) != (plan.q_des is None) or (old.gripper_des is None) != (plan.gripper_des is None):
                continue
            reach = plan.horizon if old is plan else known_rows(old, plan.start_ns, plan.dt_ns, plan.horizon)
            weight = np.where(np.arange(plan.horizon) < reach, np.exp(-self._decay * i), 0.0)
            total += weight
            theirs = old if old is plan else resampled(old, plan.start_ns, plan.dt_ns, plan.horizon)
            averaged = mixed(averaged, theirs, weight / np.where(total > 0, total, 1.0))
        return averaged


def jump(previous: ActionChunk, plan: ActionChunk, t_ns: int) -> float:
    """Distance of two plans at one instant both cover [m, or rad for joints].

    Raises:
        PlanRangeError: one of them does not cover it.
    """
    a, b = previous.at(t_ns), plan.at(t_ns)
    return float(np.linalg.norm(a - b) if plan.q_des is not None else np.linalg.norm(a[:3, 3] - b[:3, 3]))


def turn(previous: ActionChunk, plan: ActionChunk, t_ns: int) -> float:
    """Angle between two pose plans at one instant both cover [rad]."""
    a, b = previous.at(t_ns), plan.at(t_ns)
    return float(np.linalg.norm(rotvec_from_matrix(a[:3, :3] @ b[:3, :3].T)))


def slowed(plan: ActionChunk, factor: float) -> ActionChunk:
    """The same way, ``factor`` times as long; factor >= 1."""
    return replace(plan, dt_ns=int(plan.dt_ns * factor))


def ahead(plan: ActionChunk, lead_ns: int) -> ActionChunk:
    """The same rows, each ``lead_ns`` earlier; without those that would be wanted before the observation.

    Of a plan that is shorter than that its last row is left: where the arm shall come to rest.
    """
    if lead_ns == 0:
        return plan
    start_ns = plan.start_ns - lead_ns
    gone = max(0, -((start_ns - plan.obs_ns - 1) // plan.dt_ns))
    kept = np.minimum(np.arange(gone, max(plan.horizon, gone + 2)), plan.horizon - 1)
    gripper, k_p = plan.gripper_des, plan.k_p_des
    return ActionChunk(
        start_ns + gone * plan.dt_ns,
        plan.dt_ns,
        plan.obs_ns,
        q_des=None if plan.q_des is None else plan.q_des[kept],
        T_base_ee_des=None if plan.T_base_ee_des is None else plan.T_base_ee_des[kept],
        gripper_des=None if gripper is None else gripper[kept],
        k_p_des=None if k_p is None else k_p[kept],
    )


def brake(previous: ActionChunk, obs_ns: int, start_ns: int, rows: int) -> ActionChunk | None:
    r"""Come to rest along the plan before, with a speed that falls evenly to zero.

    Row j asks for the plan before at :math:`t_0 + \Delta t\,(j - j^2 / 2n)`, n rows later it rests. The gripper
    keeps what it was last asked.

    Returns:
        The stopping plan, or None if the plan before does not cover ``start_ns`` (then the arm holds anyway).
    """
    if not previous.start_ns <= start_ns <= previous.end_ns:
        return None
    j = np.arange(rows + 1, dtype=np.float64)
    warped = start_ns + previous.dt_ns * (j - j**2 / (2 * rows))
    times = [int(t) for t in np.minimum(warped, previous.end_ns)]
    targets = np.array([previous.at(t) for t in times])
    opening = previous.gripper_at(start_ns)
    gripper = None if opening is None else np.full(len(times), opening)
    if previous.q_des is not None:
        return ActionChunk(start_ns, previous.dt_ns, obs_ns, q_des=targets, gripper_des=gripper)
    k_p = None if previous.k_p_des is None else np.array([previous.k_p_at(t) for t in times])
    return ActionChunk(start_ns, previous.dt_ns, obs_ns, T_base_ee_des=targets, gripper_des=gripper, k_p_des=k_p)


def _between(a: Array, b: Array, weight: float) -> Array:
    """``a`` moved towards ``b`` by a share in [0, 1]; exactly one of them at the ends."""
    if weight <= 0.0 or weight >= 1.0:
        return b if weight >= 1.0 else a
    return interpolate_pose(a, b, weight) if a.ndim == 2 else np.asarray((1 - weight) * a + weight * b)
