"""A controller of ros2_control gets the right quantity, each joint by its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_control.drivers.ros2_control import TOPICS, CommandMap, Output, default_topic, quantity
from il_core.config import load_robot
from il_core.errors import ConfigError, DeviceError, JointSetError
from il_core.spec import Interface
from il_core.types import Setpoint

ROBOT = load_robot("panda")[0]
NAMES = list(ROBOT.joint_names)
KEYS = {Interface.EFFORT: "tau", Interface.POSITION: "q_des", Interface.VELOCITY: "v_des"}


def setpoint(interface: Interface, values: np.ndarray) -> Setpoint:
    return Setpoint(1, **{"tau": None, "gripper": 0.5} | {KEYS[interface]: values})


@given(st.permutations(NAMES), st.sampled_from(Interface))
def test_every_joint_gets_its_own_number_in_any_order(names, interface):
    values = np.random.default_rng(0).normal(size=7)
    sent = CommandMap(replace(ROBOT, interface=interface), tuple(names)).values(setpoint(interface, values))
    assert dict(zip(names, sent, strict=True)) == dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (NAMES[:-1], r"missing \['panda_joint7'\]"),
        ([*NAMES[:-1], "elbow"], r"unexpected \['elbow'\]"),
        ([*NAMES[:-1], NAMES[0]], r"missing \['panda_joint7'\]"),
        ([*NAMES, NAMES[0]], "parameter output_joints"),
    ],
)
def test_other_joints_than_the_robots_are_refused(names, problem):
    with pytest.raises(JointSetError, match=problem):
        CommandMap(ROBOT, tuple(names))


@pytest.mark.parametrize("takes", Interface)
@pytest.mark.parametrize("has", Interface)
def test_only_the_quantity_the_arm_takes_goes_out(takes, has):
    values = np.arange(7.0)
    if takes is has:
        np.testing.assert_array_equal(quantity(setpoint(has, values), takes), values)
        return
    with pytest.raises(DeviceError, match=f"the arm takes {takes.value}, the setpoint has {has.value}"):
        quantity(setpoint(has, values), takes)


def test_a_controller_that_cannot_take_it_is_refused_before_anything_moves():
    assert default_topic(Output.FORWARD, Interface.VELOCITY) == "forward_velocity_controller/commands"
    with pytest.raises(ConfigError, match="'trajectory': takes position, the robot's interface is 'effort'"):
        default_topic(Output.TRAJECTORY, Interface.EFFORT)
    assert len(set(TOPICS.values())) == len(TOPICS)
