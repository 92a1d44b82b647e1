"""The tool moved as if it weighed nothing: its own inertia in space is taken out, the elbow left free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dposv, dsyev

from il_core.errors import ConfigError
from il_core.types import Vector

INERTIA_MAX = 60.0  # [kg, kg·m²]: the FR3 has 14 at home, half of all postures less than 28, singular ones 1e4


@dataclass(frozen=True, slots=True, eq=False)
class OperationalGains:
    """Feedback of a tool of unit mass, axes of base, linear first.

    Attributes:
        k_p: Acceleration per error, (6,) [1/s²]: the square of the natural frequency.
        k_d: Acceleration per velocity, (6,) [1/s]; ``2 sqrt(k_p)`` is critical.
        e_max: Largest pose error acted on: 3 [m], 3 [rad], (6,); bounds the acceleration asked for.
    """

    k_p: Vector
    k_d: Vector
    e_max: Vector

    def __post_init__(self) -> None:
        """Reject gains that are not six each, or negative.

        Raises:
            ConfigError: a size or sign is wrong.
        """
        for name in ("k_p", "k_d", "e_max"):
            values = getattr(self, name)
            if np.shape(values) != (6,) or not (np.isfinite(values).all() and np.min(values) >= 0.0):
                raise ConfigError("operational space", f"{name} needs 6 finite values, none negative, got {values}")


def task_inertia(mobility: Vector, inertia_max: float = INERTIA_MAX) -> Vector:
    r"""Inertia of the tool from its mobility, bounded where the arm is singular.

    .. math:: \Lambda = V \mathrm{diag}(f(s_i)) V^T, \qquad \Gamma = V \mathrm{diag}(s_i) V^T, \qquad
              f(s) = \frac{s}{s^2 + \lambda^2} = \frac{s}{\max(s, s_0)^2}, \qquad
              \lambda^2 = \max(0, s_0^2 - s^2)

    Equal to :math:`(J M^{-1} J^T)^{-1}` while no direction is heavier than :math:`1 / s_0`. A heavier one,
    and only that one, gets a damped inverse (Nakamura, Hanafusa, "Inverse kinematic solutions with
    singularity robustness for robot manipulator control", ASME J. Dyn. Syst. Meas. Control, 1986), whose
    damping grows so that the inertia goes to zero with the mobility, continuously: a direction in which the
    tool cannot move is not pushed. So arms of fewer than six joints need no rule of their own. Kilograms
    and kg·m² are compared as they are, right for a tool reached by links of some 0.1 to 1 m.

    Args:
        mobility: :math:`\Gamma = J M^{-1} J^T`, (6, 6) [1/kg, 1/(kg·m²)].
        inertia_max: :math:`1 / s_0` [kg, kg·m²].

    Returns:
        Inertia, (6, 6) [kg, kg·m²], symmetric, none of its eigenvalues negative or above the bound.
    """
    s, axes, _ = dsyev(mobility)
    inverse = np.maximum(s, 0.0) / np.maximum(s, 1.0 / inertia_max) ** 2
    return np.asarray((axes * inverse) @ axes.T)


def operational_space(
    v: Vector,
    error: Vector,
    twist_des: Vector,
    acceleration_des: Vector,
    tau_posture: Vector,
    gains: OperationalGains,
    J_ee_aligned: Vector,
    dJ_v: Vector,
    mass_matrix: Vector,
    bias: Vector,
) -> Vector:
    r"""Torque that gives the tool the acceleration of a free unit mass on spring and damper.

    .. math:: \ddot x &= \ddot x^{des} + K\,\mathrm{clip}(e) + D\,(\dot x^{des} - J v) - \dot J v \\
              \tau &= J^T \Lambda (\ddot x - J M^{-1} \tau_0) + \tau_0 + C(q, v) v + g(q), \qquad
              \Lambda = (J M^{-1} J^T)^{-1}

    Every axis answers for itself, with the same frequency in every posture. The term in :math:`\tau_0` is
    the dynamically consistent null space, :math:`I - J^T \Lambda J M^{-1}`: the posture accelerates the
    tool not at all, not only at rest. Coriolis and gravity are taken out in the joints, which is the same
    as taking :math:`\mu` and :math:`p` out in space. Khatib, "A unified approach for motion and force
    control of robot manipulators: the operational space formulation", IEEE J. Robotics and Automation,
    1987, eqs. 12 to 27. The inverse is that of :func:`task_inertia`.

    What an error in the model leaves is divided by ``k_p`` alone, and in contact the tool feels as heavy as
    the arm: for contact, or a model that is not trusted, take the impedance law.

    Args:
        v: Measured joint velocities, (nq,) [rad/s].
        error: Wanted minus measured pose, axes of base, (6,) [m, rad].
        twist_des: Velocity of the target, axes of base, linear first, (6,) [m/s, rad/s].
        acceleration_des: Its acceleration, (6,) [m/s², rad/s²].
        tau_posture: Torque wanted for the posture before projection, (nq,) [N·m].
        gains: Feedback.
        J_ee_aligned: Tool Jacobian, axes of base, (6, nq).
        dJ_v: Acceleration of the tool that comes from the velocities alone, :math:`\dot J v`, axes of
            base, (6,) [m/s², rad/s²].
        mass_matrix: Joint-space inertia, (nq, nq) [kg·m²].
        bias: Coriolis, centrifugal and gravity torque, (nq,) [N·m].

    Returns:
        Joint torque, (nq,) [N·m], not yet saturated.
    """
    J, nq = J_ee_aligned, len(v)
    right = np.empty((nq, 7), order="F")
    right[:, :6], right[:, 6] = J.T, tau_posture
    # LAPACK's Cholesky solver itself; M is positive definite, or the robot's URDF is none.
    projected = J @ dposv(mass_matrix, right)[1]
    e = np.minimum(np.maximum(error, -gains.e_max), gains.e_max)
    wanted = acceleration_des + gains.k_p * e + gains.k_d * (twist_des - J @ v) - dJ_v - projected[:, 6]
    return np.asarray(J.T @ (task_inertia(projected[:, :6]) @ wanted) + tau_posture + bias)
