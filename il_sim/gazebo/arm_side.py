"""Between Gazebo's joints and our topics: order, homing, the gripper's servo, and what happens in silence.

Pure: told what arrives, it answers what to send. Times are Gazebo's own, as the messages carry them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import mujoco
import numpy as np

from il_core.config import Setup
from il_core.errors import JointSetError, ShapeError
from il_core.types import ArmState, Vector
from il_sim.gazebo.config import GazeboConfig
from il_sim.gazebo.names import Drive
from il_sim.plant import FALLBACK_DAMPING, Plant
from il_sim.scene import GRIPPER_FORCE_N, GRIPPER_STIFFNESS_N_M

COUPLING_N_M = 8000.0  # keeps the fingers symmetric, as the URDF's mimic joint does in MuJoCo
STILL_RAD_S = 0.1


class Phase(str, Enum):
    """What the arm is doing."""

    WAITING = "waiting"  # no state from Gazebo yet
    HOMING = "homing"  # on the way to the home posture; nobody else sees or moves the arm
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send after a state of Gazebo.

    Attributes:
        state: The arm's state for our topic; None while homing.
        tau: Torques for the arm's joints, (nq,) [N·m]; None where the controller's answer will come.
        finger_n: Forces of the fingers, in the order of :attr:`ArmSide.fingers` [N].
    """

    state: ArmState | None
    tau: Vector | None
    finger_n: Vector


