"""A doubting arm slows down or stops where it is by then: over hand-overs with latency it is never asked to go back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from serving_world import later
from test_policy import ONNX, calibrated

import il_policy
from il_core.types import ActionChunk
from il_policy.serving.config import Doubt, Handover
from il_policy.serving.handover import blend, brake, delayed, frozen_rows, jump, quickened, slowed

DT, H, N_EXECUTE, SPEED = 100_000_000, 16, 5, 0.1  # SPEED: way per tick


def straight(obs_ns: int, at: float) -> ActionChunk:
    """What a policy plans that is at ``at`` and goes ahead evenly."""
    rows = at + SPEED * np.arange(1, H + 1)[:, None]
    return ActionChunk(obs_ns + DT, DT, obs_ns, q_des=rows, gripper_des=np.linspace(0, 1, H))


def asked(plans: list[ActionChunk], latency_ns: int) -> np.ndarray:
    """What is asked for every 10 ms while plans come late, one every ``N_EXECUTE`` ticks."""
    asked, t_ns = [], plans[0].start_ns
    while t_ns <= plans[-1].end_ns:
        in_force = [p for p in plans if max(p.start_ns, p.obs_ns + latency_ns) <= t_ns] or plans[:1]
        asked.append(float(in_force[-1].at(min(t_ns, in_force[-1].end_ns))[0]))
        t_ns += DT // 10
    return np.array(asked)


@given(st.integers(0, 350_000_000), st.floats(1.0, 10.0))
@example(300_000_000, 3.0)
@settings(max_examples=25, deadline=None)
def test_slow_plans_go_on_from_where_the_arm_is_by_then_at_one_slow_speed(latency_ns, factor):
    frozen = frozen_rows(latency_ns, DT, H)
    plans, slowness = [straight(0, 0.0)], 1.0
    for k in range(1, 5):  # doubt begins with the second plan
        obs_ns = k * N_EXECUTE * DT
        before = quickened(plans[-1], slowness, obs_ns + frozen * DT)
        seen = float(plans[-1].at(obs_ns)[0])  # the arm is where it was asked to be
        fresh = delayed(straight(obs_ns, seen), frozen * (1 - 1 / slowness))
        plans.append(slowed(blend(fresh, before, latency_ns), factor, frozen))
        slowness = factor
    way = np.diff(asked(plans, latency_ns)) / (SPEED / 10)
    assert way.min() > -1e-9 and way.max() < 1 + 1e-9, "it never goes back, and never catches up"
    slow = (N_EXECUTE + frozen) * 10  # ticks of 10 ms until the first slow plan is in force
    assert np.allclose(way[slow:], 1 / factor, atol=1e-6), "slow once, not at every hand-over anew"
    assert all(p.horizon == H and p.dt_ns == DT for p in plans)


@given(st.integers(0, 350_000_000), st.integers(2, 8))
@example(300_000_000, 4)
@settings(max_examples=25, deadline=None)
def test_braking_begins_where_the_plan_before_is_left(latency_ns, rows):
    first = straight(0, 0.0)
    frozen = frozen_rows(latency_ns, DT, H)
    stop = brake(first, N_EXECUTE * DT, (N_EXECUTE + 1) * DT, rows, frozen)
    way = np.diff(asked([first, stop], latency_ns)) / (SPEED / 10)
    assert way.min() > -1e-9 and way.max() < 1 + 1e-9
    assert way[-1] < 1 / rows, "and ends at rest"
    kept = [first.gripper_at(stop.start_ns + j * DT) for j in range(frozen)]
    assert np.allclose(stop.gripper_des[:frozen], kept)
    assert np.all(stop.gripper_des[frozen:] == stop.gripper_des[frozen - 1])


def test_slowing_and_quickening_are_inverse_beyond_the_rows_that_stay():
    fast = straight(0, 0.0)
    again = quickened(slowed(fast, 3.0, 4), 3.0, fast.start_ns + 3 * DT)
    assert 4 < again.horizon < H
    assert np.allclose(again.rows, fast.rows[: again.horizon])
    assert quickened(fast, 1.0, fast.start_ns) is fast


WAYS = [("bc", Handover.BLEND), ("bc", Handover.ENSEMBLE), ("diffusion", Handover.RTC), ("flow", Handover.RTC)]


@pytest.mark.parametrize("latency_ms", [0.0, 250.0])
@pytest.mark.parametrize(("head", "handover"), WAYS, ids=[f"{h} {w.value}" for h, w in WAYS])
def test_doubt_that_begins_goes_on_and_ends_does_not_make_a_served_plan_jump(
    policies, window, tmp_path, head, handover, latency_ms
):
    config = replace(ONNX, handover=handover, latency_ms=latency_ms)
    policy = il_policy.load(calibrated(policies[head][0], tmp_path, is_strange=True), config=config)
    plans = []
    for k, act in enumerate([Doubt.REPORT, Doubt.SLOW, Doubt.SLOW, Doubt.REPORT, Doubt.HOLD]):
        policy.doubt_as(replace(config, doubt=act))
        plans.append(policy.predict(later(window, 3 * k)))
        assert policy.report.is_in_doubt and policy.report.act is act
    for first, second in zip(plans, plans[1:], strict=False):
        in_force_ns = max(second.start_ns, second.obs_ns + int(latency_ms * 1e6))
        assert jump(first, second, in_force_ns) < 1e-6
    frozen = frozen_rows(int(latency_ms * 1e6), DT, H)
    fast, slow = (np.linalg.norm(np.diff(p.rows[:, :3, 3], axis=0), axis=1) for p in plans[:2])
    assert slow[frozen:].mean() < 0.7 * fast.mean()
    assert np.allclose(plans[-1].rows[-1, :3, 3], plans[-1].rows[-2, :3, 3], atol=0.1 * fast.max())
