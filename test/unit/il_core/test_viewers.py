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
    of_cameras = (topics.color, topics.depth, topics.camera_info, topics.depth_camera_info, topics.depth_to_color)
    fixed |= {f(c) for f in of_cameras for c in cameras}
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
        assert message_of(name) == TYPE_OF_DISPLAY[kind], display["Name"]


def message_of(topic: str) -> str:
    """Message of a topic, as the table in topics.py has it."""
    key = next(k for k, v in vars(topics).items() if k.isupper() and v == topic)
    row = next(line for line in topics.__doc__.splitlines() if re.match(rf"\| [\w, ]*\b{key}\b", line))
    return re.search(r"\w+_msgs/(\w+)", row)[1]


def test_plots_take_the_time_from_the_message_where_it_has_one():
    panels = json.loads(FOXGLOVE.read_text())["configById"].values()
    paths = [path for panel in panels if "xAxisVal" in panel for path in panel["paths"]]
    messages = {path["value"]: message_of(re.match(r"/([\w/]+)", path["value"])[1]) for path in paths}
    assert {"JointState", "PoseStamped", "WrenchStamped", "Float64"} == set(messages.values())
    expected = {value: "receiveTime" if m == "Float64" else "headerStamp" for value, m in messages.items()}
    assert {path["value"]: path["timestampMethod"] for path in paths} == expected


def test_a_cloud_finds_the_calibration_of_its_depth_image_where_rviz_looks():
    displays = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]
    clouds = [d["Depth Map Topic"] for d in displays if d["Class"].endswith("DepthCloud")]
    assert clouds
    assert {f"{topic.rpartition('/')[0]}/camera_info" for topic in clouds} <= existing()


def test_every_panel_of_the_layout_is_configured():
    layout = json.loads(FOXGLOVE.read_text())

    def leaves(node: Any) -> list[str]:
        return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])

    assert sorted(leaves(layout["layout"])) == sorted(layout["configById"])
