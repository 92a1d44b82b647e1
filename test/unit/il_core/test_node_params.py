"""Parameter files: whose they are, which value wins, and what is refused."""

import pytest
import yaml

from il_core.errors import ConfigError
from il_core.node_params import NodeParams, load_node_params

NAMES = ["camera", "controller", "recorder"]


def params(text):
    return NodeParams("p.yaml", yaml.safe_load(text))


@pytest.mark.parametrize(
    ("key", "namespace", "fits"),
    [
        ("controller", "", True),
        ("/controller", "", True),
        ("controller", "left", False),
        ("/left/controller", "left", True),
        ("left/controller", "/left", True),
        ("/left/controller", "right", False),
        ("/**/controller", "", True),
        ("/**/controller", "cell/left", True),
        ("/*/controller", "left", True),
        ("/*/controller", "cell/left", False),
        ("/**", "left", True),
        ("/left/**", "left", True),
        ("/left/**", "", False),
        ("recorder", "", False),
        ("my_controller", "", False),
    ],
)
def test_a_key_names_nodes_as_in_ros(key, namespace, fits):
    read = params(f"{key}:\n  ros__parameters:\n    a: 1\n")
    assert read.of("controller", namespace) == ({"a": 1} if fits else {})


def test_namespaces_may_be_levels_of_the_file():
    read = params("left:\n  controller: {ros__parameters: {a: 1}}\n  recorder: {ros__parameters: {a: 2}}\n")
    assert read.of("controller", "left") == {"a": 1}
    assert read.of("recorder", "left") == {"a": 2}
    assert read.of("recorder", "") == {}


def test_later_entries_win_and_groups_become_names_with_dots():
    text = "/**: {ros__parameters: {a: 1, qos: {depth: 4}}}\ncontroller: {ros__parameters: {a: 2, names: [x, y]}}\n"
    assert params(text).of("controller") == {"a": 2, "qos.depth": 4, "names": ["x", "y"]}
    assert params(text).of("camera") == {"a": 1, "qos.depth": 4}


def test_a_section_with_every_line_commented_out_says_nothing():
    assert params("controller:\n  ros__parameters:\n").of("controller") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("controller: {seed: 1}", "expected nodes with 'ros__parameters' below them, got 1"),
        ("- controller", "expected nodes with 'ros__parameters' below them"),
        ("controller: {ros__parameters: 3}", "'/controller': expected names and values, got 3"),
        ("controller: {ros__parameters: {when: 2026-11-21}}", "'/controller': when is datetime.date"),
        ("controller: {ros__parameters: {mixed: [1, a]}}", "mixed is .*; a node takes text, numbers, true or false"),
    ],
)
def test_what_is_no_parameter_file_is_refused_with_its_place(text, message):
    with pytest.raises(ConfigError, match=message):
        params(text)


def test_a_misspelt_node_is_named_and_a_stranger_is_not():
    params("my_gripper_driver: {ros__parameters: {port: 1}}").check_names(NAMES)
    params("/**: {ros__parameters: {use_sim_time: true}}").check_names(NAMES)
    with pytest.raises(ConfigError, match=r"p.yaml: unknown node 'recoder'; did you mean 'recorder'"):
        params("/**/recoder: {ros__parameters: {rules: strict}}").check_names(NAMES)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.yaml: no such parameter file; name one with `params`"):
        load_node_params(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_node_params(tmp_path / "broken.yaml")
    with pytest.raises(ConfigError, match="cannot be read as a parameter file"):
        load_node_params(tmp_path)
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert load_node_params(tmp_path / "empty.yaml").of("controller") == {}
