"""Puts stand-ins in the place of Gazebo, its bridge and ros2_control, and reads what they have written down."""

import json
import sys
import time
from pathlib import Path

PACKAGES = {"ros_gz_bridge": "parameter_bridge", "controller_manager": "spawner"}
EMPTY = ("gz_ros2_control", "forward_command_controller")
LIMIT_S = 30.0


class StandIns:
    """The programs of others, and what they have written down."""

    def __init__(self, folder):
        self.folder, self.prefix = folder / "seen", folder / "prefix"
        self.folder.mkdir()
        self._program(self.prefix / "bin" / "gz", "gz")
        index = self.prefix / "share/ament_index/resource_index/packages"
        index.mkdir(parents=True)
        for package in (*PACKAGES, *EMPTY):
            (index / package).touch()
        for package, executable in PACKAGES.items():
            self._program(self.prefix / "lib" / package / executable, executable)

    def _program(self, path, name):
        path.parent.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("gazebo_stand_in.py")
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {name} "$@"\n')
        path.chmod(0o755)

    def seen(self, name):
        file = self.folder / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def wait(self, condition, what, launched):
        end = time.monotonic() + LIMIT_S
        while not condition():
            launched.check()
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s; {launched.text()[-2000:]}"
            time.sleep(0.05)
