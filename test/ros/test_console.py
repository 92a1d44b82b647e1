"""The operator's console in a real browser, with the simulated arm, its controller and a recorder behind it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from il_core import topics
from il_core.config import config_dir
from il_core.environment import node_environment
from il_core.store.recording import Recording, list_recordings
from il_core.types import Outcome

pytest.importorskip("rclpy")
pytest.importorskip("uvicorn", reason="pip install 'il_robot[console]'")
from browser import CHROMIUM, Browser  # noqa: E402 - beside this file
from sensor_msgs.msg import Image  # noqa: E402 - needs ROS

from il_cli.ros.session import Session  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_core.ros.convert import time_msg  # noqa: E402

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; on Debian: apt-get install chromium"),
]
SOURCES = Path(__file__).parents[2]


class Network:
    """What lies between a tablet and the console: can be cut, or swallow one direction."""

    def __init__(self, port: int) -> None:
        self._port, self._pairs, self.is_up, self.is_mute = port, set(), True, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self.is_up:
                    near.close()
                    continue
                pair = near, socket.create_connection(("127.0.0.1", self._port))
                self._pairs.add(pair)
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                for source in select.select([near, far], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is near or not self.is_mute:
                        (far if source is near else near).sendall(data)
        self._pairs.discard((near, far))
        for end in (near, far):
            end.close()

    def cut(self) -> None:
        """Break every connection, and let nobody through."""
        self.is_up = False
        for pair in list(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everybody through again."""
        self.is_up, self.is_mute = True, False

    def close(self) -> None:
        """End it."""
        self.cut()
        self._listener.close()


