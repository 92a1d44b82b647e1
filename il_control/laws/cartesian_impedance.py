"""The tool held by a spring and a damper in space, the elbow by a weak spring of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg.lapack import dposv

from il_core.geometry import rotvec_floats
from il_core.types import Vector

COUPLED_INERTIA_MAX = 6.0  # times the free inertia; the FR3 at home has 5 at most, singular postures 1e5
INERTIA_MAX = 300.0  # [kg, kg·m²]; away from singularities the FR3 feels like 20 at most
REGULARISATION = 1e-6  # of J J^T; keeps the projection finite at singularities, 2e-4 N·m of error elsewhere


@dataclass(frozen=True, slots=True, eq=False)
class CartesianGains:
    """Stiffness and damping of the tool and of the null space.

    Attributes:
        k_p: Tool stiffness: 3 translational [N/m], 3 rotational [N·m/rad], axes of base, (6,).
        zeta: Damping ratio of each tool axis, (6,) [-]; 1 is critical.
        e_max: Largest pose error acted on: 3 [m], 3 [rad], (6,); ``k_p * e_max`` bounds the force of
            the spring, and that of the feed-forward.
        k_p_null: Stiffness towards the null-space posture, scalar [N·m/rad].
        k_d_null: Damping in the null space, scalar [N·m·s/rad].
        force_max: ``k_p * e_max``, (6,) [N, N·m]; made here, once.
        force_min: Its opposite, (6,).
    """

    k_p: Vector
    zeta: Vector
    e_max: Vector
    k_p_null: float
    k_d_null: float
    force_max: Vector = field(init=False)
    force_min: Vector = field(init=False)

    def __post_init__(self) -> None:
        """Compute what every cycle needs."""
        object.__setattr__(self, "force_max", self.k_p * self.e_max)
        object.__setattr__(self, "force_min", -self.force_max)


def pose_error(T_base_ee: Vector, T_base_ee_des: Vector) -> Vector:
    """Wanted minus measured pose in axes of base: position (3,) [m], rotation vector (3,) [rad].

    The rotation vector turns the measured into the wanted orientation: R_des = exp(e) R.
    """
    way = (T_base_ee_des[:3, 3] - T_base_ee[:3, 3]).tolist()
    return np.array((*way, *rotvec_floats(np.dot(T_base_ee_des[:3, :3], T_base_ee[:3, :3].T))))


def task_mobility(J_ee_aligned: Vector, mass_matrix: Vector) -> Vector:
    r"""Acceleration of the tool per unit of force on it, :math:`\Gamma = J M^{-1} J^T`.

    Khatib, "A unified approach for motion and force control of robot manipulators: the operational
    space formulation", IEEE J. Robotics and Automation, 1987.

    Args:
        J_ee_aligned: Tool Jacobian, axes of base, (6, nq).
        mass_matrix: Joint-space inertia, (nq, nq) [kg·m²].

    Returns:
        Mobility, (6, 6) [1/kg, 1/(kg·m²)].
    """
    return np.asarray(J_ee_aligned @ np.linalg.solve(mass_matrix, J_ee_aligned.T))


def feed_forward(mobility: Vector, acceleration_des: Vector, drift: Vector, gains: CartesianGains) -> Vector:
    r"""Force that gives the tool the acceleration of its target, so that it need not lag to get it.

    .. math:: F = \mathrm{clip}\left((\Gamma + \epsilon I)^{-1} (\ddot x^{des} - \dot J v),\ K e_{max}\right)

    Without it a tool of inertia m lags a target on a circle by :math:`m a / k`, 12 mm for the FR3 at
    0.25 m/s on a radius of 0.08 m and 600 N/m; without the drift :math:`\dot J v` it is 2 mm off a circle
    of 0.15 m radius. :math:`\epsilon` = 1 / ``INERTIA_MAX`` keeps a
    singular posture from asking for tons to be moved.

    Args:
        mobility: :func:`task_mobility`, (6, 6).
        acceleration_des: Acceleration of the target, axes of base, linear first, (6,) [m/s², rad/s²].
        drift: Acceleration of the tool at zero joint acceleration, :math:`\dot J v`, likewise, (6,).
        gains: Stiffness and error bounds: the force is at most what the spring may pull with.

    Returns:
        Force and torque on the tool, (6,) [N, N·m].
    """
    regular = mobility.copy()
    regular.flat[::7] += 1.0 / INERTIA_MAX  # the diagonal of a 6 x 6
    wanted = dposv(regular, acceleration_des - drift)[1]
    force: Vector = np.minimum(np.maximum(wanted, gains.force_min), gains.force_max)
    return force


def task_damping(mobility: Vector, k_p: Vector, zeta: Vector) -> Vector:
    r"""Damping of each tool axis from its stiffness and the inertia felt along it.

    .. math:: d_i = 2 \zeta_i \sqrt{k_i\, \lambda_i}, \qquad
              \lambda_i = \min\left([\Gamma^{-1}]_{ii},\ c / \Gamma_{ii}\right)

    :math:`[\Gamma^{-1}]_{ii}` is the inertia of axis i with the other axes held, :math:`1 / \Gamma_{ii}`
    with the others free. Near a singularity the first grows without bound in every axis that has a
    share in the lost direction, and damping for it would chatter in the axes that still move; so it
    counts for at most :math:`c` = ``COUPLED_INERTIA_MAX`` times the second.

    The damping-ratio design of Albu-Schäffer et al., "Cartesian impedance control of redundant
    robots: recent results with the DLR-light-weight-arms", ICRA 2003, taken on the diagonal.

    Args:
        mobility: :func:`task_mobility`, (6, 6).
        k_p: Tool stiffness, (6,) [N/m, N·m/rad].
        zeta: Damping ratios, (6,).

    Returns:
        Damping, (6,) [N·s/m, N·m·s/rad].
    """
    regular = mobility + REGULARISATION * np.eye(6)
    held = np.linalg.inv(regular).diagonal()
    inertia: Vector = np.minimum(held, COUPLED_INERTIA_MAX / regular.diagonal())
    k_d: Vector = 2.0 * zeta * np.sqrt(k_p * inertia)
    return k_d


def cartesian_impedance(
    v: Vector,
    error: Vector,
    twist_des: Vector,
    force_ff: Vector,
    k_d: Vector,
    tau_posture: Vector,
    gains: CartesianGains,
    J_ee_aligned: Vector,
    bias: Vector,
) -> Vector:
    r"""Torque that pulls the tool to a moving pose, and the elbow to a posture without moving the tool.

    .. math:: F &= K\,\mathrm{clip}(e) + D\,(\dot x^{des} - J v) + F_{ff} \\
              \tau &= J^T (F - (J J^T + \epsilon I)^{-1} J \tau_0) + \tau_0 + C(q, v) v + g(q)

    The bracket removes from :math:`\tau_0` what would push the tool (the projection
    :math:`I - J^T (J J^T)^{-1} J`). Ott, "Cartesian Impedance Control of Redundant and
    Flexible-Joint Robots", Springer 2008, ch. 3 and 4.3.

    Args:
        v: Measured joint velocities, (nq,) [rad/s].
        error: :func:`pose_error`, (6,) [m, rad].
        twist_des: Velocity of the target, axes of base, linear first, (6,) [m/s, rad/s].
        force_ff: :func:`feed_forward`, (6,) [N, N·m].
        k_d: Tool damping, (6,) [N·s/m, N·m·s/rad].
        tau_posture: Torque wanted for the posture before projection, (nq,) [N·m].
        gains: Stiffness and error bounds.
        J_ee_aligned: Tool Jacobian, axes of base, (6, nq).
        bias: Coriolis, centrifugal and gravity torque, (nq,) [N·m].

    Returns:
        Joint torque, (nq,) [N·m], not yet saturated.
    """
    J = J_ee_aligned
    # The spring of the clipped error is the clipped force of the spring.
    force = np.minimum(np.maximum(gains.k_p * error, gains.force_min), gains.force_max)
    force += k_d * (twist_des - J @ v)
    force += force_ff
    gram = J @ J.T
    gram.flat[::7] += REGULARISATION  # the diagonal of a 6 x 6
    # LAPACK's Cholesky solver itself: numpy's checks cost five times the 6 x 6 solution.
    force -= dposv(gram, J @ tau_posture)[1]
    return J.T @ force + tau_posture + bias
