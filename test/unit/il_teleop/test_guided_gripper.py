"""Working the gripper while the arm is led by the hand: by button, and by pushing the fingers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.wire import JointMap
from il_teleop.devices.hand_guiding import HandGuidingDevice, HandGuidingLayout, SpringBack, SpringBackConfig

MS = 1_000_000
ON = SpringBackConfig(is_on=True)
JOINTS = JointMap(load_setup("pick_place").robot)


def pushes(openings: list[float], every_ms: float = 10.0) -> int:
    spring = SpringBack(ON)
    return sum(spring.observe(g, int(k * every_ms * MS)) for k, g in enumerate(openings))


def still(at: float, ms: float = 500.0) -> list[float]:
    return [at] * int(ms / 10)


def push(at: float, by: float, ms: float = 300.0) -> list[float]:
    n = int(ms / 10)
    return list(at + by * np.sin(np.linspace(0.0, np.pi, n)))


def test_a_push_that_springs_back_counts_once():
    assert pushes(still(1.0) + push(1.0, -0.3) + still(1.0)) == 1
    assert pushes(still(0.0) + push(0.0, 0.3) + still(0.0) + push(0.0, 0.3) + still(0.0)) == 2


def test_an_object_between_the_fingers_does_not_matter():
    assert pushes(still(0.43) + push(0.43, 0.2) + still(0.43)) == 1


@pytest.mark.parametrize(
    "openings",
    [
        still(1.0) + push(1.0, -0.08) + still(1.0),  # a touch
        list(np.linspace(1.0, 0.0, 60)) + still(0.0),  # the gripper's own motion
        still(1.0) + list(np.linspace(1.0, 0.0, 60)) + still(0.0),  # ... unannounced
        still(1.0) + push(1.0, -0.3, 4000.0) + still(1.0),  # a hand that holds the gripper
        push(1.0, -0.3) * 3,  # never at rest
        list(1.0 + 0.02 * np.random.default_rng(1).normal(size=300)),
    ],
)
def test_what_is_no_push_does_not_count(openings):
    assert pushes(openings) == 0


def test_pushing_the_fingers_works_the_gripper_and_its_own_motion_does_not():
    device = HandGuidingDevice(HandGuidingLayout(ON), {"1": "gripper"}, JOINTS)
    assert [i.key for i in device.inputs] == ["joy", "state"]
    now = 0

    def feel(openings: list[float]) -> float | None:
        nonlocal now
        for g in openings:
            device.feel_gripper(g, now)
            now += 10 * MS
        return device.motion(now).gripper_des

    assert feel(still(1.0)) is None
    assert feel(push(1.0, -0.3)) == 0.0
    assert feel(list(np.linspace(1.0, 0.4, 40)) + still(0.4)) == 0.0, "it closes on something"
    assert feel(push(0.4, 0.25)) == 1.0
    assert feel(list(np.linspace(0.4, 1.0, 40)) + still(1.0)) == 1.0
    device.hear("joy", SimpleNamespace(buttons=[0, 1]), now)
    assert device.motion(now).gripper_des == 0.0, "a button works beside it"


def test_without_spring_back_a_thousand_messages_a_second_are_not_read():
    assert [i.key for i in HandGuidingDevice(HandGuidingLayout(), {}, JOINTS).inputs] == ["joy"]


def test_an_arm_without_a_gripper_cannot_be_pushed_there():
    joints = JointMap(replace(JOINTS.robot, gripper_joint=""))
    with pytest.raises(ConfigError, match="has no gripper to push; set is_on: false"):
        HandGuidingDevice(HandGuidingLayout(ON), {}, joints)


@pytest.mark.parametrize("values", [{"rest": 0.1}, {"push": 1.0}, {"still_ms": 0.0}])
def test_limits_between_which_nothing_can_be_told_are_refused(values):
    with pytest.raises(ConfigError, match="need 0 < 2 rest < push < 1"):
        SpringBackConfig(**values)