class Bench:
    """Arm, controller, recorder and console as processes, a camera here, and a tablet."""

    def __init__(self, folder: Path) -> None:
        self.recordings = folder / "recordings"
        self._folder, self._processes = folder, []
        values = yaml.safe_load((config_dir() / "task" / "pick_place.yaml").read_text())
        robot = str(config_dir() / "robot" / "fr3.yaml")
        blind = folder / "pick_place.yaml"  # without pictures, which cost more than all the rest
        blind.write_text(yaml.safe_dump({**values, "cameras": [], "robot": robot}))
        self._start("il_sim.ros.sim_node", task=blind)
        self._start("il_control.ros.controller_node", task=blind)
        self._start("il_teleop.ros.recorder_node", task=blind, root=self.recordings)
        log = self._start("il_cli.ros.console_node", port=0, target=3)
        end = time.monotonic() + 60.0
        while "console: http" not in log.read_text():
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        self.port = int(log.read_text().split("console: http://127.0.0.1:")[1].split("/")[0])

    def _start(self, module: str, **parameters: object) -> Path:
        log = self._folder / f"{module}.log"
        ros = [argument for key, value in parameters.items() for argument in ("-p", f"{key}:={value}")]
        path = os.pathsep.join([str(SOURCES), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        command = [sys.executable, "-m", module, "--ros-args", *ros]
        environment = {**node_environment(os.environ), "PYTHONPATH": path}
        with log.open("wb") as out:
            self._processes.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment))
        return log

    def close(self) -> None:
        """End the processes, last started first."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGINT)
        for process in self._processes:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert self._processes[-1].returncode == 0, "the console leaves in order"


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture(scope="module")
def session(bench: Bench) -> Iterator[Session]:
    """The graph as others see it; a camera publishes from here."""
    with Session("console_test") as session:
        color = session.node.create_publisher(Image, topics.color("front"), qos.IMAGE)
        picture = Image(height=240, width=320, step=960, encoding="rgb8", data=array("B", bytes(range(240)) * 960))

        def show() -> None:
            picture.header.stamp = time_msg(session.now_ns())
            color.publish(picture)

        session.node.create_timer(0.1, show)
        yield session


@pytest.fixture(scope="module")
def network(bench: Bench) -> Iterator[Network]:
    network = Network(bench.port)
    yield network
    network.close()


@pytest.fixture(scope="module")
def tablet(session: Session, network: Network, tmp_path_factory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    try:
        browser.open(f"http://127.0.0.1:{network.port}/")
        browser.until(lambda: browser.text("#link-text") == "connected", "the page is connected")
        yield browser
    finally:
        browser.close()


def wait_text(tablet: Browser, selector: str, text: str) -> None:
    tablet.until(lambda: text in tablet.text(selector), f"{selector} shows '{text}'")


def halt_class(tablet: Browser) -> object:
    return tablet.value("document.querySelector('#halt').className")


def test_a_demonstration_is_recorded_from_a_tablet(bench: Bench, tablet: Browser):
    wait_text(tablet, "#rec-state", "idle")
    tablet.until(lambda: tablet.value("Number(document.querySelector('canvas').dataset.pictures) > 2"), "pictures")
    wait_text(tablet, "[data-camera='wrist'] p", "no picture on /camera/wrist/color/image_raw yet")
    tablet.type("#operator", "Ada")
    wait_text(tablet, "#toast", "'Ada'")
    tablet.tap("[data-do='record.start']")
    wait_text(tablet, "#rec-state", "recording")
    tablet.tap("[data-do='record.stop']")
    wait_text(tablet, "#rec-state", "review")
    tablet.tap("[data-do='record.success']")
    wait_text(tablet, "#rec-message", "success")
    tablet.tap("[data-do='record.keep'], #keep-anyway")
    wait_text(tablet, "#count", "1 of 3 kept")
    (path,) = list_recordings(bench.recordings)
    header = Recording.open(path).header
    assert (header.outcome, header.operator) == (Outcome.SUCCESS, "Ada")
    assert Recording.open(path).counts[topics.JOINT_STATES] > 100
    assert tablet.complaints == []


def test_the_arm_goes_home_when_asked_twice_and_stops_when_told_once(session: Session, tablet: Browser):
    tablet.tap("[data-do='home']")
    wait_text(tablet, "[data-do='home']", "tap again")
    tablet.tap("[data-do='home']")
    wait_text(tablet, "#toast", "the arm goes home")
    tablet.tap("#halt")
    tablet.until(lambda: halt_class(tablet) == "confirmed", "the stop is confirmed")
    assert "the arm is stopped" in tablet.text("#halt-text")
    wait_text(tablet, "#drive-source", "hold")
    wait_text(tablet, "#drive-cause", "stopped by a person")
    session.wait(lambda: session.diagnostics["controller"].get("stopped_by") == "operator_stop", 30.0, "it is told")
    tablet.tap("#resume")
    session.wait(lambda: "stopped_by" not in session.diagnostics["controller"], 30.0, "the arm may move again")


def test_a_lost_network_is_told_the_stop_keeps_trying_and_nothing_is_done_twice(
    bench: Bench, session: Session, network: Network, tablet: Browser
):
    network.is_mute = True  # what is pressed arrives, what is answered does not
    tablet.tap("[data-do='record.start']")
    session.wait(lambda: session.diagnostics["recorder"]["state"] == "recording", 30.0, "the recorder records")
    network.cut()
    wait_text(tablet, "#banner", "NOT CONNECTED")
    wait_text(tablet, "#banner", "record.start: not known whether done")
    assert tablet.value("[...document.querySelectorAll('[data-do]')].every((button) => button.disabled)")
    tablet.tap("#halt")
    wait_text(tablet, "#alarm", "STOP NOT CONFIRMED")
    assert halt_class(tablet) == "trying"
    network.mend()
    tablet.until(lambda: halt_class(tablet) == "confirmed", "the stop got through")
    assert tablet.value("document.querySelector('#alarm').hidden")
    wait_text(tablet, "#toast", "start: recording")
    wait_text(tablet, "#rec-state", "recording")
    since_resume = tablet.text("#actions").split("resume\n")[0]  # the newest is first
    assert since_resume.count("start\n") == 1, since_resume
    tablet.tap("[data-do='record.discard']")
    tablet.tap("[data-do='record.discard']")
    wait_text(tablet, "#rec-state", "idle")
    assert len(list_recordings(bench.recordings)) == 1
