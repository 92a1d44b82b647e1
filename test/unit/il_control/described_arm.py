"""A robot's own URDF in MuJoCo, driven by its own gains, one cycle late."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import mujoco
import numpy as np

from il_control.config import ControlConfig
from il_control.laws.joint_impedance import joint_impedance
from il_control.model import ArmModel
from il_core.config import Setup

STEP_RAD = 0.05


class DescribedArm:
    """Physics of the written files: URDF, armature, torque limits and disabled pairs."""

    def __init__(self, setup: Setup, config: ControlConfig) -> None:
        self.robot, self.config, self.model = setup.robot, config, ArmModel(setup)
        spec = mujoco.MjSpec.from_file(str(setup.urdf_path))
        spec.compiler.fusestatic = False
        spec.option.timestep = config.dt
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        for pair in ET.parse(setup.srdf_path).getroot().iter("disable_collisions"):
            spec.add_exclude(bodyname1=pair.get("link1"), bodyname2=pair.get("link2"))
        for name, limit, armature in zip(
            self.robot.joint_names, self.robot.tau_max_nm, self.robot.armature_kg_m2, strict=True
        ):
            spec.joint(name).armature = armature
            spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, ctrlrange=[-limit, limit])
        self.physics = spec.compile()
        self.data = mujoco.MjData(self.physics)
        joints = [self.physics.joint(name) for name in self.robot.joint_names]
        self._q = np.array([j.qposadr[0] for j in joints])
        self._v = np.array([j.dofadr[0] for j in joints])
        self._motors = np.array([self.physics.actuator(name).id for name in self.robot.joint_names])
        self.friction = self.physics.dof_frictionloss[self._v]
        self.home = np.array(self.robot.q_home_rad)

    def run(self, law: Callable[[np.ndarray, np.ndarray], np.ndarray], seconds: float) -> np.ndarray:
        """Postures of a run from home, (n, nq); the torque of a cycle acts in the next one."""
        mujoco.mj_resetData(self.physics, self.data)
        self.data.qpos[self._q] = self.home
        self.model.update(self.home, np.zeros(len(self.home)))
        self.data.ctrl[self._motors] = self.model.gravity
        rows = []
        for _ in range(round(seconds / self.config.dt)):
            q, v = self.data.qpos[self._q].copy(), self.data.qvel[self._v].copy()
            mujoco.mj_step(self.physics, self.data)
            self.model.update(q, v)
            self.data.ctrl[self._motors] = np.clip(law(q, v), -self.tau_max, self.tau_max)
            rows.append(self.data.qpos[self._q].copy())
        return np.array(rows)

    @property
    def tau_max(self) -> np.ndarray:
        """Torque limits, (nq,)."""
        return np.array(self.robot.tau_max_nm)

    def contacts_at_home(self) -> int:
        """Contacts of the arm with itself at home."""
        mujoco.mj_resetData(self.physics, self.data)
        self.data.qpos[self._q] = self.home
        mujoco.mj_forward(self.physics, self.data)
        return int(self.data.ncon)

    def assert_sound(self) -> None:
        """Home is allowed and free; carried by its weight alone the arm stays; a step settles once."""
        robot = self.robot
        assert np.all(self.home > robot.q_min_rad)
        assert np.all(self.home < robot.q_max_rad)
        assert self.contacts_at_home() == 0
        rest = self.run(lambda q, v: self.model.gravity, 0.5)
        # Half a second of floating: what is left is integration error and the fingers, which are not held.
        assert np.abs(rest - self.home).max() < 5e-3
        k_p, k_d = np.array(self.config.joint_stiffness_nm_rad), np.array(self.config.joint_damping_nms_rad)
        room = np.minimum(self.home - robot.q_min_rad, robot.q_max_rad - self.home)
        step = np.minimum(STEP_RAD, 0.4 * room) * np.where(np.arange(len(room)) % 2, 1.0, -1.0)
        target, still = self.home + step, np.zeros(len(room))
        path = self.run(lambda q, v: joint_impedance(q, v, target, still, k_p, k_d, self.model.bias), 3.0)
        error = (path - target) * np.sign(step) / np.abs(step).max()  # -1 at first, 0 on target
        held = self.friction / k_p / np.abs(step).max()
        assert error.max() < 0.2, "overshoots"
        assert np.all(np.abs(error[-1]) < 0.1 + 1.1 * held), "does not arrive"
        assert np.abs(np.diff(path[-500:], axis=0)).max() / self.config.dt < 0.01, "does not settle"
        swings = [_swings(e) for e in error.T]
        assert max(swings) <= 1, f"oscillates: {swings}"


def _swings(error: np.ndarray, band: float = 0.03) -> int:
    """Times a joint crosses its target from beyond a band on one side to beyond it on the other."""
    side = np.sign(error[np.abs(error) > band])
    return int(np.count_nonzero(np.diff(side)))
