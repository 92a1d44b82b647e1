"""What the controller says about itself: why it is stopped, and how hard it is pushed."""

from dataclasses import replace

import numpy as np
import pytest
from servo_arm import ServoArm

from il_control.report import CycleStatistics, stop_values
from il_control.servo_config import WristConfig


def pushed(arm, force_n):
    arm.cycle.offer_wrench(arm.now_ns, np.array([0.0, 0.0, force_n, 0.0, 0.0, 0.0]))
    return arm.step()


def test_a_latched_stop_is_told_with_its_cause_and_the_force_until_an_operator_resumes():
    safety = replace(ServoArm("ur5e").config.safety, contact_force_max_n=20.0)
    arm = ServoArm("ur5e", rate_hz=125, wrist=WristConfig("tool0"), safety=safety)
    pushed(arm, 3.0)
    assert stop_values(arm.cycle) == {"contact_force_n": "3.00"}
    pushed(arm, 25.0)
    pushed(arm, 1.0)
    values = stop_values(arm.cycle)
    assert values["stopped_by"] == "contact_force"
    assert values["stopped_why"].startswith("contact force above the limit")
    assert values["contact_force_n"] == "1.00"
    assert arm.cycle.resume() == ""
    assert stop_values(arm.cycle) == {"contact_force_n": "1.00"}


def test_where_the_force_is_not_monitored_nothing_is_said_about_it():
    arm = ServoArm("ur5e", rate_hz=125)
    arm.step()
    assert stop_values(arm.cycle) == {}


def test_reasons_are_counted_and_the_rate_is_that_of_the_states():
    arm, statistics = ServoArm("ur5e", rate_hz=125), CycleStatistics()
    for _ in range(126):
        statistics.add(arm.step(), 100_000)
    values = statistics.values()
    assert float(values["rate_hz"]) == pytest.approx(125.0)
    assert float(values["cycle_us_p50"]) == pytest.approx(100.0)
    assert not any(key.startswith("count_") for key in values)
