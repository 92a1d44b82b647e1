"""Every launch file is there for a graph of `il up`; test_launched_graphs.py starts them."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from il_core.graph import GRAPHS, GraphOptions

LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))
GRAPH_OF = {"bringup": "all", "gazebo": "all"}  # the others are named after theirs


def name_of(path):
    return re.fullmatch(r"(.*)\.launch\.py", path.name)[1]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_launch_file_starts_a_graph_of_il_up(path):
    described = re.findall(r'describe\(\s*"(\w+)"', path.read_text())
    assert described == [GRAPH_OF.get(name_of(path), name_of(path))]


def test_every_graph_has_a_launch_file():
    assert {GRAPH_OF.get(name_of(path), name_of(path)) for path in FILES} == set(GRAPHS)


def test_every_launch_argument_is_explained():
    pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS 2, not with the wheels")
    from il_cli.ros.launch_graph import HELP

    assert list(HELP) == [f.name for f in fields(GraphOptions)]


def test_who_launches_a_graph_sees_its_rates_and_may_ask_for_the_page():
    pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS 2, not with the wheels")
    from il_cli.ros.launch_graph import describe
    from launch import LaunchContext

    for name in GRAPHS:
        offered = {a.name: a.default_value for a in describe(name).get_launch_arguments()}
        said = {n: "".join(s.perform(LaunchContext()) for s in offered[n]) for n in ("monitor", "console", "manage")}
        assert said == {"monitor": "true", "console": "false", "manage": "false"}


def test_configuration_from_elsewhere_is_said_before_the_nodes_start(monkeypatch):
    pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS 2, not with the wheels")
    from launch.actions import DeclareLaunchArgument, LogInfo

    from il_cli.ros.launch_graph import describe
    from il_core.config import CONFIG_KEY, config_dir
    from launch import LaunchContext

    def told():
        *arguments, start = describe("sim").entities
        context = LaunchContext()
        for argument in arguments:
            assert isinstance(argument, DeclareLaunchArgument)
            argument.visit(context)
        lines = [a for a in start.execute(context) if isinstance(a, LogInfo)]
        return ["".join(s.perform(context) for s in line.msg) for line in lines]

    assert told() == []
    monkeypatch.setenv(CONFIG_KEY, str(config_dir()))
    assert told() == [f"configuration: {config_dir()} ($IL_ROBOT_CONFIG)"]
