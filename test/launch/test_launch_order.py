"""Processes under ROS 2's launch end one after the other, last started first; no ROS nodes are needed for that."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS 2, not with the wheels")
ROOT = Path(__file__).parents[2]

# Says when it starts and when it is asked to end; takes a moment for that.
STAND_IN = """
import signal, sys, time
name, kind = sys.argv[1:]
def say(word):
    with open("said", "a") as said:
        said.write(f"{word} {name}\\n")
def end(number, frame):
    say(signal.Signals(number).name)
    if kind == "stubborn" and number == signal.SIGINT:
        return
    time.sleep(0.3)
    say("left")
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
say("start")
if kind == "brief":
    sys.exit(0)
while True:
    time.sleep(0.02)
"""

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import OpaqueFunction
from il_cli.ros.launch_order import OrderedProcess, chain

def start(context):
    processes = [
        OrderedProcess(cmd=[sys.executable, "stand_in.py", name, kind], sigterm_timeout="1")
        for name, kind in (argument.split(":") for argument in sys.argv[1:])
    ]
    chain(processes)
    return processes

service = LaunchService(noninteractive=False)
service.include_launch_description(LaunchDescription([OpaqueFunction(function=start)]))
sys.exit(service.run())
"""


class Launched:
    def __init__(self, folder, kinds):
        (folder / "stand_in.py").write_text(STAND_IN)
        (folder / "run.py").write_text(LAUNCH)
        self._said = folder / "said"
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        self.process = subprocess.Popen(
            ["env", "--default-signal=INT", sys.executable, "run.py", *(f"{k}:{v}" for k, v in kinds.items())],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths, "ROS_LOG_DIR": str(folder)},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def words(self, beginning=""):
        text = self._said.read_text() if self._said.exists() else ""
        return [line for line in text.splitlines() if line.startswith(beginning)]

    def wait_for(self, beginning, count):
        end = time.monotonic() + 60.0
        while len(self.words(beginning)) < count:
            assert time.monotonic() < end, self.words()
            time.sleep(0.02)


@pytest.fixture
def launch_of(tmp_path):
    """Launch stand-ins by name and kind, in that order, and wait until all have started."""
    made = []

    def launch(**kinds):
        made.append(Launched(tmp_path, kinds))
        made[0].wait_for("start", len(kinds))
        return made[0]

    yield launch
    if made[0].process.poll() is None:
        os.killpg(made[0].process.pid, signal.SIGKILL)
        made[0].process.wait()


def test_ctrl_c_in_the_terminal_ends_the_last_started_first(launch_of):
    launched = launch_of(arm="good", controller="good", teleop="good")
    os.killpg(launched.process.pid, signal.SIGINT)  # what a terminal does
    assert launched.process.wait(60.0) == 0
    expected = [f"{word} {name}" for name in ("teleop", "controller", "arm") for word in ("SIGINT", "left")]
    assert [w for w in launched.words() if not w.startswith("start")] == expected


def test_a_process_that_ended_before_is_not_waited_for(launch_of):
    launched = launch_of(arm="good", controller="good", teleop="brief")
    os.kill(launched.process.pid, signal.SIGINT)
    assert launched.process.wait(60.0) == 0
    assert launched.words("left") == ["left controller", "left arm"]


def test_a_process_that_ignores_the_request_holds_the_others_up_only_so_long(launch_of):
    launched = launch_of(arm="good", controller="stubborn")
    os.kill(launched.process.pid, signal.SIGINT)
    assert launched.process.wait(60.0) == 0
    expected = ["SIGINT controller", "SIGTERM controller", "left controller", "SIGINT arm", "left arm"]
    assert [w for w in launched.words() if not w.startswith("start")] == expected


def test_a_launch_that_is_killed_leaves_no_process_behind(launch_of):
    launched = launch_of(arm="good", controller="good")
    launched.process.kill()
    end = time.monotonic() + 60.0
    while set(launched.words("left")) != {"left arm", "left controller"}:
        assert time.monotonic() < end, launched.words()
        time.sleep(0.02)
    assert not launched.words("SIGINT")
