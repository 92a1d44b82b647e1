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
