"""Keys and gamepad messages into motion and recorder events."""

from __future__ import annotations

import os
import pty
import select
import termios
from dataclasses import asdict

import pytest

from il_core.config import config_dir, from_mapping, load_yaml
from il_core.errors import ConfigError, DeviceError
from il_teleop.buttons import Buttons, Panel
from il_teleop.devices.joy import JoyDevice, JoyLayout
from il_teleop.devices.keyboard import HELP, HOLD_NS, KeyboardDevice, Terminal, split_keys
from il_teleop.recorder import Event
from il_teleop.watch import Watch

LAYOUT = load_yaml(config_dir() / "teleop" / "joy.yaml", JoyLayout)
BUTTONS = load_yaml(config_dir() / "teleop" / "buttons.yaml", Buttons)
START = next(int(k) for k, meaning in BUTTONS.joy.items() if meaning == "start")


def make_keyboard() -> KeyboardDevice:
    return KeyboardDevice(BUTTONS.keys)


def make_joy(layout: JoyLayout = LAYOUT) -> JoyDevice:
    return JoyDevice(layout, BUTTONS.joy)


def test_keys_are_found_however_the_terminal_cuts_its_bytes():
    sent = "a\x1b[A \x1bOD\x1b[C1\x1b[B\x1bOP\x1b[15~\r\x1b"
    whole = ["a", "up", " ", "left", "right", "1", "down", "f1", "f5", "enter"]
    for cut in range(len(sent) + 1):
        first, rest = split_keys(sent[:cut])
        second, rest = split_keys(rest + sent[cut:])
        assert first + second == whole
        assert rest == "\x1b"
    assert split_keys("\x1ba\x1b[Zb") == (["a", "[", "Z", "b"], "")


def test_a_key_counts_as_held_for_a_moment_only():
    device = make_keyboard()
    device.press("up", 0)
    assert device.motion(HOLD_NS).linear[0] > 0
    assert device.motion(HOLD_NS + 1).linear == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("pair", [("up", "down"), ("left", "right"), "uj", "12", "34", "56"])
def test_opposite_keys_move_oppositely_along_one_axis(pair):
    seen = []
    for key in pair:
        device = make_keyboard()
        device.press(key, 0)
        motion = device.motion(0)
        seen.append([*motion.linear, *motion.angular])
    assert seen[0] == [-v for v in seen[1]]
    assert sum(v != 0 for v in seen[0]) == 1


def test_space_toggles_the_clutch_and_forgets_held_keys():
    device = make_keyboard()
    device.press("up", 0)
    device.press(" ", 0)
    assert device.motion(0).is_engaged
    assert device.motion(0).linear == (0.0, 0.0, 0.0)
    device.press(" ", 0)
    assert not device.motion(0).is_engaged


def test_speed_keys_scale_monotonically_and_never_exceed_full_deflection():
    device = make_keyboard()
    seen = []
    for key in ["-"] * 6 + ["+"] * 8:
        device.press(key, 0)
        device.press("up", 0)
        seen.append(device.motion(0).linear[0])
    assert seen[5:] == sorted(seen[5:])
    assert (min(seen), max(seen)) == (0.1, 1.0)


def test_the_gripper_key_closes_first_and_leaves_the_gripper_alone_until_then():
    device = make_keyboard()
    assert device.motion(0).gripper_des is None
    device.press("g", 0)
    assert device.motion(0).gripper_des == 0.0
    device.press("g", 0)
    assert device.motion(0).gripper_des == 1.0


def test_recorder_keys_become_events_once_and_all_are_in_the_help():
    device = make_keyboard()
    for key, event in BUTTONS.recorder_keys.items():
        device.press(key, 0)
        assert device.take_events() == [event]
        assert key in HELP or key in ("f2", "f3", "f4"), key
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


def test_axes_become_deflections_within_their_limit():
    device = make_joy()
    device.receive(axes(x=0.5, y=float("nan"), c=-7.0), [0, 0], 0)
    motion = device.motion(0)
    assert motion.linear == (0.5, 0.0, 0.0)
    assert motion.angular == (0.0, 0.0, -1.0)


