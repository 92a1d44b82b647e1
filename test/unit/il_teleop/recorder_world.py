"""A recording session of one topic, with a clock that moves only when told to."""

from __future__ import annotations

from pathlib import Path

from il_core import topics
from il_core.clock import ManualClock
from il_core.store import msgdefs
from il_core.store.recording import RecordingHeader
from il_teleop.health import RejectRule
from il_teleop.recorder import Event
from il_teleop.session import RecordingSession
from il_teleop.topic_stats import TopicPlan, TopicStats

T0 = 1_700_000_000_000_000_000
PLAN = TopicPlan(topics.JOINT_STATES, "sensor_msgs/msg/JointState", "sim", 1000.0)
HEADER = RecordingHeader("pick_place", "fr3", "d" * 64)
WAIT_S = 60.0  # far beyond any disk; a hang fails instead of hanging


def joint_bytes(stamp_ns: int) -> bytes:
    sec, nanosec = divmod(stamp_ns, 10**9)
    header = {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": ""}
    return msgdefs.encoder(PLAN.type)({"header": header, "name": ["a"], "position": [0.0]})


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


def keep_one(session: RecordingSession, clock: ManualClock, n: int = 20) -> Path:
    finish(session, Event.START)
    feed(session, clock, n)
    finish(session, Event.STOP)
    return Path(finish(session, Event.KEEP).split()[-1])
