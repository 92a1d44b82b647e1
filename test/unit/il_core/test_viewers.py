"""The RViz and Foxglove files name topics that exist, in the types they are shown as."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from il_core import topics
from il_core.config import config_dir, load_robot

RVIZ, FOXGLOVE = config_dir() / "rviz" / "il_robot.rviz", config_dir() / "foxglove" / "il_robot.json"
TYPE_OF_DISPLAY = {"PoseArray": "PoseArray", "Pose": "PoseStamped", "Wrench": "WrenchStamped", "RobotModel": "String"}


def existing() -> set[str]:
    """Every topic of ours, absolute, with the cameras of the shipped robot."""
    fixed = {v for k, v in vars(topics).items() if k.isupper() and isinstance(v, str)}
    cameras = [c.name for c in load_robot("fr3")[0].cameras]
    fixed |= {f(c) for f in (topics.color, topics.depth, topics.camera_info, topics.depth_to_color) for c in cameras}
    return {"/" + name.lstrip("/") for name in fixed}


def strings(tree: Any) -> Iterator[str]:
    """All texts of a tree, keys too."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield str(key)
            yield from strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings(value)
    elif isinstance(tree, str):
        yield tree


def named(tree: Any) -> set[str]:
    """Topics a file names: what begins with a slash, without the path into the message."""
    return {re.match(r"[\w/]+", text).group() for text in strings(tree) if text.startswith("/")}


@pytest.mark.parametrize("path", [RVIZ, FOXGLOVE], ids=lambda p: p.name)
def test_every_topic_shown_exists(path):
    shown = named(yaml.safe_load(path.read_text()) if path is RVIZ else json.loads(path.read_text()))
    assert len(shown) >= 8
    assert shown <= existing(), f"{path.name}: nobody publishes {sorted(shown - existing())}"


def test_a_topic_that_does_not_exist_is_found():
    assert named({"/robot/links": {"a": ["/joint_states.effort[0]", "no/topic"]}}) == {"/robot/links", "/joint_states"}
    assert "/robot/links" not in existing()


def test_displays_show_the_type_their_topic_carries():
    displays = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]
    for display in displays:
        kind = display["Class"].split("/")[-1]
        if kind not in TYPE_OF_DISPLAY:
            continue
        name = display.get("Topic", display.get("Description Topic"))["Value"].lstrip("/")
        key = next(k for k, v in vars(topics).items() if k.isupper() and v == name)
        row = next(line for line in topics.__doc__.splitlines() if re.match(rf"\| [\w, ]*\b{key}\b", line))
        assert TYPE_OF_DISPLAY[kind] in row, (display["Name"], row)


def test_every_panel_of_the_layout_is_configured():
    layout = json.loads(FOXGLOVE.read_text())

    def leaves(node: Any) -> list[str]:
        return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])

    assert sorted(leaves(layout["layout"])) == sorted(layout["configById"])
