"""What every device promises: silent with an open clutch, no jump when it closes, faults in words, one clock."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from il_core.config import config_dir, load_setup, load_yaml
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_rotvec, pose
from il_core.ports import TeleopDevice
from il_core.types import EePose
from il_teleop.buttons import Buttons
from il_teleop.device import Bench, Device, find, names
from il_teleop.devices.hand_guiding import HandGuidingDevice
from il_teleop.devices.keyboard import KeyboardDevice
from il_teleop.devices.spacemouse import SpaceMouseDevice, SpaceMouseLayout
from il_teleop.retarget import RetargetConfig, RetargetedDevice

T_BASE_EE = pose([0.4, 0.1, 0.2], matrix_from_rotvec([np.pi, 0.0, 0.0]))
DT_NS = 20_000_000
FOLDER = config_dir() / "teleop"
CONFIG = load_yaml(FOLDER / "retarget.yaml", RetargetConfig)
BENCH = Bench(load_setup("pick_place"), buttons=load_yaml(FOLDER / "buttons.yaml", Buttons))
WARM_NS = 2_000_000_000


class Rig:
    """A device with the hand that moves it: ``hold`` works the clutch, ``push`` moves the tool up a little."""

    def __init__(self, source: Device, hold: Callable[[bool, int], None], push: Callable[[int], None]) -> None:
        self.source = source
        self.retargeted = RetargetedDevice(source, CONFIG, source.feel, is_sending=not source.claims)
        self.device: TeleopDevice = self.retargeted
        self._hold, self._push = hold, push

    def hold(self, on: bool, now_ns: int) -> None:
        self._hold(on, now_ns)
        self.source.poll(now_ns)

    def push(self, now_ns: int) -> None:
        self._push(now_ns)
        self.source.poll(now_ns)


def joy_message(*down: int, axes=(0.0,) * 6):
    return SimpleNamespace(axes=list(axes), buttons=[int(k in down) for k in range(10)])


def keyboard() -> Rig:
    device = KeyboardDevice(BENCH.buttons.keys)

    def hold(on: bool, now_ns: int) -> None:
        if device.motion(now_ns).is_engaged != on:
            device.press(" ", now_ns)

    return Rig(device, hold, lambda now_ns: device.press("u", now_ns))


def joy() -> Rig:
    device = find("joy").make(BENCH)
    held: list[int] = []

    def hold(on: bool, now_ns: int) -> None:
        held[:] = [0] if on else []
        device.hear("joy", joy_message(*held), now_ns)

    return Rig(device, hold, lambda t: device.hear("joy", joy_message(*held, axes=(0, 0, 1.0, 0, 0, 0)), t))


def spacemouse() -> Rig:
    reports: list[bytes] = []
    meanings = {"0": "clutch"}
    layout = load_yaml(FOLDER / "spacemouse.yaml", SpaceMouseLayout)
    device = SpaceMouseDevice(layout, meanings, lambda: reports.pop(0) if reports else None)
    return Rig(
        device,
        lambda on, _: reports.append(bytes([3, int(on), 0])),
        lambda _: reports.append(struct.pack("<B3h", 1, 0, 0, -350)),
    )


def leader() -> Rig:
    device = find("leader").make(BENCH)
    robot = BENCH.setup.robot
    q = np.array(robot.q_home_rad)
    at = device._pose_of(q)[:3, 3]

    def send(now_ns: int) -> None:
        device.hear("leader", SimpleNamespace(name=list(robot.joint_names), position=q.tolist()), now_ns)

    def hold(on: bool, now_ns: int) -> None:
        device.hear("joy", joy_message(*([0] if on else [])), now_ns)
        send(now_ns)

    def push(now_ns: int) -> None:
        """Raise the leader's tool by 5 mm: least squares on differences of the chain."""
        for _ in range(5):
            T = device._pose_of(q)
            error = np.concatenate([at + [0, 0, 0.005] - T[:3, 3], np.zeros(3)])
            J = np.array([_twist(device._pose_of, q, j) for j in range(len(q))]).T
            q[:] += np.linalg.lstsq(J, error, rcond=None)[0]
        at[2] += 0.005
        send(now_ns)

    return Rig(device, hold, push)


def _twist(pose_of, q, j, h=1e-6):
    from il_core.geometry import rotvec_from_matrix

    up, down = q.copy(), q.copy()
    up[j] += h
    down[j] -= h
    A, B = pose_of(up), pose_of(down)
    return np.concatenate([A[:3, 3] - B[:3, 3], rotvec_from_matrix(A[:3, :3] @ B[:3, :3].T)]) / (2 * h)


def pose_stream() -> Rig:
    device = find("pose_stream").make(BENCH)
    at = np.array([3.0, 1.2, -7.0])  # somewhere in a room, y up
    R = matrix_from_rotvec([0.0, 0.7, 0.0])

    def send(now_ns: int) -> None:
        device.receive(pose(at, R), now_ns)

    def hold(on: bool, now_ns: int) -> None:
        device.hear("joy", joy_message(*([0] if on else [])), now_ns)
        send(now_ns)

    def push(now_ns: int) -> None:
        at[1] += 0.005
        send(now_ns)

    return Rig(device, hold, push)


