"""How hard is the arm pushed from outside? Told from its momentum, without measuring acceleration."""

from __future__ import annotations

import math

import numpy as np
import pinocchio as pin
from scipy.linalg.blas import dsymv
from scipy.linalg.lapack import dposv

from il_control.model import ArmModel
from il_core.errors import ConfigError
from il_core.types import Vector

GAP_S = 0.1  # the arm was not observed for so long: what happened meanwhile is unknown
WRENCH_DAMPING = 1e-3  # of J J^T, 0.03 m or rad: 2 % off where the arm is well conditioned, finite elsewhere


class MomentumObserver:
    r"""External joint torque from the generalised momentum :math:`p = M(q) v`.

    .. math:: \dot p = \tau + C(q, v)^T v - g(q) + \tau_{ext}, \qquad
              r = K_O \left( p - p_0 - \int (\tau + C^T v - g + r)\, dt \right)

    The residual obeys :math:`\dot r = K_O (\tau_{ext} - r)`: it follows the external torque like a
    first-order filter with the time constant :math:`1 / K_O`, one joint apart from the other.
    De Luca, Mattone, "Actuator failure detection and isolation using generalized momenta", ICRA 2003;
    De Luca, Albu-Schäffer, Haddadin, Hirzinger, "Collision detection and safe reaction with the
    DLR-III lightweight manipulator arm", IROS 2006.

    Here the filter is stepped exactly for a torque that is constant between two updates, so it is
    stable at any gain and period:

    .. math:: d_k = \frac{p_k - p_{k-1}}{\Delta t} - \tau_k - \tfrac{1}{2}(\beta_k + \beta_{k-1}),
              \quad \beta = C^T v - g, \qquad r_k = r_{k-1} + (1 - e^{-K_O \Delta t}) (d_k - r_{k-1})

    Attributes:
        tau_ext: Estimate of the external torque, (nq,) [N·m]: what the surroundings add to the motors.
        alpha: Share of the newest interval in the estimate, in (0, 1); 0 if it was of no use.
    """

    def __init__(self, model: ArmModel, gain_per_s: float = 200.0) -> None:
        """Observe an arm.

        Args:
            model: The arm; only its constants are used.
            gain_per_s: Gain :math:`K_O` [1/s]. 200 shows 98 % of a step after 20 ms; more is noisier.

        Raises:
            ConfigError: the gain is not positive.
        """
        if not gain_per_s > 0.0:
            raise ConfigError("observer", f"gain_per_s must be positive, got {gain_per_s}")
        self.gain_per_s = gain_per_s
        self._model, self._data = model.model, model.model.createData()
        self._nq = model.nq
        self.reset()

    def reset(self) -> None:
        """Forget the past; the estimate starts at zero with the next update."""
        self.tau_ext = np.zeros(self._nq)
        self.alpha = 0.0
        self._p: Vector | None = None
        self._beta = np.zeros(self._nq)

    def update(self, q: Vector, v: Vector, tau: Vector, dt: float) -> Vector:
        """Take one measurement.

        The first one, and one after a gap of more than 0.1 s, only sets the momentum to start from.

        Args:
            q: Joint positions, (nq,) [rad].
            v: Joint velocities, (nq,) [rad/s].
            tau: Torque that moved the joints since the last update, (nq,) [N·m]: the motors', less
                joint friction and damping if they are known; what is left of them shows as external.
            dt: Time since the last update [s].

        Returns:
            :attr:`tau_ext`, (nq,) [N·m].
        """
        model, data = self._model, self._data
        mass = pin.crba(model, data, q)
        p = dsymv(1.0, mass.T, v, lower=1)  # the upper triangle of M is the one that is always filled
        beta = v @ pin.computeCoriolisMatrix(model, data, q, v) - pin.computeGeneralizedGravity(model, data, q)
        if self._p is not None and 0.0 < dt <= GAP_S:
            self.alpha = -math.expm1(-self.gain_per_s * dt)
            newest = (p - self._p) / dt - tau - 0.5 * (beta + self._beta)
            self.tau_ext = self.tau_ext + self.alpha * (newest - self.tau_ext)
        else:
            self.alpha = 0.0
        self._p, self._beta = p, beta
        return self.tau_ext


def tool_wrench(tau_ext: Vector, J_ee_aligned: Vector) -> Vector:
    r"""Force and torque on the tool that would explain an external joint torque.

    .. math:: F = (J J^T + \lambda I)^{-1} J\, \tau_{ext}

    The damped least-squares inverse of :math:`\tau_{ext} = J^T F` (Nakamura, Hanafusa, "Inverse
    kinematic solutions with singularity robustness for robot manipulator control", ASME J. Dyn. Syst.
    Meas. Control, 1986). A push elsewhere on the arm is reported as the nearest push at the tool.

    Args:
        tau_ext: External joint torque, (nq,) [N·m].
        J_ee_aligned: Tool Jacobian, axes of base, (6, nq).

    Returns:
        Wrench on the tool, axes of base, force first, (6,) [N, N·m].
    """
    gram = J_ee_aligned @ J_ee_aligned.T
    gram.flat[::7] += WRENCH_DAMPING  # the diagonal of a 6 x 6
    wrench: Vector = dposv(gram, J_ee_aligned @ tau_ext)[1]
    return wrench
