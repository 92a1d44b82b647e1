"""The force sensor at the simulated wrist: where the arm is cut, and what passes there."""

from __future__ import annotations

import mujoco
import numpy as np

from il_core.errors import ConfigError
from il_core.geometry import Array, matrix_from_quat_xyzw, pose, quat_xyzw_from_matrix
from il_core.spec import RobotSpec
from il_core.types import Vector
from il_sim.scene_constants import WRIST_SITE

_SENSORS = {  # name -> what it measures, at the site or of the body behind it
    "wrist_force": mujoco.mjtSensor.mjSENS_FORCE,
    "wrist_torque": mujoco.mjtSensor.mjSENS_TORQUE,
    "wrist_position": mujoco.mjtSensor.mjSENS_FRAMEPOS,
    "wrist_orientation": mujoco.mjtSensor.mjSENS_FRAMEQUAT,
    "wrist_centre": mujoco.mjtSensor.mjSENS_SUBTREECOM,
}


def add_wrist_sensor(spec: mujoco.MjSpec, robot: RobotSpec, source: str) -> None:
    """Put the robot's ``wrench_sensor`` into the scene; without one nothing is added.

    It is a cut through one fixed joint between the arm's last moving link and the tool. Where the URDF has the
    sensor's frame between them, the cut is above that link, or above the next one towards the arm behind which there
    is a mass; otherwise it is at the flange: all that leads from the last moving link to the tool hangs at the sensor.

    Args:
        spec: Scene with the robot in it.
        robot: The arm.
        source: Robot description, for messages.

    Raises:
        ConfigError: the frame does not move with the tool, or nothing is fixed to the last moving link.
    """
    sensor = robot.wrench_sensor
    if sensor is None:
        return
    fixed, moving = _fixed_above(spec.body(robot.ee_frame))
    if not fixed:
        problem = f"'{robot.ee_frame}' is itself the arm's last moving link; name as ee_frame a link fixed to it"
        raise ConfigError("wrench_sensor", f"between arm and tool there is no fixed joint in {source}: {problem}")
    cut, frame = len(fixed) - 1, spec.body(sensor.frame)
    if frame is not None:
        above, carrier = _fixed_above(frame)
        if carrier.name != moving.name:
            problem = f"frame '{sensor.frame}' of {source} does not move with the tool; name one that is fixed to it"
            raise ConfigError("wrench_sensor", problem)
        above_frame = {body.name for body in above}
        cut = next((k for k, body in enumerate(fixed) if body.name in above_frame and _is_heavy(body)), cut)
    _add_sensors(spec, fixed[cut], _chained(fixed[:cut]) @ sensor.T_ee_sensor)


def _add_sensors(spec: mujoco.MjSpec, cut: mujoco.MjsBody, T: Array) -> None:
    """The site at pose T of the body behind the cut, (4, 4) [m], and what is measured there."""
    x, y, z, w = quat_xyzw_from_matrix(T[:3, :3])
    cut.add_site(name=WRIST_SITE, pos=T[:3, 3], quat=[w, x, y, z], size=[0.005, 0.005, 0.005], group=4)
    for name, kind in _SENSORS.items():
        is_of_body = kind == mujoco.mjtSensor.mjSENS_SUBTREECOM
        place = (mujoco.mjtObj.mjOBJ_BODY, cut.name) if is_of_body else (mujoco.mjtObj.mjOBJ_SITE, WRIST_SITE)
        spec.add_sensor(name=name, type=kind, objtype=place[0], objname=place[1])


def _fixed_above(body: mujoco.MjsBody) -> tuple[list[mujoco.MjsBody], mujoco.MjsBody]:
    """A body and those above it that no joint moves, from it upwards; and the moving link they are fixed to."""
    fixed = []
    while not body.joints and body.parent is not None:
        fixed.append(body)
        body = body.parent
    return fixed, body


def _is_heavy(body: mujoco.MjsBody) -> bool:
    """Whether the body or one that hangs at it has a mass."""
    return any(b.mass > 0.0 for b in (body, *body.find_all("body")))


def _chained(bodies: list[mujoco.MjsBody]) -> Array:
    """Pose of the first body in the parent of the last, each the parent of the one before, (4, 4) [m]."""
    T = np.eye(4)
    for body in bodies:
        w, x, y, z = body.quat
        T = pose(body.pos, matrix_from_quat_xyzw([x, y, z, w])) @ T
    return T


class WristSensor:
    r"""What the sensor says, as its driver would after it was zeroed with the gripper on it and takes its weight off.

    .. math:: F = -F_{cut} - F_g = F_{ext} - F_{inertia}

    MuJoCo's force and torque at the cut are what the arm's side does to the tool's side; the topic has what acts on
    the tool, hence the minus. The weight of the robot's own bodies behind the cut (gripper, fingers, at whatever
    opening and however heavy they were made) is taken off, :math:`F_g`; their inertia is not, as no driver knows it: at
    an acceleration of a the sensor shows their mass times -a. What the gripper holds is not the robot's: its
    weight is felt. There is no noise, no drift, no delay and no limit.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Find the sensor in a compiled scene that has one."""
        self._model = model
        self._at = [slice(int(s.adr[0]), int(s.adr[0]) + int(s.dim[0])) for s in map(model.sensor, _SENSORS)]
        self._R = np.empty(9)
        self._body = int(model.site_bodyid[model.site(WRIST_SITE).id])

    @property
    def link(self) -> str:
        """The first link behind the cut."""
        return str(self._model.body(self._body).name)

    def wrench(self, data: mujoco.MjData) -> Vector:
        """Force and torque on the tool, about the origin and along the axes of the sensor's frame, (6,) [N, N·m].

        Of the last evaluation of forces, which a step makes at its beginning; places are of that same instant.
        """
        force, torque, position, quat_wxyz, centre = (data.sensordata[at] for at in self._at)
        mujoco.mju_quat2Mat(self._R, quat_wxyz)
        R_base_sensor = self._R.reshape(3, 3)
        weight = self._model.body_subtreemass[self._body] * self._model.opt.gravity
        x, y, z = (centre - position).tolist()
        fx, fy, fz = weight.tolist()
        wrench = np.empty(6)
        wrench[:3] = -force - weight @ R_base_sensor
        wrench[3:] = -torque - np.array((y * fz - z * fy, z * fx - x * fz, x * fy - y * fx)) @ R_base_sensor
        return wrench
