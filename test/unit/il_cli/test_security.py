"""The SROS2 policy, and the refusal of a secure mode that cannot be kept."""

from xml.etree import ElementTree as Xml

import pytest

from il_cli.main import COMMANDS, run
from il_cli.security_check import judge, require_security
from il_cli.security_policy import (
    POLICY,
    Connections,
    ConnectionTable,
    load_connections,
    policy_text,
    relative_name,
    rules_of,
)
from il_core.config import config_dir
from il_core.errors import ConfigError, SecurityError
from il_core.graph import GRAPHS, GraphOptions, graph
from il_sim.gazebo.bridge import rows

STRING = "std_msgs/msg/String"
TABLE = ConnectionTable(
    every_node=Connections(publishes={"/rosout": "rcl_interfaces/msg/Log"}),
    observed={"a": Connections(publishes={"x": STRING}), "b": Connections(subscribes={"x": STRING})},
    optional={"b": Connections(calls={"s": "std_srvs/srv/Trigger"})},
)


def without_types(table, node):
    used = table.of(node)
    return Connections(*(dict.fromkeys(d, "") for d in (used.publishes, used.subscribes, used.serves, used.calls)))


def test_the_policy_allows_what_the_table_says_and_nothing_else():
    assert rules_of(policy_text(TABLE)) == {node: without_types(TABLE, node) for node in ("a", "b")}


def test_the_policy_has_an_enclave_for_every_node_of_every_graph():
    enclaves = {e.attrib["path"] for e in Xml.parse(config_dir() / POLICY).iter("enclave")}
    for name in GRAPHS:
        for options in (GraphOptions(checkpoint="c", view=True, operator=True), GraphOptions(sim=False)):
            if name == "policy" and not options.checkpoint:
                continue
            assert {f"/il_robot/{n.name}" for n in graph(name, options).nodes} <= enclaves
    assert "/il_robot/il" in enclaves


def test_only_the_command_of_a_person_may_use_everything():
    wild = {n for n, used in rules_of((config_dir() / POLICY).read_text()).items() if "*" in used.subscribes}
    assert wild == {"il"}
    assert not any("*" in used.publishes for used in rules_of((config_dir() / POLICY).read_text()).values())


def test_another_namespace_is_written_into_every_profile():
    profiles = list(Xml.fromstring(policy_text(TABLE, "/left")).iter("profile"))
    assert {p.attrib["ns"] for p in profiles} == {"/left"}


@pytest.mark.parametrize(
    ("full", "namespace", "written"),
    [
        ("/joint_states", "/", "joint_states"),
        ("/left/joint_states", "/left", "joint_states"),
        ("/joint_states", "/left", "/joint_states"),
        ("/controller/get_state", "/", "~/get_state"),
        ("/left/controller/get_state", "/left", "~/get_state"),
        ("/controller/hold", "/", "controller/hold"),
        ("/camera/front/color/image_raw", "/", "camera/*/color/image_raw"),
        ("/sim/object/cube", "/", "sim/object/*"),
        ("/rosout", "/", "/rosout"),
        ("/diagnostics", "/left", "/diagnostics"),
    ],
)
def test_names_are_written_without_namespace_and_without_names_of_cameras(full, namespace, written):
    assert relative_name(full, "controller", namespace) == written


def test_gazebos_bridge_may_use_what_is_bridged_and_nothing_else():
    bridged = rows("fr3", ["fr3_joint1", "fr3_joint2"], ("front", "wrist"), ("cube",), has_wrench=True)
    names = {True: {}, False: {}}
    for row in bridged:
        name = relative_name(f"/{row.ros_topic_name.lstrip('/')}", "gazebo_bridge", "/")
        names[row.direction == "GZ_TO_ROS"][name] = row.ros_type_name
    table = load_connections()
    own, shared = table.of("gazebo_bridge"), table.every_node
    assert own.publishes == {**shared.publishes, **names[True]}
    assert own.subscribes == {**shared.subscribes, **names[False]}
    assert own.calls == {}


