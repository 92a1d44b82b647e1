"""A stiff arm made compliant: what pushes on the tool moves its target like a mass on a spring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from il_core.errors import ConfigError
from il_core.geometry import matrix_from_rotvec
from il_core.types import Vector

_TRIPLES = ("mass_kg", "inertia_kg_m2", "damping_ns_m", "damping_nms_rad", "stiffness_n_m", "stiffness_nm_rad")
_POSITIVE = ("mass_kg", "inertia_kg_m2", "damping_ns_m", "damping_nms_rad")
_LIMITS = ("offset_max_m", "offset_max_rad", "speed_max_m_s", "speed_max_rad_s")


@dataclass(frozen=True, slots=True)
class AdmittanceConfig:
    """What the tool shall feel like, along and about the axes of base.

    A stiffness of zero lets the tool be pushed away for good. A light mass answers faster, and faster than
    the arm can follow it is unstable in hard contact: begin heavy.

    Attributes:
        mass_kg: Virtual mass, (3,) [kg].
        inertia_kg_m2: Virtual inertia, (3,) [kg·m²].
        damping_ns_m: Virtual damping, (3,) [N·s/m].
        damping_nms_rad: The same of rotations, (3,) [N·m·s/rad].
        stiffness_n_m: Virtual stiffness, (3,) [N/m].
        stiffness_nm_rad: The same of rotations, (3,) [N·m/rad].
        dead_zone_n: Force without effect [N]: above the sensor's drift and noise.
        dead_zone_nm: Torque without effect [N·m].
        offset_max_m: Farthest the target is moved along each axis [m].
        offset_max_rad: Farthest it is turned about each axis [rad], at most 1.
        speed_max_m_s: Fastest it is moved [m/s].
        speed_max_rad_s: Fastest it is turned [rad/s].
    """

    mass_kg: tuple[float, ...] = (5.0, 5.0, 5.0)
    inertia_kg_m2: tuple[float, ...] = (0.2, 0.2, 0.2)
    damping_ns_m: tuple[float, ...] = (100.0, 100.0, 100.0)
    damping_nms_rad: tuple[float, ...] = (4.0, 4.0, 4.0)
    stiffness_n_m: tuple[float, ...] = (500.0, 500.0, 500.0)
    stiffness_nm_rad: tuple[float, ...] = (20.0, 20.0, 20.0)
    dead_zone_n: float = 2.0
    dead_zone_nm: float = 0.2
    offset_max_m: float = 0.1
    offset_max_rad: float = 0.5
    speed_max_m_s: float = 0.25
    speed_max_rad_s: float = 1.0

    def __post_init__(self) -> None:
        """Reject a tool that cannot be.

        Raises:
            ConfigError: a size, a sign or a limit is wrong.
        """
        for name in _TRIPLES:
            values = getattr(self, name)
            if len(values) != 3:
                raise ConfigError("admittance", f"'{name}' needs 3 values, got {values}")
            is_fine = all(0.0 <= value < math.inf for value in values)
            if not is_fine or (name in _POSITIVE and min(values) == 0.0):
                sign = "positive" if name in _POSITIVE else "not negative"
                raise ConfigError("admittance", f"'{name}' must be {sign} and finite, got {values}")
        if not 0.0 <= min(self.dead_zone_n, self.dead_zone_nm) <= max(self.dead_zone_n, self.dead_zone_nm) < math.inf:
            raise ConfigError("admittance", "dead_zone_n and dead_zone_nm must be finite and not negative")
        if not all(0.0 < getattr(self, name) < math.inf for name in _LIMITS):
            raise ConfigError("admittance", f"{', '.join(_LIMITS)} must be positive and finite")
        if self.offset_max_rad > 1.0:
            problem = f"offset_max_rad is {self.offset_max_rad}: beyond 1 rad a rotation vector is no coordinate"
            raise ConfigError("admittance", problem)


class Admittance:
    r"""Offset of the target under the measured wrench, a virtual mass on spring and damper in each axis.

    .. math:: M \ddot x + D \dot x + K x = F, \qquad
              \begin{pmatrix} x \\ \dot x \end{pmatrix}_{k+1} =
              e^{A \Delta t} \begin{pmatrix} x \\ \dot x \end{pmatrix}_k + b\, F_k

    Hogan, "Impedance control: an approach to manipulation", ASME J. Dyn. Syst. Meas. Control, 1985; stepped
    exactly for a wrench that is constant over a cycle, so stable at any stiffness and rate, where an
    explicit Euler step is not beyond :math:`K \Delta t > D`. The rotation is a rotation vector whose rate
    is taken for the angular velocity, right to first order; it is bounded to 1 rad.

    Passive by construction: over any run :math:`\sum F_k (x_{k+1} - x_k)` is no less than the gain of
    :math:`\tfrac12 M \dot x^2 + \tfrac12 K x^2`. The exact step dissipates; a bound acts as a force held
    against the motion, and as a stop without bounce, both of which only take energy out. :math:`F` is the
    wrench after the dead zone, which shortens force and torque and keeps their direction.

    Attributes:
        offset: Of the target, axes of base: 3 along [m], rotation vector [rad], (6,).
        twist: Its velocity, linear first, (6,) [m/s, rad/s]; feed it forward, or the arm lags.
    """

    def __init__(self, config: AdmittanceConfig, dt: float) -> None:
        """Prepare the steps of a control period [s].

        Raises:
            ConfigError: the period is not positive.
        """
        if not 0.0 < dt < math.inf:
            raise ConfigError("admittance", f"the control period must be positive, got {dt} s")
        self.config, self.dt = config, dt
        self.mass = np.array([*config.mass_kg, *config.inertia_kg_m2])
        self.damping = np.array([*config.damping_ns_m, *config.damping_nms_rad])
        self.stiffness = np.array([*config.stiffness_n_m, *config.stiffness_nm_rad])
        steps = [_exact_step(*axis, dt) for axis in zip(self.mass, self.damping, self.stiffness, strict=True)]
        (self._xx, self._xv, self._xf), (self._vx, self._vv, self._vf) = np.transpose(steps, (1, 2, 0))
        self._far = np.array([config.offset_max_m] * 3 + [config.offset_max_rad] * 3)
        self.reset()

    def reset(self) -> None:
        """Back to the target itself, at rest; fade the pose over if the offset was not small."""
        self.offset, self.twist = np.zeros(6), np.zeros(6)

    def step(self, wrench: Vector) -> Vector:
        """Move on by one control period; a wrench that is not finite counts as none.

        Args:
            wrench: External wrench on the tool, payload taken off, axes of base, force first, (6,) [N, N·m].

        Returns:
            :attr:`offset`, a new array, (6,) [m, rad].
        """
        config, x, v = self.config, self.offset, self.twist
        force = dead_zone(wrench, config.dead_zone_n, config.dead_zone_nm)
        free = self._xx * x + self._xv * v + self._xf * force - x
        moved = np.minimum(np.maximum(free, -self._far - x), self._far - x)
        _shorten(moved, config.speed_max_m_s * self.dt, config.speed_max_rad_s * self.dt)
        # What held it back, as a force constant over the cycle, acts on the speed as well.
        twist = self._vx * x + self._vv * v + self._vf * (force + (moved - free) / self._xf)
        self.offset = x + moved
        twist[self.offset * np.sign(twist) >= self._far] = 0.0  # at its end and on the way out
        _shorten(twist, config.speed_max_m_s, config.speed_max_rad_s)
        self.twist = twist
        return self.offset

    def pose(self, T_base_ee_des: Vector) -> Vector:
        """The target moved and turned, about its own origin, by the offset, (4, 4) [m]."""
        T = np.array(T_base_ee_des)
        T[:3, 3] += self.offset[:3]
        T[:3, :3] = matrix_from_rotvec(self.offset[3:]) @ T[:3, :3]
        return T


def dead_zone(wrench: Vector, dead_zone_n: float, dead_zone_nm: float) -> Vector:
    r"""Force and torque shortened by what has no effect, their directions kept.

    .. math:: f \mapsto \max(0, 1 - f_0 / |f|)\, f

    Args:
        wrench: Force first, (6,) [N, N·m]; zero is returned if it is not finite.
        dead_zone_n: Force without effect [N].
        dead_zone_nm: Torque without effect [N·m].

    Returns:
        What is left, a new array, (6,) [N, N·m].
    """
    x, y, z, rx, ry, rz = wrench.tolist()
    force, torque = math.hypot(x, y, z), math.hypot(rx, ry, rz)
    if not force + torque < math.inf:
        return np.zeros(6)
    a = 1.0 - dead_zone_n / force if force > dead_zone_n else 0.0
    b = 1.0 - dead_zone_nm / torque if torque > dead_zone_nm else 0.0
    return np.array([a * x, a * y, a * z, b * rx, b * ry, b * rz])


def _shorten(x: Vector, linear_max: float, angular_max: float) -> None:
    """Bound the lengths of both halves, in place."""
    for half, limit in ((x[:3], linear_max), (x[3:], angular_max)):
        length = math.sqrt(half @ half)
        if length > limit:
            np.multiply(half, limit / length, out=half)


def _exact_step(mass: float, damping: float, stiffness: float, dt: float) -> Vector:
    """Rows of offset and speed after a period, columns offset, speed and force before, (2, 3)."""
    a = np.array([[0.0, 1.0, 0.0], [-stiffness / mass, -damping / mass, 1.0 / mass], [0.0, 0.0, 0.0]])
    return np.asarray(expm(a * dt)[:2])
