"""What the arm's model leaves out: friction in its joints, and what it carries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from il_core.errors import ConfigError
from il_core.types import Vector

GRAVITY = (0.0, 0.0, -9.81)  # in base, z up [m/s²]; what Pinocchio and MuJoCo take by default


@dataclass(frozen=True, slots=True)
class FrictionConfig:
    """Friction of the joints, one value per joint.

    Attributes:
        coulomb_nm: Friction that does not depend on speed, (nq,) [N·m].
        viscous_nms_rad: Friction per speed, (nq,) [N·m·s/rad].
        smooth_rad_s: Speed at which 76 % of the first is reached [rad/s]: well above the noise of the
            measured velocity, or the compensation chatters at rest.
    """

    coulomb_nm: tuple[float, ...]
    viscous_nms_rad: tuple[float, ...]
    smooth_rad_s: float = 0.05

    def __post_init__(self) -> None:
        """Reject friction that would drive.

        Raises:
            ConfigError: lengths differ, a value is negative or not finite, or the speed is not positive.
        """
        if len(self.coulomb_nm) != len(self.viscous_nms_rad):
            problem = f"coulomb_nm has {len(self.coulomb_nm)} values, viscous_nms_rad {len(self.viscous_nms_rad)}"
            raise ConfigError("friction", problem)
        if not all(0.0 <= value < math.inf for value in (*self.coulomb_nm, *self.viscous_nms_rad)):
            raise ConfigError("friction", "coulomb_nm and viscous_nms_rad must be finite and not negative")
        if not 0.0 < self.smooth_rad_s < math.inf:
            raise ConfigError("friction", f"smooth_rad_s must be positive, got {self.smooth_rad_s}")


@dataclass(frozen=True, slots=True)
class PayloadConfig:
    """A rigid body fixed to the tool that the robot's description does not have.

    Attributes:
        mass_kg: Its mass [kg].
        com_ee_m: Its centre of mass in the frame of the tool, (3,) [m].
    """

    mass_kg: float = 0.0
    com_ee_m: tuple[float, ...] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Reject bodies that cannot be.

        Raises:
            ConfigError: the mass is negative, the centre is not three numbers, or a number is not finite.
        """
        if not 0.0 <= self.mass_kg < math.inf:
            raise ConfigError("payload", f"mass_kg must be finite and not negative, got {self.mass_kg}")
        if len(self.com_ee_m) != 3 or not all(math.isfinite(value) for value in self.com_ee_m):
            raise ConfigError("payload", f"com_ee_m needs 3 finite values, got {self.com_ee_m}")


def friction_torque(v: Vector, config: FrictionConfig) -> Vector:
    r"""Torque that carries the joints against their friction.

    .. math:: \tau = f_c \tanh(v / v_s) + f_v v

    Coulomb's sign is smoothed as in Makkar, Dixon, Sawyer, Hu, "A new continuously differentiable friction
    model for control systems design", IEEE/ASME AIM 2005. Friction at rest is not compensated: nobody
    knows its sign. With less than the true values the joints stay passive; with more they run away, so
    identify, then take some off. For tracking hand in the wanted velocity, for hand guiding the measured.

    Args:
        v: Joint velocities, (nq,) [rad/s].
        config: Friction of the joints.

    Returns:
        Torque to add to a law's, (nq,) [N·m].
    """
    return np.asarray(
        np.array(config.coulomb_nm) * np.tanh(v / config.smooth_rad_s) + np.array(config.viscous_nms_rad) * v
    )


def payload_wrench(payload: PayloadConfig, T_base_ee: Vector, gravity: tuple[float, ...] = GRAVITY) -> Vector:
    r"""Wrench with which the payload's weight acts on the tool point.

    .. math:: F = \begin{pmatrix} m g \\ (R_{base,ee}\, c) \times m g \end{pmatrix}

    Args:
        payload: Mass m, and centre of mass c in the tool's frame.
        T_base_ee: Measured pose of the tool, (4, 4) [m].
        gravity: In base, (3,) [m/s²].

    Returns:
        Force and torque about the tool point, axes of base, (6,) [N, N·m].
    """
    (rx, ry, rz), mass = (T_base_ee[:3, :3] @ payload.com_ee_m).tolist(), payload.mass_kg
    x, y, z = mass * gravity[0], mass * gravity[1], mass * gravity[2]
    return np.array((x, y, z, ry * z - rz * y, rz * x - rx * z, rx * y - ry * x))


def payload_torque(
    payload: PayloadConfig, T_base_ee: Vector, J_ee_aligned: Vector, gravity: tuple[float, ...] = GRAVITY
) -> Vector:
    r"""Torque that carries the payload, :math:`\tau = -J^T F`.

    Its weight only: while the tool accelerates, the payload's inertia is left to the feedback. Siciliano,
    Sciavicco, Villani, Oriolo, "Robotics: Modelling, Planning and Control", Springer 2009, sec. 3.8
    (statics) and 7.

    Args:
        payload: What is carried.
        T_base_ee: Measured pose of the tool, (4, 4) [m].
        J_ee_aligned: Tool Jacobian, axes of base, (6, nq).
        gravity: In base, (3,) [m/s²].

    Returns:
        Torque to add to a law's, (nq,) [N·m].
    """
    return np.asarray(-(payload_wrench(payload, T_base_ee, gravity) @ J_ee_aligned))


def external_wrench(
    wrench_ee: Vector, payload: PayloadConfig, T_base_ee: Vector, gravity: tuple[float, ...] = GRAVITY
) -> Vector:
    """What pushes from outside, out of a measured wrench that the payload's weight is part of.

    Right while the tool does not accelerate: at a m/s² the payload adds its mass times a.

    Args:
        wrench_ee: Measured wrench on the tool about its own point, axes of base, (6,) [N, N·m], as it
            comes from a sensor zeroed without the payload, or from an observer that does not know of it.
        payload: What is carried.
        T_base_ee: Measured pose of the tool, (4, 4) [m].
        gravity: In base, (3,) [m/s²].

    Returns:
        External wrench about the tool point, axes of base, (6,) [N, N·m].
    """
    return np.asarray(wrench_ee - payload_wrench(payload, T_base_ee, gravity))
