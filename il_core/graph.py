"""Which nodes make up a job: the one description that `il up` and the launch files both start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import yaml

from il_core import topics
from il_core.camera_topics import known_drivers, load_camera_topics
from il_core.config import config_dir, from_mapping, load_setup
from il_core.environment import (
    PROFILE_KEY,
    node_environment,
    ros_environment,
    transport_environment,
    transport_profile,
)
from il_core.errors import ConfigError, nearest
from il_core.graph_nodes import CATALOGUE, IMAGES, MANAGER
from il_core.graph_spec import CLOCK, AtEnd, Graph, NodeSpec, Place
from il_core.node_params import NodeParams, Parameter, load_node_params

__all__ = [
    "GRAPHS",
    "PROFILE_KEY",
    "AtEnd",
    "Graph",
    "GraphOptions",
    "NodeSpec",
    "graph",
    "node_environment",
    "options_from_text",
    "options_of",
    "ros_environment",
    "transport_environment",
    "transport_profile",
]

PARAMS_FILE = "launch/nodes.yaml"
"""Parameters of every graph's nodes, below config/."""


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """What may vary between two starts of the same graph.

    Attributes:
        task: Name in config/task/, or path of a YAML file.
        robot: Name in config/robot/ or path; empty means the task's own.
        sim: Whether the simulated arm and cameras are part of it; without, a driver of your own
            and camera drivers serve the same topics.
        seed: Seed of the simulated scene.
        view: Show the simulated scene in a window.
        operator: Whether the scripted operator takes the place of a person.
        device: What the person moves: keyboard or joy.
        recordings: Folder that recordings go to.
        checkpoint: Folder of the policy to serve.
        cameras: Where pictures come from without ``sim``: empty for a node of yours on our topics,
            ``camera_node`` for ours with RealSense devices, else a driver of config/camera/topics_<name>.yaml.
        namespace: In front of every name of ours, so that two arms can share one ROS domain; empty means none.
        use_sim_time: Whether time is what ``/clock`` says, in a namespace ``/<namespace>/clock``; the simulator of
            the graph then publishes it.
        params: Parameter file on top of config/launch/nodes.yaml and of these options; empty means none.
        manage: Whether the nodes wait for a manager, which is then part of the graph, to bring them up in order.
        monitor: Whether node ``bringup`` tells rate and age of every topic also without ``manage``.
        console: Whether the operator's page is served.
        description: Whether the robot's URDF and frames are published; jobs ``robot`` and ``all`` always do it.
    """

    task: str = "pick_place"
    robot: str = ""
    sim: bool = True
    seed: int = 0
    view: bool = False
    operator: bool = False
    device: str = "joy"
    recordings: str = "outputs/recordings"
    checkpoint: str = ""
    cameras: str = ""
    namespace: str = ""
    use_sim_time: bool = False
    params: str = ""
    manage: bool = False
    monitor: bool = False
    console: bool = False
    description: bool = False

    def __post_init__(self) -> None:
        """Reject what ROS would not take as a namespace."""
        Place(self.namespace)


def options_from_text(values: Mapping[str, str]) -> GraphOptions:
    """Options from texts such as launch arguments.

    Raises:
        ConfigError: unknown option, or a text that is not of the option's type.
    """
    defaults = {f.name: f.default for f in fields(GraphOptions)}
    converted: dict[str, object] = {}
    for key, text in values.items():
        default = defaults.get(key)
        converted[key] = text if isinstance(default, str) else yaml.safe_load(text.lower())
    return from_mapping(GraphOptions, converted, "graph options")


_JOBS: dict[str, tuple[str, ...]] = {
    "sim": ("controller",),
    "robot": ("controller", "description"),
    "teleop": ("controller", "teleop"),
    "record": ("controller", "recorder", "teleop"),
    "policy": ("controller", "policy"),
    "all": ("controller", "description", "recorder", "teleop", "policy"),
}
_REAL = ("robot",)  # jobs without the simulator, whatever the options say
_SIMULATED = ("sim", "seed", "view", "operator")  # options these have no use for
_OF_NODE = {"device": "teleop", "recordings": "recorder", "checkpoint": "policy"}  # options only one node has use for
CAMERA_NODE = "camera_node"
GRAPHS = tuple(_JOBS)
"""Names :func:`graph` knows."""


def options_of(name: str) -> tuple[str, ...]:
    """Names of the GraphOptions that make a difference to a job.

    Raises:
        ConfigError: unknown graph.
    """
    nodes = _nodes_of(name)
    useless = {option for option, node in _OF_NODE.items() if node not in nodes}
    useless |= {"description"} & set(nodes)
    useless |= set(_SIMULATED) if name in _REAL else {"sim"} if name == "sim" else set()
    return tuple(f.name for f in fields(GraphOptions) if f.name not in useless)


def _nodes_of(name: str) -> tuple[str, ...]:
    if name not in _JOBS:
        raise ConfigError("graph", f"unknown graph '{name}'; {nearest(name, list(GRAPHS))}")
    return _JOBS[name]


