"""Hostile inputs by the thousand; benchmark/control/gate.py feeds a million. The judge itself is shown to fail."""

import numpy as np
import pytest

from benchmark.control.gate import Judge, _states, fuzz
from il_control.config import load_control_config
from il_core.config import load_setup
from il_core.spec import Interface
from il_core.types import ArmState

SETUP = load_setup("pick_place")
CONFIG = load_control_config(SETUP)


class Sent:
    """What a broken gate might send."""

    def __init__(self, value, gripper=0.5):
        self.tau = self.q_des = self.v_des = value
        self.gripper = gripper


def test_nothing_leaves_outside_the_limits_and_most_reasons_are_met():
    result = fuzz(6_000, 1)
    assert result["outside"] == 0
    assert result["setpoints"] == 6_000
    assert result["stopped"] > 0
    assert result["resumed"] > 0
    assert result["intervened"] < 6_000
    assert len(result["reasons"]) >= 15


HOME = np.array(SETUP.robot.q_home_rad)


@pytest.mark.parametrize("kind", list(Interface))
@pytest.mark.parametrize(
    "values",
    [
        [np.full(7, np.nan)],
        [np.full(6, 0.0)],
        [np.full(7, 1e6)],
        [HOME, HOME + 0.5, HOME],
        [HOME, HOME, HOME, HOME - 2.0],
    ],
)
def test_the_judge_sees_what_is_wrong(kind, values):
    judge = Judge(SETUP, CONFIG)
    scale = 10.0 if kind is Interface.EFFORT else 1.0
    assert any([judge.is_outside(Sent(scale * x), kind) for x in values])


@pytest.mark.parametrize("kind", list(Interface))
def test_the_judge_lets_pass_what_is_right(kind):
    judge = Judge(SETUP, CONFIG)
    still = HOME if kind is Interface.POSITION else np.zeros(7)
    assert not any([judge.is_outside(Sent(still + 1e-6 * k), kind) for k in range(5)])
    assert judge.is_outside(Sent(still, gripper=1.5), kind)


def test_states_with_absurd_numbers_are_part_of_it():
    states = _states(np.random.default_rng(0), Judge(SETUP, CONFIG), 3000)
    assert all(isinstance(s, ArmState) for s in states)
    assert any(len(s.q) != 7 for s in states)
    assert any(np.abs(s.q).max() > 1e200 for s in states)
    assert any(s.stamp_ns < 0 for s in states)
