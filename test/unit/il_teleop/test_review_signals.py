"""Reading a recording once gives the numbers that decoding every message gives."""

from __future__ import annotations

import numpy as np
import pytest

from il_core import topics
from il_core.errors import JointSetError, ShapeError
from il_core.store.msgdefs import encoder
from il_core.store.recording import Recording
from il_teleop.review.signals import JointRows, read_signals

KIND = "sensor_msgs/msg/JointState"


class Message:
    """A decoded JointState."""

    def __init__(self, names, rows):
        self.name = names
        self.position, self.velocity, self.effort = rows


def cdr(names, rows, frame="base"):
    values = dict(zip(("position", "velocity", "effort"), (list(r) for r in rows), strict=True))
    return encoder(KIND)({"header": {"frame_id": frame}, "name": names, **values})


def refuse():
    raise AssertionError("was decoded although it is laid out as the first message")


@pytest.mark.parametrize("names", [["a"], ["a", "bb"], [f"fr3_joint{k}" for k in range(7)] + ["finger"]])
def test_messages_laid_out_as_the_first_are_read_without_decoding(names, rng):
    rows = JointRows()
    expected = rng.normal(size=(20, 3, len(names)))
    rows.append(0, cdr(names, expected[0]), lambda: Message(names, expected[0]))
    for k in range(1, 20):
        rows.append(k, cdr(names, expected[k]), refuse)
    _, got, (q, v, tau) = rows.arrays()
    assert got == tuple(names)
    assert np.array_equal(np.stack([q, v, tau], axis=1), expected)


def test_another_frame_or_length_is_decoded(rng):
    names, rows, decoded = ["a", "b"], JointRows(), []
    values = rng.normal(size=(3, 3, 2))
    for k, frame in enumerate(["base", "elsewhere", "base"]):
        rows.append(k, cdr(names, values[k], frame), lambda k=k: decoded.append(k) or Message(names, values[k]))
    assert decoded == [0, 1]
    assert np.array_equal(rows.arrays()[2][0], values[:, 0])


def test_values_moved_from_one_array_to_the_next_are_not_misread(rng):
    names, rows = ["a", "b"], JointRows()
    rows.append(0, cdr(names, rng.normal(size=(3, 2))), lambda: Message(names, rng.normal(size=(3, 2))))
    uneven = encoder(KIND)(
        {"header": {"frame_id": "base"}, "name": names, "position": [1.0, 2.0], "velocity": [1.0], "effort": [1.0] * 3}
    )
    with pytest.raises(ShapeError, match="JointState.velocity"):
        rows.append(1, uneven, lambda: Message(names, ([1.0, 2.0], [1.0], [1.0] * 3)))


def test_joints_that_change_in_between_are_refused():
    rows = JointRows()
    zeros = [[0.0]] * 3
    rows.append(0, cdr(["a"], zeros), lambda: Message(["a"], zeros))
    with pytest.raises(JointSetError, match="missing \\['a'\\], unexpected \\['b'\\]"):
        rows.append(1, cdr(["b"], zeros), lambda: Message(["b"], zeros))


def test_a_recording_gives_what_its_messages_say(tiny_setup, demo_events, write_recording):
    recording = Recording.open(write_recording(tiny_setup, demo_events))
    seen = []
    signals = read_signals(recording, lambda topic, stamp_ns, decode: seen.append((topic, stamp_ns)))
    poses = sorted((e[2], e[3]["pose"]["position"]["x"]) for e in demo_events if e[0] == topics.EE_POSE)
    assert signals.pose_ns.tolist() == [t for t, _ in poses]
    assert signals.p_base[:, 0].tolist() == [x for _, x in poses]
    joints = sorted((e[2], e[3]["position"]) for e in demo_events if e[0] == topics.JOINT_STATES)
    assert signals.q.tolist() == [q for _, q in joints]
    assert signals.joint_names == ("b", "g", "a")
    assert {t: len(log) for t, log in signals.stamps.items()} == recording.counts
    assert len(seen) == recording.counts[topics.color("eye")] + recording.counts[topics.depth("eye")]
    stamps = [e[2] for e in demo_events]
    assert (signals.start_ns, signals.end_ns) == (min(stamps), max(stamps))


def test_a_part_of_a_recording_holds_nothing_from_outside(tiny_setup, demo_events, write_recording):
    signals = read_signals(Recording.open(write_recording(tiny_setup, demo_events)))
    start, end = signals.start_ns + 500_000_000, signals.start_ns + 900_000_000
    part = signals.within(start, end)
    assert 0 < len(part.pose_ns) < len(signals.pose_ns)
    for stamps in (part.pose_ns, part.arm_ns, part.target_ns, *(log.stamp_ns for log in part.stamps.values())):
        assert all(start <= t <= end for t in stamps)
