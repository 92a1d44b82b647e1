"""Graphs: who is in them, in which order, and how they are told apart."""

import itertools
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from il_core import topics
from il_core.errors import ConfigError
from il_core.graph import (
    GRAPHS,
    AtEnd,
    GraphOptions,
    NodeSpec,
    graph,
    node_environment,
    options_from_text,
    options_of,
    ros_environment,
    transport_profile,
)
from il_core.graph_spec import Place

EVERYTHING = GraphOptions(checkpoint="somewhere", operator=True, manage=True, console=True)


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
    assert names(job, sim=False, view=True) == [n for n in names(job) if n not in ("sim", "sim_camera")]


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
    values |= {"names": ["1", "b"], "sizes": [1, 2]}
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


def test_everything_is_up_to_a_checkpoint_without_a_policy():
    assert "policy" not in names("all", checkpoint="")
    assert "policy" in names("all")


def test_the_graph_of_a_real_arm_has_no_simulator_whatever_is_asked_for():
    assert names("robot") == ["controller", "description"]
    assert names("robot", operator=True, view=True) == ["controller", "description"]
    assert names("robot", cameras="camera_node") == ["camera", "controller", "description"]


def test_a_controller_that_talks_to_one_of_ros2_control_is_not_waited_for_on_our_own_topic(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"controller": {"ros__parameters": {"output": "forward"}}}))
    assert graph("sim").node("controller").topics == (topics.EE_POSE, topics.EFFORT_SETPOINT)
    assert graph("sim", GraphOptions(params=str(file))).node("controller").topics == (topics.EE_POSE,)


def test_a_namespace_is_in_front_of_every_node_and_nothing_else_is_absolute():
    described = graph("all", GraphOptions(namespace="/cell/left", checkpoint="c", operator=True))
    assert described.namespace == "cell/left"
    for node in described.nodes:
        assert node.ros_arguments[:5] == ["--ros-args", "-r", f"__node:={node.name}", "-r", "__ns:=/cell/left"]
        assert not [t for t in node.topics + node.services if t.startswith("/")]
    assert not [a for n in graph("all").nodes for a in n.ros_arguments if a.startswith("__ns")]


@pytest.mark.parametrize("namespace", ["left arm", "1st", "left/", "a//b", "~"])
def test_what_is_no_namespace_is_refused(namespace):
    with pytest.raises(ConfigError, match="is no namespace; use letters, digits and _"):
        GraphOptions(namespace=namespace)


def test_the_simulator_makes_the_time_that_the_others_follow():
    described = graph("all", GraphOptions(use_sim_time=True, checkpoint="c"))
    followers = [n.name for n in described.nodes if n.parameters.get("use_sim_time") is True]
    assert followers == [n.name for n in described.nodes if n.name != "sim"]
    assert described.node("sim").parameters["publish_clock"] is True
    assert "use_sim_time" not in described.node("sim").parameters  # its own steps are what time is made of
    assert not [n for n in graph("all").nodes if {"use_sim_time", "publish_clock"} & set(n.parameters)]


def test_in_a_namespace_time_is_its_own():
    described = graph("all", GraphOptions(use_sim_time=True, checkpoint="c", namespace="cell/left", manage=True))
    assert {n.name: n.remaps.get("/clock") for n in described.nodes} == {n.name: "clock" for n in described.nodes}
    assert described.node("description").remaps == {"/tf": "tf", "/tf_static": "tf_static", "/clock": "clock"}
    for alone in (GraphOptions(use_sim_time=True), GraphOptions(namespace="left")):
        assert not [n.name for n in graph("record", alone).nodes if "/clock" in n.remaps]
    joined = Place("cell/left", use_sim_time=True).ros_arguments
    assert joined[joined.index("/clock:=/cell/left/clock") - 1] == "-r"
    assert "/clock" not in " ".join(Place("left").ros_arguments + Place(use_sim_time=True).ros_arguments)


def test_a_watcher_that_manages_nothing_is_told_so():
    watched = graph("record", GraphOptions(monitor=True, task="push"))
    assert watched.nodes[-1].name == "bringup"
    assert watched.node("bringup").parameters == {"graph": "record", "task": "push", "manage": False}
    assert not [n for n in watched.nodes if "autostart" in n.parameters]
    both = graph("record", GraphOptions(monitor=True, manage=True))
    assert [n.name for n in both.nodes].count("bringup") == 1 and "manage" not in both.node("bringup").parameters
    assert "bringup" not in names("record")


