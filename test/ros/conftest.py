"""Tests over ROS: a domain of their own, the graph's environment, and the marker."""

import os
import sys
from pathlib import Path

import pytest

from il_core.config import load_setup
from il_core.graph import ros_environment

sys.path.insert(0, str(Path(__file__).parent))  # what tests share: insist, browser

# Set before anything imports rclpy. Domains above 101 would use ports the kernel hands out to others;
# the lowest are people's own choice.
os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 90))
os.environ.update(ros_environment(os.environ))


def pytest_collection_modifyitems(items):
    """Mark everything in this folder."""
    for item in items:
        if "/test/ros/" in str(item.path):
            item.add_marker(pytest.mark.ros)


@pytest.fixture(scope="session")
def untrained():
    """Function that writes a policy for a task that stays about where it is: (folder, task) -> folder."""

    def write(folder: Path, task: str) -> Path:
        from il_policy import checkpoint
        from il_policy.config import Head, NetworkConfig, TrainConfig
        from il_policy.policy import ChunkModel

        setup = load_setup(task)
        config = TrainConfig("bc", Head.REGRESSION, NetworkConfig(width=16, depth=1))
        model = ChunkModel.for_setup(setup, config)
        model.action_norm.half_range.fill_(1e-3)
        return checkpoint.save(folder, model, setup, config, "none", {})

    return write
