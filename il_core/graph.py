"""Which nodes make up a job: the one description that `il up` and the launch files both start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from il_core import topics
from il_core.camera_topics import known_drivers, load_camera_topics
from il_core.config import config_dir, from_mapping, load_setup
from il_core.errors import ConfigError, nearest

Parameter = str | int | float | bool

TRANSPORT_FILE = "dds/fastdds.xml"
"""Fast DDS profile of every process, below config/: the default loses images (docs/decisions/0008)."""
PROFILE_KEY = "FASTDDS_DEFAULT_PROFILES_FILE"
_OLD_PROFILE_KEY = "FASTRTPS_DEFAULT_PROFILES_FILE"  # what Fast DDS 2 reads; Fast DDS 3 complains about it
_OLD_DISTROS = ("humble", "iron", "jazzy")


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
    """

    name: str
    module: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    topics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    remaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def executable(self) -> str:
        """Name for ``ros2 run il_robot``."""
        return self.module.rsplit(".", 1)[-1]

    @property
    def ros_arguments(self) -> list[str]:
        """Command-line arguments that give the node its name, remapping rules and parameters."""
        arguments = ["--ros-args", "-r", f"__node:={self.name}"]
        for ours, theirs in self.remaps.items():
            arguments += ["-r", f"{ours}:={theirs}"]
        for key, value in self.parameters.items():
            arguments += ["-p", f"{key}:={_yaml(value)}"]
        return arguments


def _yaml(value: Parameter) -> str:
    """A parameter value as ROS reads it; quotes keep strings such as ``1`` or ``no`` strings."""
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
    """

    name: str
    nodes: tuple[NodeSpec, ...]

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
    "teleop": ("controller", "teleop"),
    "record": ("controller", "recorder", "teleop"),
    "policy": ("controller", "policy"),
    "all": ("controller", "recorder", "teleop", "policy"),
}
_READ_PICTURES = ("recorder", "policy")
CAMERA_NODE = "camera_node"
GRAPHS = tuple(_JOBS)
"""Names :func:`graph` knows."""


def graph(name: str, options: GraphOptions | None = None) -> Graph:
    """Describe the nodes of a job.

    Args:
        name: One of GRAPHS.
        options: What differs from the defaults.

    Raises:
        ConfigError: unknown graph, task, robot or camera driver, or a policy graph without a checkpoint.
    """
    options = options or GraphOptions()
    if name not in _JOBS:
        raise ConfigError("graph", f"unknown graph '{name}'; {nearest(name, list(GRAPHS))}")
    if "policy" in _JOBS[name] and not options.checkpoint:
        raise ConfigError(f"graph '{name}'", "needs a checkpoint; train one with `il train`, name its folder")
    _check_cameras(options)
    cameras = load_setup(options.task, options.robot or None).task.cameras
    names = list(_JOBS[name])
    if options.operator:
        names.append("operator")
    if options.sim:
        watchers = ["sim_camera"] * bool(cameras) + ["sim_viewer"] * options.view
        names = ["sim", *watchers, *names]
    elif options.cameras == CAMERA_NODE and cameras:
        names = ["camera", *names]
    return Graph(name, tuple(_node(n, options, cameras) for n in names))


def _check_cameras(options: GraphOptions) -> None:
    drivers = [CAMERA_NODE, *known_drivers()]
    if options.cameras and options.sim:
        raise ConfigError("graph options", f"cameras '{options.cameras}' and simulated ones exclude each other")
    if options.cameras and options.cameras not in drivers:
        raise ConfigError("graph options", f"unknown cameras '{options.cameras}'; {nearest(options.cameras, drivers)}")


def _node(name: str, options: GraphOptions, cameras: tuple[str, ...]) -> NodeSpec:
    """The entry of one node: module, own parameters, and the signs of life to wait for."""
    common: dict[str, Parameter] = {"task": options.task}
    if options.robot:
        common["robot"] = options.robot
    images = tuple(t for c in cameras for t in (topics.color(c), topics.depth(c)))
    own: dict[str, tuple[str, dict[str, Parameter], tuple[str, ...], tuple[str, ...]]] = {
        "sim": (
            "il_sim.ros.sim_node",
            {"seed": options.seed},
            (topics.JOINT_STATES,),
            (topics.SIM_RESET,),
        ),
        "sim_viewer": ("il_sim.ros.sim_viewer_node", {}, (), ("sim_viewer/get_parameters",)),
        "sim_camera": ("il_sim.ros.sim_camera_node", {}, images, ()),
        "camera": ("il_teleop.ros.camera_node", {}, images, ()),
        "controller": (
            "il_control.ros.controller_node",
            {},
            (topics.EE_POSE, topics.EFFORT_SETPOINT),
            (topics.CONTROLLER_HOLD,),
        ),
        "teleop": ("il_teleop.ros.teleop_node", {"device": options.device}, (), ("teleop/get_parameters",)),
        "recorder": (
            "il_teleop.ros.recorder_node",
            {"root": options.recordings},
            (),
            (topics.RECORDER_START, topics.RECORDER_KEEP),
        ),
        "policy": (
            "il_policy.ros.policy_node",
            {"checkpoint": options.checkpoint},
            (),
            (topics.POLICY_ENABLE,),
        ),
        "operator": ("il_sim.ros.operator_node", {}, (), (topics.OPERATOR_PERFORM,)),
    }
    module, parameters, alive, services = own[name]
    is_foreign = name in _READ_PICTURES and options.cameras not in ("", CAMERA_NODE)
    remaps = load_camera_topics(options.cameras).remaps(cameras) if is_foreign else {}
    return NodeSpec(name, module, {**common, **parameters}, alive, services, remaps)


def transport_profile() -> Path:
    """File that says how processes talk to each other.

    Raises:
        ConfigError: the folder of the configuration files is missing.
    """
    return config_dir() / TRANSPORT_FILE


def transport_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Variables that make Fast DDS read the profile; ``base`` is only asked which ROS it is."""
    keys = [PROFILE_KEY, *([_OLD_PROFILE_KEY] if base.get("ROS_DISTRO") in _OLD_DISTROS else [])]
    return dict.fromkeys(keys, str(transport_profile()))


def ros_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Environment that every process on the graph shares; what ``base`` already says stays.

    Returns:
        A copy of ``base`` with transport and discovery set.
    """
    ours = {
        **transport_environment(base),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",  # a controller should not meet a neighbour's arm
    }
    return {**ours, **base}


def node_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Environment of a node process: the graph's, one thread for numerics, headless GL, prompt logs, kept memory."""
    ours = {
        # Buffers of images are else taken from the kernel and given back for every message: page by page, that is a
        # quarter of the recorder's time (64 -> 50 % of a core at two cameras of 640x480; docs/decisions/0008).
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
        "OMP_NUM_THREADS": "1",  # worker threads of one node would preempt the control cycle of another
        "MUJOCO_GL": "egl",
        "PYTHONUNBUFFERED": "1",
    }
    return {**ours, **ros_environment(base)}
