"""The score falls for what it is meant to find, and only for that; published measures keep their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core import topics
from il_teleop.review.motion import log_jerk, measure, moving_span, sparc, stop_rate
from il_teleop.review.quality import SET_MIN, WEIGHTS, compare, limit_use, quality, robust_z
from il_teleop.review.signals import Signals, Warned
from il_teleop.review.sync import StampLog

START_NS = 1_700_000_000_000_000_000
RATE = 100
EMPTY = np.zeros(0, dtype=np.int64), np.zeros(0)


def reach(seconds=2.0, far=0.3):
    """Minimum-jerk reach (Flash and Hogan 1985), (N,) [m]."""
    s = np.arange(0.0, 1.0 + 1e-9, 1.0 / (seconds * RATE))
    return far * (10 * s**3 - 15 * s**4 + 6 * s**5)


def path(x):
    stamps = START_NS + np.arange(len(x)) * 10_000_000
    return stamps, np.column_stack([x, np.zeros(len(x)), np.zeros(len(x))])


def speed(x):
    return np.abs(np.gradient(x, 1 / RATE))


def signals_of(x, robot=None, v=0.1, q=0.0, tau=0.1):
    stamps, p = path(x)
    out = Signals(pose_ns=stamps, p_base=p, start_ns=int(stamps[0]), end_ns=int(stamps[-1]))
    log = StampLog()
    for t in stamps:
        log.append(int(t), int(t) + 1_000_000)
    out.stamps = {topics.EE_POSE: log}
    if robot is not None:
        out.arm_ns, out.joint_names = stamps, (*robot.joint_names, robot.gripper_joint)
        out.q, out.v, out.tau = (np.tile([a, a, 0.04], (len(x), 1)) for a in (q, v, tau))
    return out


def part(q, name):
    return next(p for p in q.parts if p.name == name)


def test_a_single_reach_has_the_published_arc_length():
    assert sparc(speed(reach(1.0))) == pytest.approx(-1.41, abs=0.1)


@given(st.floats(0.5, 4.0), st.floats(0.01, 100.0))
def test_arc_length_does_not_depend_on_amplitude(seconds, factor):
    v = speed(reach(seconds))
    assert sparc(factor * v) == pytest.approx(sparc(v), rel=1e-6)


def test_more_stops_and_more_tremor_are_less_smooth():
    once, twice = reach(2.0), np.concatenate([reach(1.0, 0.15), 0.15 + reach(1.0, 0.15)])
    tremor = once + 0.002 * np.sin(2 * np.pi * 6.0 * np.arange(len(once)) / RATE)
    assert sparc(speed(once)) > sparc(speed(twice))
    assert sparc(speed(once)) > sparc(speed(tremor))
    assert log_jerk(speed(once)) > log_jerk(speed(tremor))


@pytest.mark.parametrize(("reaches", "seconds"), [(1, 2.0), (6, 6.0), (24, 6.0)])
def test_stop_and_go_is_worth_the_stops_it_makes(reaches, seconds):
    x = np.concatenate([k + reach(seconds / reaches, 1.0)[:-1] for k in range(reaches)])
    assert stop_rate(speed(x)) == pytest.approx(reaches / seconds, rel=0.06)


@pytest.mark.parametrize("measure_", [sparc, log_jerk])
@pytest.mark.parametrize("profile", [np.zeros(50), np.zeros(0)])
def test_no_motion_has_no_smoothness(measure_, profile):
    with pytest.raises(ValueError, match="not zero throughout"):
        measure_(profile)


def test_idle_ends_are_found_to_a_tenth_of_a_second():
    x = np.concatenate([np.zeros(150), reach(2.0), np.full(80, 0.3)])
    motion = measure(*path(x), *EMPTY)
    assert motion.idle_head_s == pytest.approx(1.5, abs=0.15)
    assert motion.idle_tail_s == pytest.approx(0.8, abs=0.15)
    assert motion.path_m == pytest.approx(0.3, rel=1e-3)


def test_a_gripper_that_closes_counts_as_motion():
    x = np.zeros(200)
    stamps, p = path(x)
    opening = np.where(np.arange(200) < 100, 1.0, 0.0)
    assert moving_span(stamps, p, *EMPTY) is None
    assert moving_span(stamps, p, stamps, opening) == (int(stamps[100]), int(stamps[100]))


def test_a_good_episode_scores_full_marks(tiny_setup):
    q = quality(signals_of(reach(), tiny_setup.robot), tiny_setup.robot, {topics.EE_POSE: 100.0})
    assert q.score == pytest.approx(100.0)
    assert q.figures["seconds"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"x": np.concatenate([np.zeros(600), reach()])}, "idle"),
        ({"x": reach() + 0.002 * np.sin(2 * np.pi * 8.0 * np.arange(201) / RATE)}, "smoothness"),
        ({"q": 0.99}, "limits"),
        ({"v": 0.99}, "limits"),
        ({"tau": -0.99}, "limits"),
        ({"tau": np.nan}, "limits"),
    ],
)
def test_each_fault_lowers_its_own_part_only(tiny_setup, change, name):
    values = {"x": reach(), "robot": tiny_setup.robot} | change
    q = quality(signals_of(**values), tiny_setup.robot, {topics.EE_POSE: 100.0})
    assert part(q, name).score < 0.6
    assert all(p.score in (None, 1.0) for p in q.parts if p.name != name)


def test_limits_are_shares_of_the_robots_own(tiny_setup):
    use = limit_use(signals_of(reach(), tiny_setup.robot, q=0.5, v=-0.25, tau=0.125), tiny_setup.robot)
    assert {k: float(u.max()) for k, u in use.items()} == {"position": 0.5, "velocity": 0.25, "torque": 0.125}


def test_what_could_not_be_measured_weighs_nothing_and_says_so():
    q = quality(signals_of(reach()), None)
    assert part(q, "limits").score is None
    assert "not known on this machine" in part(q, "limits").why
    assert q.score == pytest.approx(100.0)
    assert quality(Signals(), None).score is None


def test_warnings_of_the_nodes_are_counted_by_reason(tiny_setup):
    signals = signals_of(reach())
    signals.stamps["/diagnostics"] = signals.stamps[topics.EE_POSE]
    assert part(quality(signals, None), "warnings").score == 1.0
    reasons = ("3.5 ms late", "7.1 ms late", "b")  # the same reason with another number counts once
    signals.warned = tuple(Warned(START_NS, "WARN", "controller", reason) for reason in reasons)
    found = part(quality(signals, None), "warnings")
    assert found.score == pytest.approx(0.5)
    assert "2 reasons" in found.why


def test_an_episode_unlike_the_others_is_listed():
    many = {f"e{k}": quality(signals_of(reach(2.0 + 0.1 * k)), None) for k in range(6)}
    many["odd"] = quality(signals_of(reach(12.0, 0.9)), None)
    found = compare(many)
    assert [name for name, q in found.items() if q.outlier] == ["odd"]
    assert any("seconds 12" in reason for reason in found["odd"].outlier)
    assert found["odd"].score < found["e1"].score


def test_few_episodes_are_not_compared():
    few = {f"e{k}": quality(signals_of(reach(1.0 + 3 * k)), None) for k in range(SET_MIN - 1)}
    assert all(part(q, "typical").score is None and not q.outlier for q in compare(few).values())


def test_near_copies_have_no_outliers():
    many = {f"e{k}": quality(signals_of(reach(2.0, 0.3 + 1e-4 * (k == 3))), None) for k in range(8)}
    assert not any(q.outlier for q in compare(many).values())


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30), st.floats(0.1, 10.0), st.floats(-100.0, 100.0))
def test_robust_z_does_not_depend_on_unit_or_origin(values, scale, shift):
    z = robust_z(values)
    assert np.isfinite(z).all()
    if np.ptp(values) > 1e-3:
        assert np.allclose(robust_z([scale * v + shift for v in values]), z, rtol=1e-3, atol=1e-3)


def test_robust_z_keeps_its_published_constant():
    assert robust_z([0.0, 1.0, 2.0, 3.0, 4.0])[-1] == pytest.approx(0.6745 * 2.0 / 1.0)
    assert robust_z([7.0] * 5).tolist() == [0.0] * 5


def test_weights_add_up_to_one():
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
