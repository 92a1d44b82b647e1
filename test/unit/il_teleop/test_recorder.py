"""The recorder's states, its account of every topic, and the path from receiver to disk."""

from __future__ import annotations

import re
import resource
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_core import topics
from il_core.clock import ManualClock
from il_core.config import load_setup
from il_core.errors import RecordingError
from il_core.store import msgdefs
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter, list_recordings
from il_core.types import Outcome
from il_teleop.recorder import (
    Effect,
    Event,
    State,
    Status,
    TopicPlan,
    TopicStats,
    plan_topics,
    silence_text,
    silent_topic,
    step,
)
from il_teleop.recorder_report import status_of
from il_teleop.session import RecordingSession, RefusedError
from il_teleop.take import Take

T0 = 1_700_000_000_000_000_000
PLAN = TopicPlan(topics.JOINT_STATES, "sensor_msgs/msg/JointState", "sim", 1000.0)
HEADER = RecordingHeader("pick_place", "fr3", "d" * 64)
WAIT_S = 60.0  # far beyond any disk; a hang fails instead of hanging
events = st.lists(st.sampled_from(list(Event)), max_size=40)


def joint_bytes(stamp_ns: int) -> bytes:
    sec, nanosec = divmod(stamp_ns, 10**9)
    header = {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": ""}
    return msgdefs.encoder(PLAN.type)({"header": header, "name": ["a"], "position": [0.0]})


def run(*sequence: Event) -> tuple[Status, list[Effect]]:
    status, effects = Status(), []
    for event in sequence:
        result = step(status, event, "the disk is full")
        status = result.status
        effects += result.effects
    return status, effects


def test_the_straight_way_opens_closes_and_commits_once():
    status, effects = run(Event.START, Event.STOP, Event.SUCCESS, Event.KEEP, Event.DONE)
    assert effects == [Effect.OPEN, Effect.CLOSE, Effect.COMMIT]
    assert (status.state, status.saved, status.discarded) == (State.IDLE, 1, 0)


@settings(deadline=None)
@given(events)
def test_every_opened_recording_is_committed_or_removed_exactly_once_before_the_next(sequence: list[Event]):
    _, effects = run(*sequence)
    is_open = False
    for effect in effects:
        assert is_open is (effect is not Effect.OPEN)
        if effect is Effect.OPEN:
            is_open = True
        elif effect in (Effect.COMMIT, Effect.REMOVE):
            is_open = False


@settings(deadline=None)
@given(events)
def test_a_label_never_passes_to_the_next_recording(sequence: list[Event]):
    status, _ = run(*sequence)
    result = step(status, Event.START)
    if not result.refusal:
        assert result.status.outcome is Outcome.UNLABELLED


@settings(deadline=None)
@given(events)
def test_a_refused_event_changes_nothing_and_says_what_to_do(sequence: list[Event]):
    status, _ = run(*sequence)
    for event in Event:
        result = step(status, event)
        if result.refusal:
            assert result.status == status
            assert result.effects == ()
            assert result.refusal.startswith(f"{event.value} refused: ")


@pytest.mark.parametrize(
    "before, event, message",
    [
        ([], Event.STOP, "nothing is being recorded; start first"),
        ([Event.START], Event.KEEP, "stop or discard it first"),
        ([Event.START, Event.STOP], Event.START, "keep or discard it first"),
        ([Event.START, Event.STOP, Event.KEEP], Event.START, "still being written"),
        ([Event.START, Event.DISCARD], Event.START, "still being removed"),
        ([Event.START, Event.FAILED], Event.START, "in fault .the disk is full.; remedy it, then"),
    ],
)
def test_refusals_name_the_next_step(before, event, message):
    status, _ = run(*before)
    assert re.search(message, step(status, event).refusal)


@pytest.mark.parametrize("before", [[], [Event.START], [Event.START, Event.STOP]])
def test_a_failure_leads_to_fault_from_anywhere_and_discard_clears_it(before):
    status, _ = run(*before, Event.FAILED)
    assert (status.state, status.reason) == (State.FAULT, "the disk is full")
    assert step(status, Event.DISCARD).status.state is State.IDLE


def test_missing_messages_are_seen_as_gaps_and_jitter_is_not(rng):
    stats = TopicStats(PLAN)
    stamps = [k * 1_000_000 + int(rng.integers(-200_000, 200_000)) for k in range(2000)]
    missing = {100, 101, 500, 1500}  # three holes
    for k, stamp in enumerate(stamps):
        if k not in missing:
            stats.take(T0 + stamp, T0 + stamp)
    assert stats.gaps == 3
    assert stats.received == 1996


def test_what_was_taken_but_is_not_on_disk_counts_as_lost_in_writing():
    stats = TopicStats(PLAN)
    for k in range(11):
        stats.take(T0 + k * 1_000_000, T0 + k * 1_000_000)
    stats.lose("transport", 2)
    record = stats.record(written=9)
    assert record.received + sum(record.lost.values()) == 11 + 2
    assert record.lost == {"transport": 2, "queue": 0, "write": 2}
    assert record.seconds == pytest.approx(0.010)


def test_live_rate_counts_messages_whether_recorded_or_not():
    stats = TopicStats(PLAN)
    stats.measure_rate(T0)
    for k in range(50):
        stats.arrive(T0 + k * 10_000_000)
    stats.measure_rate(T0 + 500_000_000)
    assert stats.rate_hz == pytest.approx(100.0)
    assert stats.received == 0


def test_only_required_topics_can_be_silent_and_the_text_names_topic_and_node():
    optional = TopicStats(replace(PLAN, name="teleop/target_pose", is_required=False))
    stats = TopicStats(PLAN)
    assert silent_topic([optional, stats], T0, 10**9) is stats
    assert silence_text(stats, T0, []) == (
        "topic 'joint_states' is silent: no message yet, nobody publishes it; "
        "expected from node 'sim': start it or see its log"
    )
    stats.arrive(T0)
    assert silent_topic([optional, stats], T0 + 10**9, 10**9) is None
    assert silent_topic([optional, stats], T0 + 10**9 + 1, 10**9) is stats
    assert "no message for 3.0 s, publishers: sim;" in silence_text(stats, T0 + 3 * 10**9, ["sim"])


def test_the_plan_has_every_camera_of_the_task_and_what_was_asked_of_the_arm():
    setup = load_setup("pick_place")
    plans = {p.name: p for p in plan_topics(setup, 1000.0)}
    for camera in setup.task.cameras:
        assert plans[topics.color(camera)].is_required
        assert plans[topics.depth(camera)].rate_hz == setup.robot.camera(camera).rate_hz
        assert topics.camera_info(camera) in plans
    assert {topics.TARGET_POSE, topics.TARGET_GRIPPER, topics.EFFORT_SETPOINT, topics.EE_POSE} <= set(plans)
    assert not plans[topics.TELEOP_POSE].is_required
    for plan in plans.values():
        msgdefs.definition(plan.type)


def make_session(root: Path, queue_bytes: int = 10**7) -> tuple[RecordingSession, ManualClock]:
    clock = ManualClock(T0)
    return RecordingSession(root, HEADER, {PLAN.name: TopicStats(PLAN)}, queue_bytes, clock), clock


def finish(session: RecordingSession, event: Event) -> str:
    """Handle an event and complete its answer."""
    answer = session.handle(event)
    session.poll(WAIT_S)
    return answer.result()


def feed(session: RecordingSession, clock: ManualClock, n: int) -> None:
    for _ in range(n):
        clock.advance(1_000_000)
        session.receive(PLAN.name, joint_bytes(clock.now_ns()), clock.now_ns())


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
    assert session.status.state is State.FAULT
    assert list(tmp_path.rglob("*.mcap")) == []


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
    with pytest.raises(RefusedError, match="recorder is in fault .*cannot write"):
        finish(session, Event.START)
    finish(session, Event.DISCARD)
    finish(session, Event.START)
    session.close()


def test_an_unwritable_root_is_a_fault_with_its_reason(tmp_path):
    (tmp_path / "file").write_text("")
    session, _ = make_session(tmp_path / "file")
    with pytest.raises(RecordingError, match="cannot write: Not a directory"):
        finish(session, Event.START)
    assert session.status.state is State.FAULT


def test_status_names_lost_messages_and_silence():
    stats = {PLAN.name: TopicStats(PLAN)}
    session = SimpleNamespace(status=Status(), stats=stats, backlog_bytes=0, path=None)
    assert status_of(session, T0, "")[:2] == ("OK", "idle")
    assert status_of(session, T0, "topic 'x' is silent")[:2] == ("WARN", "topic 'x' is silent")
    stats[PLAN.name].lose("queue", 4)
    level, message, values = status_of(session, T0, "")
    assert (level, message) == ("WARN", "idle: 4 messages lost")
    assert values["lost:joint_states"] == 4
