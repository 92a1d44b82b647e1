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
    return _taken(previous, times, start_ns, dt_ns, previous.obs_ns)


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


def slowed(plan: ActionChunk, factor: float, kept: int) -> ActionChunk:
    """The same way, ``factor`` times slower after the first ``kept`` rows; as many rows, so it ends on the way.

    Row kept - 1 is the last that both plans share: there the new speed begins, and no instant is asked for twice.

    Args:
        plan: The plan.
        factor: How many times slower, >= 1.
        kept: Rows that stay as they are, because they are settled by the plan before, 1..H.
    """
    j = np.arange(plan.horizon, dtype=np.float64)
    return _warped(plan, np.where(j < kept, j, kept - 1 + (j - kept + 1) / factor))


def quickened(previous: ActionChunk, factor: float, from_ns: int) -> ActionChunk:
    """Undo :func:`slowed` after an instant: what the plan before would be if it went on at the policy's own speed."""
    if factor <= 1.0 or not previous.start_ns <= from_ns < previous.end_ns:
        return previous
    first = (from_ns - previous.start_ns) / previous.dt_ns
    last = first + (previous.horizon - 1 - first) / factor
    j = np.arange(int(last + 1e-6) + 1, dtype=np.float64)  # counted ticks differ from their period by nanoseconds
    return _warped(previous, np.where(j <= first, j, first + (j - first) * factor))


def delayed(plan: ActionChunk, rows: float) -> ActionChunk:
    """The same way, begun so many rows later, which may be a fraction; it ends on the way.

    A policy plans as if the arm moved at its speed from the observation on. An arm that was slow until the plan is in
    force is not as far.
    """
    return _warped(plan, np.maximum(np.arange(plan.horizon) - rows, 0.0)) if rows > 0 else plan


def _warped(plan: ActionChunk, at: Array) -> ActionChunk:
    """A plan that asks in row j for what another one has at ``at[j]`` of its own rows."""
    times = [min(plan.end_ns, plan.start_ns + round(row * plan.dt_ns)) for row in at]
    return _taken(plan, times, plan.start_ns, plan.dt_ns, plan.obs_ns)


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


def brake(previous: ActionChunk, obs_ns: int, start_ns: int, rows: int, kept: int = 1) -> ActionChunk | None:
    r"""Come to rest along the plan before, with a speed that falls evenly to zero.

    The first ``kept`` rows are those of the plan before, which is in force until then. Row kept - 1 + j asks for it at
    :math:`t_0 + \Delta t\,(j - j^2 / 2n)`, with :math:`t_0` the instant of row kept - 1; n rows later it rests. The
    gripper keeps what it was last asked.

    Returns:
        The stopping plan, or None if the plan before does not cover ``start_ns`` (then the arm holds anyway).
    """
    if not previous.start_ns <= start_ns <= previous.end_ns:
        return None
    j = np.arange(rows + 1, dtype=np.float64)
    warped = np.concatenate([np.arange(kept - 1), kept - 1 + j - j**2 / (2 * rows)])
    times = [min(start_ns + round(row * previous.dt_ns), previous.end_ns) for row in warped]
    stop = _taken(previous, times, start_ns, previous.dt_ns, obs_ns)
    if stop.gripper_des is None:
        return stop
    last = stop.gripper_des[kept - 1]
    return replace(stop, gripper_des=np.concatenate([stop.gripper_des[: kept - 1], np.full(rows + 1, last)]))


def _taken(plan: ActionChunk, times: list[int], start_ns: int, dt_ns: int, obs_ns: int) -> ActionChunk:
    """A plan on a grid of its own, made of what another one asks for at some instants."""
    rows = np.array([plan.at(t) for t in times])
    opening, k_p = plan.gripper_des, plan.k_p_des
    is_joint = plan.q_des is not None
    return ActionChunk(
        start_ns,
        dt_ns,
        obs_ns,
        q_des=rows if is_joint else None,
        T_base_ee_des=None if is_joint else rows,
        gripper_des=None if opening is None else np.array([plan.gripper_at(t) for t in times], dtype=np.float64),
        k_p_des=None if k_p is None else np.array([plan.k_p_at(t) for t in times]),
    )


def _between(a: Array, b: Array, weight: float) -> Array:
    """``a`` moved towards ``b`` by a share in [0, 1]; exactly one of them at the ends."""
    if weight <= 0.0 or weight >= 1.0:
        return b if weight >= 1.0 else a
    return interpolate_pose(a, b, weight) if a.ndim == 2 else np.asarray((1 - weight) * a + weight * b)