class ArmSide:
    """Makes Gazebo's robot an arm as the plant of MuJoCo is one.

    Attributes:
        phase: What the arm is doing.
        fingers: Joints of the fingers.
        names: Every joint that is read: arm, then fingers.
        timeouts: Times the arm fell back to gravity compensation for want of a command.
        resets: Times Gazebo's time went back.
    """

    def __init__(self, setup: Setup, config: GazeboConfig, drive: Drive = Drive.JOINTS) -> None:
        """Build MuJoCo's model of the arm, for its gravity and Coriolis torques.

        Args:
            setup: Robot and task.
            config: Homing and timeout.
            drive: With ros2_control, torques go another way, and the arm starts at home.

        Raises:
            ConfigError: the robot cannot be simulated.
        """
        plant = Plant(setup)
        self._robot, self._config, self._drive = setup.robot, config, drive
        self._model, self._data = plant.model, plant.data
        slides = [j for j in range(self._model.njnt) if self._model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE]
        self.fingers = [self._model.joint(j).name for j in slides]
        self.names = [*self._robot.joint_names, *self.fingers]
        joints = [self._model.joint(name) for name in self.names]
        self._q_adr = np.array([j.qposadr[0] for j in joints])
        self._v_adr = np.array([j.dofadr[0] for j in joints])
        self._tau_max, self._home = np.array(self._robot.tau_max_nm), np.array(self._robot.q_home_rad)
        self._order: tuple[tuple[str, ...], list[int]] | None = None
        self._timeout_ns = int(config.command_timeout_ms * 1e6)
        self.timeouts = self.resets = 0
        self._opening_m = self._robot.gripper_open_m
        self._restart()

    def _restart(self) -> None:
        """Forget what was before: the scene is a new one."""
        self.phase = Phase.WAITING
        self._stamp_ns = self._command_ns = self._answered_ns = -1
        self._q_start, self._start_ns = self._home, 0
        self._tau = np.zeros(self._robot.nq)
        self._is_commanded = self._was_commanded = False

    def take(
        self, stamp_ns: int, names: Sequence[str], position: Sequence[float], velocity: Sequence[float]
    ) -> Answer | None:
        """Answer a joint state of Gazebo.

        Args:
            stamp_ns: Its instant, simulated [ns].
            names: Joints in Gazebo's order; more than ours do no harm.
            position: [rad or m].
            velocity: [rad/s or m/s].

        Returns:
            What to send; None for a state already seen, as a paused Gazebo sends.

        Raises:
            JointSetError: a joint of ours is missing.
            ShapeError: the fields differ in length.
            NonFiniteError: NaN or infinity.
        """
        order = self._indices(tuple(names), len(position), len(velocity))
        if stamp_ns < self._stamp_ns:
            self.resets += 1
            self._restart()
        if stamp_ns == self._stamp_ns:
            return None
        q, v = np.asarray(position, dtype=np.float64)[order], np.asarray(velocity, dtype=np.float64)[order]
        nq = self._robot.nq
        state = ArmState(stamp_ns, q[:nq], v[:nq], self._tau, self._opening(q))
        self._stamp_ns = stamp_ns
        if self.phase is Phase.WAITING:
            is_there = self._drive is Drive.ROS2_CONTROL
            self.phase = Phase.READY if is_there else Phase.HOMING
            self._q_start, self._start_ns = q[:nq], stamp_ns
        if self.phase is Phase.HOMING and self._is_home(q[:nq], v[:nq]):
            self.phase = Phase.READY
        tau = None if self._drive is Drive.ROS2_CONTROL else self._own_torque(q, v)
        shown = state if self.phase is Phase.READY else None
        return Answer(shown, tau, self._finger_force(q[nq:]))

    def command(self, answered_ns: int, tau: Vector) -> Vector | None:
        """Torques of the controller, (nq,) [N·m], answering the state of ``answered_ns``.

        Returns:
            What to send, clipped to the joints' limits; None while homing, and for an answer older than the last.
        """
        if self.phase is not Phase.READY or not self._answered_ns < answered_ns <= self._stamp_ns:
            return None
        self._answered_ns, self._command_ns = answered_ns, self._stamp_ns
        self._is_commanded = self._was_commanded = True
        self._tau = np.clip(tau, -self._tau_max, self._tau_max)
        return self._tau

    def note(self, tau: Vector) -> None:
        """Torques that reach the arm another way, (nq,) [N·m]: reported with its state."""
        self._tau = np.array(tau)

    def grip(self, opening: float) -> None:
        """Drive the fingers towards an opening in [0, 1]."""
        closed = self._robot.gripper_closed_m
        self._opening_m = closed + opening * (self._robot.gripper_open_m - closed)

    def rest(self) -> Vector:
        """Gravity compensation where the arm was last seen, (nq,) [N·m]: what to leave behind."""
        return self._bias()

    def _indices(self, names: tuple[str, ...], n_position: int, n_velocity: int) -> list[int]:
        """Places of our joints in a message."""
        if not len(names) == n_position == n_velocity:
            raise ShapeError("Gazebo's joint state", expected=f"({len(names)},)", got=(n_position, n_velocity))
        if self._order is None or self._order[0] != names:
            missing = sorted(set(self.names) - set(names))
            if missing:
                raise JointSetError("Gazebo's joint state", missing=missing, extra=[])
            self._order = (names, [names.index(name) for name in self.names])
        return self._order[1]

    def _opening(self, q: Vector) -> float:
        if not self._robot.gripper_joint:
            return 1.0
        closed = self._robot.gripper_closed_m
        x = q[self.names.index(self._robot.gripper_joint)]
        return float(np.clip((x - closed) / (self._robot.gripper_open_m - closed), 0.0, 1.0))

    def _is_home(self, q: Vector, v: Vector) -> bool:
        is_near = float(np.abs(q - self._home).max()) < self._config.homing_tolerance_rad
        return is_near and float(np.abs(v).max()) < STILL_RAD_S

    def _own_torque(self, q: Vector, v: Vector) -> Vector | None:
        """Torque of this side: to home until the first command, then gravity compensation when none comes."""
        nq = self._robot.nq
        self._data.qpos[self._q_adr], self._data.qvel[self._v_adr] = q, v
        if self.phase is Phase.READY and self._is_commanded:
            if self._stamp_ns - self._command_ns <= self._timeout_ns:
                return None
            self._is_commanded = False
            self.timeouts += 1
        torque = self._bias() - FALLBACK_DAMPING * v[:nq]
        if not self._was_commanded:
            torque = self._bias() + self._tau_max * self._pull(q[:nq], v[:nq])
        self._tau = np.clip(torque, -self._tau_max, self._tau_max)
        return self._tau

    def _pull(self, q: Vector, v: Vector) -> Vector:
        """Spring and damper towards a target that moves home at constant speed, over the torque limits."""
        way = self._home - self._q_start
        elapsed_s = (self._stamp_ns - self._start_ns) * 1e-9
        duration_s = max(float(np.abs(way).max()) / self._config.homing_speed_rad_s, 1e-3)
        alpha = min(1.0, elapsed_s / duration_s)  # unitless
        v_des = way / duration_s if alpha < 1.0 else np.zeros_like(way)
        error = self._q_start + alpha * way - q
        return np.asarray(self._config.homing_stiffness_s * error + self._config.homing_damping_s * (v_des - v))

    def _bias(self) -> Vector:
        """Gravity and Coriolis torques where the arm is, (nq,) [N·m]."""
        model, data = self._model, self._data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        result = np.zeros(model.nv)
        mujoco.mj_rne(model, data, 0, result)
        return np.asarray(result[self._v_adr[: self._robot.nq]])

    def _finger_force(self, x: Vector) -> Vector:
        """The servo of MuJoCo's scene, whose damper is in the joints, and a spring that keeps the fingers together."""
        if not len(x):
            return x
        servo = np.clip(GRIPPER_STIFFNESS_N_M * (self._opening_m - x), -GRIPPER_FORCE_N, GRIPPER_FORCE_N)
        return np.asarray(servo + COUPLING_N_M * (x.mean() - x))
