"""A Franka arm's controller in a process of its own: franka-sim with our FR3, on this machine only."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import mujoco
import pytest

from il_core.config import load_robot

PORT = 1337  # libfranka knows no other
START_S = 60.0
SERVER = (
    "from franka_sim import FrankaSimServer\n"
    "FrankaSimServer(host='127.0.0.1', port=1337, enable_vis=False, enable_gripper=False, physics='mujoco', "
    "enforce_motion_limits=True).start()\n"
)


class Server:
    """The simulated controller; can be killed and started again."""

    def __init__(self, python: str, model: Path, log: Path) -> None:
        self._python, self._model, self._log = python, model, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._python, "-c", SERVER],
                env=environment | {"FR3_MJCF": str(self._model)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", PORT))
                except OSError:  # taken: it listens
                    time.sleep(0.5)
                    return
            time.sleep(0.1)
        pytest.fail(f"franka-sim did not start:\n{self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it without a word, as when the power goes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def write_model(path: Path) -> None:
    """Our FR3 without moving fingers, as MuJoCo's own file."""
    robot, source = load_robot("fr3")
    spec = mujoco.MjSpec.from_file(str(source.parent / robot.urdf))
    spec.compiler.fusestatic = False
    for name, armature in zip(robot.joint_names, robot.armature_kg_m2, strict=True):
        spec.joint(name).armature = armature
    for equality in list(spec.equalities):
        spec.delete(equality)
    for joint in list(spec.joints):
        if joint.name not in robot.joint_names:
            spec.delete(joint)
    for pair in ET.parse(source.parent / robot.srdf).getroot().iter("disable_collisions"):
        spec.add_exclude(bodyname1=pair.get("link1"), bodyname2=pair.get("link2"))
    spec.compile()
    path.write_text(spec.to_xml())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The controller, running; tests that kill it start it again."""
    python = os.environ.get("FRANKA_SIM_PYTHON", "")
    if not python or importlib.util.find_spec("pylibfranka") is None:
        pytest.skip("needs franka-sim in a venv of its own, and pylibfranka: run `make test-franka`")
    folder = tmp_path_factory.mktemp("franka")
    write_model(folder / "fr3.xml")
    server = Server(python, folder / "fr3.xml", folder / "server.log")
    server.start()
    yield server
    server.kill()
