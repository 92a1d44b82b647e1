"""Joint velocities that move the tool as wanted: damped least squares, tasks in order of rank, joints in bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from il_core.types import Vector

SINGULAR = 0.05  # singular value [-, m] below which a direction is damped: 1 rad/s then moves the tool 5 cm/s


def damped_inverse(J: Vector, singular: float = SINGULAR) -> Vector:
    r"""Inverse of a Jacobian that fades out where the arm cannot move.

    .. math:: J = U\,\mathrm{diag}(s_i)\,V^T, \qquad J^\# = V\,\mathrm{diag}(f(s_i))\,U^T, \qquad
              f(s) = \frac{s}{\max(s, s_0)^2}

    The pseudoinverse while no singular value is below :math:`s_0`; a direction that is lost is damped by
    itself, the more the closer it is to being lost, and continuously. Damping by the smallest singular value:
    Maciejewski, Klein, "Numerical filtering for the operation of robotic manipulators through kinematically
    singular configurations", J. Robotic Systems, 1988.

    Args:
        J: Jacobian, (m, nq) [m, or -].
        singular: :math:`s_0`.

    Returns:
        Inverse, (nq, m).
    """
    U, s, Vt = np.linalg.svd(J, full_matrices=False)
    f: Vector = s / np.maximum(s, singular) ** 2
    return np.asarray((Vt.T * f) @ U.T)


def joint_velocity(
    tasks: Sequence[tuple[Vector, Vector]], v_posture: Vector, v_min: Vector, v_max: Vector, singular: float = SINGULAR
) -> Vector:
    r"""Velocity within bounds that does the first task, the next as far as the first allows, and so on.

    .. math:: v_i = v_{i-1} + (J_i N_{i-1})^\# (\dot x_i - J_i v_{i-1}), \qquad
              N_i = N_{i-1} - (J_i N_{i-1})^\# J_i N_{i-1}

    with :math:`N_0` the identity; the posture comes last, :math:`v = v_m + N_m (v_p - v_m)`. Siciliano,
    Slotine, "A general framework for managing multiple tasks in highly redundant robotic systems", ICAR 1991.
    The joint that goes furthest beyond its bound is then held at it, :math:`N_0` loses its column, and the others
    do what they can (Flacco, De Luca, Khatib, "Control of redundant robots under hard joint constraints:
    saturation in the null space", IEEE Trans. Robotics, 2015, without its scaling of the task).

    Args:
        tasks: Jacobian (m, nq) and wanted rate (m,) of each, the most important first.
        v_posture: Velocity wanted for the posture, (nq,) [rad/s].
        v_min: Lowest velocities, (nq,) [rad/s].
        v_max: Highest, (nq,) [rad/s].
        singular: See :func:`damped_inverse`.

    Returns:
        Velocity, (nq,) [rad/s], within the bounds.
    """
    nq = len(v_posture)
    held, free = np.zeros(nq), np.ones(nq)
    for _ in range(nq):
        v, N = held, np.diag(free)
        for J, rate in tasks:
            JN = J @ N
            inverse = damped_inverse(JN, singular)
            v = v + inverse @ (rate - J @ v)
            N = N - inverse @ JN
        v = np.asarray(v + N @ (v_posture - v))
        beyond = np.maximum(v - v_max, v_min - v) * free
        worst = int(np.argmax(beyond))
        if not beyond[worst] > 0.0:
            break
        held[worst], free[worst] = (v_max if v[worst] > v_max[worst] else v_min)[worst], 0.0
    return np.minimum(np.maximum(v, v_min), v_max)
