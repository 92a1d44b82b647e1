"""The impedance laws with all they remember between two cycles: shaped targets, damping, elbow posture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from il_control.config import ControlConfig
from il_control.laws.cartesian_impedance import (
    cartesian_impedance,
    feed_forward,
    pose_error,
    task_damping,
    task_mobility,
)
from il_control.laws.contact_adaptive import ContactAdaptive
from il_control.laws.energy_tank import EnergyTank, StiffnessSchedule
from il_control.laws.joint_impedance import joint_impedance
from il_control.laws.operational_space import OperationalGains, operational_space
from il_control.model import ArmModel
from il_control.safety import Reason
from il_control.shaper import JointShaper, PoseShaper, VectorShaper
from il_control.tracker import Wish
from il_core.errors import ConfigError, ShapeError
from il_core.spec import RobotSpec
from il_core.types import ArmState, Vector, frozen

MOBILITY_PERIOD = 10  # cycles between two evaluations of the task mobility: it changes slowly
ELBOW_SPEED_RAD_S = 0.2  # at which the null-space posture creeps home while a source drives
NO_WRENCH = np.zeros(6)  # what the tool is meant to feel if nobody says otherwise
UNKNOWN_WRENCH = np.full(6, np.nan)
TAU_POSTURE_MAX_NM = 5.0  # the elbow's spring is a preference, never a force to reckon with


class Impedance:
    """Joint or Cartesian impedance, whichever a wish is for.

    Attributes:
        T: Shaped target of the Cartesian law, (4, 4) [m].
        q: Shaped target of the joint law, (nq,) [rad].
        schedule: Tool stiffness and damping ratio in force, and the energy tank that pays for raising them.
    """

    def __init__(self, config: ControlConfig, robot: RobotSpec, model: ArmModel) -> None:
        """Take gains and limits; call :meth:`start` before the first :meth:`torque`."""
        self.config, self._model = config, model
        self._gains = config.cartesian_gains()
        self._wanted: tuple[Vector, float] | None = None
        self._asked = (self._gains.k_p, config.damping_ratio)
        self._contact = None if config.contact is None else ContactAdaptive(config.contact)
        self._expected = (0, NO_WRENCH)
        self._is_scheduled = self._contact is not None
        self._operational = config.operational_gains()
        bounds = replace(config.stiffness_bounds, e_max=tuple(self._gains.e_max.tolist()))
        tank = EnergyTank(config.energy_tank)
        self.schedule = StiffnessSchedule(bounds, tank, self._gains.k_p, config.damping_ratio)
        tau, a_rad = config.target_time_constant_s, config.acceleration_max_rad_s2
        mean_of = max(1, round(config.target_jerk_time_s * config.rate_hz))
        self._pose = PoseShaper(
            VectorShaper(tau, config.speed_max_m_s, config.acceleration_max_m_s2, mean_of),
            VectorShaper(tau, config.speed_max_rad_s, a_rad, mean_of),
        )
        v_max = np.minimum(np.array(robot.v_max_rad_s), config.speed_max_rad_s)
        self._joints = JointShaper(tau, v_max, a_rad, mean_of)
        self._joint_k_p = np.array(config.joint_stiffness_nm_rad)
        self._joint_k_d = np.array(config.joint_damping_nms_rad)
        self._q_home = self._q_posture = np.array(robot.q_home_rad)
        self._q_min = np.array(robot.q_min_rad) + config.limit_margin_rad
        self._q_max = np.array(robot.q_max_rad) - config.limit_margin_rad
        self._k_d, self._mobility = np.zeros(6), np.eye(6)
        self._mobility_age = 0
        self._is_joint = False

    @property
    def k_p(self) -> Vector | None:
        """Tool stiffness in force, (6,) [N/m, N·m/rad]; None where the law has none."""
        return None if self._is_joint or self._operational is not None else self.schedule.k_p

    @property
    def zeta(self) -> float | None:
        """Damping ratio in force [-]; None where :attr:`k_p` is."""
        return None if self.k_p is None else self.schedule.zeta

    @property
    def T(self) -> Vector:
        """Shaped target of the Cartesian law, (4, 4) [m]."""
        return self._pose.T

    @property
    def q(self) -> Vector:
        """Shaped target of the joint law, (nq,) [rad]."""
        return self._joints.q

    def start(self) -> Wish:
        """Begin with the Cartesian law where the arm is, its elbow included: nothing pulls at first.

        Returns:
            The wish to stay there.
        """
        self._pose.reset(self._model.T_base_ee)
        self._q_posture = self._model.q
        self._mobility_age = 0
        self._is_joint = False
        self.schedule.reset(self.schedule.k_p, self.schedule.zeta)
        return Wish(None, self._model.T_base_ee.copy(), np.zeros(6), None)

    def set_stiffness(self, k_p: Vector | None, zeta: float | None = None) -> None:
        """Ask for another tool stiffness or damping ratio, from the next cycle on.

        Both are clamped to the configured bounds and ramped, and stiffness is raised only as far as the energy tank
        pays; see :class:`il_control.laws.energy_tank.StiffnessSchedule`.

        Args:
            k_p: Wanted stiffness, axes of base, (6,) [N/m, N·m/rad]; None leaves it.
            zeta: Wanted damping ratio [-]; None leaves it.

        Raises:
            ShapeError: not six values.
            NonFiniteError: a value is not finite.
            ConfigError: the law is that of operational space.
        """
        if self._operational is not None:
            raise ConfigError("stiffness", "the operational-space law has none; write operational_space: null")
        wanted = self._asked[0] if k_p is None else frozen("stiffness", k_p, ndim=1)
        if wanted.shape != (6,):
            raise ShapeError("stiffness", expected="(6,)", got=wanted.shape)
        ratio = frozen("damping ratio", self._asked[1] if zeta is None else zeta, ndim=0)
        self._asked = (wanted, float(ratio))
        self._is_scheduled = True

    def expect_wrench(self, stamp_ns: int, wrench: Vector) -> None:
        """Say what the tool is meant to feel, so that it does not soften there; it counts as long as a plan would.

        Args:
            stamp_ns: From when on, on the clock of the states [ns].
            wrench: On the tool, axes of base, (6,) [N, N·m].

        Raises:
            ShapeError: not six values.
            NonFiniteError: a value is not finite.
            ConfigError: no contact softens this arm.
        """
        if self._contact is None:
            raise ConfigError("expected wrench", "nothing softens in contact; write 'contact' in config/control/")
        expected = frozen("expected wrench", wrench, ndim=1)
        if expected.shape != (6,):
            raise ShapeError("expected wrench", expected="(6,)", got=expected.shape)
        self._expected = (stamp_ns, expected)

    def _expected_at(self, now_ns: int) -> Vector:
        """What the tool is meant to feel now: nothing, unless somebody said so lately."""
        stamp_ns, wrench = self._expected
        age_ns = now_ns - stamp_ns
        return wrench if 0 <= age_ns <= self.config.max_plan_age_ms * 1e6 else NO_WRENCH

    def creep_home(self) -> None:
        """Move the null-space posture towards home so slowly that the elbow never swings."""
        step = ELBOW_SPEED_RAD_S * self.config.dt
        way = self._q_home - self._q_posture
        self._q_posture = self._q_posture + np.minimum(np.maximum(way, -step), step)

    def torque(self, state: ArmState, wish: Wish, reasons: set[Reason], wrench: Vector | None = None) -> Vector:
        """Torque of the law the wish is for, (nq,) [N·m], before the gate.

        A law that was not in force begins at the measured state.

        Args:
            state: Measured state.
            wish: What is asked for.
            reasons: Gets what had to be limited.
            wrench: External wrench at the tool, axes of base, (6,) [N, N·m]; None: not known.
        """
        if wish.q_des is not None:
            return self._joint_torque(state, wish.q_des, wish.rate_des, reasons)
        if self._is_joint:
            self.start()
        T_des = self._pose.T if wish.T_base_ee_des is None else wish.T_base_ee_des
        if self._is_scheduled or wish.k_p_des is not None:
            self._choose_stiffness(wish.k_p_des, wrench, self._expected_at(state.stamp_ns))
        return self.tool_torque(state, T_des, wish.rate_des)

    def _choose_stiffness(self, k_p_des: Vector | None, wrench: Vector | None, expected: Vector) -> None:
        """Aim at the plan's stiffness, else the one asked for; in unexpected contact at no more than that allows."""
        self._is_scheduled = True
        wanted = self._asked[0] if k_p_des is None else k_p_des
        if self._contact is not None:
            felt = UNKNOWN_WRENCH if wrench is None else wrench
            error = pose_error(self._model.T_base_ee, self._pose.T)
            allowed = self._contact.step(felt, expected, error, self._pose.acceleration, self.config.dt)
            wanted = np.minimum(wanted, allowed)
        self._wanted = (wanted, self._asked[1])

    def _joint_torque(self, state: ArmState, q_des: Vector, rate_des: Vector, reasons: set[Reason]) -> Vector:
        if not self._is_joint:
            self._joints.reset(self._model.q)
            self._is_joint = True
        allowed = np.minimum(np.maximum(q_des, self._q_min), self._q_max)
        if (allowed != q_des).any():
            reasons.add(Reason.TARGET_LIMIT)
        self._joints.step(allowed, rate_des, self.config.dt)
        target = (self._joints.q, self._joints.v)
        return joint_impedance(state.q, state.v, *target, self._joint_k_p, self._joint_k_d, self._model.bias)

    def tool_torque(self, state: ArmState, T_des: Vector, twist_des: Vector) -> Vector:
        """Torque of the Cartesian law towards a moving pose, (nq,) [N·m], whichever law was in force."""
        model = self._model
        self._pose.step(T_des, twist_des, self.config.dt)
        error = pose_error(model.T_base_ee, self._pose.T)
        if self._operational is not None:
            return self._operational_torque(state, error, self._operational)
        is_other = self._wanted is not None and self._follow_wanted(error, state.v, *self._wanted)
        gains = self._gains
        is_due = self._mobility_age % MOBILITY_PERIOD == 0
        if is_due:
            self._mobility = task_mobility(model.J_ee_aligned, model.mass_matrix())
        if is_due or is_other:
            self._k_d = task_damping(self._mobility, gains.k_p, gains.zeta)
        self._mobility_age += 1
        return cartesian_impedance(
            state.v,
            error,
            self._pose.twist,
            feed_forward(self._mobility, self._pose.acceleration, model.drift, gains),
            self._k_d,
            self._posture_torque(state),
            gains,
            model.J_ee_aligned,
            model.bias,
        )

    def _posture_torque(self, state: ArmState) -> Vector:
        """What pulls the elbow to its posture, before projection, (nq,) [N·m]."""
        gains = self._gains
        posture = gains.k_p_null * (self._q_posture - state.q)
        posture = np.minimum(np.maximum(posture, -TAU_POSTURE_MAX_NM), TAU_POSTURE_MAX_NM)
        posture -= gains.k_d_null * state.v
        return np.asarray(posture)

    def _operational_torque(self, state: ArmState, error: Vector, gains: OperationalGains) -> Vector:
        """The operational-space law in the place of the impedance law."""
        model = self._model
        return operational_space(
            state.v,
            error,
            self._pose.twist,
            self._pose.acceleration,
            self._posture_torque(state),
            gains,
            model.J_ee_aligned,
            model.drift,
            model.mass_matrix(),
            model.bias,
        )

    def _follow_wanted(self, error: Vector, v: Vector, k_p: Vector, zeta: float) -> bool:
        """One cycle of the schedule; say whether the gains changed."""
        twist = self._pose.twist - self._model.J_ee_aligned @ v
        before, zeta_before = self.schedule.k_p, self.schedule.zeta
        now = self.schedule.step(k_p, error, twist, self._k_d, self.config.dt, zeta)
        if zeta_before == self.schedule.zeta and (now == before).all():
            return False
        self._gains = replace(self._gains, k_p=now, zeta=np.full(6, self.schedule.zeta))
        return True


class TorqueFade:
    r"""Bump-free change of law: what the old one had over the new fades out.

    .. math:: \tau(t) = \tau_{new}(t) + (1 - 3 s^2 + 2 s^3)\,\Delta\tau, \qquad s = t / T

    so the torque is continuous at the change, and its slope as well at both ends.
    """

    def __init__(self, duration_s: float) -> None:
        """Set how long a change takes [s]."""
        self._duration_s = duration_s
        self._jump: Vector | None = None
        self._t_s = 0.0

    def start(self, jump: Vector) -> None:
        """Begin to fade out a difference, old minus new torque without gravity, (nq,) [N·m]."""
        self._jump, self._t_s = np.array(jump), 0.0

    def stop(self) -> None:
        """Forget it: the arm is not where it was."""
        self._jump = None

    def apply(self, tau: Vector, dt: float) -> Vector:
        """Torque of this cycle, (nq,) [N·m]."""
        if self._jump is None:
            return tau
        s = self._t_s / self._duration_s
        if s >= 1.0:
            self._jump = None
            return tau
        self._t_s += dt
        return np.asarray(tau + (1.0 - s * s * (3.0 - 2.0 * s)) * self._jump)
