"""Launched graphs get a ROS domain of their own, the transport of every graph, and stand-ins for Gazebo's programs."""

import os
import sys
from pathlib import Path

import pytest

from il_core.graph import ros_environment

# Before rclpy is imported; see test/ros/conftest.py for the numbers.
os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 90))
os.environ.update(ros_environment(os.environ))
sys.path.insert(0, str(Path(__file__).parent))  # launched.py


@pytest.fixture
def others(tmp_path, monkeypatch):
    """Stand-ins for the programs of others, found before the real ones."""
    from gazebo_stand_ins import StandIns

    found = StandIns(tmp_path)
    monkeypatch.setenv("GAZEBO_STAND_IN", str(found.folder))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{found.prefix}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}")
    monkeypatch.setenv("PATH", f"{found.prefix / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("GZ_IP", "GZ_PARTITION"):
        monkeypatch.delenv(name, raising=False)
    return found