def test_the_console_is_part_of_any_graph_that_asks_for_it():
    for job in GRAPHS:
        assert "console" not in names(job)
        assert names(job, console=True, manage=True)[-2:] == ["console", "bringup"]
    page = graph("robot", GraphOptions(console=True, cameras="zed", robot="fr3", namespace="left")).node("console")
    assert page.parameters == {"task": "pick_place", "robot": "fr3", "cameras": "zed"} and page.namespace == "left"
    assert graph("robot", GraphOptions(console=True, manage=True)).node("bringup").parameters["console"] is True


def test_managed_nodes_wait_for_the_manager_that_starts_last():
    described = graph("all", GraphOptions(manage=True, sim=False, cameras="camera_node", checkpoint="c"))
    waiting = [n.name for n in described.nodes if n.parameters.get("autostart") is False]
    assert waiting == ["camera", "controller", "recorder", "teleop", "policy"]
    assert described.nodes[-1].name == "bringup"
    assert not [n for n in graph("all").nodes if "autostart" in n.parameters]


def test_the_manager_is_told_which_graph_it_manages():
    options = GraphOptions(task="push", sim=False, cameras="camera_node", recordings="here", namespace="left")
    managed = graph("record", replace(options, manage=True))
    said = {k: v for k, v in managed.node("bringup").parameters.items() if k != "graph"}
    assert managed.node("bringup").parameters["graph"] == "record"
    assert replace(GraphOptions(**said), namespace="left") == options


def test_parameters_come_from_config_then_options_then_the_users_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/**/recorder: {ros__parameters: {operator: Ada, root: elsewhere}}\n")
    plain = graph("record").node("recorder").parameters
    assert plain["rules"] == "recorder"  # config/launch/nodes.yaml
    assert plain["root"] == "outputs/recordings"
    changed = graph("record", GraphOptions(params=str(file), recordings="here")).node("recorder").parameters
    assert changed == {**plain, "operator": "Ada", "root": "elsewhere"}


def test_a_parameter_file_with_a_misspelt_node_is_refused(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/**/contoller: {ros__parameters: {task: push}}\n")
    with pytest.raises(ConfigError, match=r"unknown node 'contoller'; did you mean 'controller'"):
        graph("sim", GraphOptions(params=str(file)))


def test_nothing_that_holds_or_is_the_arm_is_ever_started_again():
    again = {n.name for n in graph("all", EVERYTHING).nodes if n.at_end is AtEnd.RESPAWN}
    assert again == {"sim_camera", "description", "teleop", "policy", "console", "bringup"}
    assert graph("robot", GraphOptions(cameras="camera_node")).node("camera").at_end is AtEnd.RESPAWN
    assert graph("sim", GraphOptions(view=True)).node("sim_viewer").at_end is AtEnd.IGNORE


def test_only_options_that_make_a_difference_are_offered():
    everything = {f.name for f in fields(GraphOptions)}
    assert everything - set(options_of("all")) == {"description"}
    assert everything - set(options_of("sim")) == {"sim", "device", "recordings", "checkpoint"}
    assert everything - set(options_of("policy")) == {"device", "recordings"}
    assert set(options_of("robot")) == {
        "task", "robot", "cameras", "namespace", "use_sim_time", "params", "manage", "monitor", "console"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="unknown graph 'recrod'"):
        options_of("recrod")


def test_the_description_is_part_of_any_graph_that_asks_for_it():
    for name in ("sim", "teleop", "record"):
        with_it = [n.name for n in graph(name, GraphOptions(description=True)).nodes if n.name != "description"]
        assert with_it == [n.name for n in graph(name).nodes]
        assert graph(name, GraphOptions(description=True)).node("description").topics
    assert [n.name for n in graph("all", GraphOptions(description=True)).nodes] == [n.name for n in graph("all").nodes]


def test_frames_of_an_arm_in_a_namespace_stay_in_it():
    assert graph("robot", GraphOptions(namespace="left")).node("description").remaps == {
        "/tf": "tf", "/tf_static": "tf_static"
    }  # fmt: skip
    assert graph("robot").node("description").remaps == {}


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
