"""Which plan is in force, and when there is none."""

import numpy as np
import pytest

from il_control.tracker import Mode, PlanTracker, rate_at
from il_core.geometry import matrix_from_rotvec, pose
from il_core.types import ActionChunk

MS = 1_000_000


def plan(*, obs_ms, start_ms, q_des=(0.0, 1.0), dt_ms=50):
    """One joint."""
    rows = np.array(q_des, dtype=float)[:, np.newaxis]
    return ActionChunk(start_ns=start_ms * MS, dt_ns=dt_ms * MS, obs_ns=obs_ms * MS, q_des=rows)


@pytest.fixture
def tracker():
    return PlanTracker(max_obs_age_ns=100 * MS)


@pytest.mark.parametrize(
    "now_ms, mode", [(10, Mode.WAITING), (25, Mode.TRACKING), (70, Mode.TRACKING), (71, Mode.FINISHED)]
)
def test_every_instant_has_a_mode(tracker, now_ms, mode):
    tracker.offer(plan(obs_ms=0, start_ms=20))
    assert tracker.mode(now_ms * MS) is mode


def test_a_tracked_plan_gives_target_and_slope(tracker):
    tracker.offer(plan(obs_ms=0, start_ms=20))
    wish = tracker.wish(45 * MS)
    assert wish.q_des[0] == pytest.approx(0.5)
    assert wish.rate_des[0] == pytest.approx(20.0)  # 1 rad in 50 ms
    assert tracker.wish(71 * MS) is None


def test_the_slope_follows_the_segments(tracker):
    tracker.offer(plan(obs_ms=0, start_ms=20, q_des=(0.0, 1.0, 0.5)))
    slopes = [tracker.wish(t * MS).rate_des[0] for t in (20, 45, 69, 70, 95, 120)]
    np.testing.assert_allclose(slopes, [20, 20, 20, -10, -10, 0])


def test_late_inference_does_not_displace_a_fresher_plan(tracker):
    assert tracker.offer(plan(obs_ms=40, start_ms=60))
    assert not tracker.offer(plan(obs_ms=20, start_ms=60, q_des=(5.0, 5.0)))
    assert tracker.wish(60 * MS).q_des[0] == 0.0


def test_a_plan_that_starts_later_waits_its_turn(tracker):
    tracker.offer(plan(obs_ms=0, start_ms=20))
    tracker.wish(20 * MS)
    tracker.offer(plan(obs_ms=30, start_ms=60, q_des=(5.0, 5.0)))
    assert tracker.wish(45 * MS).q_des[0] == pytest.approx(0.5)
    assert tracker.wish(60 * MS).q_des[0] == 5.0


def test_a_plan_that_should_have_begun_is_joined_where_it_would_be_now(tracker):
    tracker.offer(plan(obs_ms=0, start_ms=20))
    assert tracker.wish(60 * MS).q_des[0] == pytest.approx(0.8)


def test_a_plan_on_too_old_an_observation_is_not_followed(tracker):
    tracker.offer(plan(obs_ms=0, start_ms=20, dt_ms=500))
    assert tracker.mode(101 * MS) is Mode.STALE
    assert tracker.wish(150 * MS) is None


def test_a_long_plan_begun_in_time_is_followed_to_its_end(tracker):
    tracker.offer(plan(obs_ms=0, start_ms=20, dt_ms=500))
    assert tracker.mode(20 * MS) is Mode.TRACKING
    assert tracker.mode(519 * MS) is Mode.TRACKING


def test_a_plan_from_the_future_is_not_followed(tracker):
    tracker.offer(plan(obs_ms=50, start_ms=20))
    assert tracker.mode(30 * MS) is Mode.AHEAD


def test_a_plan_from_the_far_future_is_dropped_and_does_not_shut_out_honest_ones(tracker):
    tracker.offer(plan(obs_ms=10_000, start_ms=10_020))
    assert tracker.mode(30 * MS) is Mode.AHEAD
    assert tracker.offer(plan(obs_ms=20, start_ms=40))
    assert tracker.mode(40 * MS) is Mode.TRACKING


def test_a_plan_from_the_far_future_does_not_end_the_one_in_force(tracker):
    tracker.offer(plan(obs_ms=0, start_ms=20))
    assert tracker.mode(20 * MS) is Mode.TRACKING
    tracker.offer(plan(obs_ms=10_000, start_ms=10_020))
    assert tracker.mode(30 * MS) is Mode.TRACKING
    assert not tracker.offer(plan(obs_ms=0, start_ms=40))
    assert tracker.offer(plan(obs_ms=20, start_ms=40))


def test_after_a_reset_with_an_instant_only_plans_on_later_observations_are_taken(tracker):
    tracker.reset(since_ns=100 * MS)
    assert not tracker.offer(plan(obs_ms=99, start_ms=110))
    tracker.offer(plan(obs_ms=10_000, start_ms=10_020))
    tracker.mode(110 * MS)  # drops the one from the future
    assert not tracker.offer(plan(obs_ms=99, start_ms=110))
    assert tracker.offer(plan(obs_ms=100, start_ms=110))


def test_after_a_reset_nothing_is_followed_and_any_plan_is_fresh(tracker):
    tracker.offer(plan(obs_ms=40, start_ms=60))
    tracker.reset()
    assert tracker.mode(60 * MS) is Mode.WAITING
    assert tracker.offer(plan(obs_ms=10, start_ms=60))


def test_result_does_not_depend_on_arrival_order(rng):
    plans = [plan(obs_ms=t, start_ms=t + 20, q_des=(t, t)) for t in range(0, 200, 20)]
    for _ in range(50):
        tracker = PlanTracker(max_obs_age_ns=1000 * MS)
        for k in rng.permutation(len(plans)):
            tracker.offer(plans[k])
        assert tracker.wish(205 * MS).q_des[0] == 180


def test_twist_of_a_pose_plan_is_the_finite_difference_of_its_poses():
    T_0 = np.eye(4)
    T_1 = pose([0.01, 0.0, 0.0], matrix_from_rotvec([0.0, 0.0, 0.02]))
    chunk = ActionChunk(start_ns=0, dt_ns=100 * MS, obs_ns=0, T_base_ee_des=np.stack([T_0, T_1]))
    np.testing.assert_allclose(rate_at(chunk, 50 * MS), [0.1, 0, 0, 0, 0, 0.2], atol=1e-9)
