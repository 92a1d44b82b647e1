"""Takes: redone, replaced, judged, labelled, and told in numbers."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recorder_world import HEADER, PLAN, T0, WAIT_S, feed, finish, joint_bytes, keep_one, make_session  # noqa: E402 - needs the path

from il_core import topics  # noqa: E402
from il_core.clock import ManualClock  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.store import msgdefs  # noqa: E402
from il_core.store.recording import Recording, RecordingWriter, list_recordings  # noqa: E402
from il_core.types import Outcome  # noqa: E402
from il_teleop.health import RejectRule  # noqa: E402
from il_teleop.recorder import Event, State, Status, step  # noqa: E402
from il_teleop.recorder_report import status_of  # noqa: E402
from il_teleop.session import RefusedError  # noqa: E402
from il_teleop.take import Take  # noqa: E402
from il_teleop.topic_stats import TopicStats, plan_topics  # noqa: E402


def test_redo_while_recording_throws_the_take_away_and_starts_the_next(tmp_path):
    session, clock = make_session(tmp_path)
    finish(session, Event.START)
    feed(session, clock, 30)
    clock.advance(10**9)
    assert finish(session, Event.REDO).startswith("recording ")
    feed(session, clock, 5)
    finish(session, Event.STOP)
    clock.advance(10**9)
    finish(session, Event.REDO)
    feed(session, clock, 7)
    finish(session, Event.STOP)
    path = Path(finish(session, Event.KEEP).split()[-1])
    assert Recording.open(path).counts[PLAN.name] == 7
    assert list_recordings(tmp_path) == [path]
    assert not list(tmp_path.rglob("*.partial"))
    assert (session.status.saved, session.status.discarded) == (1, 2)


def test_redo_when_idle_replaces_the_last_kept_take_once_the_new_one_is_safe(tmp_path):
    session, clock = make_session(tmp_path)
    with pytest.raises(RefusedError, match="nothing was kept yet"):
        finish(session, Event.REDO)
    first, second = keep_one(session, clock), keep_one(session, clock)
    finish(session, Event.REDO)
    feed(session, clock, 9)
    assert list_recordings(tmp_path) == [first, second], "the old one stays until the new one is kept"
    finish(session, Event.STOP)
    third = Path(finish(session, Event.KEEP).split()[-1])
    assert list_recordings(tmp_path) == [first, third]
    assert Recording.open(third).header.notes["replaces"] == second.name
    assert session.status.saved == 2
    finish(session, Event.REDO)
    finish(session, Event.DISCARD)
    fourth = keep_one(session, clock)
    assert list_recordings(tmp_path) == [first, third, fourth], "a redo that was discarded replaces nothing"


def test_quality_text_operator_and_notes_are_kept_even_if_they_come_during_the_take(tmp_path):
    session, clock = make_session(tmp_path)
    session.describe(operator="Ada")
    session.note("scene", "wet table")
    finish(session, Event.START)
    feed(session, clock, 5)
    session.describe(instruction="pour the tea")
    finish(session, Event.QUALITY_4)
    session.note("gone", "x")
    session.note("gone", "")
    finish(session, Event.STOP)
    header = Recording.open(Path(finish(session, Event.KEEP).split()[-1])).header
    assert (header.operator, header.instruction) == ("Ada", "pour the tea")
    assert header.notes["quality"] == "4"
    assert header.notes["scene"] == "wet table"
    assert "gone" not in header.notes
    second = Recording.open(keep_one(session, clock)).header
    assert "quality" not in second.notes
    assert second.operator == "Ada"


def test_the_synchronisation_report_is_kept_with_the_take(tmp_path):
    session, clock = make_session(tmp_path)
    report = json.loads(Recording.open(keep_one(session, clock, 100)).header.notes["sync"])[PLAN.name]
    assert report["rate_hz"] == pytest.approx(1000.0)
    assert (report["jitter_ms"], report["gap_max_ms"], report["lost"]) == (0.0, 1.0, 0)


@pytest.mark.parametrize(
    "event, outcome, note", [(Event.KEEP, "unlabelled", "rejected"), (Event.KEEP_ANYWAY, "success", "kept_in_spite_of")]
)
def test_a_rejected_take_loses_its_label_unless_it_is_kept_anyway(tmp_path, event, outcome, note):
    session, clock = make_session(tmp_path, rule=RejectRule(0.0, 500.0, 0.5, 0.0))
    finish(session, Event.START)
    feed(session, clock, 10)
    clock.advance(2 * 10**9)
    feed(session, clock, 10)
    finish(session, Event.SUCCESS)
    assert "rejected: redo it" in finish(session, Event.STOP)
    level, message, values = status_of(session, clock.now_ns(), "")
    assert (level, values["rejection"]) == ("WARN", "joint_states: hole of 2001 ms, limit 500 ms")
    header = Recording.open(Path(finish(session, event).split()[-1])).header
    assert header.outcome.value == outcome
    assert header.notes[note] == values["rejection"]
    again = Recording.open(keep_one(session, clock)).header
    assert not {"rejected", "kept_in_spite_of"} & set(again.notes), "the next take is judged by itself"


def test_published_is_recorded_plus_lost_whatever_was_lost(tmp_path):
    session, clock = make_session(tmp_path, queue_bytes=3 * len(joint_bytes(T0)))
    finish(session, Event.START)
    sent = 0
    for _ in range(400):
        clock.advance(1_000_000)
        session.receive(PLAN.name, joint_bytes(clock.now_ns()), clock.now_ns())
        sent += 1
    session.lose(PLAN.name, 11)
    finish(session, Event.STOP)
    recording = Recording.open(Path(finish(session, Event.KEEP).split()[-1]))
    account = recording.header.topics[PLAN.name]
    assert account.lost["queue"] > 0
    assert account.received + sum(account.lost.values()) == sent + 11
    assert sum(1 for _ in recording.messages()) == account.received


def test_one_pedal_is_enough():
    state = Status()
    seen = []
    for _ in range(3):
        result = step(state, Event.NEXT)
        state = result.status
        seen.append(state.state)
    assert seen == [State.RECORDING, State.REVIEW, State.SAVED]


def test_who_drives_is_read_back_without_ros(tmp_path):
    plan = next(p for p in plan_topics(load_setup("pick_place"), 1000.0) if p.name == topics.CONTROL_SOURCE)
    values = [{"key": "source", "value": "hand guiding"}]
    status = {"level": 0, "name": "control source", "message": "asked", "values": values}
    data = msgdefs.encoder(plan.type)({"header": {"stamp": {"sec": 5, "nanosec": 7}}, "status": [status]})
    writer = RecordingWriter(tmp_path, replace(HEADER, created_ns=T0), ManualClock(T0))
    take = Take(writer, {plan.name: TopicStats(plan)}, 10**6)
    take.receive(plan.name, data, T0)
    recording = Recording.open(take.commit(Outcome.SUCCESS).result(timeout=WAIT_S))
    ((_, msg, _, stamp_ns),) = recording.messages([topics.CONTROL_SOURCE])
    assert stamp_ns == 5_000_000_007
    assert (msg.status[0].message, msg.status[0].values[0].value) == ("asked", "hand guiding")
