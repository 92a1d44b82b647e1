"""First come, first served."""

import itertools

from il_control.arbiter import Arbiter, Source


def test_the_one_in_charge_keeps_the_arm_until_it_falls_silent():
    arbiter = Arbiter()
    assert arbiter.choose(has_teleop=False, has_plan=True) is Source.PLAN
    assert arbiter.choose(has_teleop=True, has_plan=True) is Source.PLAN
    assert arbiter.choose(has_teleop=True, has_plan=False) is Source.TELEOP
    assert arbiter.choose(has_teleop=True, has_plan=True) is Source.TELEOP
    assert arbiter.choose(has_teleop=False, has_plan=False) is Source.HOLD


def test_a_person_comes_first_when_both_begin_together():
    assert Arbiter().choose(has_teleop=True, has_plan=True) is Source.TELEOP


def test_nobody_silent_ever_drives():
    for steps in itertools.product([(a, b) for a in (0, 1) for b in (0, 1)], repeat=4):
        arbiter = Arbiter()
        for has_teleop, has_plan in steps:
            source = arbiter.choose(has_teleop=bool(has_teleop), has_plan=bool(has_plan))
            assert source is not Source.TELEOP or has_teleop
            assert source is not Source.PLAN or has_plan
            assert source is not Source.HOLD or not (has_teleop or has_plan)
