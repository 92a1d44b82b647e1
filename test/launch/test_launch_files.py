"""The launch files start the same graphs as `il up`."""

import asyncio
import os
import re
import time
from pathlib import Path

import pytest

from il_core.graph import GRAPHS, GraphOptions, graph, ros_environment

LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))
READY_S = 60.0


def graph_of(path):
    return re.fullmatch(r"(.*)\.launch\.py", path.name)[1]


@pytest.mark.parametrize("path", FILES, ids=graph_of)
def test_every_launch_file_starts_the_graph_it_is_named_after(path):
    assert graph_of(path) in GRAPHS
    assert f'describe("{graph_of(path)}")' in path.read_text()


@pytest.fixture
def launch_service(monkeypatch):
    """A running ROS launch that includes one of the files; ends with the test."""
    needs_launch = "ROS 2's launch is not installed: it comes with a sourced ROS 2, not with the wheels"
    pytest.importorskip("launch_ros", reason=needs_launch)
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    if not any((Path(p) / "share" / "il_robot").is_dir() for p in prefixes if p):
        pytest.skip("il_robot is not on AMENT_PREFIX_PATH: run colcon build and source install/setup.bash")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(10 + (os.getpid() + 1) % 90))
    for name, value in ros_environment(os.environ).items():
        monkeypatch.setenv(name, value)
    return include


def include(path, arguments):
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    from launch import LaunchDescription, LaunchService

    service = LaunchService(noninteractive=True)
    included = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=arguments)
    service.include_launch_description(LaunchDescription([included]))
    return service


async def run_until_ready(service, description):
    """Run the launch until every node of the graph shows its signs of life."""
    from il_cli.ros.watch import Watch

    task = asyncio.ensure_future(service.run_async())
    end = time.monotonic() + READY_S
    with Watch(description) as watch:
        while (missing := watch.missing()) and time.monotonic() < end and not task.done():
            await asyncio.sleep(0.05)
    if (ending := service.shutdown()) is not None:  # inside the event loop it is a coroutine
        await ending
    return missing, await task


def test_the_launched_sim_graph_gets_ready_and_exits_cleanly(launch_service):
    arguments = [("task", "draw_symbol"), ("seed", "3")]
    service = launch_service(LAUNCH / "sim.launch.py", arguments)
    description = graph("sim", GraphOptions(task="draw_symbol", seed=3))
    missing, status = asyncio.run(run_until_ready(service, description))
    assert missing == []
    assert status == 0
