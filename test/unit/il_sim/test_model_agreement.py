"""MuJoCo's full scene and Pinocchio's reduced model are one and the same arm."""

import mujoco
import numpy as np
import pinocchio as pin
import pytest

from il_core.config import load_setup
from il_sim.scene import build_model
from il_sim.tasks import make_task

CONFIGURATIONS = 1000
TOLERANCE = 1e-9  # both compute in double precision: only rounding may differ


class Arms:
    """The same URDF in both engines, fingers closed, armature on both sides."""

    def __init__(self, task):
        setup = load_setup(task)
        self.robot = robot = setup.robot
        self.mj = build_model(setup, make_task(setup.task.name))
        self.data = mujoco.MjData(self.mj)
        self.q = [self.mj.joint(n).qposadr[0] for n in robot.joint_names]
        self.v = [self.mj.joint(n).dofadr[0] for n in robot.joint_names]
        self.site = self.mj.site(robot.ee_frame).id
        full = pin.buildModelFromUrdf(str(setup.urdf_path))
        locked = [full.getJointId(n) for n in list(full.names)[1:] if n not in robot.joint_names]
        self.pin = pin.buildReducedModel(full, locked, pin.neutral(full))
        self.pin.armature = np.array(robot.armature_kg_m2)
        self.pin_data = self.pin.createData()
        self.frame = self.pin.getFrameId(robot.ee_frame)

    def put(self, q, v):
        self.data.qpos[self.q], self.data.qvel[self.v] = q, v
        mujoco.mj_forward(self.mj, self.data)
        pin.computeAllTerms(self.pin, self.pin_data, q, v)
        pin.updateFramePlacements(self.pin, self.pin_data)

    def mujoco_mass(self):
        mass = np.zeros((self.mj.nv, self.mj.nv))
        mujoco.mj_fullM(self.mj, self.data, mass)
        return mass[np.ix_(self.v, self.v)]

    def mujoco_jacobian(self):
        J = np.zeros((6, self.mj.nv))
        mujoco.mj_jacSite(self.mj, self.data, J[:3], J[3:], self.site)
        return J[:, self.v]


@pytest.fixture(scope="module", params=["pick_place", "draw_symbol"])
def arms(request):
    return Arms(request.param)


def test_mass_bias_gravity_pose_and_jacobian_agree_everywhere(arms):
    rng = np.random.default_rng(0)
    worst = {}

    def compare(name, a, b):
        worst[name] = max(worst.get(name, 0.0), float(np.abs(a - b).max()))

    for _ in range(CONFIGURATIONS):
        q = rng.uniform(arms.robot.q_min_rad, arms.robot.q_max_rad)
        v = rng.uniform(-2.0, 2.0, len(q))
        arms.put(q, v)
        upper = np.triu(arms.pin_data.M)
        compare("mass", arms.mujoco_mass(), upper + np.triu(upper, 1).T)
        compare("bias", arms.data.qfrc_bias[arms.v], arms.pin_data.nle)
        placement = arms.pin_data.oMf[arms.frame]
        compare("position", arms.data.site_xpos[arms.site], placement.translation)
        compare("rotation", arms.data.site_xmat[arms.site].reshape(3, 3), placement.rotation)
        jacobian = pin.getFrameJacobian(arms.pin, arms.pin_data, arms.frame, pin.LOCAL_WORLD_ALIGNED)
        compare("jacobian", arms.mujoco_jacobian(), jacobian)
        gravity = pin.computeGeneralizedGravity(arms.pin, arms.pin_data, q)
        arms.data.qvel[:] = 0.0
        mujoco.mj_fwdVelocity(arms.mj, arms.data)  # at rest only gravity is left of the bias
        compare("gravity", arms.data.qfrc_bias[arms.v], gravity)
    assert max(worst.values()) < TOLERANCE, worst


def test_armature_counts_in_the_inertia(arms):
    arms.put(np.array(arms.robot.q_home_rad), np.zeros(7))
    with_rotors = arms.mujoco_mass()
    arms.pin.armature = np.zeros(7)
    without = np.triu(pin.crba(arms.pin, arms.pin_data, np.array(arms.robot.q_home_rad)))
    arms.pin.armature = np.array(arms.robot.armature_kg_m2)
    rotors = np.diag(with_rotors) - np.diag(without)
    np.testing.assert_allclose(rotors, arms.robot.armature_kg_m2, atol=TOLERANCE)


def test_the_tool_points_straight_down_at_home(arms):
    arms.put(np.array(arms.robot.q_home_rad), np.zeros(7))
    z_base = arms.data.site_xmat[arms.site].reshape(3, 3)[:, 2]
    np.testing.assert_allclose(z_base, [0.0, 0.0, -1.0], atol=1e-6)


def test_torque_limits_hold_per_joint(arms):
    arms.data.ctrl[: len(arms.v)] = 1e3
    arms.put(np.array(arms.robot.q_home_rad), np.zeros(7))
    np.testing.assert_allclose(arms.data.qfrc_actuator[arms.v], arms.robot.tau_max_nm)
    arms.data.ctrl[:] = 0.0


def test_at_home_the_arm_touches_nothing(arms):
    arms.put(np.array(arms.robot.q_home_rad), np.zeros(7))
    bodies = [arms.mj.body(arms.mj.geom_bodyid[g]).name for c in arms.data.contact for g in c.geom]
    assert not [name for name in bodies if name.startswith("fr3")]
