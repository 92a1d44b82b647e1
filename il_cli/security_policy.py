"""Who uses which topic and service: the table in config/security/connections.yaml, and the SROS2 policy it makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from xml.etree import ElementTree as Xml

import yaml

from il_core.config import config_dir, load_yaml
from il_core.security import COMMAND, COMMAND_NODES, enclave

CONNECTIONS = "security/connections.yaml"
POLICY = "security/policy.xml"
PROCESS_OF = {"bringup_topics": "bringup", "console_previews": "console"}
"""Nodes that live in the process of another one, and so in its enclave."""
EVERYTHING = "/*"
"""Every name, in every namespace."""
_HEAD = """\
# Which node uses which topic and service, with types. Written by `il security observe` from running graphs, except for
# the section `optional`, which is written by hand: what depends on a parameter, a device or a command.
# `*` stands for the name of a camera, joint or object of the scene, `~` for the node's own name. `il` stands for every
# node by which the command joins a graph; `/*` is everything, in every namespace. What a graph in a namespace keeps
# inside of it (`/clock`, `/tf`) is written as it is without one.
"""
_Join = Callable[[dict[str, str], dict[str, str]], dict[str, str]]
_FAMILIES = (
    (re.compile(r"^camera/[^/]+/"), "camera/*/"),
    (re.compile(r"^sim/object/[^/]+$"), "sim/object/*"),
    (re.compile(r"^gazebo/camera/[^/]+/"), "gazebo/camera/*/"),
    (re.compile(r"^gazebo/force/[^/]+$"), "gazebo/force/*"),
)


@dataclass(frozen=True, slots=True)
class Connections:
    """What one node uses; each maps a name to its type, such as ``sensor_msgs/msg/JointState``.

    Attributes:
        publishes: Topics it sends.
        subscribes: Topics it hears.
        serves: Services it offers.
        calls: Services it asks.
    """

    publishes: dict[str, str] = field(default_factory=dict)
    subscribes: dict[str, str] = field(default_factory=dict)
    serves: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)

    def __or__(self, other: Connections) -> Connections:
        """Everything that one or the other uses."""
        return self._each(other, lambda a, b: {**a, **b})

    def __sub__(self, other: Connections) -> Connections:
        """What this one uses and the other does not."""
        return self._each(other, lambda a, b: {k: v for k, v in a.items() if k not in b})

    def __and__(self, other: Connections) -> Connections:
        """What both use."""
        return self._each(other, lambda a, b: {k: v for k, v in a.items() if k in b})

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(getattr(self, f.name) for f in fields(self))

    def _each(self, other: Connections, join: _Join) -> Connections:
        return Connections(*(join(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def plain(self) -> dict[str, dict[str, str]]:
        """For YAML: sorted, without what is empty."""
        return {f.name: dict(sorted(getattr(self, f.name).items())) for f in fields(self) if getattr(self, f.name)}


@dataclass(frozen=True, slots=True)
class ConnectionTable:
    """The content of config/security/connections.yaml.

    Attributes:
        every_node: What every observed node uses besides, except those in the process of another.
        observed: By node, what was seen of it in a running graph.
        optional: By node, what it may use besides, or what nodes use that were not observed.
    """

    every_node: Connections
    observed: dict[str, Connections]
    optional: dict[str, Connections] = field(default_factory=dict)

    def of(self, node: str) -> Connections:
        """All that a node may use."""
        return self.seen_of(node) | self.optional.get(node, Connections())

    def seen_of(self, node: str) -> Connections:
        """What was observed of a node; of one that was not, what every node uses."""
        own = self.observed.get(node, Connections())
        return own if node in PROCESS_OF else self.every_node | own

    @property
    def nodes(self) -> list[str]:
        """Names of all nodes; ``il`` stands for those of the command."""
        return sorted({*self.observed, *self.optional})

    @property
    def processes(self) -> list[str]:
        """Nodes whose process has an enclave: all but those in the process of another."""
        return sorted({PROCESS_OF.get(node, node) for node in self.nodes})

    def with_observed(self, seen: Mapping[str, Connections]) -> ConnectionTable:
        """Replace what is known of the nodes that were seen; what all nodes share is counted anew.

        Nodes that may hear everything are left out: what they heard depends on the moment.
        """
        known = {*COMMAND_NODES, *(n for n, c in self.optional.items() if EVERYTHING in c.subscribes)}
        whole = {n: self.seen_of(n) for n in self.observed} | {n: c for n, c in seen.items() if n not in known}
        shared = _shared(c for n, c in whole.items() if n not in PROCESS_OF)
        own = {n: c if n in PROCESS_OF else c - shared for n, c in sorted(whole.items())}
        return ConnectionTable(shared, own, self.optional)

    def text(self) -> str:
        """The table as a YAML file."""
        sections = {
            "every_node": self.every_node.plain(),
            "observed": {n: c.plain() for n, c in sorted(self.observed.items())},
            "optional": {n: c.plain() for n, c in sorted(self.optional.items())},
        }
        return _HEAD + yaml.safe_dump(sections, sort_keys=False, width=110, allow_unicode=True)


def _shared(all_of_them: Iterable[Connections]) -> Connections:
    first, *others = all_of_them
    for other in others:
        first = first & other
    return first


def load_connections(path: Path | None = None) -> ConnectionTable:
    """Read a table; config/security/connections.yaml if no other is named.

    Raises:
        ConfigError: missing file, or something in it that is not a table of connections.
    """
    return load_yaml(path or config_dir() / CONNECTIONS, ConnectionTable)


def relative_name(name: str, node: str, namespace: str) -> str:
    """A full name as the table writes it.

    Args:
        name: Full name of a topic or service.
        node: Name of the node that uses it.
        namespace: Its namespace; names outside of it stay absolute, unless it is ``/`` and they are ours.

    Returns:
        ``~/...`` below the node, ``camera/*/...`` and ``sim/object/*`` for those, absolute for ROS's own, also for
        those that a graph keeps inside its namespace.
    """
    base = namespace.rstrip("/")
    own = f"{base}/{node}/"
    if name.startswith(own) and _is_of_node(name[len(own) :]):
        return f"~/{name[len(own) :]}"
    if not name.startswith(f"{base}/") or name in GLOBAL:
        return name
    inner = name[len(base) + 1 :]
    if f"/{inner}" in KEPT_INSIDE:
        return f"/{inner}"
    for pattern, general in _FAMILIES:
        inner = pattern.sub(general, inner)
    return inner


GLOBAL = ("/rosout", "/parameter_events", "/diagnostics", "/clock", "/tf", "/tf_static")
"""Topics that ROS's conventions make absolute."""
KEPT_INSIDE = ("/clock", "/tf", "/tf_static")
"""Those of them that a graph in a namespace has below it, for itself."""
_NODE_SERVICES = re.compile(
    r"^(describe_parameters|get_parameter_types|get_parameters|list_parameters|set_parameters|"
    r"set_parameters_atomically|get_type_description|change_state|get_state|get_available_states|"
    r"get_available_transitions|get_transition_graph|transition_event)$"
)


def _is_of_node(rest: str) -> bool:
    """Whether this is what rclpy gives every node, not a topic of ours that happens to begin with its name."""
    return _NODE_SERVICES.match(rest) is not None


def policy_text(table: ConnectionTable, namespace: str = "/") -> str:
    """SROS2 policy, schema 0.2.0: one enclave per process, nothing that is not in the table.

    sros2 puts namespace and name of the profile in front of ``~/...``, the namespace in front of other names without a
    leading slash, and nothing in front of the rest: so a profile stands under the name that its node really has, and
    what may be outside of the namespace is written with a slash.

    Args:
        table: Who uses what.
        namespace: Namespace that the graph runs in.
    """
    policy = Xml.Element("policy", version="0.2.0")
    enclaves = Xml.SubElement(policy, "enclaves")
    profiles = {
        process: Xml.SubElement(Xml.SubElement(enclaves, "enclave", path=enclave(process)), "profiles")
        for process in table.processes
    }
    for node in table.nodes:
        used = table.of(node)
        for name in COMMAND_NODES if node == COMMAND else (node,):
            profile = Xml.SubElement(profiles[PROCESS_OF.get(node, node)], "profile", ns=namespace, node=name)
            _rule(profile, "topic", "publish", used.publishes)
            _rule(profile, "topic", "subscribe", used.subscribes)
            _rule(profile, "service", "reply", used.serves)
            _rule(profile, "service", "request", used.calls)
    Xml.indent(policy, "  ")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- Made by `il security policy` from connections.yaml. -->\n'
    return head + Xml.tostring(policy, encoding="unicode") + "\n"


def _rule(profile: Xml.Element, kind: str, qualifier: str, names: Mapping[str, str]) -> None:
    if names:
        namespace = profile.attrib["ns"]
        rule = Xml.SubElement(profile, f"{kind}s", {qualifier: "ALLOW"})
        inside = [] if namespace == "/" else [name.strip("/") for name in names if name in KEPT_INSIDE]
        for name in sorted([*names, *inside]):
            Xml.SubElement(rule, kind).text = name


def rules_of(policy: str) -> dict[str, Connections]:
    """What a policy allows, by node; the types are not part of a policy and empty here."""
    return {profile.attrib["node"]: _rules(profile) for profile in Xml.fromstring(policy).iter("profile")}


def _rules(profile: Xml.Element) -> Connections:
    allowed: dict[str, dict[str, str]] = {}
    for key, kind, qualifier in (
        ("publishes", "topic", "publish"),
        ("subscribes", "topic", "subscribe"),
        ("serves", "service", "reply"),
        ("calls", "service", "request"),
    ):
        rules = [r for r in profile.findall(f"{kind}s") if r.get(qualifier) == "ALLOW"]
        allowed[key] = {e.text or "": "" for r in rules for e in r.findall(kind)}
    return Connections(**allowed)


def full_name(name: str, node: str, namespace: str) -> str:
    """A name of a policy as sros2 writes it out: with the namespace, and the node's name in place of ``~``."""
    base = namespace.rstrip("/")
    if name.startswith("~"):
        return f"{base}/{node}{name[1:]}"
    return name if name.startswith("/") else f"{base}/{name}"


def granted(policy: str, node: str) -> Connections:
    """What the process of a node may use by a policy: full names and patterns of all profiles of its enclave.

    Args:
        policy: Text of the policy.
        node: Name of the node.

    Returns:
        Empty if the policy has no profile for a node of this name.
    """
    for enclave_ in Xml.fromstring(policy).iter("enclave"):
        profiles = list(enclave_.iter("profile"))
        if node in [p.attrib["node"] for p in profiles]:
            whole = Connections()
            for profile in profiles:
                place = profile.attrib["node"], profile.attrib["ns"]
                rules = _rules(profile)
                names = [getattr(rules, f.name) for f in fields(rules)]
                whole |= Connections(*({full_name(n, *place): "" for n in some} for some in names))
            return whole
    return Connections()
