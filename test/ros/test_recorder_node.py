"""The recorder over real DDS: what was published is on disk, or its loss is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from il_core import topics
from il_core.config import config_dir
from il_core.errors import GraphError, RecordingError
from il_core.store.recording import Recording, list_recordings
from il_core.types import Outcome

pytest.importorskip("rclpy")
from il_cli.ros.session import Session  # noqa: E402 - needs ROS

pytestmark = pytest.mark.ros
PUBLISHER = Path(__file__).with_name("stream_publisher.py")
SOURCES = Path(__file__).parents[2]


class Nodes:
    """Real processes, ended by their own id."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "recordings"
        self.task = tmp_path / "front_only.yaml"
        values = yaml.safe_load((config_dir() / "task" / "pick_place.yaml").read_text())
        robot = str(config_dir() / "robot" / "fr3.yaml")
        self.task.write_text(yaml.safe_dump({**values, "cameras": ["front"], "robot": robot}))
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
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path)
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
    assert set(stored) == set(published)
    assert len(stored[topics.JOINT_STATES]) > 1000
    for topic, stamps in stored.items():
        window = [t for t in published[topic] if stamps[0] <= t <= stamps[-1]]
        assert stamps == window, topic
        assert sum(recording.header.topics[topic].lost.values()) == 0


def test_discard_removes_and_a_silent_topic_is_named(nodes: Nodes, session: Session):
    first = nodes.publisher("--without", topics.depth("front"))
    nodes.recorder(start_timeout_s=3.0, silent_s=0.8)
    with pytest.raises(GraphError, match=r"camera/front/aligned_depth.* is silent.*sim_camera"):
        session.trigger(topics.RECORDER_START, 15.0)
    nodes.stop(first)
    heard = len(session.path)
    second = nodes.publisher("--silence", topics.EE_POSE)
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
    assert "topic 'control/ee_pose' is silent" in session.diagnostics["recorder"]["message"]
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
