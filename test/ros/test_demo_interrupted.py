"""The demo ended early: by Ctrl-C, or because a node dies; nothing is left running or half written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from il_core.store.recording import list_recordings

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
DEMO = "import sys; from il_cli.main import main; main()"


def wait(condition, what):
    end = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.05)
    return found


@pytest.fixture
def demo(tmp_path):
    """A demo that has begun its second recording; yields (process, folder of recordings)."""
    command = [sys.executable, "-c", DEMO, "demo", "--demonstrations", "5", "--out", str(tmp_path / "demo")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    recordings = tmp_path / "demo" / "recordings"
    wait(lambda: len(list_recordings(recordings)) == 1, "first recording is kept")
    wait(lambda: list(recordings.rglob("*.partial")), "second recording has begun")
    yield process, recordings
    process.kill()
    process.wait()


def nodes_of(process):
    """Processes of the graph, by the module each runs."""
    children = psutil.Process(process.pid).children(recursive=True)
    return {" ".join(c.cmdline()): c for c in children}


def finish(process, nodes, recordings):
    """What the demo said at the end; checks that nothing runs on and nothing half written is shown."""
    _, err = process.communicate(timeout=LIMIT_S)
    _, alive = psutil.wait_procs(nodes.values(), timeout=5)
    assert alive == []
    assert len(list_recordings(recordings)) == 1
    assert "Traceback" not in err
    return err


def test_ctrl_c_ends_every_node_keeps_what_was_recorded_and_exits_130(demo):
    process, recordings = demo
    nodes = nodes_of(process)
    process.send_signal(signal.SIGINT)
    finish(process, nodes, recordings)
    assert process.returncode == 130


def test_a_killed_node_is_named_and_the_demo_exits_1(demo):
    process, recordings = demo
    nodes = nodes_of(process)
    victim = next(p for command, p in nodes.items() if "sim_camera_node" in command)
    victim.kill()
    err = finish(process, nodes, recordings)
    assert process.returncode == 1
    assert "node 'sim_camera' ended with signal SIGKILL" in err
