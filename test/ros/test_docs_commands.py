"""Commands of the documentation that take minutes, or a graph: run as printed, in the order of a reader.

docs/README.md says which they are; what a comment in a page changes first is there too. docs/first_policy.md is run
without its changes: 30 demonstrations, two minutes of training, and a policy that has to touch the ball.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from docs.blocks import ROOT, blocks, shell_blocks

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(900)]

FIRST = ROOT / "docs" / "first_policy.md"
SHORT_DEMO = "--demonstrations 4 --rollouts 1 --train-seconds 40"
# What a command that goes on until Ctrl-C says when it is at work.
AT_WORK = {"up": "Ctrl-C stops", "sim": "Ctrl-C stops", "console": "console: http", "serve": "ready ("}
AT_WORK["$ROOT/test/ros/to_and_fro.py"] = "moving"
READY_S, END_S = 120.0, 60.0
STOPPED = (0, 130)  # by Ctrl-C


def run(text, desk):
    """Run lines in one shell, as typed; every one has to succeed."""
    done = subprocess.run(
        ["bash", "-e", "-c", text],
        cwd=desk.folder,
        env=desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}"
    return done.stdout


class Desk:
    """A folder like the project's, in which commands may write, and what they find in their environment."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "data").symlink_to(ROOT / "data")
        shutil.copytree(ROOT / "config", folder / "config")
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "IL_ROBOT_CONFIG": str(folder / "config"),
            "ROOT": str(ROOT),
            "SHORT_DEMO": f"{SHORT_DEMO} --out {folder / 'demo'}",
            "RESNET": str(folder / "resnet18.safetensors"),
            "LISTENER": str(folder / "outputs/listener"),
        }


class Terminal:
    """One line at work in a terminal of its own."""

    def __init__(self, line, desk, number):
        self.line, self._log = line, desk.folder / f"terminal_{number}.log"
        words = line.split()
        self._sign = AT_WORK.get(words[1])
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", line],
                cwd=desk.folder,
                env=desk.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self):
        return self._log.read_text(errors="replace")

    def wait(self):
        """Until it has ended well, or is at work where it never ends by itself."""
        end = time.monotonic() + READY_S
        while self.process.poll() is None:
            if self._sign and self._sign in self.text():
                return
            assert time.monotonic() < end, f"{self.line}: neither at work nor ended\n{self.text()[-3000:]}"
            time.sleep(0.1)
        assert self.process.returncode == 0 and not self._sign, f"{self.line}\n{self.text()[-3000:]}"

    def interrupt(self):
        """Ctrl-C; its processes have to be gone then."""
        if self.process.poll() is not None:
            return
        started = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGINT)
        status = self.process.wait(END_S)
        _, alive = psutil.wait_procs(started, timeout=5.0)
        assert status in STOPPED and alive == [], f"{self.line}: {status}, {alive}\n{self.text()[-3000:]}"

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The desk of somebody who has done docs/first_policy.md, as printed."""
    found = Desk(tmp_path_factory.mktemp("desk"))
    for block in blocks(FIRST):
        if block.language == "sh" and not block.needs:
            run("\n".join(replace(block, swaps=()).lines), found)
    return found


@pytest.fixture(scope="module")
def needed(desk):
    """What some pages ask for besides: weights of somebody else's network, and a policy that listens."""
    weights = "import torch, safetensors.torch as s; from test_encoders import torchvisions as t; "
    unit = ROOT / "test/unit/il_policy"
    run(f"PYTHONPATH={ROOT}:{unit} python -c \"{weights}s.save_file(t(), 'resnet18.safetensors')\"", desk)
    listens = "--set observe.language=ngram --set steps=20 --out outputs/listener"
    run(f"il train outputs/first/dataset --policy bc {listens}", desk)
    return desk


def test_the_first_policy_touches_the_ball(desk):
    report = json.loads((desk.folder / "outputs/first/eval/report.json").read_text())
    policy = report["policies"][0]
    assert policy["successes"] >= 8 and policy["episodes"] == 10


@pytest.mark.parametrize("block", shell_blocks("time"), ids=lambda b: b.name)
def test_what_takes_minutes(block, needed):
    run("\n".join(block.lines), needed)


@pytest.mark.parametrize("block", shell_blocks("ros"), ids=lambda b: b.name)
def test_terminals_side_by_side(block, needed):
    terminals = []
    try:
        for line in [*block.graph, *block.lines]:
            terminals.append(Terminal(line, needed, len(terminals)))
            terminals[-1].wait()
        for terminal in reversed(terminals):
            terminal.interrupt()
    finally:
        for terminal in terminals:
            terminal.kill()


def test_every_word_of_the_pages_that_never_ends_has_a_sign_that_it_works():
    lines = [line for b in shell_blocks("ros") for line in (*b.graph, *b.lines)]
    assert {words for line in lines if (words := line.split()[1]) not in ("latency", "security")} == set(AT_WORK)