def test_clutch_and_gripper_are_levels():
    device = make_joy()
    for clutch, close in ((0, 0), (1, 0), (1, 1), (0, 1), (1, 0)):
        device.receive(axes(), [clutch, close], 0)
        assert device.motion(0).is_engaged == bool(clutch)
        assert device.motion(0).gripper_des == (0.0 if close else 1.0)


def test_recorder_buttons_count_once_per_press():
    device = make_joy()
    pressed, released = [0] * 8, [0] * 8
    pressed[START] = 1
    for buttons in (pressed, pressed, released, pressed):
        device.receive(axes(), buttons, 0)
    assert device.take_events() == [Event.START, Event.START]
    assert device.take_events() == []


def test_a_gamepad_that_falls_silent_is_a_fault():
    device = make_joy()
    assert "no Joy message yet" in device.motion(0).fault
    device.receive(axes(), [1, 0], 0)
    limit_ns = int(LAYOUT.timeout_ms * 1e6)
    assert device.motion(limit_ns).fault == ""
    assert device.motion(limit_ns + 1).fault == "no Joy message for 0.5 s"


def test_a_gamepad_with_too_few_axes_is_refused():
    with pytest.raises(DeviceError, match="has 2 axes, config/teleop/joy.yaml needs axis 2; adapt"):
        make_joy().receive([0.0, 0.0], [], 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"linear_axes": [0, 1]}, "'linear_axes' needs three values"),
        ({"feel": {"dead_zone": 1.0}}, "0 <= dead_zone < 1"),
    ],
)
def test_layouts_that_cannot_be_read_are_refused(change, message):
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(LAYOUT).items()}
    values["feel"] = {}
    with pytest.raises(ConfigError, match=message):
        from_mapping(JoyLayout, {**values, **change}, "test")


def test_buttons_with_unknown_meanings_are_refused():
    with pytest.raises(ConfigError, match="'joy: 3' means unknown 'strat'; did you mean 'start'"):
        Buttons(joy={"3": "strat"})
    with pytest.raises(ConfigError, match="unknown 'done'"):
        Buttons(keys={"x": "done"})  # the recorder's own business


def test_a_toggled_clutch_opens_by_itself_and_a_held_one_does_not():
    panel = Panel({"a": "clutch_toggle", "b": "clutch"})
    panel.press("a")
    assert panel.is_engaged
    panel.open_clutch()
    assert not panel.is_engaged
    panel.hold("b")
    panel.open_clutch()
    assert panel.is_engaged, "whoever holds it must let go"
    panel.hold("")
    assert not panel.is_engaged


def test_a_held_close_button_wins_over_a_gripper_toggle():
    panel = Panel({"a": "gripper", "b": "close"})
    assert panel.gripper_des == 1.0
    panel.hold("b")
    assert panel.gripper_des == 0.0
    panel.hold("")
    panel.press("a")
    assert panel.gripper_des == 0.0
    panel.press("a")
    assert panel.gripper_des == 1.0


def test_a_watch_tells_never_from_seldom_from_silent():
    watch = Watch("ping", timeout_ms=500.0, rate_min_hz=10.0, hint="plug it in")
    assert watch.fault(0) == "no ping yet: plug it in"
    for k in range(20):
        watch.beat(k * 50_000_000)
        assert watch.fault(k * 50_000_000) == ""
    for k in range(4):
        watch.beat(950_000_000 + (k + 1) * 300_000_000)
    assert watch.fault(2_150_000_000) == "only 4 pings per second, 10 are needed"
    assert watch.fault(3_000_000_000) == "no ping for 0.8 s"
    watch.beat(9_000_000_000)
    assert watch.fault(9_000_000_000) == "", "after a silence the rate is judged anew"
    watch.beat(1_000_000_000)  # the clock was set back
    assert watch.fault(1_000_000_001) == ""


@pytest.mark.parametrize("limits", [(0.0, 1.0), (10.0, -1.0)])
def test_a_watch_that_could_never_be_content_is_refused(limits):
    with pytest.raises(ConfigError, match="need timeout_ms > 0"):
        Watch("ping", *limits)
