"""Writes everything Gazebo and the bridge read, into one folder."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from il_core.config import Setup
from il_core.graph_spec import Place
from il_sim.gazebo import sdf
from il_sim.gazebo.bridge import bridge_yaml, rows
from il_sim.gazebo.config import GazeboConfig, load_gazebo_config
from il_sim.gazebo.names import BRIDGE, CONTROLLERS, DESCRIPTION, WORLD, Drive
from il_sim.gazebo.robot import RobotModel
from il_sim.gazebo.ros2_control import controllers_yaml, urdf_with_control
from il_sim.gazebo.scene import Scene
from il_sim.gazebo.world import world
from il_sim.plant import Plant


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        world: World with the robot in it.
        bridge: Configuration of ros_gz_bridge.
        model: Folder of the robot's model alone, for worlds of your own.
        controllers: Controllers' parameters, with ros2_control only.
        description: URDF with ``<ros2_control>``, with ros2_control only.
    """

    world: Path
    bridge: Path
    model: Path
    controllers: Path | None = None
    description: Path | None = None


def write_gazebo(
    setup: Setup,
    out: Path,
    *,
    seed: int = 0,
    drive: Drive = Drive.JOINTS,
    namespace: str = "",
    config: GazeboConfig | None = None,
) -> Written:
    """Write world, model, bridge map and, for ros2_control, its two files.

    Args:
        setup: Robot and task.
        out: Folder; made if it is not there.
        seed: Seed of the objects' places.
        drive: How torques reach the arm.
        namespace: Namespace of ros2_control's nodes, as that of the graph; the other files know none.
        config: Gazebo's settings; None reads config/gazebo/default.yaml.

    Raises:
        ConfigError: this robot or task cannot be simulated, or ROS would not take the namespace.
    """
    place = Place(namespace).namespace.strip("/")
    config = config or load_gazebo_config()
    plant = Plant(setup, seed)
    scene = Scene(plant)
    robot = RobotModel(setup, scene.mu, config, plant.wrist_link)
    is_controlled = drive is Drive.ROS2_CONTROL
    controllers = (out / CONTROLLERS).resolve()
    model = robot.element(drive, str(controllers), place)
    out.mkdir(parents=True, exist_ok=True)
    alone = out / "models" / setup.robot.name
    alone.mkdir(parents=True, exist_ok=True)
    (alone / "model.sdf").write_text(sdf.document(model))
    (alone / "model.config").write_text(_model_config(setup))
    name = f"il_{setup.task.name}"
    (out / WORLD).write_text(sdf.document(world(name, plant, model, scene.things, config)))
    forced = robot.fingers if is_controlled else [*setup.robot.joint_names, *robot.fingers]
    has_wrench = setup.robot.wrench_sensor is not None
    bridged = rows(setup.robot.name, forced, setup.task.cameras, plant.task.objects, has_wrench=has_wrench)
    (out / BRIDGE).write_text(bridge_yaml(bridged))
    if not is_controlled:
        return Written(out / WORLD, out / BRIDGE, alone)
    controllers.write_text(controllers_yaml(setup, place))
    (out / DESCRIPTION).write_text(urdf_with_control(setup))
    return Written(out / WORLD, out / BRIDGE, alone, controllers, out / DESCRIPTION)


def _model_config(setup: Setup) -> str:
    """What Gazebo shows of a model before it loads it."""
    root = ET.Element("model")
    sdf.add_all(root, {"name": setup.robot.name, "version": "1.0"})
    sdf.add(root, "sdf", "model.sdf", version=sdf.VERSION)
    sdf.add(root, "description", f"{setup.robot.name}, written from {setup.urdf_path.name} by `il gazebo write`")
    ET.indent(root)
    return '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
