"""gz_ros2_control: its plugin, the URDF with its ``<ros2_control>`` block, and the controllers' parameters."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import yaml

from il_core import topics
from il_core.config import Setup
from il_core.graph_spec import CLOCK
from il_sim.gazebo.names import CONTROLLER
from il_sim.gazebo.sdf import add, text

RATE_HZ = 1000


def add_control(model: ET.Element, controllers: str, namespace: str) -> None:
    """Append the plugin to a model.

    Until a controller is active the plugin holds the joints where they are (``hold_joints``). It reads the robot's
    description from a topic of its own: the one of `description_node` has no ``<ros2_control>``.

    Args:
        model: The robot's.
        controllers: Path of the controllers' YAML.
        namespace: Namespace of its nodes, without slashes around; empty means none.
    """
    name = "gz_ros2_control::GazeboSimROS2ControlPlugin"
    plugin = add(model, "plugin", filename="gz_ros2_control-system", name=name)
    add(plugin, "parameters", controllers)
    add(plugin, "hold_joints", True)
    ros = add(plugin, "ros")
    if namespace:
        add(ros, "namespace", f"/{namespace}")
        add(ros, "remapping", f"{CLOCK}:=/{namespace}{CLOCK}")
    add(ros, "remapping", f"{topics.ROBOT_DESCRIPTION}:={topics.GAZEBO_DESCRIPTION}")


def urdf_with_control(setup: Setup) -> str:
    """The robot's URDF with an effort interface per arm joint; the arm starts at home."""
    root = ET.parse(setup.urdf_path).getroot()  # noqa: S314 - expat as shipped refuses entity bombs
    control = add(root, "ros2_control", name="GazeboSimSystem", type="system")
    add(add(control, "hardware"), "plugin", "gz_ros2_control/GazeboSimSystem")
    robot = setup.robot
    for name, home, tau in zip(robot.joint_names, robot.q_home_rad, robot.tau_max_nm, strict=True):
        joint = add(control, "joint", name=name)
        command = add(joint, "command_interface", name="effort")
        add(command, "param", -tau, name="min")
        add(command, "param", tau, name="max")
        position = add(joint, "state_interface", name="position")
        add(position, "param", text(home), name="initial_value")
        for kind in ("velocity", "effort"):
            add(joint, "state_interface", name=kind)
    ET.indent(root)
    return '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def controllers_yaml(setup: Setup, namespace: str = "") -> str:
    """Parameters of the controller manager and of its one controller, which passes efforts on.

    Args:
        setup: Robot and task.
        namespace: Namespace of both, without slashes around; empty means none.
    """
    place = f"/{namespace}/" if namespace else ""
    manager = {"update_rate": RATE_HZ, CONTROLLER: {"type": "forward_command_controller/ForwardCommandController"}}
    forward = {"joints": list(setup.robot.joint_names), "interface_name": "effort"}
    parameters = {
        f"{place}controller_manager": {"ros__parameters": manager},
        f"{place}{CONTROLLER}": {"ros__parameters": forward},
    }
    return yaml.safe_dump(parameters, sort_keys=False)
