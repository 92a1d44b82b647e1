"""Every launch file is there for a graph of `il up`; test_launched_graphs.py starts them."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from il_core.graph import GRAPHS, GraphOptions

LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))


def graph_of(path):
    return re.fullmatch(r"(.*)\.launch\.py", path.name)[1]


@pytest.mark.parametrize("path", FILES, ids=graph_of)
def test_every_launch_file_starts_the_graph_it_is_named_after(path):
    assert graph_of(path) in GRAPHS
    assert f'describe("{graph_of(path)}")' in path.read_text()


def test_every_launch_argument_is_explained():
    pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS 2, not with the wheels")
    from il_cli.ros.launch_graph import HELP

    assert list(HELP) == [f.name for f in fields(GraphOptions)]
