"""A posture held like a damped spring in every joint."""

from __future__ import annotations

from il_core.types import Vector


def joint_impedance(
    q: Vector, v: Vector, q_des: Vector, v_des: Vector, k_p: Vector, k_d: Vector, bias: Vector
) -> Vector:
    r"""Torque that pulls the arm to a moving posture like a damped spring.

    .. math:: \tau = K_p (q^{des} - q) + K_d (v^{des} - v) + C(q, v) v + g(q)

    With v_des = 0, positive gains and exact gravity, the posture is asymptotically stable [1]_.
    Nothing here bounds the result: saturate it before sending.

    Args:
        q: Measured joint positions, (nq,) [rad].
        v: Measured joint velocities, (nq,) [rad/s].
        q_des: Wanted joint positions, (nq,) [rad].
        v_des: Wanted joint velocities, (nq,) [rad/s].
        k_p: Stiffness, (nq,) [N·m/rad], non-negative.
        k_d: Damping, (nq,) [N·m·s/rad], non-negative.
        bias: Coriolis, centrifugal and gravity torque at (q, v), (nq,) [N·m].

    Returns:
        Joint torque, (nq,) [N·m], not yet saturated.

    .. [1] M. Takegaki, S. Arimoto, "A new feedback method for dynamic control of manipulators",
           ASME J. Dyn. Syst. Meas. Control, 1981.
    """
    return k_p * (q_des - q) + k_d * (v_des - v) + bias
