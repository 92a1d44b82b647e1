"""The path from receiver to disk: what is kept, what is lost and said so, and disks that fail."""

from __future__ import annotations

import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recorder_world import HEADER, PLAN, T0, WAIT_S, feed, finish, joint_bytes, make_session  # noqa: E402 - needs the path

from il_core.clock import ManualClock  # noqa: E402
from il_core.errors import RecordingError  # noqa: E402
from il_core.store.recording import Recording, RecordingWriter, list_recordings  # noqa: E402
from il_core.store.repair import repair_recording  # noqa: E402
from il_core.types import Outcome  # noqa: E402
from il_teleop.recorder import Event, State  # noqa: E402
from il_teleop.recorder_report import status_of  # noqa: E402
from il_teleop.session import RefusedError  # noqa: E402
from il_teleop.take import Take  # noqa: E402
from il_teleop.topic_stats import TopicStats  # noqa: E402


def test_only_what_arrives_between_start_and_stop_is_kept(tmp_path):
    session, clock = make_session(tmp_path)
    feed(session, clock, 5)
    session.lose(PLAN.name, 3)
    assert finish(session, Event.START).startswith("recording ")
    feed(session, clock, 100)
    assert finish(session, Event.STOP) == "stopped: 100 messages, 0 lost; keep or discard"
    feed(session, clock, 5)
    finish(session, Event.SUCCESS)
    answer = finish(session, Event.KEEP)
    assert answer.startswith("kept as success: ")
    recording = Recording.open(answer.split()[-1])
    stamps = [stamp for *_, stamp in recording.messages()]
    assert stamps == [T0 + (5 + k) * 1_000_000 for k in range(1, 101)]
    assert recording.header.topics[PLAN.name].received == 100
    assert (session.status.state, session.status.saved) == (State.IDLE, 1)


def test_discard_leaves_nothing_and_the_next_recording_starts_clean(tmp_path):
    session, clock = make_session(tmp_path)
    for stop_first in (True, False):
        finish(session, Event.START)
        feed(session, clock, 10)
        if stop_first:
            finish(session, Event.STOP)
        assert finish(session, Event.DISCARD) == "discarded"
        assert list(tmp_path.rglob("*.mcap")) == []
        clock.advance(10**9)
    finish(session, Event.START)
    assert session.stats[PLAN.name].received == 0
    assert session.close() == "recorder closed; discarded"


def test_a_fault_while_stopping_still_answers_the_one_who_stopped(tmp_path):
    session, clock = make_session(tmp_path)
    finish(session, Event.START)
    feed(session, clock, 500)
    answer = session.handle(Event.STOP)
    session.fail("topic 'joint_states' is silent")
    session.poll(WAIT_S)
    assert answer.done()
    session.poll(WAIT_S)
    assert session.status.state is State.FAULT
    (partial,) = tmp_path.rglob("*.partial")
    assert session.status.reason.endswith(f"is silent; what was recorded is kept: `il dataset repair {partial}`")
    assert Recording.open(repair_recording(partial).path).counts == {PLAN.name: 500}


def test_a_full_queue_is_counted_never_silent(tmp_path):
    stats = {PLAN.name: TopicStats(PLAN)}
    writer = RecordingWriter(tmp_path, replace(HEADER, created_ns=T0), ManualClock(T0))
    data = joint_bytes(T0)
    take = Take(writer, stats, queue_bytes=len(data) - 1)  # nothing fits
    for _ in range(7):
        take.receive(PLAN.name, data, T0)
    path = take.commit(Outcome.UNLABELLED, {}).result(timeout=10)
    account = Recording.open(path).header.topics[PLAN.name]
    assert (account.received, account.lost["queue"]) == (0, 7)


def test_closing_keeps_what_waits_for_review(tmp_path):
    session, clock = make_session(tmp_path)
    finish(session, Event.START)
    feed(session, clock, 3)
    finish(session, Event.STOP)
    assert session.close().startswith("recorder closed; kept as unlabelled: ")
    assert len(list_recordings(tmp_path)) == 1


def test_a_full_disk_leads_to_fault_and_earlier_recordings_stay_whole(tmp_path):
    session, clock = make_session(tmp_path)
    finish(session, Event.START)
    feed(session, clock, 10)
    finish(session, Event.STOP)
    earlier = Path(finish(session, Event.KEEP).split()[-1])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    finish(session, Event.START)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        feed(session, clock, 3000)  # more than one chunk
        session.handle(Event.STOP)
        session.poll(WAIT_S)  # all was tried
        session.poll(WAIT_S)  # the remains are gone
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    level, message, _ = status_of(session, clock.now_ns(), "")
    assert level == "ERROR"
    assert "free space or choose another root" in message
    assert list_recordings(tmp_path) == [earlier]
    (partial,) = tmp_path.rglob("*.partial")
    assert f"il dataset repair {partial}" in message
    with pytest.raises(RefusedError, match="recorder is in fault .*cannot write"):
        finish(session, Event.START)
    finish(session, Event.DISCARD)
    finish(session, Event.START)
    session.close()


def test_a_take_that_was_asked_to_be_kept_is_there_although_the_disk_refused_its_end(tmp_path):
    session, clock = make_session(tmp_path)
    finish(session, Event.START)
    feed(session, clock, 300)
    finish(session, Event.STOP)
    (partial,) = tmp_path.rglob("*.partial")
    (file,) = partial.glob("*.mcap")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, limits[1]))
        with pytest.raises(
            RecordingError, match=f"cannot write.*what was recorded is kept: `il dataset repair {partial}`"
        ):
            finish(session, Event.KEEP)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert session.status.state is State.FAULT
    assert Recording.open(repair_recording(partial).path).counts == {PLAN.name: 300}


def test_an_unwritable_root_is_a_fault_with_its_reason(tmp_path):
    (tmp_path / "file").write_text("")
    session, _ = make_session(tmp_path / "file")
    with pytest.raises(RecordingError, match="cannot write: Not a directory"):
        finish(session, Event.START)
    assert session.status.state is State.FAULT
