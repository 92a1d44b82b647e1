"""Plans follow one another without a jump; slower, braking and averaged plans keep their promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_core.geometry import matrix_from_rotvec, pose
from il_core.types import ActionChunk
from il_policy.serving.anytime import LatencyWindow, StepBudget
from il_policy.serving.handover import (
    Ensemble,
    blend,
    brake,
    frozen_rows,
    jump,
    known_rows,
    slowed,
    turn,
)
from il_policy.serving.rtc import guidance_weight, soft_mask

DT = 100_000_000


def plan(seed: int, obs_ns: int = 0, horizon: int = 16) -> ActionChunk:
    """A wandering tool plan from an observation."""
    rng = np.random.default_rng(seed)
    p = np.cumsum(rng.normal(scale=0.01, size=(horizon, 3)), axis=0) + [0.4, 0.0, 0.2]
    T = np.array([pose(x, matrix_from_rotvec(rng.normal(scale=0.3, size=3))) for x in p])
    return ActionChunk(obs_ns + DT, DT, obs_ns, T_base_ee_des=T, gripper_des=rng.uniform(size=horizon))


seeds = st.integers(0, 10_000)


@given(seeds, seeds, st.integers(0, 900_000_000), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_at_the_hand_over_a_blended_plan_is_where_the_plan_before_is(a, b, latency_ns, ticks):
    old, new = plan(a), plan(b, ticks * DT)
    joined = blend(new, old, latency_ns)
    t_ns = max(new.start_ns, new.obs_ns + latency_ns)  # when the new plan takes over
    if t_ns <= old.end_ns - DT:
        assert jump(old, joined, t_ns) < 1e-9
        assert turn(old, joined, t_ns) < 1e-6
        assert joined.gripper_at(t_ns) == pytest.approx(old.gripper_at(t_ns))
    assert jump(new, joined, new.end_ns) < 1e-12  # beyond the old plan's reach it is the new one
    frozen = min(frozen_rows(latency_ns, DT, 16), known_rows(old, new.start_ns, DT, 16))
    assert np.array_equal(joined.rows[:frozen], [old.at(new.start_ns + j * DT) for j in range(frozen)])


def test_without_blending_the_same_plans_do_jump():
    assert jump(plan(1), plan(2, 4 * DT), 5 * DT) > 0.005


@pytest.mark.parametrize("old", [None, plan(1, -40 * DT)], ids=["no plan before", "one long over"])
def test_with_nothing_to_join_a_plan_stays_itself(old):
    new = plan(2)
    assert blend(new, old, 50_000_000) is new
    assert known_rows(old, new.start_ns, DT, 16) == 0


def test_joint_plans_blend_too():
    old = ActionChunk(DT, DT, 0, q_des=np.zeros((8, 7)))
    new = ActionChunk(3 * DT, DT, 2 * DT, q_des=np.ones((8, 7)))
    joined = blend(new, old, 0)
    assert joined.q_des[0].max() == 0.0 and joined.q_des[-1].min() == 1.0
    assert (np.diff(joined.q_des, axis=0) >= 0).all()


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_ensembling_makes_the_jump_between_consecutive_plans_smaller(seed):
    rng = np.random.default_rng(seed)
    way = plan(seed, horizon=64).rows[:, :3, 3]
    ensemble, raw, averaged = Ensemble(4, 0.01), [], []
    for k in range(12):  # the same way, seen with independent errors
        p = way[k : k + 16] + rng.normal(scale=0.01, size=3)
        T = np.array([pose(x, np.eye(3)) for x in p])
        raw.append(ActionChunk((k + 1) * DT, DT, k * DT, T_base_ee_des=T))
        averaged.append(ensemble.add(raw[-1]))

    def jumps(plans: list[ActionChunk]) -> float:
        return float(np.mean([jump(a, b, b.start_ns) for a, b in zip(plans[4:], plans[5:], strict=False)]))

    assert jumps(averaged) < 0.6 * jumps(raw)


def test_one_plan_averages_to_itself_and_reset_forgets():
    ensemble, first = Ensemble(4, 0.01), plan(1)
    assert np.allclose(ensemble.add(first).rows, first.rows)
    ensemble.reset()
    assert np.allclose(ensemble.add(plan(2)).rows, plan(2).rows)


def test_equal_weights_average_poses_of_three_plans_like_the_mean():
    ensemble, made = Ensemble(3, 0.0), None
    for x in (0.0, 1.0, 5.0):
        made = ensemble.add(ActionChunk(DT, DT, 0, T_base_ee_des=np.array([pose([x, 0, 0], np.eye(3))] * 4)))
    assert np.allclose(made.rows[:, 0, 3], 2.0)


@given(seeds, st.floats(1.0, 10.0), st.integers(1, 16))
@settings(max_examples=20, deadline=None)
def test_a_slowed_plan_takes_the_same_way_at_a_lower_speed_after_the_rows_that_stay(seed, factor, kept):
    fast = plan(seed)
    slow = slowed(fast, factor, kept)
    assert np.allclose(slow.rows[:kept], fast.rows[:kept])
    assert (slow.dt_ns, slow.start_ns, slow.horizon) == (DT, fast.start_ns, fast.horizon)
    last_ns = fast.start_ns + (kept - 1) * DT
    for j in range(kept, 16):
        t_ns = last_ns + round((j - kept + 1) * DT / factor)
        assert np.allclose(slow.rows[j], fast.at(t_ns), atol=1e-6)
        assert slow.gripper_des[j] == pytest.approx(fast.gripper_at(t_ns), abs=1e-6)


def test_braking_begins_on_the_plan_and_ends_at_rest():
    old = plan(3)
    stop = brake(old, 3 * DT, 4 * DT, 6)
    steps = np.linalg.norm(np.diff(stop.rows[:, :3, 3], axis=0), axis=1)
    along = np.array([jump(old, old, 4 * DT)])
    assert jump(old, stop, 4 * DT) == along[0] == 0.0
    assert steps[-1] < 0.2 * steps.max()
    assert set(stop.gripper_des) == {old.gripper_at(4 * DT)}
    assert brake(old, 0, old.end_ns + 1, 6) is None


@given(st.integers(1, 64), st.integers(0, 64), st.integers(0, 64))
def test_weights_of_the_plan_before_fall_from_one_to_zero(horizon, frozen, known):
    frozen, known = sorted((min(frozen, horizon), min(known, horizon)))
    w = soft_mask(horizon, frozen, known)
    assert (w[:frozen] == 1).all() and (w[known:] == 0).all()
    assert (np.diff(w) <= 0).all() and (w >= 0).all() and (w <= 1).all()
    assert (w[frozen:known] > 0).all() and (w[frozen:known] < 1).all()


def test_the_soft_mask_has_the_values_of_the_papers_formula():
    # H = 6, d = 1, k = 4: c = 3/4, 2/4, 1/4
    assert np.allclose(soft_mask(6, 1, 4), [1, 0.48756, 0.18877, 0.041324, 0, 0], atol=1e-5)


@given(st.floats(0.0, 0.999))
def test_the_guidance_weight_is_positive_and_clipped(tau):
    assert 0 < guidance_weight(tau, 5.0) <= 5.0


def test_latency_is_assumed_until_measured_and_then_follows():
    window = LatencyWindow(50)
    assert window.p95_ns() == 50
    for value in (80, 10, 10, 10, 10):
        window.add(value)
    assert 10 < window.p95_ns() <= 80
    for _ in range(200):
        window.add(20)
    assert window.p95_ns() == 20  # the old ones have left the window
    with pytest.raises(ValueError, match="a plan cannot come .* before its observation; clocks differ"):
        window.add(-1)


@given(st.floats(0.1, 50), st.floats(0, 20), st.floats(1, 300))
def test_the_chosen_steps_hold_the_deadline_or_are_the_fewest(step_ms, other_ms, deadline_ms):
    budget = StepBudget(10, 1, deadline_ms)
    assert budget.steps() == 10
    for _ in range(5):
        budget.add(4, 4 * step_ms, other_ms)
    steps = budget.steps()
    assert steps == 1 or other_ms + steps * step_ms <= deadline_ms
    assert steps == 10 or other_ms + (steps + 1) * step_ms > 0.79 * deadline_ms  # not fewer than needed


def test_one_slow_plan_costs_no_steps():
    budget = StepBudget(10, 1, 400.0)
    for step_ms in (2.0, 150.0, 2.0):  # as the first plan after start, or one beside a burst of other work
        budget.add(10, 10 * step_ms, 1.0)
    assert budget.steps() == 10


def test_steps_come_back_when_the_load_is_gone():
    budget = StepBudget(10, 2, 100.0)
    budget.add(10, 1000.0, 1.0)
    assert budget.steps() == 2
    for _ in range(200):
        budget.add(2, 8.0, 1.0)
    assert budget.steps() == 10
