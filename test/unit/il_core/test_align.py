"""Alignment depends on stamps alone; what is missing or old is an error that says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_core.align import Aligner, Alignment, Buffer, FramePairs, camera_stream
from il_core.errors import ConfigError, StaleStreamError
from il_core.geometry import pose
from il_core.types import ArmState, CameraFrame, EePose

MS = 1_000_000
T0 = 1_700_000_000_000_000_000


def ee(stamp_ns):
    return EePose(stamp_ns, pose([(stamp_ns - T0) / 1e9, 0.0, 0.0]))


def arm(stamp_ns):
    return ArmState(stamp_ns, np.full(2, (stamp_ns - T0) / 1e9), np.zeros(2), np.zeros(2), 0.5)


def frame(setup, stamp_ns):
    i = setup.robot.cameras[0].intrinsics
    rgb = np.full((6, 8, 3), stamp_ns // MS % 256, np.uint8)
    return CameraFrame(stamp_ns, "eye", rgb, np.ones((6, 8), np.float32), i)


@pytest.fixture
def aligner(tiny_setup):
    return Aligner(tiny_setup.task)


def feed(aligner, setup, stamp_ns):
    aligner.push_arm(arm(stamp_ns))
    aligner.push_ee_pose(ee(stamp_ns))
    aligner.push_frame(frame(setup, stamp_ns))


def test_the_newest_sample_at_or_before_the_tick_is_used(aligner, tiny_setup):
    for t in (T0, T0 + 20 * MS, T0 + 40 * MS):
        feed(aligner, tiny_setup, t)
    seen = aligner.observe(T0 + 30 * MS)
    assert seen.age_ns == {"ee_pose": 10 * MS, "arm": 10 * MS, camera_stream("eye"): 10 * MS}
    assert seen.arm.stamp_ns == seen.images["eye"].stamp_ns == T0 + 20 * MS
    assert aligner.observe(T0 + 40 * MS).arm.stamp_ns == T0 + 40 * MS  # exactly at the tick counts


def test_a_stream_never_received_is_named(aligner, tiny_setup):
    aligner.push_ee_pose(ee(T0))
    aligner.push_frame(frame(tiny_setup, T0))
    with pytest.raises(StaleStreamError, match="stream 'arm': never received, limit 50 ms"):
        aligner.observe(T0)


def test_a_sample_beyond_its_age_limit_is_refused_with_its_age(aligner, tiny_setup):
    feed(aligner, tiny_setup, T0)
    aligner.observe(T0 + 50 * MS)  # the limit itself is allowed
    aligner.push_arm(arm(T0 + 150 * MS))
    aligner.push_ee_pose(ee(T0 + 150 * MS))
    aligner.observe(T0 + 150 * MS)
    with pytest.raises(StaleStreamError, match="'camera/eye': newest sample is 151 ms old, limit 150 ms") as caught:
        aligner.observe(T0 + 151 * MS)
    assert (caught.value.stream, caught.value.age_ns) == ("camera/eye", 151 * MS)


def test_nothing_from_after_the_tick_is_used(aligner, tiny_setup):
    feed(aligner, tiny_setup, T0 + MS)
    with pytest.raises(StaleStreamError, match="never received"):
        aligner.observe(T0)


def test_only_streams_the_task_uses_are_required(make_setup):
    aligner = Aligner(make_setup(state=("ee_position",), cameras=()).task)
    aligner.push_ee_pose(ee(T0))
    aligner.push_arm(arm(T0))
    assert aligner.streams == ("ee_pose",)
    assert aligner.observe(T0).arm is None


def test_an_unknown_camera_is_refused(aligner, tiny_setup, make_setup):
    other = Aligner(make_setup(cameras=()).task)
    with pytest.raises(ConfigError, match="no camera 'eye'"):
        other.push_frame(frame(tiny_setup, T0))


def test_a_task_without_an_age_limit_is_refused(make_setup):
    with pytest.raises(ConfigError, match="no entry 'arm'"):
        Aligner(make_setup(max_age_ms={"ee_pose": 50.0, "camera": 100.0}).task)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(30)), st.integers(0, 300 * MS))
def test_the_result_does_not_depend_on_the_order_of_arrival(order, offset_ns):
    in_order, shuffled = (Alignment[int]({"a": 60 * MS, "b": 60 * MS}) for _ in range(2))
    for stamps, alignment in ((range(30), in_order), (order, shuffled)):
        for k in stamps:
            alignment.push("ab"[k % 2], T0 + k * 10 * MS, k)

    def outcome(alignment):
        try:
            return alignment.choose(T0 + offset_ns)
        except StaleStreamError as error:
            return str(error)

    assert outcome(in_order) == outcome(shuffled)


def test_a_repeated_stamp_keeps_the_first_sample():
    buffer = Buffer[str]()
    buffer.push(T0, "first")
    buffer.push(T0, "again")
    assert buffer.at(T0) == (T0, "first")
    assert len(buffer) == 1


def test_memory_is_bounded_by_the_time_kept():
    buffer = Buffer[int](keep_ns=100 * MS)
    for k in range(1000):
        buffer.push(T0 + k * MS, k)
    assert len(buffer) == 101
    buffer.push(T0, 0)  # too old to matter
    assert len(buffer) == 101


def test_samples_from_before_a_clock_set_back_do_not_keep_new_ones_out():
    buffer = Buffer[str](keep_ns=100 * MS)
    buffer.push(T0 + 10_000 * MS, "before")
    assert buffer.at(T0) is None  # the tick tells that the clock was set back
    buffer.push(T0, "after")
    assert buffer.at(T0) == (T0, "after")


def test_clear_forgets_everything(aligner, tiny_setup):
    feed(aligner, tiny_setup, T0)
    aligner.clear()
    with pytest.raises(StaleStreamError, match="never received"):
        aligner.observe(T0)


def test_pictures_are_paired_by_stamp_in_any_order():
    pairs = FramePairs[str]()
    assert pairs.push(1, "d1", is_depth=True) is None
    assert pairs.push(2, "c2", is_depth=False) is None
    assert pairs.push(1, "c1", is_depth=False) == ("c1", "d1")
    assert pairs.push(2, "d2", is_depth=True) == ("c2", "d2")
    assert pairs.push(2, "d2", is_depth=True) is None  # a pair is given once


def test_pictures_without_partner_do_not_pile_up():
    pairs = FramePairs[int](keep=3)
    for k in range(10):
        pairs.push(k, k, is_depth=False)
    assert pairs.push(0, 0, is_depth=True) is None
    assert pairs.push(9, 9, is_depth=True) == (9, 9)
