"""From the robot's URDF to a MuJoCo model: actuators, cameras, table and the task's objects."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco
import numpy as np

from il_core.config import Setup
from il_core.errors import ConfigError
from il_core.geometry import quat_xyzw_from_matrix
from il_core.spec import CameraSpec, Mount, RobotSpec
from il_core.types import Vector
from il_sim.scene_constants import SOLREF, TABLE
from il_sim.tasks import SimTask
from il_sim.wrist import add_wrist_sensor

TIMESTEP_S = 0.001
GRIPPER_FORCE_N = 60.0  # Franka Hand: 70 N continuous
GRIPPER_STIFFNESS_N_M, GRIPPER_DAMPING_NS_M = 4000.0, 80.0
FINGER_FRICTION = (1.5, 0.02, 0.0005)  # rubber pads: sliding, torsional [m], rolling [m]
# MuJoCo cameras look along -z with y up, optical frames along z with y down: half a turn about x.
R_OPTICAL_MUJOCO = np.diag([1.0, -1.0, -1.0])


def scene_state(model: mujoco.MjModel, qpos: Vector) -> Vector:
    """State of a scene as it came over the wire, (nq,), known to be of this scene.

    Raises:
        ConfigError: it has another size.
    """
    if qpos.shape != (model.nq,):
        raise ConfigError("scene", f"state has {qpos.size} numbers, this scene {model.nq}; start both for one task")
    return qpos


def build_model(setup: Setup, task: SimTask) -> mujoco.MjModel:
    """Compile the scene of a task.

    Args:
        setup: Robot and task specification.
        task: Objects to put on the table.

    Raises:
        ConfigError: the URDF or SRDF cannot be used; carries the parser's words. Or the robot's force sensor has no
            place between arm and tool.
    """
    spec = _robot(setup)
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC  # friction of the grasp without pyramid corners
    spec.option.impratio = 10.0  # friction harder than the normal force: a held object does not creep
    _add_table(spec)
    _exclude_pairs(spec, setup.srdf_path)
    _add_actuators(spec, setup.robot)
    for camera in setup.robot.cameras:
        _add_camera(spec, setup.robot, camera)
    task.add_objects(spec)
    add_wrist_sensor(spec, setup.robot, str(setup.urdf_path))
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigError(str(setup.urdf_path), f"MuJoCo cannot compile the scene: {error}") from error


def _robot(setup: Setup) -> mujoco.MjSpec:
    """The robot alone, as its URDF says, with armature and stiff fingers."""
    try:
        spec = mujoco.MjSpec.from_file(str(setup.urdf_path))
    except (ValueError, OSError) as error:
        raise ConfigError(str(setup.urdf_path), f"not a usable URDF: {error}") from error
    spec.compiler.fusestatic = False  # keeps base, hand and tool frames
    robot = setup.robot
    for name, armature in zip(robot.joint_names, robot.armature_kg_m2, strict=True):
        joint = spec.joint(name)
        if joint is None:
            raise ConfigError(str(setup.urdf_path), f"no joint '{name}'")
        joint.armature = armature
    ee = spec.body(robot.ee_frame)
    if ee is None:
        raise ConfigError(str(setup.urdf_path), f"no link '{robot.ee_frame}'")
    ee.add_site(name=robot.ee_frame, size=[0.005, 0.005, 0.005], group=4)
    for body in spec.bodies:
        if "finger" in body.name:
            for geom in body.geoms:
                geom.solref, geom.friction, geom.condim = SOLREF, FINGER_FRICTION, 4
    return spec


def _add_table(spec: mujoco.MjSpec) -> None:
    """The table top is the plane z = 0 of base."""
    world = spec.worldbody
    world.add_geom(
        name=TABLE,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.45, 0.6, 0.02],
        pos=[0.45, 0.0, -0.02],
        rgba=[0.75, 0.68, 0.58, 1.0],
        solref=SOLREF,
        friction=[0.8, 0.005, 0.0001],
    )
    for pos, direction in (([0.5, 0.0, 2.0], [0.0, 0.0, -1.0]), ([1.5, 0.8, 1.5], [-0.7, -0.4, -0.7])):
        world.add_light(pos=pos, dir=direction, diffuse=[0.25, 0.25, 0.25], castshadow=False)


def _exclude_pairs(spec: mujoco.MjSpec, srdf_path: Path) -> None:
    """No contacts between the link pairs the SRDF disables, nor between the fixed base and table."""
    try:
        root = ET.parse(srdf_path).getroot()  # noqa: S314 - expat as shipped refuses entity bombs
    except (ET.ParseError, OSError) as error:
        raise ConfigError(str(srdf_path), f"not a usable SRDF: {error}") from error
    names = {body.name for body in spec.bodies}
    for pair in root.iter("disable_collisions"):
        first, second = pair.get("link1"), pair.get("link2")
        if first in names and second in names:
            spec.add_exclude(bodyname1=first, bodyname2=second)
    for body in spec.worldbody.find_all("body")[:2]:  # base and its fixed first link stand on the table
        spec.add_exclude(bodyname1="world", bodyname2=body.name)


def _add_actuators(spec: mujoco.MjSpec, robot: RobotSpec) -> None:
    """Torque on every arm joint, clipped to its limit; one force-limited position servo per finger."""
    for name, limit in zip(robot.joint_names, robot.tau_max_nm, strict=True):
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, ctrlrange=[-limit, limit])
        motor.ctrllimited = mujoco.mjtLimited.mjLIMITED_TRUE
    fingers = [j for j in spec.joints if j.type == mujoco.mjtJoint.mjJNT_SLIDE]
    for joint in fingers:
        servo = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=GRIPPER_STIFFNESS_N_M, kv=GRIPPER_DAMPING_NS_M)
        servo.forcerange = [-GRIPPER_FORCE_N, GRIPPER_FORCE_N]
        servo.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE


def _add_camera(spec: mujoco.MjSpec, robot: RobotSpec, camera: CameraSpec) -> None:
    """A camera where the robot's YAML puts its optical frame."""
    parent = spec.body("base") if camera.mount is Mount.BASE else spec.body(robot.ee_frame)
    T = camera.T_mount_optical
    x, y, z, w = quat_xyzw_from_matrix(T[:3, :3] @ R_OPTICAL_MUJOCO)
    parent.add_camera(name=camera.name, pos=T[:3, 3], quat=[w, x, y, z], fovy=camera.fov_v_deg)
