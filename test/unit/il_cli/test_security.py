"""The SROS2 policy, and the refusal of a secure mode that cannot be kept."""

import ast
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from il_cli.main import COMMANDS, run
from il_cli.security_check import judge, require_security
from il_cli.security_policy import (
    POLICY,
    PROCESS_OF,
    Connections,
    ConnectionTable,
    full_name,
    granted,
    load_connections,
    policy_text,
    relative_name,
    rules_of,
)
from il_core import security
from il_core.config import config_dir
from il_core.errors import ConfigError, SecurityError
from il_core.graph import CAMERA_NODE, GRAPHS, GraphOptions, graph
from il_core.security import COMMAND_NODES, ENCLAVE_FILES, enclave
from il_sim.gazebo.bridge import rows

ROOT = Path(__file__).parents[3]
NAMED_ELSEWHERE = {  # who makes a node under a name that is handed on -> where the name is written
    "il_cli/ros/session.py": "Session(name), in every command",
    "il_core/ros/lifecycle.py": "ManagedNode(name), in every managed node",
    "il_cli/ros/console_previews.py": "Previews(name): console_node's own, with _previews behind it",
    "il_cli/ros/topic_monitor.py": "TopicMonitor(node): its node's own, with _topics behind it",
}
TO_BE_DENIED = {"il_security_probe"}  # it asks whether a node without any key is let in
BASES = ("Node", "LifecycleNode", "ManagedNode")


