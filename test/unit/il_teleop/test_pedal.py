"""A foot pedal: the kernel's key events, through a real pipe."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from il_core.config import config_dir, load_yaml
from il_core.errors import ConfigError, DeviceError
from il_teleop.buttons import Buttons, Panel
from il_teleop.pedal import Assisted, Pedal, code_of
from il_teleop.recorder import Event
from il_teleop.retarget import Motion

MEANINGS = {"KEY_A": "clutch", "KEY_B": "next", "46": "redo"}
SYN = struct.pack("llHHi", 7, 8, 0, 0, 0)


def key(code: int, value: int) -> bytes:
    return struct.pack("llHHi", 1_700_000_000, 123_456, 1, code, value)


@pytest.fixture
def pedal() -> Iterator[tuple[Pedal, int]]:
    ours, theirs = os.pipe()
    pedal = Pedal(ours, MEANINGS)
    yield pedal, theirs
    pedal.close()
    pedal.close()
    os.close(theirs)


def test_a_pressed_pedal_holds_the_clutch_until_it_is_let_go(pedal):
    device, out = pedal
    device.poll()
    os.write(out, key(30, 1) + SYN)
    device.poll()
    assert device.panel.is_engaged
    os.write(out, key(30, 2) * 5)  # the keyboard's repetition
    device.poll()
    assert device.panel.is_engaged
    os.write(out, key(30, 0) + SYN)
    device.poll()
    assert not device.panel.is_engaged


def test_events_count_once_however_the_bytes_are_cut(pedal):
    device, out = pedal
    stream = (key(48, 1) + SYN + key(48, 2) + key(48, 0) + SYN) * 2 + key(46, 1)
    for k in range(0, len(stream), 7):
        os.write(out, stream[k : k + 7])
        device.poll()
    assert device.panel.take_events() == [Event.NEXT, Event.NEXT, Event.REDO]


def test_a_pedal_that_is_pulled_out_opens_its_clutch_and_says_so(pedal):
    device, out = pedal
    os.write(out, key(30, 1))
    device.poll()
    os.close(device._fd)
    device.poll()
    device._fd = -1
    assert not device.panel.is_engaged
    assert "the pedal is gone" in device.fault


def test_the_shipped_pedal_keys_exist():
    for name in load_yaml(config_dir() / "teleop" / "buttons.yaml", Buttons).pedal:
        assert code_of(name) > 0
    assert (code_of("KEY_A"), code_of("KEY_M"), code_of("KEY_F1"), code_of("KEY_1")) == (30, 50, 59, 2)
    with pytest.raises(ConfigError, match="unknown key 'KEY_Ä'; write its number"):
        code_of("KEY_Ä")


def test_a_missing_pedal_is_refused_with_the_list_of_those_there():
    with pytest.raises(DeviceError, match="No such file or directory; keyboards and pedals here: .*usermod"):
        Pedal.open("/dev/input/by-id/none", MEANINGS)


class Hand:
    now = Motion()

    def motion(self, now_ns: int) -> Motion:
        return self.now


def test_a_pedal_beside_a_device_engages_it_and_the_newest_wish_for_the_gripper_counts():
    hand, panel = Hand(), Panel({"p": "clutch", "g": "gripper"})
    both = Assisted(hand, panel)
    assert not both.motion(0).is_engaged
    panel.hold("p")
    hand.now = Motion(gripper_des=0.4, fault="asleep")
    motion = both.motion(0)
    assert (motion.is_engaged, motion.gripper_des, motion.fault) == (True, 0.4, "asleep")
    panel.press("g")
    assert both.motion(0).gripper_des == 0.0
    assert both.motion(0).gripper_des == 0.0
    hand.now = Motion(gripper_des=0.9)
    assert both.motion(0).gripper_des == 0.9
