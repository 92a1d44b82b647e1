"""What the console shows: the newest of what was heard, and silence as silence."""

from __future__ import annotations

import json

import pytest

from il_cli.console.config import ConsoleConfig
from il_cli.console.feed import LOST_NS, Feed, Picture
from il_cli.console.state import Board, Heard, accepted
from il_core.clock import ManualClock
from il_core.store.recording import RecordingHeader
from il_teleop.recorder import Event
from il_teleop.recorder_report import status_of
from il_teleop.session import RecordingSession
from il_teleop.topic_stats import TopicPlan, TopicStats

S = 1_000_000_000
TOPIC = "camera/front/color/image_raw"
CAMERAS = {"front": "/camera/front/color/image_raw", "wrist": "/camera/wrist/color/image_raw"}


@pytest.fixture
def board() -> Board:
    return Board(CAMERAS, target=20)


@pytest.fixture
def session(tmp_path) -> RecordingSession:
    header = RecordingHeader("pick_place", "fr3", "d" * 64, operator="Ada", instruction="pour the tea")
    stats = {TOPIC: TopicStats(TopicPlan(TOPIC, "sensor_msgs/msg/Image", "camera", 30.0))}
    return RecordingSession(tmp_path, header, stats, 10**6, ManualClock(S))


def told(session: RecordingSession, at_ns: int = S, warnings: dict[str, str] | None = None) -> Heard:
    """What the recorder's node publishes of a session."""
    level, message, values = status_of(session, at_ns, "", warnings)
    return Heard({"OK": 0, "WARN": 1, "ERROR": 2}[level], message, {k: str(v) for k, v in values.items()}, at_ns)


def test_nothing_heard_is_shown_as_nothing(board):
    picture = json.loads(json.dumps(board.picture(S), allow_nan=False))
    assert picture["recorder"] is picture["drive"] is picture["policy"] is None
    assert [camera["age_s"] for camera in picture["cameras"]] == [None, None]
    assert (picture["nodes"], picture["topics"], picture["can"]) == ([], [], ["halt", "target"])


def test_the_recorder_is_shown_with_every_topic(board, session):
    board.hear("recorder", told(session, warnings={TOPIC: "12.0 Hz of 30 Hz"}))
    picture = board.picture(S)
    assert picture["recorder"]["task_text"] == "pour the tea"
    assert (picture["recorder"]["saved"], picture["target"]) == (0, 20)
    (topic,) = picture["topics"]
    assert (topic["name"], topic["warning"], topic["age_ms"]) == (TOPIC, "12.0 Hz of 30 Hz", "")


def test_a_node_that_falls_silent_is_silent_and_what_it_said_is_old(board, session):
    board.hear("recorder", told(session))
    board.hear_drive(Heard(0, "teleop began", {"source": "teleop"}, S))
    assert board.picture(3 * S)["recorder"] is not None
    picture = board.picture(5 * S)
    assert picture["recorder"] is picture["drive"] is None
    assert picture["topics"] == []
    assert picture["nodes"] == [{"name": "recorder", "level": "silent", "message": "idle", "age_s": 4.0}]
    assert "record.start" not in picture["can"]


def test_buttons_follow_the_recorders_own_rules(board, session):
    def can() -> set[str]:
        board.hear("recorder", told(session))
        return {name.removeprefix("record.") for name in board.picture(S)["can"] if name.startswith("record.")}

    assert can() == {"start", "next"}
    session.handle(Event.START)
    assert can() >= {"stop", "discard", "redo", "success", "failure", "quality_5", "next"}
    assert not can() & {"start", "keep"}
    session.handle(Event.SUCCESS)
    assert "success" not in can(), "it has that label already"
    assert "failure" in can()
    session.handle(Event.DISCARD)
    session.poll(10.0)


def test_a_recorder_of_another_version_offers_nothing_rather_than_a_guess():
    assert accepted({"state": "paused", "outcome": "unlabelled", "saved": "0"}) == set()
    assert accepted({"state": "idle", "outcome": "unlabelled"}) == set()
    assert Event.START in accepted({"state": "idle", "outcome": "unlabelled", "saved": "0"})


def test_doubt_is_told_only_while_it_is_fresh_and_somebody_plans(board):
    def policy(at_ns: int, **values: str):
        board.hear("policy", Heard(0, "planning", values, at_ns))
        return board.picture(at_ns)["policy"]

    board.hear_doubt(0.7, S)
    assert policy(S, enabled="True")["doubt"] == 0.7
    assert policy(2 * S, enabled="False")["doubt"] is None
    assert policy(5 * S, enabled="True")["doubt"] is None, "it belongs to a plan of long ago"
    board.hear_doubt(float("nan"), 5 * S)
    assert policy(5 * S, enabled="True")["doubt"] is None


