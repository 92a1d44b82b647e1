"""Launched graphs get a ROS domain of their own and the transport of every graph."""

import os
import sys
from pathlib import Path

from il_core.graph import ros_environment

# Before rclpy is imported; see test/ros/conftest.py for the numbers.
os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 90))
os.environ.update(ros_environment(os.environ))
sys.path.insert(0, str(Path(__file__).parent))  # launched.py
