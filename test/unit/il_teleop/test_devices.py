"""Keys and gamepad messages into motion and recorder events."""

from __future__ import annotations

import os
import pty
import select
import termios
from dataclasses import asdict, replace

import pytest

from il_core.config import config_dir, from_mapping, load_yaml
from il_core.errors import ConfigError, DeviceError
from il_teleop.devices.joy import JoyDevice, JoyLayout
from il_teleop.devices.keyboard import EVENT_KEYS, HELP, HOLD_NS, KeyboardDevice, Terminal, split_keys
from il_teleop.recorder import Event

LAYOUT = load_yaml(config_dir() / "teleop" / "joy.yaml", JoyLayout)


def test_keys_are_found_however_the_terminal_cuts_its_bytes():
    sent = "a\x1b[A \x1bOD\x1b[C1\x1b[B"
    whole = ["a", "up", " ", "left", "right", "1", "down"]
    for cut in range(len(sent) + 1):
        first, rest = split_keys(sent[:cut])
        second, rest = split_keys(rest + sent[cut:])
        assert first + second == whole
        assert rest == ""


def test_a_key_counts_as_held_for_a_moment_only():
    device = KeyboardDevice()
    device.press("up", 0)
    assert device.motion(HOLD_NS).linear[0] > 0
    assert device.motion(HOLD_NS + 1).linear == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("pair", [("up", "down"), ("left", "right"), "uj", "12", "34", "56"])
def test_opposite_keys_move_oppositely_along_one_axis(pair):
    seen = []
    for key in pair:
        device = KeyboardDevice()
        device.press(key, 0)
        motion = device.motion(0)
        seen.append([*motion.linear, *motion.angular])
    assert seen[0] == [-v for v in seen[1]]
    assert sum(v != 0 for v in seen[0]) == 1


def test_space_toggles_the_clutch_and_forgets_held_keys():
    device = KeyboardDevice()
    device.press("up", 0)
    device.press(" ", 0)
    assert device.motion(0).is_engaged
    assert device.motion(0).linear == (0.0, 0.0, 0.0)
    device.press(" ", 0)
    assert not device.motion(0).is_engaged


def test_speed_keys_scale_monotonically_and_never_exceed_full_deflection():
    device = KeyboardDevice()
    seen = []
    for key in ["-"] * 6 + ["+"] * 8:
        device.press(key, 0)
        device.press("up", 0)
        seen.append(device.motion(0).linear[0])
    assert seen[5:] == sorted(seen[5:])
    assert (min(seen), max(seen)) == (0.1, 1.0)


def test_the_gripper_key_closes_first_and_leaves_the_gripper_alone_until_then():
    device = KeyboardDevice()
    assert device.motion(0).gripper_des is None
    device.press("g", 0)
    assert device.motion(0).gripper_des == 0.0
    device.press("g", 0)
    assert device.motion(0).gripper_des == 1.0


def test_recorder_keys_become_events_once_and_all_are_in_the_help():
    device = KeyboardDevice()
    for key, event in EVENT_KEYS.items():
        device.press(key, 0)
        assert device.take_events() == [event]
        assert f"{key}, " in HELP or f", {key} " in HELP
    assert device.take_events() == []


def test_the_terminal_is_read_without_waiting_and_left_as_it_was():
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        with Terminal(slave) as terminal:
            assert terminal.keys() == []
            os.write(master, b"r\x1b[A")
            select.select([slave], [], [], 1.0)
            assert terminal.keys() == ["r", "up"]
            assert not termios.tcgetattr(slave)[3] & termios.ECHO
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def axes(**values: float) -> list[float]:
    return [values.get(name, 0.0) for name in ("x", "y", "z", "a", "b", "c")]


def test_axes_become_deflections_with_sign_dead_band_and_limit():
    device = JoyDevice(replace(LAYOUT, linear_signs=(1.0, -1.0, 1.0)))
    device.receive(axes(x=0.5, y=0.5, z=LAYOUT.deadband / 2, c=-7.0), [0, 0], 0)
    motion = device.motion(0)
    assert motion.linear == (0.5, -0.5, 0.0)
    assert motion.angular == (0.0, 0.0, -1.0)


def test_clutch_and_gripper_are_levels():
    device = JoyDevice(LAYOUT)
    for clutch, close in ((0, 0), (1, 0), (1, 1), (0, 1), (1, 0)):
        device.receive(axes(), [clutch, close], 0)
        assert device.motion(0).is_engaged == bool(clutch)
        assert device.motion(0).gripper_des == (0.0 if close else 1.0)


def test_recorder_buttons_count_once_per_press():
    device = JoyDevice(LAYOUT)
    pressed, released = [0] * 8, [0] * 8
    pressed[LAYOUT.start_button] = 1
    for buttons in (pressed, pressed, released, pressed):
        device.receive(axes(), buttons, 0)
    assert device.take_events() == [Event.START, Event.START]
    assert device.take_events() == []


def test_a_gamepad_that_falls_silent_is_a_fault():
    device = JoyDevice(LAYOUT)
    assert "no Joy message yet" in device.motion(0).fault
    device.receive(axes(), [1, 0], 0)
    limit_ns = int(LAYOUT.timeout_ms * 1e6)
    assert device.motion(limit_ns).fault == ""
    assert device.motion(limit_ns + 1).fault == "no Joy message for 0.5 s"


def test_a_gamepad_with_too_few_axes_is_refused():
    with pytest.raises(DeviceError, match="has 2 axes, config/teleop/joy.yaml needs axis 2; adapt"):
        JoyDevice(LAYOUT).receive([0.0, 0.0], [], 0)


@pytest.mark.parametrize(
    "change, message",
    [({"linear_axes": [0, 1]}, "'linear_axes' needs three values"), ({"deadband": 1.0}, "0 <= deadband < 1")],
)
def test_layouts_that_cannot_be_read_are_refused(change, message):
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(LAYOUT).items()}
    with pytest.raises(ConfigError, match=message):
        from_mapping(JoyLayout, {**values, **change}, "test")
