"""HID reports of a SpaceMouse, from bytes that a real one sent."""

from __future__ import annotations

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core.errors import ConfigError, DeviceError
from il_teleop.buttons import Buttons
from il_teleop.device import Bench
from il_teleop.devices.spacemouse import (
    HOLD_NS,
    Report,
    SpaceMouseDevice,
    SpaceMouseLayout,
    _open,
    _report,
    decode,
    find_hidraw,
)
from il_teleop.recorder import Event

# What /dev/hidraw2 of a SpaceNavigator gave for one tap on the top of its cap, and for a click of its left
# button; published by its owner on the 3Dconnexion forum, topic 16943 (2016-09-24).
TAP = bytes.fromhex(
    "01f8ff14005500 02000015000000 010000b0ff0400 02a5ff00000000 01000000004b00"
    "026500feff0000 010000bdff0000 02d7ff08000000"
)
CLICK = bytes.fromhex("030100030000")


def split(stream: bytes, size: int) -> list[bytes]:
    return [stream[k : k + size] for k in range(0, len(stream), size)]


def device_with(reports: list[bytes], **meanings: str) -> SpaceMouseDevice:
    named = {name[1:]: meaning for name, meaning in meanings.items()}
    return SpaceMouseDevice(SpaceMouseLayout(), named, lambda: reports.pop(0) if reports else None)


def test_the_first_report_of_a_real_tap_is_the_cap_pressed_down():
    first, second = split(TAP, 7)[:2]
    assert decode(first) == Report(linear=(-8, 20, 85))
    assert decode(second) == Report(angular=(0, 21, 0))
    device = device_with([first, second])
    device.poll(0)
    x, y, z = device.motion(0).linear
    assert z == -85 / 350, "down is down"
    assert (x, y) == (-20 / 350, 8 / 350)


def test_translation_and_rotation_take_turns_in_a_real_stream():
    reports = [decode(data) for data in split(TAP, 7)]
    assert [r.linear for r in reports[::2]] == [(-8, 20, 85), (0, -80, 4), (0, 0, 75), (0, -67, 0)]
    assert [r.angular for r in reports[1::2]] == [(0, 21, 0), (-91, 0, 0), (101, -2, 0), (-41, 8, 0)]


def test_a_real_click_presses_the_first_button_once():
    device = device_with(split(CLICK, 3), b0="start")
    device.poll(0)
    assert device.take_events() == [Event.START]
    assert device.take_events() == []


def test_newer_models_send_translation_and_rotation_in_one_report():
    data = struct.pack("<B6h", 1, 350, -350, 0, 0, 0, -175)
    assert decode(data) == Report((350, -350, 0), (0, 0, -175))
    device = device_with([data])
    device.poll(0)
    motion = device.motion(0)
    assert motion.linear == (1.0, -1.0, 0.0), "pushed away from the person is forward, to the right is -y"
    assert motion.angular == (0.0, 0.0, 0.5)


def test_axes_are_turned_not_mirrored():
    """Right, back, down to forward, left, up: a rotation, so that twists follow the hand as pushes do."""
    columns = []
    for axis in range(3):
        counts = [0, 0, 0]
        counts[axis] = 350
        device = device_with([struct.pack("<B3h", 1, *counts)])
        device.poll(0)
        columns.append(device.motion(0).linear)
    (a, b, c), (d, e, f), (g, h, i) = columns
    assert a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) == 1.0


def test_a_deflection_whose_end_was_lost_on_the_way_does_not_last():
    device = device_with([struct.pack("<B3h", 1, 0, 0, 350)])
    device.poll(0)
    assert device.motion(HOLD_NS).linear[2] == -1.0
    assert device.motion(HOLD_NS + 1).linear == (0.0, 0.0, 0.0)


def test_a_device_that_is_pulled_out_is_a_fault():
    def gone() -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    device = SpaceMouseDevice(SpaceMouseLayout(), {}, gone)
    device.poll(0)
    assert device.motion(0).fault == "the SpaceMouse is gone (No such device); plug it in and start again"


@given(st.binary(max_size=64))
def test_no_bytes_do_worse_than_an_error_in_words(data: bytes):
    try:
        report = decode(data)
    except DeviceError as error:
        assert len(data) < 7  # noqa: PT017 - both outcomes are allowed
        assert "SpaceMouse" in str(error)  # noqa: PT017
    else:
        assert data
        assert report.linear is None or len(report.linear) == 3


def test_space_mice_are_found_among_the_kernels_devices_and_plain_mice_are_not(tmp_path):
    ids = ["0003:0000256F:0000C635", "0003:0000046D:0000C626", "0003:0000046D:0000C52B", "0003:0000256F:0000C650"]
    for k, number in enumerate(ids):
        folder = tmp_path / f"hidraw{k}" / "device"
        folder.mkdir(parents=True)
        (folder / "uevent").write_text(f"DRIVER=hid-generic\nHID_ID={number}\nHID_NAME=x\n")
    (tmp_path / "hidraw9").mkdir()
    (tmp_path / "hidraw10" / "device").mkdir(parents=True)
    (tmp_path / "hidraw10" / "device" / "uevent").write_text("nothing\n")
    assert [p.name for p in find_hidraw(tmp_path)] == ["hidraw0", "hidraw1"]
    assert find_hidraw(tmp_path / "missing") == []


def test_a_report_is_read_without_waiting_from_a_kernel_file():
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    try:
        assert _report(ours) is None
        os.write(theirs, CLICK[:3])
        assert _report(ours) == CLICK[:3]
    finally:
        os.close(ours)
        os.close(theirs)


def test_without_a_space_mouse_the_error_says_what_else_to_take(tmp_path, monkeypatch):
    monkeypatch.setattr("il_teleop.devices.spacemouse.find_hidraw", lambda: [])
    bench = Bench(None, buttons=Buttons())  # type: ignore[arg-type]  # nothing of the arm is asked for
    with pytest.raises(DeviceError, match="no SpaceMouse is plugged in; .*another device"):
        SpaceMouseDevice.make(bench)
    with pytest.raises(ConfigError, match="No such file.*see 'device' in"):
        _open([tmp_path / "hidraw7"])
