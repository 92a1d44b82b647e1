"""Phones and VR controllers: whose axes count, and what is no hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core.config import config_dir, load_yaml
from il_core.errors import ConfigError, DeviceError
from il_core.geometry import matrix_from_rotvec, pose, rotvec_from_matrix
from il_core.types import EePose
from il_teleop.devices.pose_stream import PoseStreamDevice, PoseStreamLayout
from il_teleop.retarget import Feel, RetargetConfig, RetargetedDevice

FOLDER = config_dir() / "teleop"
LIMITS = replace(load_yaml(FOLDER / "retarget.yaml", RetargetConfig), max_lead_m=10.0, max_lead_rad=3.0)
LAYOUT = load_yaml(FOLDER / "pose_stream.yaml", PoseStreamLayout)
T_EE = pose([0.45, 0.0, 0.35], matrix_from_rotvec([np.pi, 0.0, 0.0]))
DT_NS = 20_000_000


class Held:
    """A device in a hand, in a room with y up, the person looking along ``heading``."""

    def __init__(self, heading_rad: float, layout: PoseStreamLayout = LAYOUT) -> None:
        self.device = PoseStreamDevice(layout, {"0": "clutch"})
        self.retargeted = RetargetedDevice(self.device, LIMITS, self.device.feel)
        self.R = matrix_from_rotvec([0.0, heading_rad, 0.0])
        self.p, self.turn = np.array([2.0, 1.3, -4.0]), np.eye(3)
        self.now_ns = 0

    def clutch(self, is_down: bool) -> None:
        self.device.hear("joy", SimpleNamespace(buttons=[int(is_down)]), self.now_ns)

    def tick(self):
        self.device.receive(pose(self.p, self.turn @ self.R), self.now_ns)
        self.retargeted.observe_pose(EePose(self.now_ns, T_EE))
        command = self.retargeted.command(self.now_ns)
        self.now_ns += DT_NS
        return command

    def move(self, right_m: float, up_m: float, ahead_m: float):
        """Slowly, as seen by the person; x right, y up, -z ahead."""
        for _ in range(40):
            self.p = self.p + self.R @ np.array([right_m, up_m, -ahead_m]) / 40
            command = self.tick()
        return command


@given(st.floats(-np.pi, np.pi))
def test_the_tool_moves_as_the_hand_does_wherever_the_person_stands(heading_rad: float):
    held = Held(heading_rad)
    held.clutch(True)
    held.tick()
    moved = held.move(0.03, 0.05, 0.1).T_base_ee_des[:3, 3] - T_EE[:3, 3]
    np.testing.assert_allclose(moved, [0.1, -0.03, 0.05], atol=1e-9)


def test_turning_the_hand_turns_the_tool_about_the_same_axis():
    held = Held(0.6)
    held.clutch(True)
    held.tick()
    axis_room = held.R @ np.array([0.0, 0.0, -1.0])  # roll about the way it points
    for k in range(1, 41):
        held.turn = matrix_from_rotvec(axis_room * 0.3 * k / 40)
        command = held.tick()
    turned = rotvec_from_matrix(command.T_base_ee_des[:3, :3] @ T_EE[:3, :3].T)
    np.testing.assert_allclose(turned, [0.3, 0.0, 0.0], atol=1e-6)


def test_axes_are_found_anew_each_time_the_clutch_closes():
    held = Held(0.0)
    held.clutch(True)
    held.tick()
    held.clutch(False)
    held.tick()
    held.R = matrix_from_rotvec([0.0, 2.0, 0.0])  # the person walked round the table
    held.clutch(True)
    first = held.tick()
    np.testing.assert_array_equal(first.T_base_ee_des, T_EE)
    moved = held.move(0.0, 0.0, 0.1).T_base_ee_des[:3, 3] - T_EE[:3, 3]
    np.testing.assert_allclose(moved, [0.1, 0.0, 0.0], atol=1e-9)


def test_factors_per_axis_scale_and_hold_axes():
    feel = Feel(scale_linear=(0.5, 0.0, 2.0), scale_angular=(0.0, 0.0, 0.0))
    held = Held(0.0, replace(LAYOUT, feel=feel))
    held.clutch(True)
    held.tick()
    held.turn = matrix_from_rotvec([0.2, 0.1, 0.0])
    command = held.move(0.05, 0.02, 0.1)
    np.testing.assert_allclose(command.T_base_ee_des[:3, 3] - T_EE[:3, 3], [0.05, 0.0, 0.04], atol=1e-9)
    np.testing.assert_allclose(command.T_base_ee_des[:3, :3], T_EE[:3, :3], atol=1e-9)


def test_many_turns_of_a_hand_add_up():
    """Screwing a lid: 1.5 turns in small steps, not the shortest way round."""
    held = Held(0.0)
    held.retargeted._retargeter._config = replace(LIMITS, max_rotation_speed_rad_s=100.0, max_lead_rad=3.1)
    held.clutch(True)
    before = held.tick().T_base_ee_des
    total = 0.0
    for k in range(1, 91):
        held.turn = matrix_from_rotvec([0.0, 0.1 * k, 0.0])  # about the room's up
        held.device.receive(pose(held.p, held.turn @ held.R), held.now_ns)
        held.retargeted.observe_pose(EePose(held.now_ns, before))
        after = held.retargeted.command(held.now_ns).T_base_ee_des
        held.now_ns += DT_NS
        total += float(rotvec_from_matrix(after[:3, :3] @ before[:3, :3].T)[2])
        before = after
    assert total == pytest.approx(9.0, abs=1e-3)


def test_lost_tracking_opens_the_clutch_until_it_is_let_go():
    held = Held(0.0)
    held.clutch(True)
    assert held.tick() is not None
    held.p = held.p + [0.0, 0.5, 0.0]
    assert held.tick() is None
    assert held.retargeted.reason == "tracking jumped by 0.50 m"
    assert held.tick() is None
    held.clutch(False)
    held.tick()
    held.clutch(True)
    np.testing.assert_array_equal(held.tick().T_base_ee_des, T_EE)


def test_a_device_that_points_up_cannot_say_where_ahead_is():
    held = Held(0.0)
    held.turn = matrix_from_rotvec([np.pi / 2, 0.0, 0.0])
    held.clutch(True)
    assert held.tick() is None
    assert "hold it level" in held.retargeted.reason


def test_a_pose_that_is_none_is_refused():
    zero = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=0.0)
    stamp = SimpleNamespace(sec=1, nanosec=0)
    msg = SimpleNamespace(header=SimpleNamespace(stamp=stamp), pose=SimpleNamespace(position=zero, orientation=zero))
    with pytest.raises(DeviceError, match="device pose cannot be used: .*unit length"):
        PoseStreamDevice(LAYOUT, {}).hear("pose", msg, 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"forward_axis": (0.0, 0.0, 2.0)}, "unit vector"),
        ({"jump_max_m": 0.0}, "jump_max_m"),
        ({"quat_xyzw_level_device": (1.0, 0.0)}, "needs 4 values"),
        ({"feel": Feel(is_absolute=True)}, "is_absolute must be false"),
    ],
)
def test_layouts_that_cannot_be_meant_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(LAYOUT, **change)
