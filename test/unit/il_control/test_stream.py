"""Targets one by one become a motion: even, never ahead of a target, exact at rest, anew after silence."""

import numpy as np
import pytest

from il_control.stream import ANEW_NS, SLOWER, TargetStream
from il_core.geometry import matrix_from_rotvec, pose, rotvec_from_matrix
from il_core.types import ArmCommand

MS = 1_000_000
SPEED_M_S = 0.2


def target(k, rng=None):
    at_ns = k * 20 * MS if rng is None else int(k * 20 * MS + rng.integers(0, 8) * MS)
    return ArmCommand(at_ns, pose([SPEED_M_S * at_ns * 1e-9, 0.0, 0.4], np.eye(3)), 1.0)


def follow(stream, targets, until_ms):
    wishes, pending = [], list(targets)
    for ms in range(until_ms):
        while pending and pending[0].stamp_ns <= ms * MS:
            stream.offer(pending.pop(0))
        wishes.append(stream.wish(ms * MS))
    return wishes


def test_the_first_target_is_asked_for_as_it_is_and_at_rest():
    stream = TargetStream()
    assert stream.wish(0) is None
    stream.offer(target(3))
    wish = stream.wish(60 * MS)
    assert np.array_equal(wish.T_base_ee_des, target(3).T_base_ee_des)
    assert not wish.rate_des.any()


def test_an_even_motion_is_followed_at_its_speed_a_little_late():
    wishes = follow(TargetStream(), [target(k) for k in range(100)], 1900)
    x = np.array([w.T_base_ee_des[0, 3] for w in wishes[1000:]])
    late_s = np.arange(1000, 1900) * 1e-3 - x / SPEED_M_S
    assert 0.0 < late_s.min()
    assert late_s.max() < (SLOWER + 1.0) * 0.02
    rates = np.array([w.rate_des[0] for w in wishes[1000:]])
    assert rates == pytest.approx(SPEED_M_S, rel=0.02)
    assert np.gradient(x, 1e-3)[5:-5] == pytest.approx(SPEED_M_S, rel=0.03)


def test_targets_that_come_unevenly_cause_no_standstill(rng):
    wishes = follow(TargetStream(), [target(k, rng) for k in range(100)], 1900)
    rates = np.array([w.rate_des[0] for w in wishes[1000:]])
    assert rates.min() > 0.5 * SPEED_M_S
    assert rates.max() < 1.5 * SPEED_M_S


def test_it_comes_to_rest_exactly_at_the_last_target():
    wishes = follow(TargetStream(), [target(k) for k in range(50)], 1100)
    assert np.array_equal(wishes[-1].T_base_ee_des, target(49).T_base_ee_des)
    assert not wishes[-1].rate_des.any()
    x = np.array([w.T_base_ee_des[0, 3] for w in wishes])
    assert (np.diff(x) >= 0.0).all()
    assert x.max() == target(49).T_base_ee_des[0, 3]


def test_a_turn_is_even_too():
    stream = TargetStream()
    turns = [
        ArmCommand(k * 20 * MS, pose([0.4, 0.0, 0.4], matrix_from_rotvec([0.0, 0.0, 0.01 * k])), 1.0) for k in range(60)
    ]
    wish = follow(stream, turns, 1100)[-1]
    assert wish.rate_des[5] == pytest.approx(0.5, rel=0.02)
    assert rotvec_from_matrix(wish.T_base_ee_des[:3, :3])[2] > 0.5


def test_after_silence_it_begins_anew_at_the_target():
    """Where it was says nothing about where the arm is: the check of a first target must see the target itself."""
    stream = TargetStream()
    follow(stream, [target(k) for k in range(50)], 1000)
    far = ArmCommand(1_000 * MS + 2 * ANEW_NS, pose([9.0, 0.0, 0.4], np.eye(3)), 0.0)
    stream.offer(far)
    wish = stream.wish(far.stamp_ns + MS)
    assert np.array_equal(wish.T_base_ee_des, far.T_base_ee_des)
    assert not wish.rate_des.any()
    assert wish.gripper_des == 0.0


def test_a_clock_set_back_begins_anew():
    stream = TargetStream()
    follow(stream, [target(k) for k in range(10)], 200)
    assert np.array_equal(stream.wish(50 * MS).T_base_ee_des, target(9).T_base_ee_des)
