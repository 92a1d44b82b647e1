"""The recorder's states, its account of every topic, and the path from receiver to disk."""

from __future__ import annotations

import json
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
from il_teleop.health import RejectRule
from il_teleop.recorder import Effect, Event, State, Status, step
from il_teleop.recorder_report import status_of
from il_teleop.session import RecordingSession, RefusedError
from il_teleop.take import Take
from il_teleop.topic_stats import TopicPlan, TopicStats, plan_topics, silence_text, silent_topic

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


def make_session(
    root: Path, queue_bytes: int = 10**7, rule: RejectRule | None = None
) -> tuple[RecordingSession, ManualClock]:
    clock = ManualClock(T0)
    return RecordingSession(root, HEADER, {PLAN.name: TopicStats(PLAN)}, queue_bytes, clock, rule), clock


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
    session = SimpleNamespace(status=Status(), stats=stats, backlog_bytes=0, path=None, header=HEADER)
    assert status_of(session, T0, "")[:2] == ("OK", "idle")
    assert status_of(session, T0, "topic 'x' is silent")[:2] == ("WARN", "topic 'x' is silent")
    stats[PLAN.name].lose("queue", 4)
    level, message, values = status_of(session, T0, "")
    assert (level, message) == ("WARN", "idle: 4 messages lost")
    assert values["lost:joint_states"] == 4


def keep_one(session: RecordingSession, clock: ManualClock, n: int = 20) -> Path:
    finish(session, Event.START)
    feed(session, clock, n)
    finish(session, Event.STOP)
    return Path(finish(session, Event.KEEP).split()[-1])


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


def test_the_plan_has_who_drives_and_how_stiff_without_waiting_for_it():
    plans = {p.name: p for p in plan_topics(load_setup("pick_place"), 1000.0)}
    for name in (topics.CONTROL_SOURCE, topics.STIFFNESS, topics.DIAGNOSTICS):
        assert not plans[name].is_required
    assert plans[topics.STIFFNESS].publisher == "controller"


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