def hand_guiding() -> Rig:
    device = find("hand_guiding").make(BENCH)

    def hold(on: bool, now_ns: int) -> None:
        device.hear("joy", joy_message(*([0] if on else [])), now_ns)

    return Rig(device, hold, lambda now_ns: None)


RIGS = {f.__name__: f for f in (keyboard, joy, spacemouse, leader, pose_stream, hand_guiding)}
SENDING = [name for name in RIGS if name != "hand_guiding"]
TIMED = ["joy", "leader", "pose_stream"]  # a stick that is held may say nothing; these must go on talking


def make(name: str) -> Rig:
    rig = RIGS[name]()
    rig.retargeted.observe_pose(EePose(0, T_BASE_EE))
    return rig


@pytest.fixture(params=SENDING)
def rig(request: pytest.FixtureRequest) -> Rig:
    return make(request.param)


def test_every_device_has_a_rig_here():
    assert set(RIGS) == set(names())
    with pytest.raises(ConfigError, match="did you mean 'spacemouse'"):
        find("spacemous")


@pytest.mark.parametrize("name", RIGS)
def test_an_open_clutch_commands_nothing(name: str):
    rig = make(name)
    rig.push(0)
    rig.hold(False, 0)
    assert rig.device.command(0) is None
    assert rig.retargeted.reason


def test_the_first_command_is_where_the_tool_is(rig: Rig):
    rig.hold(True, 0)
    rig.push(0)
    command = rig.device.command(0)
    assert command is not None
    np.testing.assert_array_equal(command.T_base_ee_des, T_BASE_EE)


def test_pushing_up_raises_the_target(rig: Rig):
    """Absolute devices go where they are, the others move by what the hand moved: up, and nothing else."""
    rig.hold(True, 0)
    rig.device.command(0)
    rig.push(DT_NS)
    command = rig.device.command(DT_NS)
    assert command is not None
    moved = command.T_base_ee_des[:3, 3] - T_BASE_EE[:3, 3]
    assert 0 < np.linalg.norm(moved) <= CONFIG.max_speed_m_s * 0.02 + 1e-12
    if not rig.source.feel.is_absolute:
        assert moved[2] > 0
        np.testing.assert_allclose(moved[:2], 0.0, atol=1e-12)
        np.testing.assert_allclose(command.T_base_ee_des[:3, :3], T_BASE_EE[:3, :3], atol=1e-12)


def test_no_device_moves_the_target_faster_than_the_limit(rig: Rig):
    rig.hold(True, 0)
    before = rig.device.command(0)
    for k in range(1, 60):
        rig.push(k * DT_NS)
        rig.push(k * DT_NS)
        rig.retargeted.observe_pose(EePose(k * DT_NS, before.T_base_ee_des))
        after = rig.device.command(k * DT_NS)
        step_m = np.linalg.norm(after.T_base_ee_des[:3, 3] - before.T_base_ee_des[:3, 3])
        assert step_m <= CONFIG.max_speed_m_s * 0.02 + 1e-9
        before = after


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
    rig.push(2 * DT_NS)  # what the hand does with an open clutch does not count
    rig.hold(True, 3 * DT_NS)
    command = rig.device.command(3 * DT_NS)
    np.testing.assert_array_equal(command.T_base_ee_des, T_BASE_EE)


def test_a_tool_pose_that_stops_coming_opens_the_clutch(rig: Rig):
    rig.hold(True, 0)
    assert rig.device.command(0) is not None
    late = int(CONFIG.max_pose_age_ms * 1e6) + DT_NS
    rig.push(late)
    assert rig.device.command(late) is None


@pytest.mark.parametrize("name", TIMED)
def test_a_device_that_falls_silent_opens_the_clutch_until_the_person_lets_go(name: str):
    rig = make(name)
    assert "yet" in rig.source.motion(0).fault
    rig.hold(True, 0)
    assert rig.device.command(0) is not None
    rig.retargeted.observe_pose(EePose(WARM_NS, T_BASE_EE))
    assert rig.device.command(WARM_NS) is None
    assert "for 2.0 s" in rig.retargeted.reason
    rig.push(WARM_NS)
    assert rig.device.command(WARM_NS) is None
    assert "let go of the clutch" in rig.retargeted.reason


@pytest.mark.parametrize("name", ["leader", "pose_stream"])
def test_a_device_that_talks_too_seldom_is_not_trusted(name: str):
    rig = make(name)
    for k in range(16):
        rig.hold(True, k * 150_000_000)  # 6.7 Hz
    now_ns = 15 * 150_000_000
    rig.retargeted.observe_pose(EePose(now_ns, T_BASE_EE))
    assert rig.device.command(now_ns) is None
    assert "per second, 20 are needed" in rig.retargeted.reason


def test_hand_guiding_sends_no_target_and_claims_while_its_clutch_is_closed():
    rig = make("hand_guiding")
    rig.hold(True, 0)
    assert rig.device.command(0) is None
    assert rig.retargeted.reason == ""
    assert rig.source.claims == "guiding"
    assert isinstance(rig.source, HandGuidingDevice)


@pytest.mark.parametrize("name", RIGS)
def test_events_are_given_once_and_closing_twice_does_no_harm(name: str):
    rig = make(name)
    assert rig.source.take_events() == []
    rig.source.close()
    rig.source.close()
