"""The simulated arm: torques in, states out, one millisecond at a time; the same seed, the same bits."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from il_core.config import Setup
from il_core.errors import ConfigError, nearest
from il_core.geometry import Array, pose
from il_core.types import ArmState, Setpoint, Vector
from il_sim.randomise import Randomisation, Randomiser
from il_sim.scene import build_model
from il_sim.tasks import is_lost, make_task
from il_sim.wrist import WristSensor

STEP_NS = 1_000_000
HOME_SPREAD_RAD = 0.01  # an arm never stops twice at exactly the same posture
FALLBACK_DAMPING = 2.0  # N·m·s/rad: without a controller the arm floats and comes to rest


class Plant:
    """Arm, gripper and the task's objects. Fills ``il_core.ports.ArmDriver``.

    Attributes:
        model: The compiled scene.
        data: Its present state; look, do not touch.
        steps: Steps since the last reset.
        timeouts: Times the arm fell back to gravity compensation for want of a command.
    """

    def __init__(
        self,
        setup: Setup,
        seed: int = 0,
        *,
        start_ns: int = 0,
        timeout_ns: int = 50_000_000,
        randomise: Randomisation | None = None,
    ) -> None:
        """Build the scene and reset it.

        Args:
            setup: Robot and task.
            seed: Seed of the first episode.
            start_ns: Instant of step 0 [ns].
            timeout_ns: Age of the last command after which gravity compensation takes over [ns].
            randomise: What else than the places of objects follows from the seed; None = nothing.

        Raises:
            ConfigError: the robot description or the task cannot be simulated.
        """
        self.robot, self.task = setup.robot, make_task(setup.task.name)
        self.model = build_model(setup, self.task)
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in self.robot.joint_names]
        self._q = np.array([j.qposadr[0] for j in joints])
        self._v = np.array([j.dofadr[0] for j in joints])
        self._motors = np.array([self.model.actuator(n).id for n in self.robot.joint_names])
        finger = self.model.joint(self.robot.gripper_joint)
        self._finger_q = int(finger.qposadr[0])
        slides = [j for j in range(self.model.njnt) if self.model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE]
        self._servos = np.array([self.model.actuator(self.model.joint(j).name).id for j in slides])
        self._finger_qs = np.array([self.model.jnt_qposadr[j] for j in slides])
        self._wrist = None if setup.robot.wrench_sensor is None else WristSensor(self.model)
        self._randomiser = None if randomise is None else Randomiser(self.model, randomise)
        self._described = self.model.body_mass.copy(), self.model.body_inertia.copy()
        self._push: tuple[int, Array, int] | None = None  # body, force, last step
        self._timeout_ns, self._origin_ns = timeout_ns, start_ns
        self._command_ns = self.steps = self.timeouts = 0
        self.reset(seed)

    @property
    def now_ns(self) -> int:
        """Instant of the present state [ns]."""
        return self._origin_ns + self.steps * STEP_NS

    def reanchor(self, now_ns: int) -> None:
        """Let the present state be that of ``now_ns``: time passed without physics, or the clock was set.

        The last command keeps the age it had: the arm did not move meanwhile.
        """
        shift_ns = now_ns - self.now_ns
        self._origin_ns += shift_ns
        self._command_ns += shift_ns

    def reset(self, seed: int) -> None:
        """Arm near home with the gripper open, objects where the seed puts them; time goes on."""
        now_ns = self.now_ns
        rng = np.random.default_rng(seed)
        if self._randomiser is not None:
            self._randomiser.apply(seed)
        mujoco.mj_resetData(self.model, self.data)
        home = np.array(self.robot.q_home_rad)
        self.data.qpos[self._q] = home + rng.uniform(-HOME_SPREAD_RAD, HOME_SPREAD_RAD, len(home))
        self.data.qpos[self._finger_qs] = self.robot.gripper_open_m
        self.data.ctrl[self._servos] = self.robot.gripper_open_m
        self.task.place(self.model, self.data, rng)
        mujoco.mj_forward(self.model, self.data)
        self._push = None
        self._origin_ns, self.steps = now_ns, 0
        self._command_ns = now_ns - self._timeout_ns - 1  # nobody commands yet
        self._is_fallen_back = True
        self._tau = np.zeros(len(home))

    def apply(self, tau: Vector) -> None:
        """Torques, (nq,) [N·m], for the coming steps; clipped to the joints' limits."""
        self._tau = np.array(tau)
        self._command_ns = self.now_ns

    def grip(self, opening: float) -> None:
        """Drive the fingers towards an opening in [0, 1]."""
        self.data.ctrl[self._servos] = opening * self.robot.gripper_open_m

    def write(self, setpoint: Setpoint) -> None:
        """Apply a checked setpoint."""
        self.apply(setpoint.torque)
        self.grip(setpoint.gripper)

    @property
    def link_names(self) -> tuple[str, ...]:
        """The arm's and its gripper's bodies that have a mass and move, from the base out."""
        first = self.model.jnt_bodyid[self.model.joint(self.robot.joint_names[0]).id]
        root = self.model.body_rootid[first]
        bodies = range(first, self.model.nbody)
        return tuple(
            self.model.body(b).name for b in bodies if self.model.body_rootid[b] == root and self.model.body_mass[b] > 0
        )

    def scale_masses(self, factors: Mapping[str, float]) -> None:
        """Make links heavier or lighter than described, so that a controller's model of them is wrong.

        Args:
            factors: Mass and inertia of each named link over the described ones, positive; links not
                named are as described. Centres of mass stay.

        Raises:
            ConfigError: the arm has no such link, or a factor is not positive.
        """
        names = self.link_names
        for name, factor in factors.items():
            if name not in names:
                raise ConfigError("simulator", f"no link '{name}'; {nearest(name, list(names))}")
            if not factor > 0.0:
                raise ConfigError("simulator", f"mass of '{name}' times {factor}: the factor must be positive")
        mass, inertia = self._described
        for name in names:  # other bodies may have been randomised
            body, factor = self.model.body(name).id, factors.get(name, 1.0)
            self.model.body_mass[body], self.model.body_inertia[body] = factor * mass[body], factor * inertia[body]
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))  # a scratch state: ours stays as it is
        mujoco.mj_forward(self.model, self.data)

    def push(self, force: ArrayLike, link: str | None = None, steps: int | None = None) -> None:
        """Push the arm from outside, in place of the push before; a force of zero ends it.

        Args:
            force: Force, axes of base, (3,) [N]; it keeps its direction while the arm moves.
            link: Body on whose origin it acts; None is the tool.
            steps: Steps it lasts; None is until changed or reset.

        Raises:
            ConfigError: the scene has no such body.
        """
        names = [self.model.body(b).name for b in range(1, self.model.nbody)]
        link = self.robot.ee_frame if link is None else link
        if link not in names:
            raise ConfigError("simulator", f"no link '{link}'; {nearest(link, names)}")
        if self._push is not None:
            self.data.xfrc_applied[self._push[0]] = 0.0
        last = np.iinfo(np.int64).max if steps is None else self.steps + steps
        self._push = self.model.body(link).id, np.array(force, dtype=np.float64), int(last)

    def _apply_push(self, body: int, force: Array, last: int) -> None:
        """Hand the push to the engine, which takes forces at the centre of mass."""
        applied = self.data.xfrc_applied[body]
        if self.steps >= last:
            applied[:] = 0.0
            self._push = None
            return
        applied[:3] = force
        applied[3:] = np.cross(self.data.xpos[body] - self.data.xipos[body], force)

    def step(self) -> None:
        """Advance by one millisecond."""
        data = self.data
        tau = self._tau
        if self.now_ns - self._command_ns > self._timeout_ns:
            self.timeouts += not self._is_fallen_back
            self._is_fallen_back = True
            tau = data.qfrc_bias[self._v] - FALLBACK_DAMPING * data.qvel[self._v]
        else:
            self._is_fallen_back = False
        data.ctrl[self._motors] = tau
        if self._push is not None:
            self._apply_push(*self._push)
        mujoco.mj_step(self.model, data)
        self.steps += 1

    def read(self) -> ArmState:
        """Measured state at :attr:`now_ns`; torques are those the motors apply."""
        q, v, tau = np.empty((3, len(self._q)))
        gripper = self.read_into(q, v, tau)
        return ArmState(stamp_ns=self.now_ns, q=q, v=v, tau=tau, gripper=gripper)

    def read_into(self, q: Vector, v: Vector, tau: Vector) -> float:
        """Like :meth:`read`, into arrays of (nq,) [rad, rad/s, N·m]; give the gripper's opening in [0, 1]."""
        data = self.data
        q[:], v[:], tau[:] = data.qpos[self._q], data.qvel[self._v], data.actuator_force[self._motors]
        opening = float(data.qpos[self._finger_q]) / self.robot.gripper_open_m
        return min(1.0, max(0.0, opening))

    def wrench(self) -> Vector:
        """Force and torque on the tool as the wrist's sensor has them, (6,) [N, N·m].

        About the origin and along the axes of the sensor's frame, of the last step; see
        :class:`il_sim.wrist.WristSensor` for what is in it. Before the first step after a reset the motors are off,
        and what would be measured then is that of a falling arm.

        Raises:
            ConfigError: the robot has no ``wrench_sensor``.
        """
        if self._wrist is None:
            raise ConfigError(f"robot '{self.robot.name}'", "has no 'wrench_sensor'; write its frame and pose")
        return self._wrist.wrench(self.data)

    @property
    def wrist_link(self) -> str:
        """The first link behind the wrist's sensor; empty without one."""
        return "" if self._wrist is None else self._wrist.link

    def world_state(self) -> Vector:
        """All generalised positions of the scene, (model.nq,), a copy."""
        return self.data.qpos.copy()

    def object_pose(self, name: str) -> Array:
        """True pose of an object in base, (4, 4) [m].

        Raises:
            ConfigError: the task has no such object.
        """
        if name not in self.task.objects:
            raise ConfigError("simulator", f"no object '{name}'; {nearest(name, list(self.task.objects))}")
        mujoco.mj_kinematics(self.model, self.data)  # a step moves qpos last: frames lag it by one step
        body = self.data.body(name)
        return pose(body.xpos, body.xmat.reshape(3, 3))

    def ee_pose(self) -> Array:
        """True pose of the tool in base, (4, 4) [m]."""
        mujoco.mj_kinematics(self.model, self.data)
        site = self.data.site(self.robot.ee_frame)
        return pose(site.xpos, site.xmat.reshape(3, 3))

    def finger_force(self) -> Vector:
        """Contact force of everything else on the fingers, axes of base, (3,) [N]."""
        total, wrench = np.zeros(3), np.zeros(6)
        for k, contact in enumerate(self.data.contact[: self.data.ncon]):
            bodies = [self.model.body(self.model.geom_bodyid[g]).name for g in (contact.geom1, contact.geom2)]
            on_finger = ["finger" in name for name in bodies]
            if on_finger[0] == on_finger[1]:
                continue
            mujoco.mj_contactForce(self.model, self.data, k, wrench)
            force = contact.frame.reshape(3, 3).T @ wrench[:3]  # on geom2, from geom1
            total += force if on_finger[1] else -force
        return total

    def is_done(self) -> bool:
        """Whether the task is fulfilled, judged on the true state."""
        return self.task.is_done(self.model, self.data)

    def is_lost(self) -> bool:
        """Whether the task cannot be fulfilled any more, judged on the true state."""
        return is_lost(self.task, self.model, self.data)
