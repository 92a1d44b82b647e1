"""How stiff the arm was becomes part of an action, where the task says so; what was not recorded is not guessed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from il_core import topics
from il_core.clock import ManualClock
from il_core.errors import EpisodeError
from il_core.spec import digest
from il_core.store.episodes import EpisodeStore
from il_core.store.msgdefs import encoder
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter
from il_core.types import Episode, Observation, Outcome
from il_teleop.dataset.stiffness import stiffness

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
KIND = "geometry_msgs/msg/WrenchStamped"


@pytest.fixture
def told(tmp_path):
    """A recording in which the controller says at some instants how stiff it is: 100, 200, ... N/m along x."""

    def write(*after_ms):
        writer = RecordingWriter(tmp_path, RecordingHeader("task", "arm", "0" * 64, T0), ManualClock(T0), "take")
        writer.add_topic(topics.STIFFNESS, KIND)
        for k, ms in enumerate(after_ms):
            stamp = dict(zip(("sec", "nanosec"), divmod(T0 + ms * MS, 10**9), strict=True))
            force = {"x": 100.0 * (k + 1), "y": 2.0, "z": 3.0}
            wrench = {"force": force, "torque": {"x": 4.0, "y": 5.0, "z": 6.0}}
            data = encoder(KIND)({"header": {"stamp": stamp, "frame_id": "base"}, "wrench": wrench})
            writer.append(topics.STIFFNESS, data, T0 + ms * MS, T0 + ms * MS)
        return Recording.open(writer.commit())

    return write


def test_what_was_told_last_before_an_action_ends_counts(told):
    rows = stiffness(told(0, 10, 50), [T0 + ms * MS for ms in (0, 9, 10, 60, 250)])
    assert rows[:, 0].tolist() == [100, 100, 200, 300, 300]
    assert rows[0, 1:].tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("after_ms", "instant_ms", "words"),
    [
        ((), 10, "recorded nothing on control/stiffness"),
        ((20,), 10, "stiffness is not yet known"),
        ((0,), 201, "stiffness is 201 ms old .* limit 200 ms; check the controller"),
    ],
)
def test_missing_and_old_stiffness_is_an_error(told, after_ms, instant_ms, words):
    with pytest.raises(EpisodeError, match=words):
        stiffness(told(*after_ms), [T0 + instant_ms * MS])


def test_the_stiffness_travels_into_the_dataset_and_only_where_it_was_recorded(tmp_path, tiny_setup):

    T = np.eye(4)
    seen = tuple(Observation(T0 + k * 100 * MS, T, None, {}, {"ee_pose": 0}) for k in range(3))
    episode = Episode("a", seen, np.stack([T] * 3), np.zeros(3), Outcome.SUCCESS, tiny_setup.task.rate_hz)
    k_p = np.arange(18.0).reshape(3, 6)
    store = EpisodeStore.create(tmp_path / "ds", tiny_setup)
    store.add(replace(episode, k_p_des=k_p))
    store.add(replace(episode, name="b"))
    found = EpisodeStore.open(tmp_path / "ds")
    assert np.array_equal(found.episode(0).k_p_des, k_p) and found.episode(1).k_p_des is None


def test_tasks_of_before_keep_their_digest_and_one_with_a_stiffness_has_another(tiny_setup):
    robot, task = tiny_setup.robot, tiny_setup.task
    assert digest(robot, task, "") == "89c95c2389112900f37f7972dd36515182be3f5db9ef8553f3ec00d7b2d76b74"  # as of 0.2
    stiff = replace(task, action=replace(task.action, stiffness=True))
    assert digest(robot, stiff, "") != digest(robot, task, "")
