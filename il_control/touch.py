"""Does a person push the arm? Told from the external torque, less what a wrong model may pretend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pinocchio as pin
from scipy.linalg.lapack import dposv

from il_control.model import ArmModel
from il_control.observer import MomentumObserver, tool_wrench
from il_core.errors import ConfigError
from il_core.types import Vector

SIGMAS = 3.0  # of the model error that are not taken for a touch
MEMORY_S = 400.0  # of the learnt masses; a static residual is then followed within about a second
ROUNDING = 1e-10  # variance that keeps the covariance positive in floating point: 1e-5 of a mass


@dataclass(frozen=True, slots=True)
class TouchConfig:
    """When external torque counts as a touch.

    Attributes:
        threshold_nm: External torque in each joint that is a touch if the model is exact, (nq,) [N·m].
            It must cover the noise and unmodelled friction of the arm. For the FR3, 3 N·m in joints 1
            to 4 and 1 N·m beyond see 20 N at the tool, through 0.001 rad/s of noise and 0.5 N·m of friction.
        mass_error_share: Largest error of a link's mass in the model, as a share of it, in [0, 1) [-].
        learning_period_ms: Time between two steps of learning the mass errors [ms].
        hold_ms: How long the level must stay above 1 before it is a touch [ms].
        release_level: Level below which a touch may end, in (0, 1] [-].
        release_ms: How long the level must stay below it before the touch ends [ms].
        observer_gain_per_s: Gain of the momentum observer [1/s]; noise of the velocity grows with it.
    """

    threshold_nm: tuple[float, ...]
    mass_error_share: float = 0.1
    learning_period_ms: float = 10.0
    hold_ms: float = 5.0
    release_level: float = 0.5
    release_ms: float = 200.0
    observer_gain_per_s: float = 100.0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of its range.
        """
        if not self.threshold_nm or not all(t > 0.0 for t in self.threshold_nm):
            raise ConfigError("touch", f"threshold_nm must be positive in every joint, got {self.threshold_nm}")
        for name in ("learning_period_ms", "observer_gain_per_s"):
            if not getattr(self, name) > 0.0:
                raise ConfigError("touch", f"{name} must be positive, got {getattr(self, name)}")
        for name in ("hold_ms", "release_ms"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError("touch", f"{name} must not be negative, got {getattr(self, name)}")
        if not 0.0 <= self.mass_error_share < 1.0:
            raise ConfigError("touch", f"mass_error_share must lie in [0, 1), got {self.mass_error_share}")
        if not 0.0 < self.release_level <= 1.0:
            raise ConfigError("touch", f"release_level must lie in (0, 1], got {self.release_level}")


@dataclass(frozen=True, slots=True, eq=False)
class Touch:
    """A push that began now.

    Attributes:
        joint: Index of the joint that shows it most clearly.
        tau_ext: External torque, less what is put down to the model, (nq,) [N·m].
        force: Force at the tool that would explain it, axes of base, (3,) [N].
        level: How far above the threshold, > 1 [-].
    """

    joint: int
    tau_ext: Vector
    force: Vector
    level: float

    @property
    def cause(self) -> str:
        """The touch in words, for a person and for the recording."""
        newton = float(np.linalg.norm(self.force))
        return f"touched: {newton:.0f} N at the tool, {self.tau_ext[self.joint]:+.1f} N·m in joint {self.joint + 1}"


class TouchDetector:
    r"""Separates pushes from the errors of the model's masses.

    With the true mass of link i :math:`1 + \theta_i` times the modelled one, the residual of the
    observer is :math:`r = \tau_{ext} - Y \theta`. Column i of :math:`Y` is the torque that link i alone
    asks for by its weight and inertia, passed through the observer's filter; the torque is linear in
    the masses (Atkeson, An, Hollerbach, "Estimation of inertial parameters of manipulator loads and
    links", Int. J. Robotics Research, 1986). What is known of :math:`\theta`, its mean and covariance
    :math:`P`, starts so wide that no error within :math:`\pm` ``mass_error_share`` is a touch, and is narrowed by
    a Kalman filter while nobody touches. The level compares what is left with what may pass for no touch:

    .. math:: e = r + Y \hat\theta, \qquad
              \mathrm{level}^2 = e^T \left(\mathrm{diag}(\mathrm{threshold}^2) + 3^2\, Y P Y^T\right)^{-1} e

    So the margin grows with weight, speed and acceleration exactly as the torques of uncertain masses
    do, and shrinks as they become known. A slow lean (seconds) is learnt as weight, as far as
    ``mass_error_share`` reaches, and no further.

    Attributes:
        observer: The momentum observer; its ``tau_ext`` is the raw estimate.
        tau_ext: External torque, less what is put down to the model, (nq,) [N·m].
        mass_errors: Learnt errors of the links' masses, :math:`\hat\theta`, (nq,) [-].
        level: See above; 1 is the threshold.
        is_touched: Whether a touch is going on.
    """

    def __init__(self, model: ArmModel, config: TouchConfig) -> None:
        """Watch an arm.

        Raises:
            ConfigError: the thresholds are not one per joint.
        """
        if len(config.threshold_nm) != model.nq:
            raise ConfigError("touch", f"threshold_nm has {len(config.threshold_nm)} values for {model.nq} joints")
        self.config = config
        self.observer = MomentumObserver(model, config.observer_gain_per_s)
        self._model, self._data, self._nq = model.model, model.model.createData(), model.nq
        self._parameters = np.zeros((10 * model.nq, model.nq))  # of link i in column i
        for i in range(model.nq):
            inertia = model.model.inertias[i + 1]
            self._parameters[10 * i : 10 * i + 10, i] = inertia.toDynamicParameters()
        self._variance = np.square(config.threshold_nm)
        self.reset()

    def reset(self) -> None:
        """Forget the past, also what was learnt of the masses."""
        self.observer.reset()
        self._forget_motion()
        share = self.config.mass_error_share
        self.mass_errors = np.zeros(self._nq)
        # The ellipsoid of SIGMAS around the box of errors: whichever they are, the level starts below 1.
        self._P_unknown = share**2 * self._nq / SIGMAS**2 * np.eye(self._nq)
        self._P = self._P_unknown
        self._root = np.sqrt(self._P)
        self._unlearnt_s = 0.0
        self.is_touched = False

    def _forget_motion(self) -> None:
        self._v: Vector | None = None
        self._Y = np.zeros((self._nq, self._nq))
        self._over_s = self._under_s = 0.0
        self.tau_ext = np.zeros(self._nq)
        self.level = 0.0

    def update(self, q: Vector, v: Vector, tau: Vector, J_ee_aligned: Vector, dt: float) -> Touch | None:
        """Take one measurement.

        Args:
            q: Joint positions, (nq,) [rad].
            v: Joint velocities, (nq,) [rad/s].
            tau: Torque that moved the joints since the last update, (nq,) [N·m]; see
                :meth:`MomentumObserver.update`.
            J_ee_aligned: Tool Jacobian, axes of base, (6, nq); for the report of a touch only.
            dt: Time since the last update [s].

        Returns:
            The touch in the cycle in which it is noticed, else None.
        """
        residual = self.observer.update(q, v, tau, dt)
        alpha = self.observer.alpha
        if alpha == 0.0 or self._v is None:
            self._forget_motion()
            self._v = v
            return None
        a = (v - self._v) / dt
        self._v = v
        newest = pin.computeJointTorqueRegressor(self._model, self._data, q, v, a) @ self._parameters
        self._Y += alpha * (newest - self._Y)
        self.tau_ext = residual + self._Y @ self.mass_errors
        self.level = self._compare(self.tau_ext)
        self._learn(dt)
        return self._judge(J_ee_aligned, dt)

    def _compare(self, tau_ext: Vector) -> float:
        """Level of an external torque, given what is known of the model."""
        spread = self._Y @ self._root
        no_touch = SIGMAS**2 * (spread @ spread.T)
        no_touch.flat[:: self._nq + 1] += self._variance
        return float(np.sqrt(tau_ext @ dposv(no_touch, tau_ext)[1]))

    def _learn(self, dt: float) -> None:
        """One step of the Kalman filter of the mass errors, every learning period; none while touched."""
        self._unlearnt_s += dt
        if self._unlearnt_s * 1e3 < self.config.learning_period_ms:
            return
        elapsed_s, self._unlearnt_s = self._unlearnt_s, 0.0
        if self.is_touched or self.level > 1.0:
            return
        share, Y = self.config.mass_error_share, self._Y
        fading = min(1.0, elapsed_s / MEMORY_S)
        P = (1.0 - fading) * self._P + fading * self._P_unknown
        innovation = Y @ P @ Y.T
        innovation.flat[:: self._nq + 1] += self._variance
        gain = np.linalg.solve(innovation, Y @ P).T
        # tau_ext = r + Y theta ought to be zero, so the mean moves against it.
        self.mass_errors = np.clip(self.mass_errors - gain @ self.tau_ext, -share, share)
        P = P - gain @ Y @ P
        self._P = 0.5 * (P + P.T)
        self._root = np.linalg.cholesky(self._P + ROUNDING * np.eye(self._nq))

    def _judge(self, J_ee_aligned: Vector, dt: float) -> Touch | None:
        """Begin or end a touch, each only after its time."""
        c = self.config
        self._over_s = self._over_s + dt if self.level > 1.0 else 0.0
        self._under_s = self._under_s + dt if self.level < c.release_level else 0.0
        if self.is_touched:
            self.is_touched = self._under_s * 1e3 < c.release_ms
            return None
        if self._over_s * 1e3 < max(c.hold_ms, 1e-6):
            return None
        self.is_touched = True
        self._under_s = 0.0
        share = np.abs(self.tau_ext) / np.sqrt(self._variance)
        force = tool_wrench(self.tau_ext, J_ee_aligned)[:3]
        return Touch(int(share.argmax()), self.tau_ext.copy(), force, self.level)
