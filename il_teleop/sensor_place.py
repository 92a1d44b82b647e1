"""Does the robot's file place the force sensor where the URDF does? Asked before anything is recorded."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from il_core.config import Setup
from il_core.errors import ConfigError
from il_core.geometry import inverse, quat_xyzw_from_matrix, rotvec_from_matrix
from il_teleop.kinematics import Chain, chain_of

NEAR_M, NEAR_RAD = 0.001, 0.01  # a digit left out of the file, not another place
MOVED_RAD = 0.3  # of every joint: far enough that a frame not fixed to the tool is somewhere else


def check_sensor_place(setup: Setup) -> None:
    """Compare the robot's ``wrench_sensor`` with the URDF; a sensor whose frame the URDF lacks is not compared.

    The controller takes the sensor's place from the URDF, datasets and policies take it from the robot's file.

    Raises:
        ConfigError: they differ, or the frame does not move with the tool; says where the URDF has it.
    """
    sensor, urdf = setup.robot.wrench_sensor, setup.urdf_path
    if sensor is None:
        return
    root = ElementTree.parse(urdf).getroot()  # noqa: S314 - our own or the user's robot description
    if sensor.frame not in {link.get("name") for link in root.findall("link")}:
        return
    tool, chain = chain_of(setup), Chain(urdf, setup.robot.joint_names, sensor.frame)
    home = np.array(setup.robot.q_home_rad)
    T, T_moved = (inverse(tool.pose(q)) @ chain.pose(q) for q in (home, home + MOVED_RAD))
    if _differ(T, T_moved):
        problem = f"frame '{sensor.frame}' of {urdf.name} does not move with the tool; name one that is fixed to it"
        raise ConfigError("wrench_sensor", problem)
    if _differ(T, sensor.T_ee_sensor):
        p, quat = (np.round(x, 4).tolist() for x in (T[:3, 3], quat_xyzw_from_matrix(T[:3, :3])))
        remedy = f"p_ee_sensor_m: {p}, quat_xyzw_ee_sensor: {quat}"
        raise ConfigError("wrench_sensor", f"{urdf.name} has frame '{sensor.frame}' elsewhere in the tool's; {remedy}")


def _differ(T_a: np.ndarray, T_b: np.ndarray) -> bool:
    turn = float(np.linalg.norm(rotvec_from_matrix(T_a[:3, :3].T @ T_b[:3, :3])))
    return float(np.linalg.norm(T_a[:3, 3] - T_b[:3, 3])) > NEAR_M or turn > NEAR_RAD
