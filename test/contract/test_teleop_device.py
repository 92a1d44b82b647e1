"""What every TeleopDevice promises: silent with an open clutch, no jump when it closes, one clock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from il_core.config import config_dir, load_yaml
from il_core.geometry import matrix_from_rotvec, pose
from il_core.ports import TeleopDevice
from il_core.types import EePose
from il_teleop.devices.joy import JoyDevice, JoyLayout
from il_teleop.devices.keyboard import KeyboardDevice
from il_teleop.retarget import RetargetConfig, RetargetedDevice

T_BASE_EE = pose([0.4, 0.1, 0.2], matrix_from_rotvec([np.pi, 0.0, 0.0]))
DT_NS = 20_000_000
CONFIG = load_yaml(config_dir() / "teleop" / "retarget.yaml", RetargetConfig)


class Rig:
    """A device with the hand that moves it."""

    def __init__(self, source: object, hold: Callable[[bool, int], None], push: Callable[[int], None]) -> None:
        self.retargeted = RetargetedDevice(source, CONFIG)  # type: ignore[arg-type]
        self.device: TeleopDevice = self.retargeted
        self.hold, self.push = hold, push


def keyboard() -> Rig:
    device = KeyboardDevice()

    def hold(on: bool, now_ns: int) -> None:
        if device.motion(now_ns).is_engaged != on:
            device.press(" ", now_ns)

    return Rig(device, hold, lambda now_ns: device.press("u", now_ns))


def joy() -> Rig:
    device = JoyDevice(load_yaml(config_dir() / "teleop" / "joy.yaml", JoyLayout))
    state = {"axes": [0.0] * 6, "buttons": [0, 0]}

    def send(now_ns: int) -> None:
        device.receive(state["axes"], state["buttons"], now_ns)

    def hold(on: bool, now_ns: int) -> None:
        state["buttons"] = [int(on), 0]
        send(now_ns)

    def push(now_ns: int) -> None:
        state["axes"] = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
        send(now_ns)

    return Rig(device, hold, push)


@pytest.fixture(params=[keyboard, joy])
def rig(request: pytest.FixtureRequest) -> Rig:
    rig = request.param()
    rig.retargeted.observe_pose(EePose(0, T_BASE_EE))
    return rig


def test_an_open_clutch_commands_nothing(rig: Rig):
    rig.push(0)
    rig.hold(False, 0)
    assert rig.device.command(0) is None


def test_the_first_command_is_where_the_tool_is(rig: Rig):
    rig.hold(True, 0)
    rig.push(0)
    command = rig.device.command(0)
    assert command is not None
    np.testing.assert_array_equal(command.T_base_ee_des, T_BASE_EE)


def test_pushing_up_raises_the_target_and_nothing_else(rig: Rig):
    rig.hold(True, 0)
    rig.device.command(0)
    rig.push(DT_NS)
    command = rig.device.command(DT_NS)
    assert command is not None
    moved = command.T_base_ee_des[:3, 3] - T_BASE_EE[:3, 3]
    assert 0 < moved[2] <= CONFIG.max_speed_m_s * 0.02 + 1e-12
    np.testing.assert_allclose(moved[:2], 0.0, atol=1e-12)
    np.testing.assert_allclose(command.T_base_ee_des[:3, :3], T_BASE_EE[:3, :3], atol=1e-12)


def test_commands_are_stamped_with_the_instant_asked_for(rig: Rig):
    rig.hold(True, 0)
    assert [rig.device.command(t).stamp_ns for t in (0, DT_NS)] == [0, DT_NS]


def test_engaging_again_starts_again_from_the_tool(rig: Rig):
    rig.hold(True, 0)
    rig.device.command(0)
    rig.push(DT_NS)
    rig.device.command(DT_NS)
    rig.hold(False, 2 * DT_NS)
    assert rig.device.command(2 * DT_NS) is None
    rig.hold(True, 3 * DT_NS)
    command = rig.device.command(3 * DT_NS)
    np.testing.assert_array_equal(command.T_base_ee_des, T_BASE_EE)


def test_a_tool_pose_that_stops_coming_opens_the_clutch(rig: Rig):
    rig.hold(True, 0)
    assert rig.device.command(0) is not None
    late = int(CONFIG.max_pose_age_ms * 1e6) + DT_NS
    rig.push(late)
    assert rig.device.command(late) is None