def test_policy_buttons_follow_its_life_cycle_and_the_services_there_are(board):
    def can(**values: str) -> set[str]:
        board.hear("policy", Heard(0, "", values, S))
        return {name.removeprefix("policy.") for name in board.picture(S)["can"] if name.startswith("policy.")}

    assert can(enabled="False") == set(), "nobody offers a service"
    board.offer(frozenset({"policy/enable", "policy/change_state"}))
    assert can(enabled="False") == {"start", "unload"}
    assert can(enabled="True") == {"stop", "unload"}
    board.offer(frozenset({"policy/change_state"}))
    assert can(lifecycle="unconfigured") == {"load"}
    assert can(lifecycle="inactive") == {"load", "unload"}


def test_a_latched_stop_is_told_with_its_reason(board):
    board.hear("controller", Heard(1, "", {"stopped_why": "contact force too high"}, S))
    board.offer(frozenset({"controller/resume", "controller/hold"}))
    picture = board.picture(S)
    assert picture["stopped"] == "contact force too high"
    assert {"resume", "home"} <= set(picture["can"])


def test_the_version_counts_what_a_page_has_to_see(board, session):
    versions = [board.version]

    def has_changed() -> bool:
        versions.append(board.version)
        return versions[-1] != versions[-2]

    board.see("front", S)
    assert not has_changed(), "pictures have their own way"
    board.hear("recorder", told(session))
    assert has_changed()
    board.offer(frozenset({"policy/enable"}))
    assert has_changed()
    board.offer(frozenset({"policy/enable"}))
    assert not has_changed()
    board.note("home", "the arm goes home", ok=True)
    assert has_changed()


class TestFeed:
    """What one page is sent."""

    def pictures(self, number: int, size: int = 10_000) -> dict[str, Picture]:
        return {name: Picture(number, bytes(size), 0) for name in CAMERAS}

    def feed(self, **settings: float) -> Feed:
        feed = Feed(ConsoleConfig(**settings), 0)
        feed.watch(tuple(CAMERAS))
        return feed

    def test_state_goes_when_it_changed_not_more_often_than_allowed_and_once_a_second_anyway(self):
        feed = self.feed(state_hz=5.0)
        sent = []
        for ms in range(0, 3000, 10):
            number = feed.state_due(version=min(ms // 10, 100), now_ns=ms * 1_000_000)
            if number is not None:
                feed.confirm(number)
                sent.append(ms)
        assert sent == [0, 200, 400, 600, 800, 1000, 2000]

    def test_what_is_not_confirmed_is_not_followed_by_more(self):
        feed = self.feed()
        state = feed.state_due(1, 0)
        assert feed.state_due(2, S) is None
        first = {feed.picture_due(self.pictures(1), 0)[1] for _ in range(2)}
        assert first == set(CAMERAS)
        assert feed.picture_due(self.pictures(2), S) is None
        feed.confirm(state)
        assert feed.state_due(2, S) is not None
        feed.confirm(999)
        assert feed.picture_due(self.pictures(9), S) is None, "an unknown number confirms nothing"

    def test_a_slow_page_gets_the_newest_picture_not_the_next(self):
        feed = self.feed()
        feed.watch(("front",))
        number, _ = feed.picture_due(self.pictures(1), 0)
        for k in range(2, 50):
            assert feed.picture_due(self.pictures(k), k * S // 10) is None
        feed.confirm(number)
        due = feed.picture_due(self.pictures(50), 5 * S)
        assert due is not None
        assert feed.picture_due(self.pictures(50), 6 * S) is None

    def test_pictures_keep_to_their_rate_and_to_their_share_of_the_network(self):
        def count(limit_kb_s: float) -> int:
            feed, sent = self.feed(preview_hz=5.0, preview_limit_kb_s=limit_kb_s), 0
            for ms in range(0, 10_000, 50):
                while (due := feed.picture_due(self.pictures(ms), ms * 1_000_000)) is not None:
                    feed.confirm(due[0])
                    sent += 1
            return sent

        assert count(5000.0) == 100, "two cameras at 5 Hz"
        assert 40 <= count(40.0) <= 43, "10 s of 40 kB/s and half a second saved up, in pictures of 10 kB"

    def test_nobody_is_sent_what_he_does_not_watch_and_cameras_take_turns(self):
        feed = self.feed(preview_limit_kb_s=20.0)
        feed.watch(())
        assert feed.picture_due(self.pictures(1), 0) is None
        feed.watch(tuple(CAMERAS))
        seen = []
        for k in range(1, 40):
            while (due := feed.picture_due(self.pictures(k, 20_000), k * S)) is not None:
                feed.confirm(due[0])
                seen.append(due[1])
        assert abs(seen.count("front") - seen.count("wrist")) <= 1

    def test_a_page_that_confirms_nothing_is_lost(self):
        feed = self.feed()
        feed.state_due(1, 0)
        assert not feed.is_lost(LOST_NS)
        assert feed.is_lost(LOST_NS + 1)
