"""A setpoint asks for one thing, and an arm's command interface leaves old digests alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import ConfigError, DeviceError
from il_core.spec import Interface, digest
from il_core.types import Setpoint

SEVEN = np.arange(7.0)
PICK_PLACE_ON_FR3 = "dff4706a568ca5a218429f99691fb3019e9808740f4fd6d7ea0ac7e1165fb5d9"  # of the first release


@pytest.mark.parametrize("key", ["tau", "q_des", "v_des"])
def test_one_of_torque_position_and_velocity_is_enough(key):
    setpoint = Setpoint(1, **{"tau": None, "gripper": 0.5} | {key: SEVEN})
    np.testing.assert_array_equal(getattr(setpoint, key), SEVEN)


@pytest.mark.parametrize(
    "values",
    [
        {"tau": None},
        {"tau": SEVEN, "q_des": SEVEN},
        {"tau": SEVEN, "v_des": SEVEN},
        {"tau": None, "q_des": SEVEN, "v_des": SEVEN},
        {"tau": SEVEN, "q_des": SEVEN, "v_des": SEVEN},
    ],
)
def test_none_or_several_of_them_are_refused(values):
    with pytest.raises(ValueError, match="exactly one of tau, q_des and v_des"):
        Setpoint(1, gripper=0.5, **values)


def test_an_arm_that_takes_torques_says_so_when_it_gets_something_else():
    assert Setpoint(1, SEVEN, 0.5).torque is SEVEN
    with pytest.raises(DeviceError, match="takes torques, the setpoint has joint positions; check 'interface'"):
        _ = Setpoint(1, None, 0.5, q_des=SEVEN).torque
    with pytest.raises(DeviceError, match="has joint velocities"):
        _ = Setpoint(1, None, 0.5, v_des=SEVEN).torque


def test_data_recorded_before_arms_had_an_interface_keep_their_digest():
    assert load_setup("pick_place").digest == PICK_PLACE_ON_FR3


@pytest.mark.parametrize(
    "changes",
    [{"interface": Interface.POSITION}, {"gripper_closed_m": 0.001}, {"a_max_rad_s2": (1.0, 1.0)}],
)
def test_another_interface_or_limit_is_another_digest(tiny_setup, changes):
    other = replace(tiny_setup.robot, **changes)
    assert digest(other, tiny_setup.task, "<robot/>") != digest(tiny_setup.robot, tiny_setup.task, "<robot/>")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"a_max_rad_s2": (1.0,)}, "'a_max_rad_s2' has 1 values for 2 joints"),
        ({"a_max_rad_s2": (1.0, 0.0)}, "limits must be positive"),
        ({"gripper_closed_m": 0.04}, "gripper_open_m and gripper_closed_m must differ"),
    ],
)
def test_impossible_additions_are_refused(tiny_setup, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        replace(tiny_setup.robot, **changes)
