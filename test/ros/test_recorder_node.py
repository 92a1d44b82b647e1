"""The recorder over real DDS: what was published is on disk, or its loss is named."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from il_core import topics
from il_core.errors import GraphError, RecordingError
from il_core.store.recording import Recording, list_recordings
from il_core.types import Outcome

pytest.importorskip("rclpy")
from std_msgs.msg import String  # noqa: E402 - needs ROS

from il_cli.ros.session import Session  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_teleop.cue import Kind, cue_from  # noqa: E402

pytestmark = pytest.mark.ros
PUBLISHER = Path(__file__).with_name("stream_publisher.py")
SOURCES = Path(__file__).parents[2]


class Nodes:
    """Real processes, ended by their own id."""

    def __init__(self, tmp_path: Path, task: Path) -> None:
        self.root, self.task = tmp_path / "recordings", task
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *command: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(SOURCES), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.running.append(process)
        return process

    def recorder(self, **parameters: object) -> subprocess.Popen[str]:
        values = {"task": self.task, "root": self.root, **parameters}
        ros = [argument for key, value in values.items() for argument in ("-p", f"{key}:={value}")]
        return self.start("-m", "il_teleop.ros.recorder_node", "--ros-args", *ros)

    def publisher(self, *options: str) -> subprocess.Popen[str]:
        return self.start(str(PUBLISHER), *options)

    def stop(self, process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
        process.send_signal(number)
        output, _ = process.communicate(timeout=15)
        return output


@pytest.fixture
def nodes(tmp_path: Path, write_felt_task: Callable[..., Path]) -> Iterator[Nodes]:
    """One camera and a force sensor."""
    nodes = Nodes(tmp_path, write_felt_task(tmp_path, "pick_place", cameras=["front"]))
    yield nodes
    for process in nodes.running:
        if process.poll() is None:
            nodes.stop(process, signal.SIGKILL)


@pytest.fixture
def session() -> Iterator[Session]:
    with Session("recorder_test") as session:
        yield session


def _record(session: Session, seconds: float) -> None:
    session.trigger(topics.RECORDER_START, 15.0)
    end = time.monotonic() + seconds
    session.wait(lambda: time.monotonic() > end, seconds + 1.0, "recording")
    session.trigger(topics.RECORDER_STOP)


def test_every_message_published_while_recording_is_on_disk_with_its_stamp(nodes: Nodes, session: Session):
    publisher = nodes.publisher()
    recorder = nodes.recorder(operator="tester")
    _record(session, 2.5)
    session.trigger(topics.RECORDER_SUCCESS)
    path = Path(session.trigger(topics.RECORDER_KEEP).split()[-1])
    published = json.loads(nodes.stop(publisher).splitlines()[-1])
    log = nodes.stop(recorder)
    assert recorder.returncode == 0, log

    recording = Recording.open(path)
    assert recording.header.outcome is Outcome.SUCCESS
    assert recording.header.operator == "tester"
    assert [c.name for c in recording.header.cameras] == ["front"]
    stored: dict[str, list[int]] = {}
    for topic, _, log_ns, stamp_ns in recording.raw_messages():
        stored.setdefault(topic, []).append(stamp_ns)
        assert -1_000_000 < log_ns - stamp_ns < 1_000_000_000
    assert stored.pop(topics.DIAGNOSTICS), "what the recorder says of itself is in there too"
    assert set(stored) == set(published)
    assert len(stored[topics.JOINT_STATES]) > 1000
    assert len(stored[topics.WRIST_WRENCH]) > 100
    for topic, stamps in stored.items():
        window = [t for t in published[topic] if stamps[0] <= t <= stamps[-1]]
        assert stamps == window, topic
        account = recording.header.topics[topic]
        assert account.received + sum(account.lost.values()) == len(window)
        assert sum(account.lost.values()) == 0
    assert json.loads(recording.header.notes["sync"])[topics.JOINT_STATES]["rate_hz"] == pytest.approx(1000, rel=0.1)


def test_discard_removes_and_a_silent_topic_is_named(nodes: Nodes, session: Session):
    first = nodes.publisher("--without", topics.depth("front"))
    nodes.recorder(start_timeout_s=7.0, silent_s=0.8)  # discovery may need a second round
    with pytest.raises(GraphError, match=r"camera/front/aligned_depth.* is silent.*sim_camera"):
        session.trigger(topics.RECORDER_START, 15.0)
    nodes.stop(first)
    heard = len(session.path)
    second = nodes.publisher("--silence", topics.WRIST_WRENCH)
    session.wait(lambda: len(session.path) > heard, 20.0, "the second publisher")
    _record(session, 0.5)
    assert list(nodes.root.rglob("*.partial"))
    session.trigger(topics.RECORDER_DISCARD)
    assert not list(nodes.root.rglob("*.mcap"))
    with pytest.raises(GraphError, match="keep refused: nothing is being recorded"):
        session.trigger(topics.RECORDER_KEEP)

    session.trigger(topics.RECORDER_START)
    second.send_signal(signal.SIGUSR1)
    session.wait(lambda: session.diagnostics["recorder"]["state"] == "fault", 10.0, "fault")
    assert "topic 'wrist/wrench' is silent" in session.diagnostics["recorder"]["message"]
    assert list_recordings(nodes.root) == []


def test_a_killed_recorder_leaves_earlier_recordings_whole(nodes: Nodes, session: Session):
    nodes.publisher()
    recorder = nodes.recorder()
    _record(session, 0.5)
    path = Path(session.trigger(topics.RECORDER_KEEP).split()[-1])
    partial = Path(session.trigger(topics.RECORDER_START).split()[-1] + ".partial")
    session.wait(lambda: any(p.stat().st_size > 100_000 for p in partial.glob("*.mcap")), 5.0, "data on disk")
    nodes.stop(recorder, signal.SIGKILL)
    assert list_recordings(nodes.root) == [path]
    assert sum(1 for _ in Recording.open(path).messages()) == sum(Recording.open(path).counts.values())
    with pytest.raises(RecordingError, match="never finished"):
        Recording.open(partial)


class Desk:
    """What an operator says to the recorder and hears from it."""

    def __init__(self, session: Session) -> None:
        self.session, self.cues = session, []
        self._texts = {
            name: session.node.create_publisher(String, name, qos.STREAM)
            for name in (
                topics.RECORDER_TASK_TEXT,
                topics.RECORDER_OPERATOR,
                topics.RECORDER_NOTE,
                topics.RECORDER_FLOW,
            )
        }
        session.node.create_subscription(String, topics.RECORDER_CUE, self._hear, qos.STREAM)

    def _hear(self, msg: String) -> None:
        self.cues.append((time.monotonic(), cue_from(msg.data)))

    def say(self, topic: str, text: str) -> None:
        self.session.wait(lambda: self._texts[topic].get_subscription_count() > 0, 10.0, f"recorder hears {topic}")
        self._texts[topic].publish(String(data=text))

    def value(self, key: str) -> str:
        return self.session.diagnostics["recorder"].get(key, "")

    def wait_value(self, key: str, text: str) -> None:
        self.session.wait(lambda: self.value(key) == text, 10.0, f"recorder says {key} = {text}")


def test_an_operator_runs_a_session_by_texts_services_and_ear(nodes: Nodes, session: Session):
    """Countdown, task text, operator, quality, redo of the last one, and what is heard of it."""
    nodes.publisher()
    nodes.recorder()
    desk = Desk(session)
    session.wait(lambda: "recorder" in session.diagnostics, 20.0, "the recorder")
    desk.say(topics.RECORDER_TASK_TEXT, "pour the tea")
    desk.say(topics.RECORDER_OPERATOR, "Ada")
    desk.say(topics.RECORDER_NOTE, "cup: blue")
    desk.say(topics.RECORDER_FLOW, "countdown_s: 2")
    desk.say(topics.RECORDER_FLOW, "nonsense: 2")
    desk.wait_value("task_text", "pour the tea")
    desk.wait_value("operator", "Ada")
    desk.wait_value("note:cup", "blue")

    asked_s = time.monotonic()
    path = session.trigger(topics.RECORDER_START, 15.0).split()[-1]
    assert 1.9 < time.monotonic() - asked_s < 4.0, "answered when it really began"
    desk.wait_value("state", "recording")
    session.trigger(topics.recorder_quality(4))
    session.trigger(topics.RECORDER_NEXT)
    assert session.trigger(topics.RECORDER_NEXT).split()[-1] == path
    header = Recording.open(path).header
    assert (header.instruction, header.operator, header.notes["cup"]) == ("pour the tea", "Ada", "blue")
    assert header.notes["quality"] == "4"
    session.wait(lambda: len(desk.cues) >= 5, 5.0, "cues")
    assert [cue.words for _, cue in desk.cues[:5]] == ["2", "1", "recording", "stopped", "kept 1"]

    desk.say(topics.RECORDER_FLOW, "countdown_s: 0")
    time.sleep(0.3)
    session.trigger(topics.RECORDER_REDO, 15.0)
    assert list_recordings(nodes.root) == [Path(path)], "it stays until another takes its place"
    session.trigger(topics.RECORDER_STOP)
    second = Path(session.trigger(topics.RECORDER_KEEP).split()[-1])
    assert list_recordings(nodes.root) == [second]
    assert Recording.open(second).header.notes["replaces"] == header.name


def test_a_topic_that_goes_bad_is_told_at_once_and_the_take_is_rejected(nodes: Nodes, session: Session):
    """Images stop for 1.5 s: warned on diagnostics and by ear, rejected, and kept without its label."""
    publisher = nodes.publisher("--silence", topics.color("front"), "--pause", "1.5")
    nodes.recorder(silent_s=5.0)
    desk = Desk(session)
    session.trigger(topics.RECORDER_START, 20.0)
    time.sleep(0.5)
    publisher.send_signal(signal.SIGUSR1)
    key = f"warning:{topics.color('front')}"
    session.wait(lambda: "silent for" in desk.value(key), 3.0, "the warning")
    session.wait(lambda: any(cue.kind is Kind.WARNING for _, cue in desk.cues), 3.0, "the sound of it")
    time.sleep(1.5)
    session.trigger(topics.RECORDER_SUCCESS)
    assert "hole of 1" in session.trigger(topics.RECORDER_STOP)
    answer = session.trigger(topics.RECORDER_KEEP)
    assert answer.startswith("kept as rejected: ")
    header = Recording.open(Path(answer.split()[-1])).header
    assert header.outcome is Outcome.UNLABELLED
    assert header.notes["rejected"].startswith(f"{topics.color('front')}: hole of 1")


def test_the_console_records_by_itself_until_enough_is_kept(nodes: Nodes):
    """`il record` in a real terminal: countdown, takes of a second, kept unasked, with what was said of them."""
    nodes.publisher()
    nodes.recorder()
    ours, theirs = os.openpty()
    options = ["--count", "2", "--countdown", "0.5", "--max-seconds", "1", "--auto", "--keep", "--cue", "bell"]
    said = ["--operator", "Ada", "--task-text", "pour the tea", "--note", "cup=blue"]
    command = [sys.executable, "-m", "il_cli.main", "record", *options, *said]
    console = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    seen, end_s, is_started = b"", time.monotonic() + 40.0, False
    try:
        while console.poll() is None:
            assert time.monotonic() < end_s, seen.decode(errors="replace")[-2000:]
            if select.select([ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the terminal closes with the console
                    seen += os.read(ours, 65536)
            if not is_started and b"kept 0 of 2" in seen:
                is_started = True
                os.write(ours, b"r")
    finally:
        if console.poll() is None:
            console.kill()
            console.wait()
        os.close(ours)
    assert console.returncode == 0, seen.decode(errors="replace")[-2000:]
    first, second = (Recording.open(path).header for path in list_recordings(nodes.root))
    for header in (first, second):
        assert (header.operator, header.instruction, header.notes["cup"]) == ("Ada", "pour the tea", "blue")
        assert 0.8 < header.topics[topics.JOINT_STATES].seconds < 2.0
    assert b"\a" in seen
