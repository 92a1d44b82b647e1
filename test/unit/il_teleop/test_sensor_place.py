"""A force sensor that the robot's file and its URDF place differently is noticed before anything is recorded."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.wrench import WrenchSensor
from il_teleop.sensor_place import check_sensor_place

ORIGIN, UPRIGHT = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)


def with_sensor(*sensor):
    setup = load_setup("pick_place")
    return replace(setup, robot=replace(setup.robot, wrench_sensor=WrenchSensor(*sensor) if sensor else None))


def test_a_sensor_in_another_place_is_refused_with_the_place_that_is_taken():
    with pytest.raises(ConfigError, match="fr3.urdf has frame 'fr3_link7' elsewhere in the tool's") as refused:
        check_sensor_place(with_sensor("fr3_link7", ORIGIN, UPRIGHT))
    place = yaml.safe_load("{" + re.search(r"p_ee_sensor_m.*$", str(refused.value)).group() + "}")
    assert place["p_ee_sensor_m"] == pytest.approx([0.0, 0.0, -0.107 - 0.1034], abs=1e-4)  # flange and hand
    p, quat = place["p_ee_sensor_m"], place["quat_xyzw_ee_sensor"]
    check_sensor_place(with_sensor("fr3_link7", tuple(p), tuple(quat)))
    with pytest.raises(ConfigError, match="elsewhere"):
        check_sensor_place(with_sensor("fr3_link7", (p[0], p[1] + 0.002, p[2]), tuple(quat)))
    with pytest.raises(ConfigError, match="elsewhere"):
        check_sensor_place(with_sensor("fr3_link7", tuple(p), UPRIGHT))


def test_a_frame_that_does_not_move_with_the_tool_is_refused():
    with pytest.raises(ConfigError, match="frame 'fr3_link5' of fr3.urdf does not move with the tool"):
        check_sensor_place(with_sensor("fr3_link5", ORIGIN, UPRIGHT))


def test_what_the_urdf_does_not_know_is_not_compared():
    check_sensor_place(with_sensor("ft", ORIGIN, UPRIGHT))
    check_sensor_place(with_sensor())
