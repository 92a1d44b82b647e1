"""What a graph is made of: processes with names, parameters, signs of life, and what their end means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from il_core.errors import ConfigError, nearest
from il_core.node_params import Parameter

CLOCK = "/clock"
"""Simulated time, absolute by convention of ROS; a graph in a namespace has its own, ``/<namespace>/clock``."""


class AtEnd(Enum):
    """What becomes of a launched graph when one of its nodes ends by itself; `il up` always ends.

    A node is started again only if nothing moves by that alone. The controller and what is simulated never are:
    nobody would know where the arm went meanwhile.
    """

    STOP = "the graph is taken down"
    RESPAWN = "the node is started again"
    IGNORE = "the others go on without it"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a graph runs, for those who join one that runs already.

    Attributes:
        namespace: In front of every name of ours, with or without a slash before it; empty means none.
        use_sim_time: Whether its clock is the simulator's, which is one of its own in a namespace.

    Raises:
        ConfigError: ROS would not take the namespace.
    """

    namespace: str = ""
    use_sim_time: bool = False

    def __post_init__(self) -> None:
        """Reject what ROS would not take as a namespace."""
        if self.namespace and not re.fullmatch(r"/?[A-Za-z]\w*(/[A-Za-z]\w*)*", self.namespace):
            problem = f"'{self.namespace}' is no namespace; use letters, digits and _, such as left or cell_2/left"
            raise ConfigError("namespace", problem)

    @property
    def ros_arguments(self) -> list[str]:
        """Command-line arguments for every node of a process; empty if there is nothing to say."""
        space = self.namespace.strip("/")
        words = ["-r", f"__ns:=/{space}"] if space else []
        words += ["-p", "use_sim_time:=true"] if self.use_sim_time else []
        words += ["-r", f"{CLOCK}:=/{space}{CLOCK}"] if space and self.use_sim_time else []
        return ["--ros-args", *words] if words else []


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One process of a graph.

    Attributes:
        name: ROS node name.
        module: Python module with the node's ``main``; its last part is the executable's name.
        parameters: ROS parameters that differ from the node's defaults.
        topics: Topics that carry messages once the node works.
        services: Services it offers once it works.
        remaps: Topics of ours -> those of somebody else's driver.
        namespace: In front of the names of the node and its topics, without slashes around; empty means none.
        at_end: What becomes of the graph if the node ends by itself.
        is_managed: Whether it has the life cycle of ROS 2.
    """

    name: str
    module: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    topics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    remaps: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    at_end: AtEnd = AtEnd.STOP
    is_managed: bool = False

    @property
    def executable(self) -> str:
        """Name for ``ros2 run il_robot``."""
        return self.module.rsplit(".", 1)[-1]

    @property
    def ros_arguments(self) -> list[str]:
        """Command-line arguments that give the node its name, remapping rules and parameters."""
        space = ["-r", f"__ns:=/{self.namespace}"] if self.namespace else []
        remaps = [a for ours, theirs in self.remaps.items() for a in ("-r", f"{ours}:={theirs}")]
        return ["--ros-args", "-r", f"__node:={self.name}", *space, *remaps, *self.parameter_arguments]

    @property
    def parameter_arguments(self) -> list[str]:
        """The part of :attr:`ros_arguments` with the parameters."""
        return [a for key, value in self.parameters.items() for a in ("-p", f"{key}:={_yaml(value)}")]


def _yaml(value: Parameter) -> str:
    """A parameter value as ROS reads it; quotes keep strings such as ``1`` or ``no`` strings."""
    if isinstance(value, list):
        return f"[{', '.join(_yaml(v) for v in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes of a job, in the order they start; they stop in the opposite order.

    What commands the arm starts after the arm and stops before it, so that nothing is commanded
    that nobody holds.

    Attributes:
        name: Name of the job.
        nodes: Its nodes.
        namespace: Namespace of all of them, without slashes around; empty means none.
    """

    name: str
    nodes: tuple[NodeSpec, ...]
    namespace: str = ""

    def node(self, name: str) -> NodeSpec:
        """Look a node up by name.

        Raises:
            ConfigError: no such node; the message lists those there are.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        problem = f"no node '{name}'; {nearest(name, [n.name for n in self.nodes])}"
        raise ConfigError(f"graph '{self.name}'", problem)