def test_what_all_seen_nodes_share_is_counted_anew():
    log = {"/rosout": "rcl_interfaces/msg/Log"}
    seen = {"a": Connections(publishes={"y": STRING, **log}), "c": Connections(subscribes={"y": STRING}, publishes=log)}
    new = TABLE.with_observed(seen)
    assert new.every_node == Connections(publishes=log)
    assert new.observed == {
        "a": Connections(publishes={"y": STRING}),
        "b": Connections(subscribes={"x": STRING}),
        "c": Connections(subscribes={"y": STRING}),
    }
    assert new.optional == TABLE.optional


def test_a_table_survives_its_file(tmp_path):
    path = tmp_path / "connections.yaml"
    path.write_text(TABLE.text())
    assert load_connections(path) == TABLE
    path.write_text("observed: {a: {publish: {}}}\nevery_node: {}\n")
    with pytest.raises(ConfigError, match="unknown key 'publish'; did you mean 'publishes'"):
        load_connections(path)


@pytest.mark.parametrize(
    ("status", "output", "has_security", "words"),
    [
        (1, "RCLError: error creating node: couldn't find all security files!, at participant.cpp", True, "it has"),
        (
            1,
            "error creating node: This Fast DDS version doesn't have the security libraries\nPlease",
            False,
            "doesn't have",
        ),
        (1, "but the Cyclone DDS library does not have security support enabled", False, "does not have security"),
        (0, "created", False, "a node without any key was let in"),
        (1, "ModuleNotFoundError: No module named 'rclpy'", False, "cannot be told: ModuleNotFoundError"),
        (-9, "", False, "cannot be told: exit status -9"),
    ],
)
def test_only_a_middleware_that_misses_its_keys_is_believed(status, output, has_security, words):
    verdict = judge(status, output)
    assert verdict.has_security is has_security and words in verdict.words


def test_nothing_is_asked_where_secure_mode_is_not_wanted(monkeypatch):
    monkeypatch.setattr("il_cli.security_check.probe_middleware", lambda environment: pytest.fail("asked"))
    require_security({"ROS_SECURITY_ENABLE": "false"}, ["sim"])


def test_missing_keys_are_refused_where_the_middleware_can(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "il_cli.security_check.probe_middleware", lambda environment: judge(1, "could not find all security files")
    )
    wanted = {"ROS_SECURITY_ENABLE": "true"}
    with pytest.raises(SecurityError, match="needs ROS_SECURITY_KEYSTORE, a folder; got ''"):
        require_security(wanted, ["sim"])
    with pytest.raises(
        SecurityError, match=r"lacks 12 files, the first is .*/enclaves/il_robot/il/identity_ca.cert.pem"
    ):
        require_security({**wanted, "ROS_SECURITY_KEYSTORE": str(tmp_path)}, ["sim"])


def test_the_command_writes_the_policy_and_refuses_a_namespace_without_slash(tmp_path, capsys):
    assert run(["security", "policy", "--out", str(tmp_path / "p.xml")], COMMANDS) == 0
    assert (tmp_path / "p.xml").read_text() == (config_dir() / POLICY).read_text()
    assert run(["security", "policy", "--namespace", "left"], COMMANDS) == 1
    assert "'left' does not begin with /" in capsys.readouterr().err


def test_a_node_in_the_process_of_another_shares_its_enclave_and_no_services_of_its_own():
    console, previews = Connections(publishes={"x": STRING}), Connections(subscribes={"y": STRING})
    table = ConnectionTable(TABLE.every_node, {"console": console, "console_previews": previews})
    enclaves = {e.attrib["path"]: e for e in Xml.fromstring(policy_text(table)).iter("enclave")}
    assert list(enclaves) == ["/il_robot/console"]
    assert [p.attrib["node"] for p in enclaves["/il_robot/console"].iter("profile")] == ["console", "console_previews"]
    assert table.of("console_previews") == previews