def graph(name: str, options: GraphOptions | None = None) -> Graph:
    """Describe the nodes of a job.

    Args:
        name: One of GRAPHS.
        options: What differs from the defaults. Graph ``all`` has a policy only with a checkpoint.

    Raises:
        ConfigError: unknown graph, task, robot or camera driver, a parameter file that cannot be used, or a policy
            graph without a checkpoint.
    """
    options = options or GraphOptions()
    names = list(_nodes_of(name))
    if name == "policy" and not options.checkpoint:
        raise ConfigError(f"graph '{name}'", "needs a checkpoint; train one with `il train`, name its folder")
    if not options.checkpoint:
        names = [n for n in names if n != "policy"]
    if name in _REAL:
        options = replace(options, sim=False, operator=False, view=False)
    _check_cameras(options)
    cameras = load_setup(options.task, options.robot or None).task.cameras
    if options.description and "description" not in names:
        names.insert(1, "description")  # after the controller
    if options.operator:
        names.append("operator")
    if options.sim:
        watchers = ["sim_camera"] * bool(cameras) + ["sim_viewer"] * options.view
        names = ["sim", *watchers, *names]
    elif options.cameras == CAMERA_NODE and cameras:
        names = ["camera", *names]
    names += ["console"] * options.console + [MANAGER] * (options.manage or options.monitor)
    files = _params_files(options)
    job = {"graph": name, **_said_to_manager(options)}
    nodes = tuple(_node(n, options, cameras, files, job if n == MANAGER else {}) for n in names)
    return Graph(name, nodes, options.namespace.strip("/"))


def _is_foreign(options: GraphOptions) -> bool:
    """Whether pictures come from somebody else's driver."""
    return options.cameras not in ("", CAMERA_NODE)


def _check_cameras(options: GraphOptions) -> None:
    drivers = [CAMERA_NODE, *known_drivers()]
    if options.cameras and options.sim:
        raise ConfigError("graph options", f"cameras '{options.cameras}' and simulated ones exclude each other")
    if options.cameras and options.cameras not in drivers:
        raise ConfigError("graph options", f"unknown cameras '{options.cameras}'; {nearest(options.cameras, drivers)}")


def _params_files(options: GraphOptions) -> tuple[NodeParams, NodeParams]:
    """Ours, and the one named by the options."""
    ours = load_node_params(config_dir() / PARAMS_FILE)
    theirs = load_node_params(Path(options.params)) if options.params else NodeParams("none", {})
    for each in (ours, theirs):
        each.check_names(list(CATALOGUE))
    return ours, theirs


_OWN_OUTPUT = "effort_setpoint"  # default of the controller's parameter
_READ_PICTURES = ("recorder", "policy", "description")  # the last only the frame they come in


NOT_FOR_MANAGER = ("manage", "monitor", "namespace", "use_sim_time")  # its own parameters and its process say these


def _said_to_manager(options: GraphOptions) -> dict[str, Parameter]:
    """The options by which the manager describes the same graph for itself."""
    own = {f.name: getattr(options, f.name) for f in fields(GraphOptions) if getattr(options, f.name) != f.default}
    said = {name: value for name, value in own.items() if name not in NOT_FOR_MANAGER}
    return said if options.manage else {**said, "manage": False}


def _node(
    name: str,
    options: GraphOptions,
    cameras: tuple[str, ...],
    files: tuple[NodeParams, NodeParams],
    more: Mapping[str, Parameter],
) -> NodeSpec:
    """The entry of one node: module, parameters, and the signs of life to wait for."""
    entry, namespace = CATALOGUE[name], options.namespace.strip("/")
    images = tuple(t for c in cameras for t in (topics.color(c), topics.depth(c)))
    is_foreign = name in _READ_PICTURES and _is_foreign(options)
    ours, theirs = (f.of(name, namespace) for f in files)
    parameters = {**ours, **_parameters(name, options), **more, **theirs}
    signs = tuple(t for topic in entry.topics for t in (images if topic == IMAGES else (topic,)))
    if parameters.get("output", _OWN_OUTPUT) != _OWN_OUTPUT:  # the controller talks to one of ros2_control's
        signs = tuple(topic for topic in signs if topic != topics.EFFORT_SETPOINT)
    return NodeSpec(
        name,
        entry.module,
        parameters,
        signs,
        entry.services,
        {**(load_camera_topics(options.cameras).remaps(cameras) if is_foreign else {}), **_kept_inside(name, options)},
        namespace,
        entry.at_end,
        entry.is_managed,
    )


def _kept_inside(name: str, options: GraphOptions) -> dict[str, str]:
    """Absolute names that a namespace keeps to itself: two arms may have links of the same name, and each its time."""
    if not options.namespace.strip("/"):
        return {}
    kept = [topics.TF, topics.TF_STATIC] if name == "description" else []
    return {absolute: absolute.strip("/") for absolute in (*kept, *([CLOCK] if options.use_sim_time else []))}


def _parameters(name: str, options: GraphOptions) -> dict[str, Parameter]:
    """What the options say to a node."""
    said: dict[str, Parameter] = {"task": options.task}
    if options.robot:
        said["robot"] = options.robot
    if options.use_sim_time:  # the simulator makes the time that the others follow
        said["publish_clock" if name == "sim" else "use_sim_time"] = True
    if options.manage and CATALOGUE[name].is_managed:
        said["autostart"] = False
    own: dict[str, dict[str, Parameter]] = {
        "sim": {"seed": options.seed},
        "teleop": {"device": options.device},
        "recorder": {"root": options.recordings},
        "policy": {"checkpoint": options.checkpoint},
        "console": {"cameras": options.cameras} if options.cameras else {},
        "description": {"cameras": options.cameras} if _is_foreign(options) else {},
    }
    return {**said, **own.get(name, {})}
