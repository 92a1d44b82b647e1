"""The world: physics, light, table, the task's objects and the robot."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from il_sim.gazebo import sdf
from il_sim.gazebo.config import GazeboConfig
from il_sim.gazebo.robot import TABLE_GROUP
from il_sim.gazebo.scene import Thing
from il_sim.plant import Plant
from il_sim.scene_constants import TABLE

SYSTEMS = (("physics", "Physics"), ("user-commands", "UserCommands"), ("scene-broadcaster", "SceneBroadcaster"))


def world(name: str, plant: Plant, robot: ET.Element, things: tuple[Thing, ...], config: GazeboConfig) -> ET.Element:
    """The ``<world>``.

    Args:
        name: Its name.
        plant: MuJoCo's scene: step, gravity and lights are taken from it.
        robot: The robot's model.
        things: Table and objects.
        config: Gazebo's settings.
    """
    element = ET.Element("world", name=name)
    option = plant.model.opt
    physics = sdf.add(element, "physics", name="step", type="dart")
    sdf.add_all(
        physics,
        {
            "max_step_size": float(option.timestep),
            "real_time_factor": config.real_time_factor,
            "real_time_update_rate": config.real_time_factor / float(option.timestep),
        },
    )
    for system, kind in SYSTEMS:
        sdf.add_plugin(element, system, kind)
    sdf.add_plugin(element, "sensors", "Sensors", [("render_engine", "ogre2")])
    if plant.wrist_link:
        sdf.add_plugin(element, "forcetorque", "ForceTorque")
    sdf.add(element, "gravity", option.gravity)
    scene = sdf.add(element, "scene")
    sdf.add_all(scene, {"ambient": (0.5, 0.5, 0.5, 1.0), "background": (0.1, 0.1, 0.1, 1.0), "shadows": False})
    _add_lights(element, plant)
    for thing in things:
        element.append(_model(thing, config))
    element.append(robot)
    return element


def _add_lights(element: ET.Element, plant: Plant) -> None:
    model = plant.model
    for k in range(model.nlight):
        light = sdf.add(element, "light", name=f"light_{k}", type="directional")
        sdf.add(light, "pose", [*model.light_pos[k], 0.0, 0.0, 0.0])
        sdf.add_all(light, {"cast_shadows": False, "diffuse": (0.6, 0.6, 0.6, 1.0), "specular": (0.1, 0.1, 0.1, 1.0)})
        sdf.add(light, "direction", model.light_dir[k])


def _model(thing: Thing, config: GazeboConfig) -> ET.Element:
    """An object; what never moves is static."""
    model = ET.Element("model", name=thing.name)
    sdf.add(model, "static", thing.inertial is None)
    sdf.add_pose(model, thing.T_base_thing)
    link = sdf.add(model, "link", name=thing.name)
    if thing.inertial is not None:
        sdf.add_inertial(link, thing.inertial.mass_kg, thing.inertial.T_link_com, thing.inertial.inertia_kg_m2)
    group = TABLE_GROUP if thing.name == TABLE else 0xFFFF
    for k, part in enumerate(thing.parts):
        sdf.add_visual(link, f"visual_{k}", part.shape)
        if part.is_solid:
            sdf.add_collision(link, f"collision_{k}", part.shape, part.mu, group)
    if thing.name != TABLE:
        _add_pose_publisher(model, config)
    return model


def _add_pose_publisher(model: ET.Element, config: GazeboConfig) -> None:
    """The object's pose in the world, which is base, on ``/model/<name>/pose``."""
    kinds = ("link", "visual", "collision", "sensor", "nested_model")
    unwanted: list[tuple[str, sdf.Value]] = [(f"publish_{kind}_pose", False) for kind in kinds]
    values: list[tuple[str, sdf.Value]] = [
        ("publish_model_pose", True),
        *unwanted,
        ("use_pose_vector_msg", False),
        ("update_frequency", config.object_rate_hz),
    ]
    sdf.add_plugin(model, "pose-publisher", "PosePublisher", values)
