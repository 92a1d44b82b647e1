"""A tick is an intervention when a person drives after a policy has; what was not written down is not guessed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from il_core import topics
from il_core.clock import ManualClock
from il_core.store.episodes import EpisodeStore
from il_core.store.msgdefs import encoder
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter
from il_teleop.dataset import BuildOptions, build
from il_teleop.dataset.interventions import interventions

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
KIND = "diagnostic_msgs/msg/DiagnosticArray"


@pytest.fixture
def told(tmp_path):
    """A recording in which the controller says at each second who drives."""

    def write(*sources):
        header = RecordingHeader("task", "arm", "0" * 64, T0)
        writer = RecordingWriter(tmp_path, header, ManualClock(T0), "-".join(sources).replace(" ", "_") or "nobody")
        writer.add_topic(topics.CONTROL_SOURCE, KIND)
        for k, source in enumerate(sources):
            stamp = {"sec": (T0 + k * SECOND) // SECOND, "nanosec": 0}
            values = [{"key": "source", "value": source}, {"key": "claim", "value": ""}]
            status = [{"level": 0, "name": "control source", "message": "", "values": values}]
            data = encoder(KIND)({"header": {"stamp": stamp, "frame_id": ""}, "status": status})
            writer.append(topics.CONTROL_SOURCE, data, T0 + k * SECOND, T0 + k * SECOND)
        return Recording.open(writer.commit())

    return write


def ticks(n):
    return [T0 + k * SECOND // 2 for k in range(n)]


def test_a_person_who_takes_over_from_a_policy_intervenes_until_it_drives_again(told):
    marks = interventions(told("teleop", "policy", "hand guiding", "policy", "teleop"), ticks(10))
    assert marks.tolist() == [False] * 4 + [True] * 2 + [False] * 2 + [True] * 2


def test_in_a_demonstration_nobody_intervenes(told):
    assert not interventions(told("hold", "teleop", "hand guiding", "teleop"), ticks(8)).any()


@pytest.mark.parametrize("sources", [(), ("policy",)])
def test_a_recording_that_does_not_say_who_drove_at_the_first_tick_says_nothing(told, sources):
    assert interventions(told(*sources), [T0 - 1, T0 + 1]) is None


def test_the_mark_travels_into_the_dataset(tmp_path, tiny_setup, demo_events, write_recording):
    build([write_recording(tiny_setup, demo_events)], tiny_setup, tmp_path / "ds", BuildOptions(idle_keep_s=None))
    assert EpisodeStore.open(tmp_path / "ds").episode(0).intervention is None
    episode = EpisodeStore.open(tmp_path / "ds").episode(0)
    marks = np.arange(len(episode.observations)) % 3 == 0
    store = EpisodeStore.create(tmp_path / "marked", tiny_setup)
    store.add(replace(episode, intervention=marks))
    assert np.array_equal(EpisodeStore.open(tmp_path / "marked").episode(0).intervention, marks)
