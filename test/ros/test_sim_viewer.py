"""The window on the simulated scene: what it says without a display, and that it shows and closes with one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from il_core.graph import node_environment

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "il_sim.ros.sim_viewer_node"]
LIMIT_S = 30.0


def environment(**values):
    """Environment of a node, without this machine's display."""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
    base = {k: v for k, v in os.environ.items() if k not in hidden}
    return node_environment(base) | {"PYTHONPATH": str(ROOT)} | values


def test_without_a_display_it_says_so_in_one_line():
    result = subprocess.run(
        COMMAND, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert result.returncode == 1
    assert "needs a display" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xwininfo")), reason="needs Xvfb and xwininfo")
def test_with_a_display_it_opens_a_window_and_leaves_in_order():
    read_end, write_end = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "640x480x24"],
        pass_fds=(write_end,),
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    node = None
    try:
        with os.fdopen(read_end) as numbers:
            display = f":{numbers.readline().strip()}"
        node = subprocess.Popen(COMMAND, cwd=ROOT, env=environment(DISPLAY=display), stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + LIMIT_S
        while "MuJoCo" not in windows(display):
            assert node.poll() is None, node.stderr.read()
            assert time.monotonic() < end, "no window"
            time.sleep(0.2)
        node.send_signal(signal.SIGINT)
        assert node.wait(LIMIT_S) == 0, node.stderr.read()
    finally:
        if node is not None and node.poll() is None:
            node.kill()
        screen.terminate()
        screen.wait()


def windows(display):
    return subprocess.run(
        ["xwininfo", "-root", "-tree", "-display", display], capture_output=True, text=True, check=False
    ).stdout
