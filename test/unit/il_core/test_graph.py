"""Graphs: who is in them, in which order, and how they are told apart."""

import itertools
import os
from pathlib import Path

import pytest
import yaml

from il_core.errors import ConfigError
from il_core.graph import (
    GRAPHS,
    GraphOptions,
    NodeSpec,
    graph,
    node_environment,
    options_from_text,
    ros_environment,
    transport_profile,
)

EVERYTHING = GraphOptions(checkpoint="somewhere", operator=True)


def names(job, **values):
    return [n.name for n in graph(job, GraphOptions(**{"checkpoint": "c", **values})).nodes]


def test_record_graph_starts_the_arm_before_what_commands_it():
    assert names("record", operator=True) == [
        "sim",
        "sim_camera",
        "controller",
        "recorder",
        "teleop",
        "operator",
    ]


@pytest.mark.parametrize("job", GRAPHS)
def test_every_graph_holds_exactly_one_controller(job):
    assert names(job).count("controller") == 1


@pytest.mark.parametrize("job", GRAPHS)
def test_without_the_simulator_only_its_nodes_are_missing(job):
    assert names(job, sim=False) == [n for n in names(job) if n not in ("sim", "sim_camera")]


def test_the_window_is_a_process_of_its_own():
    assert names("sim", view=True) == ["sim", "sim_camera", "sim_viewer", "controller"]
    assert "sim_viewer" not in names("sim", view=True, sim=False)


def test_a_task_without_cameras_starts_no_camera_node():
    assert "sim_camera" not in names("sim", task="draw_symbol")


@pytest.mark.parametrize("job", GRAPHS)
def test_no_two_nodes_wait_for_the_same_sign_of_life(job):
    nodes = graph(job, EVERYTHING).nodes
    for a, b in itertools.combinations(nodes, 2):
        assert a.name != b.name
        assert not set(a.topics + a.services) & set(b.topics + b.services)
    assert all(n.topics or n.services for n in nodes)


def test_parameters_survive_the_command_line():
    values = {"text": "it's 1:2", "number": "1", "yes": "yes", "flag": True, "whole": 3, "part": 0.5}
    arguments = NodeSpec("n", "il_x.ros.y_node", values).ros_arguments
    assert arguments[:3] == ["--ros-args", "-r", "__node:=n"]
    read = dict(a.split(":=", 1) for a in arguments[4::2])
    assert {k: yaml.safe_load(v) for k, v in read.items()} == values


def test_executable_is_the_modules_last_part():
    assert NodeSpec("n", "il_x.ros.y_node").executable == "y_node"


def test_the_robot_is_passed_on_only_when_named():
    assert all("robot" not in n.parameters for n in graph("sim").nodes)
    assert all(n.parameters["robot"] == "fr3" for n in graph("sim", GraphOptions(robot="fr3")).nodes)


def test_unknown_graph_names_the_alternatives():
    with pytest.raises(ConfigError, match="unknown graph 'recrod'; did you mean 'record'"):
        graph("recrod")


def test_unknown_node_names_the_alternatives():
    with pytest.raises(ConfigError, match="graph 'sim': no node 'controler'; did you mean 'controller'"):
        graph("sim").node("controler")


def test_policy_graph_asks_for_a_checkpoint():
    with pytest.raises(ConfigError, match="graph 'policy': needs a checkpoint"):
        graph("policy")


def test_unknown_task_names_the_alternatives():
    with pytest.raises(ConfigError, match="no such file; did you mean 'pick_place'"):
        graph("sim", GraphOptions(task="pick_plac"))


def test_launch_arguments_become_options():
    texts = {"task": "draw_symbol", "seed": "7", "view": "True", "sim": "false", "checkpoint": "12"}
    expected = GraphOptions(task="draw_symbol", seed=7, view=True, sim=False, checkpoint="12")
    assert options_from_text(texts) == expected


def test_defaults_as_text_become_the_defaults():
    defaults = GraphOptions()
    texts = {name: str(getattr(defaults, name)) for name in defaults.__slots__}
    assert options_from_text(texts) == defaults


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"seed": "seven"}, "graph options: seed: expected int, got 'seven'"),
        ({"view": "2"}, "graph options: view: expected bool, got 2"),
        ({"chekpoint": "x"}, "unknown key 'chekpoint'; did you mean 'checkpoint'"),
    ],
)
def test_wrong_launch_argument_is_named(texts, message):
    with pytest.raises(ConfigError, match=message):
        options_from_text(texts)


def test_environment_fills_in_and_leaves_what_is_set():
    filled = node_environment({"MUJOCO_GL": "glfw", "ROS_DOMAIN_ID": "5"})
    assert filled["MUJOCO_GL"] == "glfw"
    assert filled["ROS_DOMAIN_ID"] == "5"
    assert Path(filled["FASTDDS_DEFAULT_PROFILES_FILE"]).read_text() == transport_profile().read_text()
    assert node_environment({"FASTDDS_DEFAULT_PROFILES_FILE": "x"})["FASTDDS_DEFAULT_PROFILES_FILE"] == "x"
    assert filled["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


def test_old_ros_gets_the_profile_under_its_old_name_too_and_new_ros_does_not():
    old, new = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
    humble = ros_environment({"ROS_DISTRO": "humble"})
    assert humble[old] == humble[new] == str(transport_profile())
    assert old not in ros_environment({"ROS_DISTRO": "kilted"}) and old not in ros_environment({})


def test_the_calling_process_keeps_its_threads():
    assert "OMP_NUM_THREADS" not in ros_environment({})
    assert node_environment({})["OMP_NUM_THREADS"] == "1"


def test_building_an_environment_changes_nothing_here():
    before = dict(os.environ)
    node_environment(os.environ)
    assert dict(os.environ) == before