def names_of_nodes(source: str) -> tuple[set[str], int]:
    """Names under which a source makes nodes, and how many of them it does not write out."""
    tree, found, unknown = ast.parse(source), set(), 0
    constants = {
        t.id: s.value.value
        for s in tree.body
        if isinstance(s, ast.Assign) and isinstance(s.value, ast.Constant)
        for t in s.targets
        if isinstance(t, ast.Name)
    }

    def note(said: ast.expr) -> None:
        nonlocal unknown
        name = said.value if isinstance(said, ast.Constant) else constants.get(getattr(said, "id", ""))
        unknown += name is None
        found.update({name} - {None})

    def made_by(call: ast.Call, bases: tuple[str, ...]) -> bool:
        called = getattr(call.func, "id", getattr(call.func, "attr", ""))
        is_super = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "func", None) is not None
        is_ours = called == "__init__" and is_super and any(base in BASES for base in bases)
        return is_ours or called in ("Node", "Session", "create_node")

    def walk(node: ast.AST, bases: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            inner = bases
            if isinstance(child, ast.ClassDef):
                inner = tuple(getattr(base, "id", "") for base in child.bases)
                if child.name == "Session":
                    start = next(f for f in child.body if getattr(f, "name", "") == "__init__")
                    note(start.args.defaults[0])
            if isinstance(child, ast.Call) and made_by(child, bases) and child.args:
                note(child.args[0])
            walk(child, inner)

    walk(tree, ())
    return found, unknown


def all_names() -> dict[str, tuple[set[str], int]]:
    """Module -> names of nodes it makes, and how many it does not write out."""
    sources = {p.relative_to(ROOT).as_posix(): p.read_text() for p in ROOT.glob("il_*/**/*.py")}
    return {place: names_of_nodes(text) for place, text in sources.items()}


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
        whole = GraphOptions(checkpoint="c", view=True, operator=True, manage=True, description=True)
        for options in (whole, GraphOptions(sim=False, cameras=CAMERA_NODE)):
            if name == "policy" and not options.checkpoint:
                continue
            assert {f"/il_robot/{n.name}" for n in graph(name, options).nodes} <= enclaves
    assert "/il_robot/il" in enclaves


def test_only_the_command_of_a_person_may_use_everything_and_the_monitor_hear_it():
    rules, everything = rules_of((config_dir() / POLICY).read_text()), {"*", "/*", "**"}
    assert {n for n, used in rules.items() if everything & set(used.calls)} == set(COMMAND_NODES)
    assert {n for n, used in rules.items() if everything & set(used.subscribes)} == {*COMMAND_NODES, "bringup_topics"}
    families = ("camera/*/", "sim/object/*", "gazebo/camera/*/", "gazebo/force/*")
    for used in rules.values():
        open_ended = [n for names in (used.publishes, used.serves) for n in names if "*" in n]
        assert all(name.startswith(families) for name in open_ended), "the only wildcards of what is sent"


def test_names_of_nodes_are_found_however_they_are_given():
    text = """
NAME = "constant"
class A(Node):
    def __init__(self):
        super().__init__("own")
class Session:
    def __init__(self, name="default"): pass
class B(Other):
    def __init__(self):
        super().__init__("no node")
Node(NAME, context=1); rclpy.create_node("made"); Node(self._name)
def command():
    with Terminal() as t, Session("il_x", 1) as s: Session()
"""
    assert names_of_nodes(text) == ({"constant", "own", "default", "made", "il_x"}, 1)


def test_every_node_that_is_made_anywhere_has_a_profile_under_its_own_name_in_the_enclave_of_its_process():
    """sros2 puts the name of the profile in front of a node's own services: under another name they are denied."""
    found = all_names()
    assert {place for place, (_, unknown) in found.items() if unknown} == set(NAMED_ELSEWHERE)
    made = set().union(*(names for names, _ in found.values())) | {*PROCESS_OF} | {"gazebo_bridge"}
    policy = Xml.parse(config_dir() / POLICY)
    place_of = {p.attrib["node"]: e.attrib["path"] for e in policy.iter("enclave") for p in e.iter("profile")}
    commands = dict.fromkeys(COMMAND_NODES, enclave("il"))
    assert place_of == {name: commands.get(name, enclave(PROCESS_OF.get(name, name))) for name in made - TO_BE_DENIED}


@pytest.mark.parametrize("name", COMMAND_NODES)
@pytest.mark.parametrize("namespace", ["/", "/left"])
def test_a_command_may_offer_what_every_node_offers_and_hears_what_is_outside_of_its_namespace_too(name, namespace):
    allowed = granted(policy_text(load_connections(), namespace), name)
    assert full_name("~/describe_parameters", name, namespace) in allowed.serves
    assert full_name("recorder/flow", name, namespace) in allowed.publishes
    for heard in (
        "/diagnostics",
        "/clock",
        "/tf_static",
        "/front/zed_node/rgb",
        f"{namespace.rstrip('/')}/joint_states",
    ):
        assert any(fnmatchcase(heard, pattern) for pattern in allowed.subscribes), heard


def test_another_namespace_is_written_into_every_profile():
    profiles = list(Xml.fromstring(policy_text(TABLE, "/left")).iter("profile"))
    assert {p.attrib["ns"] for p in profiles} == {"/left"}


def test_time_and_frames_that_a_namespace_keeps_inside_are_allowed_there_as_well():
    table, clock = load_connections(), {"/clock", "/left/clock"}
    assert clock <= set(granted(policy_text(table, "/left"), "sim").publishes)
    assert clock <= set(granted(policy_text(table, "/left"), "controller").subscribes)
    assert {"/tf", "/left/tf", "/left/tf_static"} <= set(granted(policy_text(table, "/left"), "description").publishes)
    names = [t.text for t in Xml.fromstring(policy_text(table)).iter("topic")]
    assert "/clock" in names and "clock" not in names


def test_a_description_may_hear_where_the_depth_sensor_of_a_real_camera_sits():
    assert "/camera/*/depth_to_color" in granted(policy_text(load_connections()), "description").subscribes


def test_the_check_asks_for_the_keys_of_every_process_and_for_no_others(tmp_path, monkeypatch, capsys):
    paths = [e.attrib["path"] for e in Xml.parse(config_dir() / POLICY).iter("enclave")]
    for path in paths:
        folder = tmp_path / "enclaves" / path.lstrip("/")
        folder.mkdir(parents=True)
        for name in ENCLAVE_FILES:
            (folder / name).touch()
    monkeypatch.setenv("ROS_SECURITY_KEYSTORE", str(tmp_path))
    monkeypatch.setattr(
        "il_cli.security.probe_middleware", lambda environment: judge(1, "could not find all security files")
    )
    assert run(["security", "check"], COMMANDS) == 0
    (tmp_path / "enclaves/il_robot/il/cert.pem").unlink()
    assert run(["security", "check"], COMMANDS) == 1
    assert capsys.readouterr().out.count("lacks") == 1


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
        ("/left/clock", "/left", "/clock"),
        ("/left/tf_static", "/left", "/tf_static"),
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


def test_who_may_hear_everything_is_not_noted_for_what_it_happened_to_hear():
    table, heard = load_connections(), Connections(subscribes={"joint_states": "sensor_msgs/msg/JointState"})
    seen = dict.fromkeys(("bringup_topics", *COMMAND_NODES), heard)
    assert table.with_observed(seen) == table


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


def test_a_keystore_of_another_arm_is_refused_before_anything_starts(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "il_cli.security_check.probe_middleware", lambda environment: judge(1, "could not find all security files")
    )
    for process in ("il", "sim"):
        folder = tmp_path / "enclaves" / "il_robot" / process
        folder.mkdir(parents=True)
        for name in security.ENCLAVE_FILES:
            (folder / name).write_text(f"<id>0</id><topic>rr/left/{process}/get_parametersReply</topic>")
    wanted = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_KEYSTORE": str(tmp_path)}
    require_security(wanted, ["sim"], "left")
    with pytest.raises(SecurityError, match=r"/sim/permissions.p7s is for namespace 'left', not 'right': 'sim' would"):
        require_security(wanted, ["sim"], "right")
    with pytest.raises(SecurityError, match="is for ROS_DOMAIN_ID 0, not 5"):
        require_security({**wanted, "ROS_DOMAIN_ID": "5"}, ["sim"], "left")


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
