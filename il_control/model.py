"""The arm's kinematics and dynamics: a thin wrapper over Pinocchio with frames in every name."""

from __future__ import annotations

import numpy as np
import pinocchio as pin

from il_control.laws.compensation import PayloadConfig
from il_core.config import Setup
from il_core.errors import ConfigError, nearest
from il_core.types import Vector


class ArmModel:
    """Model of the arm with its gripper locked; quantities are current after :meth:`update`.

    Attributes:
        nq: Number of arm joints.
        q: Joint positions of the last update, (nq,) [rad].
        T_base_ee: Tool pose in base, (4, 4) [m].
        J_ee_aligned: Jacobian of the tool point, axes of base, (6, nq): twist = J v, linear first.
        drift: Acceleration of the tool at zero joint acceleration, dJ/dt v, axes of base, linear first, (6,).
        bias: Coriolis, centrifugal and gravity torque, (nq,) [N·m].
        gravity: Gravity torque, (nq,) [N·m].
    """

    def __init__(self, setup: Setup, payload: PayloadConfig | None = None) -> None:
        """Build the model from the robot's URDF.

        Args:
            setup: The robot.
            payload: What the tool carries and the URDF does not have; a point mass, its inertia included.

        Raises:
            ConfigError: the URDF does not parse, or lacks a joint or the tool frame.
        """
        robot = setup.robot
        full = _parse(setup)
        names = list(full.names)
        for joint in (*robot.joint_names, robot.gripper_joint):
            if joint and joint not in names:  # an arm without a gripper names no joint for it
                raise ConfigError(str(setup.urdf_path), f"no joint '{joint}'; {nearest(joint, names[1:])}")
        locked = [full.getJointId(n) for n in names[1:] if n not in robot.joint_names]
        self.model = pin.buildReducedModel(full, locked, pin.neutral(full))
        if list(self.model.names)[1:] != list(robot.joint_names):
            raise ConfigError(str(setup.urdf_path), f"joints come in the order {list(self.model.names)[1:]}")
        self._where = str(setup.urdf_path)
        self._frame = self.frame_id(robot.ee_frame)
        self.model.armature = np.array(robot.armature_kg_m2)
        if payload is not None and payload.mass_kg > 0.0:
            self._load(payload)
        self.data = self.model.createData()
        self.nq = robot.nq
        self.q = np.zeros(self.nq)
        self.T_base_ee = np.eye(4)
        self.J_ee_aligned = np.zeros((6, self.nq))
        self.drift = np.zeros(6)
        self.bias = np.zeros(self.nq)
        self._no_acceleration = np.zeros(self.nq)
        self.update(np.array(robot.q_home_rad), np.zeros(self.nq))

    def update(self, q: Vector, v: Vector) -> None:
        """Compute pose, Jacobian, drift and bias for a state.

        Args:
            q: Joint positions, (nq,) [rad].
            v: Joint velocities, (nq,) [rad/s].
        """
        self.q = q
        self.bias = pin.nonLinearEffects(self.model, self.data, q, v)
        pin.forwardKinematics(self.model, self.data, q, v, self._no_acceleration)
        pin.computeJointJacobians(self.model, self.data)
        placement = pin.updateFramePlacement(self.model, self.data, self._frame)
        self.T_base_ee[:3, :3] = placement.rotation
        self.T_base_ee[:3, 3] = placement.translation
        self.J_ee_aligned[:] = pin.getFrameJacobian(self.model, self.data, self._frame, pin.LOCAL_WORLD_ALIGNED)
        acceleration = pin.getFrameClassicalAcceleration(self.model, self.data, self._frame, pin.LOCAL_WORLD_ALIGNED)
        self.drift = np.array(acceleration.vector)

    def frame_id(self, name: str) -> int:
        """Number of a frame of the URDF, for :meth:`frame_pose`.

        Raises:
            ConfigError: no such frame.
        """
        frames = [f.name for f in self.model.frames]
        if name not in frames:
            raise ConfigError(self._where, f"no frame '{name}'; {nearest(name, frames)}")
        return int(self.model.getFrameId(name))

    def frame_pose(self, frame_id: int) -> Vector:
        """Pose of a frame in base at the posture of the last update, (4, 4) [m]."""
        return np.array(pin.updateFramePlacement(self.model, self.data, frame_id).homogeneous)

    def _load(self, payload: PayloadConfig) -> None:
        """Fix the payload to the joint that carries the tool."""
        tool = self.model.frames[self._frame]
        body = pin.Inertia(payload.mass_kg, np.array(payload.com_ee_m), np.zeros((3, 3)))
        self.model.appendBodyToJoint(tool.parentJoint, body, tool.placement)

    @property
    def gravity(self) -> Vector:
        """Gravity torque at the posture of the last update, (nq,) [N·m]."""
        return np.array(pin.computeGeneralizedGravity(self.model, self.data, self.q))

    def mass_matrix(self) -> Vector:
        """Joint-space inertia at the posture of the last update, (nq, nq) [kg·m²], armature included."""
        upper = np.triu(pin.crba(self.model, self.data, self.q))
        return np.asarray(upper + np.triu(upper, 1).T)


def _parse(setup: Setup) -> pin.Model:
    """Parse the URDF, in our words if it fails."""
    try:
        return pin.buildModelFromUrdf(str(setup.urdf_path))
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            str(setup.urdf_path), f"not a usable URDF: {str(error).strip() or 'parser gave no reason'}"
        ) from error
