"""Arms without a gripper, and grippers that turn or are closed above zero, through messages and back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core.config import load_robot
from il_core.wire import JointMap, arm_state_from

ROBOT = load_robot("fr3")[0]


def message(names: list[str], position: list[float]) -> SimpleNamespace:
    stamp = SimpleNamespace(sec=1, nanosec=0)
    rest = [0.0] * len(names)
    header = SimpleNamespace(stamp=stamp)
    return SimpleNamespace(header=header, name=names, position=position, velocity=rest, effort=rest)


@given(
    st.floats(-2.0, 2.0, allow_subnormal=False),
    st.floats(-2.0, 2.0, allow_subnormal=False),
    st.floats(0.0, 1.0, allow_subnormal=False),
)
def test_an_opening_survives_the_way_to_the_joint_and_back(opened, closed, opening):
    if abs(opened - closed) < 1e-3:
        return
    joints = JointMap(replace(ROBOT, gripper_open_m=opened, gripper_closed_m=closed))
    assert joints.m_from_opening(1.0) == pytest.approx(opened, abs=1e-9)
    assert joints.m_from_opening(0.0) == closed
    assert joints.opening_from_m(joints.m_from_opening(opening)) == pytest.approx(opening, abs=1e-9)


def test_an_arm_without_a_gripper_has_states_of_its_joints_alone():
    robot = replace(ROBOT, gripper_joint="")
    joints = JointMap(robot)
    assert joints.names_with_gripper == list(robot.joint_names)
    q = list(np.linspace(-0.3, 0.3, 7))
    state = arm_state_from(message(list(robot.joint_names)[::-1], q[::-1]), joints)
    np.testing.assert_array_equal(state.q, q)
    assert state.gripper == 1.0
