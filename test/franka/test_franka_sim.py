"""The Franka driver against franka-sim: the real library, the real protocol, a simulated arm."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from il_control.cycle import ControlCycle, make_cycle
from il_control.drivers.franka import FrankaArm, FrankaConfig
from il_control.model import ArmModel
from il_core.config import load_robot, load_setup
from il_core.errors import ConfigError, DeviceError
from il_core.types import ArmCommand, ArmState, Setpoint

SETUP = load_setup("pick_place")
CONFIG = FrankaConfig("127.0.0.1", torque_max_nm=80.0, force_max_n=80.0, require_realtime=False)


def connect() -> FrankaArm:
    model = ArmModel(SETUP)

    def gravity(q: np.ndarray) -> np.ndarray:
        model.update(q, np.zeros(7))
        return model.gravity

    return FrankaArm(SETUP.robot, CONFIG, gravity, time.time_ns)


@pytest.fixture
def arm(server) -> Iterator[FrankaArm]:
    arm = connect()
    yield arm
    arm.close()


def drive(arm: FrankaArm, cycle: ControlCycle, seconds: float, command: ArmCommand | None = None) -> ArmState:
    """Answer every state with the controller's setpoint."""
    end = time.monotonic() + seconds
    state = arm.read()
    while time.monotonic() < end:
        now_ns = time.time_ns()
        if command is not None:
            cycle.offer_command(ArmCommand(now_ns, command.T_base_ee_des, command.gripper_des))
        arm.write(cycle.step(state, now_ns).setpoint)
        state = arm.read()
    return state


def test_connected_it_tells_its_state_and_waits(arm):
    state = arm.read()
    assert state.q.shape == (7,)
    assert arm.mode() == "Idle"
    assert not arm.is_moving
    with pytest.raises(DeviceError, match="takes no torques now; call start"):
        arm.write(make_cycle(SETUP).step(state, state.stamp_ns).setpoint)


def test_held_its_tool_stays_where_it_is(arm):
    model, T = ArmModel(SETUP), []
    arm.start()
    for seconds in (0.1, 2.0):
        state = drive(arm, make_cycle(SETUP), seconds)
        model.update(state.q, state.v)
        T.append(model.T_base_ee.copy())
    arm.stop()
    np.testing.assert_allclose(T[1], T[0], atol=0.003)  # the elbow may creep: it is held by damping alone


def test_a_cartesian_impedance_move_arrives(arm):
    model = ArmModel(SETUP)
    state = arm.read()
    model.update(state.q, state.v)
    T = model.T_base_ee.copy()
    T[:3, 3] += [0.0, 0.05, -0.05]
    arm.start()
    state = drive(arm, make_cycle(SETUP), 4.0, ArmCommand(time.time_ns(), T, 1.0))
    arm.stop()
    model.update(state.q, state.v)
    np.testing.assert_allclose(model.T_base_ee[:3, 3], T[:3, 3], atol=0.003)
    assert arm.mode() == "Idle"


def test_stopped_it_can_be_started_again(arm):
    for _ in range(2):
        arm.start()
        drive(arm, make_cycle(SETUP), 0.3)
        arm.stop()
        arm.stop()  # harmless
        assert not arm.is_moving


def test_a_new_connection_after_the_old_one_was_closed(server):
    for _ in range(2):
        arm = connect()
        arm.start()
        drive(arm, make_cycle(SETUP), 0.3)
        arm.stop()
        arm.close()


def test_only_the_thread_that_started_a_motion_may_drive_it(arm):
    arm.start()
    caught: list[str] = []

    def intrude() -> None:
        try:
            arm.read()
        except DeviceError as error:
            caught.append(str(error))

    thread = threading.Thread(target=intrude)
    thread.start()
    thread.join()
    drive(arm, make_cycle(SETUP), 0.2)
    arm.stop()
    assert "another thread started this motion" in caught[0]


def test_recovery_without_an_error_is_harmless_and_start_works_after_it(arm):
    arm.recover()
    arm.start()
    drive(arm, make_cycle(SETUP), 0.2)
    arm.stop()


def test_a_controller_that_dies_mid_motion_is_told_and_a_new_one_can_be_used(server):
    arm = connect()
    arm.start()
    drive(arm, make_cycle(SETUP), 0.3)
    server.kill()
    began = time.monotonic()
    with pytest.raises(DeviceError, match="Franka arm"):
        drive(arm, make_cycle(SETUP), 10.0)
    assert time.monotonic() - began < 5.0
    assert not arm.is_moving
    arm.close()
    with pytest.raises(DeviceError, match="no connection to the Franka arm at 127.0.0.1"):
        connect()
    server.start()
    again = connect()
    again.start()
    drive(again, make_cycle(SETUP), 0.3)
    again.stop()
    again.close()


def test_an_arm_that_is_no_franka_is_refused():
    with pytest.raises(ConfigError, match="a Franka arm has 7 joints and takes effort"):
        FrankaArm(load_robot("ur5e")[0], CONFIG, lambda q: q, time.time_ns)
    with pytest.raises(ConfigError, match="must be within 0 and 100"):
        FrankaConfig("127.0.0.1", torque_max_nm=0.0, force_max_n=10.0)


def test_a_reflex_ends_the_motion_and_recovery_lets_the_arm_move_again(arm):
    model = ArmModel(SETUP)
    arm.start()
    state = arm.read()
    with pytest.raises(
        DeviceError, match=r"stopped the motion: .*joint_velocity_violation.*recover\(\), then start\(\)"
    ):
        for _ in range(3000):  # 10 N·m on the last joint: past its speed limit within a tenth of a second
            model.update(state.q, state.v)
            push = model.gravity - np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0])
            arm.write(Setpoint(state.stamp_ns, push, 1.0))
            state = arm.read()
    assert not arm.is_moving
    arm.recover()
    settle(arm)
    arm.start()
    drive(arm, make_cycle(SETUP), 0.5)
    arm.stop()
    assert arm.mode() == "Idle"


def settle(arm: FrankaArm) -> None:
    """Wait until the arm has braked."""
    end = time.monotonic() + 5.0
    while np.abs(arm.read().v).max() > 0.002 and time.monotonic() < end:
        time.sleep(0.01)
