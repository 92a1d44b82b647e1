"""Where the joints of an arm that takes positions or velocities shall be: postures and poses, shaped and in bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from il_control.config import ControlConfig
from il_control.laws.admittance import Admittance
from il_control.laws.cartesian_impedance import pose_error
from il_control.laws.differential_ik import joint_velocity
from il_control.limits import JointLimits
from il_control.model import ArmModel
from il_control.motion import MotionLimiter
from il_control.reasons import Reason
from il_control.safety_config import SafetyConfig
from il_control.shaper import PoseShaper, VectorShaper, approach_speed
from il_control.smoothing import MovingMean
from il_core.spec import RobotSpec
from il_core.types import Vector

SHARE = 0.98  # of the gate's limits: rounding shall not make it step in
WHOLE_POSE_JOINTS = 6  # with fewer, the position of the tool comes before its rotation


class Reference:
    r"""A reference in the joints that follows postures or tool poses within all limits, and its moving mean.

    Postures are closed in on joint by joint. Poses are first shaped in space (:class:`PoseShaper`) and then
    followed by differential inverse kinematics in closed loop with the reference's own pose,

    .. math:: \dot x = \dot x^s + k(e)\,e, \qquad e = x^s \ominus x(q_r), \qquad
              v = \mathrm{IK}(J(q_r), \dot x), \qquad q_r \leftarrow q_r + v\,\Delta t

    so that what is sent has the wanted pose in the model to rounding, however the arm's own servo lags. What
    leaves is :class:`MovingMean` of the reference: as far inside every limit, and free of jerks.

    Attributes:
        is_joint: Whether a posture is followed, not a pose.
        q_target: Posture followed, within the limits, (nq,) [rad]; meaningful if ``is_joint``.
    """

    def __init__(self, config: ControlConfig, robot: RobotSpec, model: ArmModel) -> None:
        """Take the limits; ``model`` is the reference's own, nobody else updates it."""
        self.dt, self._model = config.dt, model
        self._rate_1_s = 1.0 / config.target_time_constant_s
        self._linear = (self._rate_1_s, config.acceleration_max_m_s2, config.speed_max_m_s)
        self._angular = (self._rate_1_s, config.acceleration_max_rad_s2, config.speed_max_rad_s)
        self._pose = PoseShaper(
            VectorShaper(config.target_time_constant_s, config.speed_max_m_s, config.acceleration_max_m_s2),
            VectorShaper(config.target_time_constant_s, config.speed_max_rad_s, config.acceleration_max_rad_s2),
        )
        self._limits = _inside(robot, config, np.array(robot.v_max_rad_s))
        self._limiter = MotionLimiter(self._limits)
        slower = _inside(robot, config, np.minimum(robot.v_max_rad_s, config.speed_max_rad_s))
        self._posture_limiter = MotionLimiter(slower)
        self._box = _box(config.safety)
        self._tool_speed_max = (config.safety.tool_speed_max_m_s, config.safety.tool_speed_max_rad_s)
        self._q_home = np.array(robot.q_home_rad)
        self._servo = config.servo
        self._mean = MovingMean(robot.nq, config.servo.jerk_time_s, config.dt)
        self._q, self._v = np.zeros(robot.nq), np.zeros(robot.nq)
        self._aim = self._pose.T.copy()
        self.is_joint, self.q_target = True, self._q

    @property
    def q(self) -> Vector:
        """What to send, (nq,) [rad]."""
        return self._mean.q

    @property
    def v(self) -> Vector:
        """Its velocity, (nq,) [rad/s]."""
        return self._mean.v

    @property
    def T(self) -> Vector:
        """Shaped pose that is followed, or the pose of the reference if it is a posture, (4, 4) [m]."""
        return self._model.T_base_ee if self.is_joint else self._pose.T

    def begin(self, q: Vector, v: Vector | None = None) -> None:
        """Go on from a place (nq,) [rad], at rest or at a velocity (nq,) [rad/s]: what was sent, or is measured."""
        self._q = self._mean.begin(q, v)
        self._v = np.zeros(len(q)) if v is None else np.array(v)
        self._model.update(self._q, self._v)
        if not self.is_joint:
            self.is_joint = True
            self.enter_pose()

    def stop(self) -> Vector:
        """Where the reference comes to rest if it brakes now, within the limits, (nq,) [rad]."""
        limits, v = self._limits, self._v
        way = v * np.abs(v) / (2.0 * limits.a_max) + 0.5 * v * self.dt
        return np.clip(self._q + way, limits.q_min, limits.q_max)

    def brake(self) -> None:
        """One cycle towards rest, wherever that is."""
        self.is_joint, self.q_target = True, self.stop()
        self._advance(self._limiter.within(self._q, self._v, np.zeros(len(self._q)), set()))

    def enter_pose(self) -> None:
        """Follow poses from here on, beginning with the reference's own."""
        if self.is_joint:
            self._pose.reset(self._model.T_base_ee, self._model.J_ee_aligned @ self._v)
            self._aim = self._pose.T.copy()
            self.is_joint = False

    def follow_posture(self, q_des: Vector, v_des: Vector, reasons: set[Reason]) -> None:
        """One cycle towards a posture (nq,) [rad] that moves with a velocity (nq,) [rad/s]."""
        limits = self._limits
        allowed = np.minimum(np.maximum(q_des, limits.q_min), limits.q_max)
        if (allowed != q_des).any():
            reasons.add(Reason.TARGET_LIMIT)
        self.is_joint, self.q_target = True, allowed
        v = self._posture_limiter.towards(self._q, self._v, allowed, v_des, set())
        self._advance(self._limiter.within(self._q, self._v, self._slow_tool(v), set()))

    def follow_pose(
        self, T_des: Vector, twist_des: Vector, *, admittance: Admittance | None = None, is_moving: bool = True
    ) -> None:
        """One cycle towards a pose.

        Args:
            T_des: Wanted tool pose, (4, 4) [m].
            twist_des: How it moves, axes of base, linear first, (6,) [m/s, rad/s].
            admittance: Moves the shaped pose by its offset, if there is one.
            is_moving: Whether somebody drives: only then a redundant arm's posture goes home.
        """
        self.enter_pose()
        error = pose_error(self._model.T_base_ee, self._aim)
        self._pose.step(T_des, twist_des, self.dt)
        self._aim, twist = self._pose.T.copy(), self._pose.twist
        if admittance is not None:
            self._aim, twist = admittance.pose(self._aim), twist + admittance.twist
        J = self._model.J_ee_aligned
        rate = twist + self._closing(error)
        if self._box is not None:
            p, (low, high, rate_1_s) = self._model.T_base_ee[:3, 3], self._box
            # Straight up to a face, as fast as the gate allows: it would turn the joints, and the tool aside.
            rate[:3] = np.minimum(
                np.maximum(rate[:3], rate_1_s * np.minimum(low - p, 0.0)), rate_1_s * np.maximum(high - p, 0.0)
            )
        tasks = [(J, rate)] if J.shape[1] >= WHOLE_POSE_JOINTS else [(J[:3], rate[:3]), (J[3:], rate[3:])]
        low, high = self._limiter.reachable(self._q, self._v)
        self._advance(joint_velocity(tasks, self._homeward(is_moving), low, high))

    def _closing(self, error: Vector) -> Vector:
        """Twist that takes the reference to the shaped pose, so slow that it can be braked, (6,)."""
        twist = np.empty(6)
        for part, limits in ((slice(0, 3), self._linear), (slice(3, 6), self._angular)):
            distance = math.hypot(*error[part].tolist())
            twist[part] = error[part] * (approach_speed(distance, *limits) / distance if distance > 0.0 else 0.0)
        return twist

    def _slow_tool(self, v: Vector) -> Vector:
        """The velocity, the tool no faster than the gate allows: all joints slower alike, so that their way stays."""
        twist = self._model.J_ee_aligned @ v
        for part, limit in zip((twist[:3], twist[3:]), self._tool_speed_max, strict=True):
            speed = float(np.sqrt(part @ part))
            if limit is not None and speed > SHARE * limit:
                v = v * (SHARE * limit / speed)
                twist *= SHARE * limit / speed
        return v

    def _homeward(self, is_moving: bool) -> Vector:
        if not is_moving:
            return np.zeros(len(self._q))
        fastest = self._servo.posture_speed_max_rad_s
        return np.asarray(np.clip((self._q_home - self._q) / self._servo.posture_time_s, -fastest, fastest))

    def _advance(self, v: Vector) -> None:
        """Move the reference for one cycle, and its mean."""
        limits, q = self._limits, self._q
        low, high = np.minimum(limits.q_min, q), np.maximum(limits.q_max, q)
        self._q, self._v = np.minimum(np.maximum(q + v * self.dt, low), high), v
        self._mean.step(self._q)
        self._model.update(self._q, self._v)


def _box(safety: SafetyConfig) -> tuple[Vector, Vector, float] | None:
    """Corners of the workspace (3,) [m], and speed towards a face per distance from it [1/s], below the gate's."""
    if safety.workspace_min_m is None or safety.workspace_max_m is None:
        return None
    rate_1_s = SHARE * safety.approach_speed_max_m_s / safety.slow_distance_m
    return np.array(safety.workspace_min_m), np.array(safety.workspace_max_m), rate_1_s


def _inside(robot: RobotSpec, config: ControlConfig, v_max: Vector) -> JointLimits:
    """Limits a little inside the gate's: its acceleration, and that of the targets, whichever is lower."""
    a_max = np.minimum(robot.a_max_rad_s2 or np.inf, np.full(robot.nq, config.acceleration_max_rad_s2))
    speeds, accelerations = (tuple((SHARE * x).tolist()) for x in (v_max, a_max))
    return JointLimits(replace(robot, v_max_rad_s=speeds, a_max_rad_s2=accelerations), config)
