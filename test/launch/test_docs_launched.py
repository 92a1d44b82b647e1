"""Commands of the documentation that need the command `ros2`, run as printed in a folder of their own."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from docs.blocks import ROOT, shell_blocks

PREFIXES = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
if not any((p / "lib" / "il_robot" / "il").exists() for p in PREFIXES):
    pytest.skip("il_robot is not installed: run colcon build and source install/setup.bash", allow_module_level=True)
if shutil.which("ros2") is None:
    pytest.skip("there is no command ros2: it comes with a sourced ROS 2", allow_module_level=True)

from launched import Ros2Launch, untrained  # noqa: E402 - needs ROS

STEADY_S, LIMIT_S = 10.0, 90.0
BLOCKS = shell_blocks("ros2")
LAUNCHES = [line for b in BLOCKS for line in b.lines if line.startswith("ros2 launch") and "--show-args" not in line]


class Printed(Ros2Launch):
    """A line as printed, at work in a terminal of its own."""

    def __init__(self, line, folder):
        super().__init__("printed", {}, folder)
        self._command = ["bash", "-c", line]

    def wait(self, condition, what):
        end = time.monotonic() + LIMIT_S
        while not condition():
            self.check()
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s\n{self.text()[-3000:]}"
            time.sleep(0.1)

    def end(self):
        """Ctrl-C; it has to end in order."""
        self.interrupt()
        status, cleanly = self.ended()
        assert status == 0 and set(cleanly) == set(self.pids()), self.text()[-3000:]


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """A folder to stand in, and what the blocks find in their environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROOT", str(ROOT))
    monkeypatch.setenv("POLICY", str(untrained(tmp_path / "policy")))
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "false")


@pytest.mark.parametrize("line", LAUNCHES)
@pytest.mark.usefixtures("others")
def test_a_launch_as_printed_starts_and_ends_in_order(line, tmp_path, monkeypatch):
    exports = next(b for b in BLOCKS if line in b.lines).lines
    for name, value in (m.groups() for text in exports if (m := re.match(r"export (\w+)=(\S+)", text))):
        monkeypatch.setenv(name, os.path.expandvars(value))
    with Printed(line, tmp_path) as printed:
        printed.wait(printed.pids, "a node")
        until = time.monotonic() + STEADY_S
        printed.wait(lambda: time.monotonic() > until, "it goes on")
        assert "process has died" not in printed.text(), printed.text()[-3000:]
        printed.end()


def test_the_arguments_are_shown():
    shown = [line for b in BLOCKS for line in b.lines if "--show-args" in line]
    assert shown
    for line in shown:
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=LIMIT_S)
        assert "'task'" in done.stdout


def test_the_call_of_a_service_lets_the_policy_plan(tmp_path):
    calls = [line for b in BLOCKS for line in b.lines if line.startswith("ros2 service call /policy/enable")]
    assert calls
    with Printed("ros2 launch il_robot policy.launch.py checkpoint:=$POLICY", tmp_path) as printed:
        printed.wait(lambda: "ready (" in printed.text(), "the policy")
        for call in calls:
            done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True, timeout=LIMIT_S)
            assert "success=True" in done.stdout and "planning" in done.stdout, done.stdout
        printed.end()


def test_keys_are_made_for_every_enclave(tmp_path):
    blocks = [b for b in BLOCKS if any("ros2 security" in line for line in b.lines)]
    if subprocess.run(["ros2", "security", "-h"], capture_output=True, check=False).returncode:
        pytest.skip("there is no command `ros2 security`: install ros-<distro>-sros2")
    for block in blocks:
        subprocess.run(["bash", "-ec", "\n".join(block.lines)], check=True, timeout=LIMIT_S)
        policies = (tmp_path / "policy.xml").read_text().count("<enclave ")
        assert len(list(tmp_path.glob("keystore/enclaves/**/permissions.p7s"))) == policies > 10


def test_every_line_of_these_blocks_is_run():
    known = r"ros2 launch il_robot |ros2 service call /policy/enable |export \w+=|.*ros2 security "
    assert [line for b in BLOCKS for line in b.lines if not re.match(known, line)] == []
