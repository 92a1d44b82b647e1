"""The main() every executable shares: exit status, one-line errors, and a last word when stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
NODE = """
import sys
from dataclasses import dataclass
from rclpy.node import Node
from il_core.errors import ConfigError
from il_core.ros.node import run
from il_core.ros.params import declare

@dataclass(frozen=True)
class Config:
    rate_hz: float = 20.0
    names: tuple[str, ...] = ("a", "b")

    def __post_init__(self):
        if self.rate_hz <= 0:
            raise ValueError(f"rate_hz must be positive, got {self.rate_hz}")

class Probe(Node):
    def __init__(self):
        super().__init__("probe")
        self.config = declare(self, Config)
        print(self.config, flush=True)
        self.create_timer(0.05, lambda: print("tick", flush=True))

    def on_shutdown_safe(self):
        print("safe", flush=True)

sys.exit(run(Probe))
"""


def start(*parameters):
    arguments = [a for p in parameters for a in ("-p", p)]
    command = [sys.executable, "-c", NODE, *(["--ros-args", *arguments] if arguments else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_until(process, word):
    seen = []
    for line in process.stdout:
        seen.append(line.strip())
        if word in line:
            return seen
    raise AssertionError(f"'{word}' never came; got {seen}, {process.stderr.read()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_node_says_its_safe_word_and_exits_0(number):
    process = start()
    read_until(process, "tick")
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert out.strip().splitlines()[-1] == "safe"
    assert process.returncode == 0


def test_parameters_come_from_the_command_line_into_the_dataclass():
    process = start("rate_hz:=7", "names:=['x']")
    seen = read_until(process, "Config")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert "rate_hz=7.0, names=('x',)" in seen[-1]


@pytest.mark.parametrize(
    "parameter, words",
    [
        ("rate_hz:=fast", "parameters of node 'probe': rate_hz: expected float, got 'fast'"),
        ("rate_hz:=-1.0", "rate_hz must be positive, got -1.0"),
    ],
)
def test_a_bad_parameter_is_one_clear_line_and_exit_1(parameter, words):
    process = start(parameter)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert words in err
    assert "Traceback" not in err


SLOW = """
import sys, time
from rclpy.node import Node
from il_core.ros.node import interruptible, run

class Slow(Node):
    def __init__(self):
        super().__init__("slow")

    def start(self):
        with interruptible():
            print("loading", flush=True)
            time.sleep(60.0)

    def on_shutdown_safe(self):
        print("safe", flush=True)

sys.exit(run(Slow))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_still_loading_leaves_at_once(number):
    command, environment = [sys.executable, "-c", SLOW], {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) as process:
        read_until(process, "loading")
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert "safe" in process.stdout.read()
