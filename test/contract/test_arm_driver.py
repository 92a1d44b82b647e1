"""What every torque-controlled arm promises, whoever drives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import DeviceError
from il_core.ports import ArmDriver
from il_core.spec import RobotSpec
from il_core.types import ArmState, Setpoint
from il_sim.plant import Plant

START_NS = 5_000_000_000
TWIST = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])  # N·m about the tool: gravity hardly acts there


@dataclass(frozen=True)
class Rig:
    """An arm, the robot it should be, and the passing of time."""

    driver: ArmDriver
    robot: RobotSpec
    wait_1_ms: Callable[[], None]

    def drive(self, tau: np.ndarray, gripper: float, ms: int) -> ArmState:
        """Command the same for some milliseconds, answering every state."""
        for _ in range(ms):
            self.driver.write(Setpoint(self.driver.read().stamp_ns, tau, gripper))
            self.wait_1_ms()
        return self.driver.read()


@cache
def simulated(robot: str) -> Plant:
    """One simulator per robot: compiling a scene takes longer than the tests."""
    return Plant(load_setup("draw_symbol", robot), start_ns=START_NS)


@pytest.fixture(params=["fr3", "panda"])
def rig(request: pytest.FixtureRequest) -> Rig:
    plant = simulated(request.param)
    plant.reset(seed=0)
    return Rig(plant, plant.robot, plant.step)


def test_a_state_has_every_joint_of_the_robot_within_its_limits(rig: Rig):
    state = rig.driver.read()
    assert len(state.q) == len(state.v) == len(state.tau) == len(rig.robot.joint_names)
    assert np.all(state.q > rig.robot.q_min_rad)
    assert np.all(state.q < rig.robot.q_max_rad)


def test_stamps_grow_with_time_and_only_with_time(rig: Rig):
    first = rig.driver.read().stamp_ns
    assert rig.driver.read().stamp_ns == first
    rig.wait_1_ms()
    assert rig.driver.read().stamp_ns == first + 1_000_000


def test_a_state_once_read_does_not_change(rig: Rig):
    before = rig.driver.read()
    q = before.q.copy()
    rig.drive(TWIST, 1.0, ms=20)
    np.testing.assert_array_equal(before.q, q)
    assert np.abs(rig.driver.read().q - q).max() > 1e-6


def test_the_torque_written_is_the_torque_applied(rig: Rig):
    tau = np.array([3.0, -20.0, 2.0, 15.0, -1.0, 2.0, 0.5])
    np.testing.assert_allclose(rig.drive(tau, 1.0, ms=1).tau, tau, atol=1e-9)


@pytest.mark.parametrize("key", ["q_des", "v_des"])
def test_another_quantity_than_torque_is_refused_and_nothing_changes(rig: Rig, key: str):
    before = rig.drive(np.zeros(len(rig.robot.joint_names)), 1.0, ms=1)
    values = {"tau": None, "gripper": 1.0} | {key: np.ones(len(rig.robot.joint_names))}
    with pytest.raises(DeviceError, match="this arm takes torques"):
        rig.driver.write(Setpoint(before.stamp_ns, **values))
    rig.wait_1_ms()
    np.testing.assert_allclose(rig.driver.read().tau, before.tau, atol=1e-9)


def test_a_positive_torque_turns_its_joint_in_the_positive_sense(rig: Rig):
    for sign in (1.0, -1.0):
        before = rig.driver.read().v[6]
        assert sign * (rig.drive(5.0 * sign * TWIST, 1.0, ms=10).v[6] - before) > 0.0


def test_velocity_is_the_rate_of_position(rig: Rig):
    rig.drive(TWIST, 1.0, ms=10)
    before = rig.driver.read()
    after = rig.drive(TWIST, 1.0, ms=1)
    mean = (before.v + after.v) / 2
    np.testing.assert_allclose((after.q - before.q) / 1e-3, mean, atol=0.02)


def test_the_arm_never_applies_more_than_its_limits(rig: Rig):
    state = rig.drive(np.full(len(rig.robot.joint_names), 1e3), 1.0, ms=1)
    np.testing.assert_allclose(state.tau, rig.robot.tau_max_nm)


def test_opening_0_is_closed_and_1_is_open(rig: Rig):
    hold = np.zeros(len(rig.robot.joint_names))
    assert rig.drive(hold, 1.0, ms=5).gripper == pytest.approx(1.0, abs=0.02)
    assert rig.drive(hold, 0.0, ms=500).gripper == pytest.approx(0.0, abs=0.02)


def test_an_arm_whose_controller_falls_silent_comes_to_rest(rig: Rig):
    moving = rig.drive(5.0 * TWIST, 1.0, ms=40)
    assert abs(moving.v[6]) > 0.1
    for _ in range(2000):
        rig.wait_1_ms()
    assert np.abs(rig.driver.read().v).max() < 0.05
