"""Tests over ROS: a domain of their own, the graph's environment, and the marker."""

import os

import pytest

from il_core.graph import ros_environment

# Set before anything imports rclpy. Domains above 101 would use ports the kernel hands out to others;
# the lowest are people's own choice.
os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 90))
os.environ.update(ros_environment(os.environ))


def pytest_collection_modifyitems(items):
    """Mark everything in this folder."""
    for item in items:
        if "/test/ros/" in str(item.path):
            item.add_marker(pytest.mark.ros)
