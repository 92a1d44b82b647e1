"""The picture that `il record` draws of the recorder's status."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from il_cli.main import COMMANDS, _app, run
from il_cli.record import screen
from il_core.clock import ManualClock
from il_core.store.recording import RecordingHeader
from il_teleop.flow import Flow, FlowConfig
from il_teleop.recorder import Event
from il_teleop.recorder_report import status_of
from il_teleop.session import RecordingSession
from il_teleop.topic_stats import TopicPlan, TopicStats

T0 = 1_700_000_000_000_000_000
PLAN = TopicPlan("camera/front/color/image_raw", "sensor_msgs/msg/Image", "camera", 30.0)


def drawn(session: RecordingSession, flow: Flow, warnings: dict[str, str], kept: int = 2, wanted: int = 5) -> str:
    _, message, values = status_of(session, T0, "", warnings, flow)
    texts = {**{key: str(value) for key, value in values.items()}, "message": message}
    out = io.StringIO()
    console = Console(file=out, width=140)
    console.print(screen(texts, "kept as success: x", kept, wanted))
    return out.getvalue()


@pytest.fixture
def session(tmp_path) -> RecordingSession:
    header = RecordingHeader("pick_place", "fr3", "d" * 64, operator="Ada", instruction="pour the tea")
    return RecordingSession(tmp_path, header, {PLAN.name: TopicStats(PLAN)}, 10**6, ManualClock(T0))


def test_it_shows_progress_warnings_labels_and_what_is_pending(session):
    flow = Flow(FlowConfig(countdown_s=3.0))
    flow.ask(Event.START, session.status, T0 - 10**9)
    picture = drawn(session, flow, {PLAN.name: "12.0 Hz of 30 Hz"})
    for text in ("kept 2 of 5", "12.0 Hz of 30 Hz", "starts in 2 s", "Ada, pour the tea", "idle, unlabelled", "q quit"):
        assert text in picture, text


def test_quality_and_rejection_are_shown(session):
    session.handle(Event.START)
    session.handle(Event.QUALITY_3)
    picture = drawn(session, Flow(FlowConfig()), {}, wanted=0)
    session.handle(Event.DISCARD)
    session.poll(10.0)
    assert "recording, unlabelled, quality 3" in picture
    assert "kept 2 of" not in picture


@pytest.mark.parametrize(
    "name, text", [("record", "--kinesthetic"), ("replay", "--speed"), ("teleop", "calibrate-leader")]
)
def test_help_shows_options_and_examples(name, text):
    result = CliRunner().invoke(_app([name], COMMANDS), [name, "--help"], terminal_width=200)
    assert result.exit_code == 0
    assert text in result.output
    assert "Example" in result.output


def test_notes_that_are_none_and_unknown_devices_are_refused_before_anything_starts(capsys):
    assert run(["record", "--note", "cup"], COMMANDS) == 1
    assert "expected key=text" in capsys.readouterr().err
    assert run(["teleop", "--device", "spacemous"], COMMANDS) == 1
    assert "did you mean 'spacemouse'" in capsys.readouterr().err
    assert run(["replay", "/nowhere"], COMMANDS) == 1
    assert "no such folder" in capsys.readouterr().err
