"""A person leads the arm by the hand: weightless, damped, slow, and kept out of where it must not go."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from il_control.guiding_config import GuidingConfig
from il_control.laws.cartesian_impedance import pose_error
from il_core.errors import ConfigError, ShapeError
from il_core.spec import RobotSpec
from il_core.types import Vector


class GuidingMode(str, Enum):
    """Which motions of the tool are left to the person."""

    FREE = "free"
    PLANE = "plane"  # the tool point stays in the plane through the anchor
    AXIS = "axis"  # the tool point stays on the line through the anchor
    ORIENTATION_LOCKED = "orientation_locked"  # the tool moves but does not turn
    POSITION_LOCKED = "position_locked"  # the tool turns about its point


class HandGuiding:
    r"""The law for a person leading the arm.

    .. math:: \tau = h + s\,(J^T (F_c + F_w + F_v) - d\,v + \tau_q + \tau_f) + (1 - s)\,\tau_0

    with the bias :math:`h` (gravity and Coriolis), springs and dampers of the mode :math:`F_c`, walls
    :math:`F_w`, braking :math:`F_v`, joint cushions :math:`\tau_q` and friction compensation
    :math:`\tau_f`. The constraints are virtual fixtures in the sense of Rosenberg, "Virtual fixtures:
    perceptual tools for telerobotic manipulation", VRAIS 1993. Every force of a spring is bounded, and
    every damper only takes energy.

    Entering: the anchor is the present pose and s = 0, so the first torque is the bias alone, the same
    whatever the speed; s rises smoothly to 1 in ``blend_s``. Entering again while guiding (another mode)
    sets :math:`\tau_0` to what was applied beyond the bias, so the torque is continuous there too.
    Leaving: the next law starts at the measured pose; call :meth:`leave`, and let the caller's fade take
    the difference of the two laws, as for every change of law.

    Attributes:
        mode: The mode entered last.
        anchor: Pose of the tool at that moment, (4, 4) [m].
        is_active: Whether the law was entered and not left.
    """

    def __init__(self, config: GuidingConfig, robot: RobotSpec) -> None:
        """Settings, and the joint limits of the arm."""
        self.config = config
        self._q_min = np.array(robot.q_min_rad) + config.joint_margin_rad
        self._q_max = np.array(robot.q_max_rad) - config.joint_margin_rad
        self._box_min = np.array(config.box_min_m or (-np.inf,) * 3)
        self._box_max = np.array(config.box_max_m or (np.inf,) * 3)
        self._speed_free = config.speed_free_share * config.speed_max_m_s
        self._slope = config.slope_ns_m
        self.mode, self.anchor = GuidingMode.FREE, np.eye(4)
        self._held = np.zeros((3, 3))
        self._nq = len(self._q_min)
        self._excess = np.zeros(self._nq)
        self.leave()

    @staticmethod
    def direction(direction: Vector | None) -> Vector:
        """Unit vector of a direction, (3,); None is z of base.

        Raises:
            ShapeError: it does not have three components.
            ConfigError: it has no length.
        """
        axis = np.array((0.0, 0.0, 1.0) if direction is None else direction, dtype=np.float64)
        if axis.shape != (3,):
            raise ShapeError("direction", expected="(3,)", got=axis.shape)
        length = float(np.linalg.norm(axis))
        if not 1e-9 < length < math.inf:
            raise ConfigError("guiding", f"a direction needs a length, got {axis.tolist()}")
        return np.asarray(axis / length)

    def enter(self, T_base_ee: Vector, mode: GuidingMode, direction: Vector | None = None) -> None:
        """Begin to guide, or change the mode.

        Args:
            T_base_ee: Present tool pose, (4, 4) [m]: the anchor.
            mode: What is left to the person.
            direction: Normal of the plane or direction of the line, axes of base, (3,), of any length;
                None is z of base. Other modes ignore it.

        Raises:
            ShapeError: the direction does not have three components.
            ConfigError: the direction has no length.
        """
        axis = self.direction(direction)
        along = np.outer(axis, axis)
        self._held = {
            GuidingMode.PLANE: along,
            GuidingMode.AXIS: np.eye(3) - along,
            GuidingMode.POSITION_LOCKED: np.eye(3),
        }.get(mode, np.zeros((3, 3)))
        self.mode, self.anchor = mode, np.array(T_base_ee)
        self._carried, self._since_s, self.is_active = self._excess.copy(), 0.0, True

    def leave(self) -> None:
        """End guiding: nothing of it is carried into the next time."""
        self.is_active = False
        self._since_s = 0.0
        self._carried = np.zeros(self._nq)
        self._excess = np.zeros(self._nq)

    def torque(
        self,
        v: Vector,
        T_base_ee: Vector,
        J_ee_aligned: Vector,
        q: Vector,
        bias: Vector,
        dt: float,
        tau_friction: Vector | None = None,
    ) -> Vector:
        """Torque of one cycle.

        Args:
            v: Joint velocities, (nq,) [rad/s].
            T_base_ee: Tool pose, (4, 4) [m].
            J_ee_aligned: Tool Jacobian, axes of base, (6, nq).
            q: Joint positions, (nq,) [rad].
            bias: Coriolis, centrifugal and gravity torque, (nq,) [N·m].
            dt: Time since the last cycle [s]; 0 in the first after entering.
            tau_friction: Torque that makes up for joint friction, (nq,) [N·m]; None is none.

        Returns:
            Joint torque, (nq,) [N·m], not yet saturated.

        Raises:
            ConfigError: :meth:`enter` was not called.
        """
        if not self.is_active:
            raise ConfigError("guiding", "not entered; call enter with the present pose and a mode first")
        x = min(1.0, self._since_s / self.config.blend_s)
        self._since_s += dt
        s = x * x * (3.0 - 2.0 * x)
        twist = J_ee_aligned @ v
        wrench = self._constraint(T_base_ee, twist)
        wrench[:3] += self._walls(T_base_ee[:3, 3], twist[:3]) + self._brake(twist[:3])
        wanted = J_ee_aligned.T @ wrench + self._cushions(q, v) - self.config.joint_damping_nms_rad * v
        if tau_friction is not None:
            wanted += tau_friction
        self._excess = s * wanted + (1.0 - s) * self._carried
        return bias + self._excess

    def _constraint(self, T_base_ee: Vector, twist: Vector) -> Vector:
        """Springs and dampers of the mode, (6,) [N, N·m]."""
        c = self.config
        wrench = np.zeros(6)
        if self.mode is GuidingMode.FREE:
            return wrench
        if self.mode is GuidingMode.ORIENTATION_LOCKED:
            turn = pose_error(T_base_ee, self.anchor)[3:]
            wrench[3:] = _bounded(c.stiffness_nm_rad * turn, c.torque_max_nm) - c.damping_nms_rad * twist[3:]
            return wrench
        off = self._held @ (self.anchor[:3, 3] - T_base_ee[:3, 3])
        wrench[:3] = _bounded(c.stiffness_n_m * off, c.force_max_n) - c.damping_ns_m * (self._held @ twist[:3])
        return wrench

    def _walls(self, p: Vector, velocity: Vector) -> Vector:
        """Force of the box, (3,) [N]: never towards a wall, and damped only into it."""
        c = self.config
        return _one_sided(
            p, velocity, self._box_min, self._box_max, (c.wall_stiffness_n_m, c.wall_damping_ns_m, c.force_max_n)
        )

    def _cushions(self, q: Vector, v: Vector) -> Vector:
        """Torque of the joint limits, (nq,) [N·m]."""
        c = self.config
        feel = (c.joint_stiffness_nm_rad, c.joint_cushion_damping_nms_rad, c.joint_torque_max_nm)
        return _one_sided(q, v, self._q_min, self._q_max, feel)

    def _brake(self, velocity: Vector) -> Vector:
        """Force against the motion, rising steeply towards and beyond the largest speed, (3,) [N]."""
        speed = math.sqrt(velocity @ velocity)
        if speed <= self._speed_free:
            return np.zeros(3)
        force: Vector = velocity * (-self._slope * (speed - self._speed_free) / speed)
        return force


def _bounded(force: Vector, largest: float) -> Vector:
    """The force, shortened to a length."""
    length = math.sqrt(force @ force)
    return force if length <= largest else force * (largest / length)


def _one_sided(x: Vector, rate: Vector, low: Vector, high: Vector, feel: tuple[float, float, float]) -> Vector:
    """Spring and damper beyond either bound, per coordinate.

    Args:
        x: Coordinates.
        rate: Their rates.
        low: Where the lower wall begins.
        high: Where the upper wall begins.
        feel: Stiffness, damping of motion into the wall, and largest force of the spring.

    Returns:
        Force on each coordinate; zero within the bounds.
    """
    stiffness, damping, largest = feel
    beyond = np.minimum(x - low, 0.0) + np.maximum(x - high, 0.0)  # signed depth
    if not beyond.any():
        return beyond
    spring = np.minimum(np.maximum(-stiffness * beyond, -largest), largest)
    inward = np.where(rate * beyond > 0.0, rate, 0.0)
    force: Vector = spring - damping * inward
    return force
