"""What a take received reaches the kernel in time, and a disk that refuses is told to the operator."""

from __future__ import annotations

import os
import resource
import signal
import time

from il_core import topics
from il_core.clock import ManualClock
from il_core.errors import RecordingError
from il_core.store import box_files, msgdefs
from il_core.store.inspect import inspect_recording
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter, list_recordings
from il_core.store.repair import repair_recording
from il_core.types import Outcome
from il_teleop.recorder import Event, State
from il_teleop.session import RecordingSession
from il_teleop.take import Take
from il_teleop.topic_stats import TopicPlan, TopicStats

T0 = 1_700_000_000_000_000_000
PLAN = TopicPlan(topics.JOINT_STATES, "sensor_msgs/msg/JointState", "sim", 1000.0)
HEADER = RecordingHeader("pick_place", "fr3", "d" * 64, T0)
MESSAGE = msgdefs.encoder(PLAN.type)({"header": {"stamp": {"sec": T0 // 10**9}}, "position": [0.5] * 200})
FULL_BYTES = 200_000  # several chunks


def begin(root, name=None):
    writer = RecordingWriter(root, HEADER, ManualClock(T0), name)
    return Take(writer, {PLAN.name: TopicStats(PLAN)}, 10**7)


def test_a_message_reaches_the_file_although_no_other_follows_it(tmp_path):
    take = begin(tmp_path)
    take.receive(PLAN.name, MESSAGE, T0)
    end = time.monotonic() + 5.0
    while not inspect_recording(take.writer.partial).found and time.monotonic() < end:
        time.sleep(0.01)
    assert inspect_recording(take.writer.partial).found == {PLAN.name: 1}
    take.remove().result(5.0)


def test_after_stop_everything_survives_the_end_of_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(box_files, "FOLDER", tmp_path / "nowhere")  # the file alone must hold it
    pid = os.fork()
    if pid == 0:  # the child stops, waits for review, and dies
        take = begin(tmp_path)
        for k in range(50):
            take.receive(PLAN.name, MESSAGE, T0 + k)
        take.flush().result(5.0)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    done = repair_recording(next(tmp_path.rglob("*.partial")))
    assert Recording.open(done.path).counts == {PLAN.name: 50}


def test_a_full_disk_stops_the_recorder_with_a_sentence_and_keeps_earlier_recordings(tmp_path):
    take = begin(tmp_path, "earlier")
    take.receive(PLAN.name, MESSAGE, T0)
    earlier = take.commit(Outcome.SUCCESS).result(5.0)
    pid = os.fork()
    if pid == 0:  # in a child whose files may not grow: exit code 7 = all as promised
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))
        session = RecordingSession(tmp_path, HEADER, {PLAN.name: TopicStats(PLAN)}, 10**7, ManualClock(T0))
        session.handle(Event.START)
        end = time.monotonic() + 10.0
        k = 0
        while session.status.state is State.RECORDING and time.monotonic() < end:
            k += 1
            random_bytes = os.urandom(1600)
            session.receive(PLAN.name, MESSAGE[:-1600] + random_bytes, T0 + k * 10**6)
            session.poll()
            time.sleep(0.001)
        session.poll(5.0)
        told = "free space" in session.status.reason and "earlier recordings are untouched" in session.status.reason
        os._exit(7 if session.status.state is State.FAULT and told else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert list_recordings(tmp_path) == [earlier]
    assert inspect_recording(earlier).is_whole
    (partial,) = tmp_path.rglob("*.partial")
    done = repair_recording(partial)
    assert Recording.open(done.path).counts[PLAN.name] > 5
    assert list_recordings(tmp_path) == sorted([earlier, done.path])


def test_an_unwritable_folder_is_told_when_recording_starts(tmp_path):
    (tmp_path / "root").write_text("a file, not a folder")
    session = RecordingSession(tmp_path / "root", HEADER, {PLAN.name: TopicStats(PLAN)}, 10**7, ManualClock(T0))
    error = session.handle(Event.START).exception()
    assert isinstance(error, RecordingError)
    assert "cannot write: Not a directory; free space or choose another root" in str(error)
    assert session.status.state is State.FAULT
