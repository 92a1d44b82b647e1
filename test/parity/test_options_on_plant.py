"""What the torque cycle can be set to do, on physics of another engine: payload, friction, softness, stiffness."""

import sys
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

import il_sim  # noqa: F401 - chooses the GL backend before mujoco is used
from il_control.config import OperationalConfig, load_control_config
from il_control.cycle import make_cycle
from il_control.laws.compensation import FrictionConfig, PayloadConfig
from il_control.laws.contact_adaptive import ContactConfig
from il_control.touch import TouchConfig
from il_core.config import load_setup
from il_core.geometry import pose
from il_core.types import ActionChunk
from il_sim.plant import STEP_NS, Plant

sys.path.insert(0, str(Path(__file__).parent))
from plant_rig import PlantRig  # noqa: E402

MS = 1_000_000
WEIGHT_KG = 1.0
TOUCH = TouchConfig((3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0))


class Rig(PlantRig):
    """Plant and cycle, a millisecond a step; what is at the tool may weigh more than the model knows."""

    def __init__(self, task="pick_place", load_kg=0.0, friction_nm=0.0, **changes):
        self.setup = load_setup(task)
        self.plant = Plant(self.setup, start_ns=5_000_000_000)
        model = self.plant.model
        if load_kg:
            hand = model.body(HAND).id
            model.body_mass[hand] += load_kg  # at the hand's own centre of mass
            mujoco.mj_setConst(model, mujoco.MjData(model))  # it works on the data it is given
        if friction_nm:
            dofs = [model.joint(n).dofadr[0] for n in self.setup.robot.joint_names]
            model.dof_frictionloss[dofs] = friction_nm
        config = replace(load_control_config(self.setup), **changes)
        self.cycle = make_cycle(self.setup, config)
        self.reports = []

    def follow(self, poses, row_ms, **more):
        now_ns, rows = self.plant.now_ns, np.stack(poses)
        plan = ActionChunk(now_ns + STEP_NS, row_ms * MS, now_ns, T_base_ee_des=rows, **more)
        assert self.cycle.offer_chunk(plan)
        return self.run((len(poses) - 1) * row_ms)


def moved(T, *offset):
    return pose(T[:3, 3] + np.array(offset), T[:3, :3])


HAND = "fr3_hand"


def hand_in_tool(rig):
    """Centre of mass of the hand in the tool's frame, (3,) [m]."""
    data = rig.plant.data
    T = rig.plant.ee_pose()
    return tuple((T[:3, :3].T @ (data.body(HAND).xipos - T[:3, 3])).tolist())


def test_a_payload_the_settings_know_of_does_not_let_the_arm_sag():
    def sag_mm(**changes):
        rig = Rig(load_kg=WEIGHT_KG, **changes)
        T = rig.run(1)[0].T_base_ee
        return 1e3 * (T[2, 3] - rig.run(2000)[-1].T_base_ee[2, 3])

    com = hand_in_tool(Rig())
    bare, carried = sag_mm(), sag_mm(payload=PayloadConfig(WEIGHT_KG, com))
    assert bare == pytest.approx(1e3 * WEIGHT_KG * 9.81 / 600.0, rel=0.1)  # 600 N/m
    assert abs(carried) < 0.05 * bare


def test_a_payload_the_settings_know_of_is_also_carried_by_a_leaving_controller():
    rig = Rig(load_kg=WEIGHT_KG, payload=PayloadConfig(WEIGHT_KG, hand_in_tool(Rig())))
    rig.run(300)
    z = rig.plant.ee_pose()[2, 3]
    for _ in range(500):
        rig.plant.write(rig.cycle.rest(rig.plant.read()))
        rig.plant.step()
    assert abs(rig.plant.ee_pose()[2, 3] - z) < 1e-3


def test_friction_that_is_carried_lags_less():
    def lag_mm(**changes):
        rig = Rig(friction_nm=1.0, **changes)
        T = rig.run(200)[-1].T_base_ee
        reports = rig.follow([T, moved(T, 0.0, 0.2, 0.0)], 2000)[500:]
        return 1e3 * np.mean([np.linalg.norm(r.T_base_ee_des[:3, 3] - r.T_base_ee[:3, 3]) for r in reports])

    carried = lag_mm(friction=FrictionConfig((0.8,) * 7, (0.0,) * 7, smooth_rad_s=0.02))
    assert carried < 0.6 * lag_mm()


def test_a_tool_that_meets_what_was_not_planned_becomes_soft():
    contact = ContactConfig(k_p_free=(1000.0,) * 3 + (30.0,) * 3)

    def pressed(**changes):
        rig = Rig("draw_symbol", touch=TOUCH, **changes)
        rig.plant.grip(0.0)
        T = rig.run(100)[-1].T_base_ee
        rig.follow([T, pose([0.45, 0.0, 0.03], T[:3, :3])], 2500)
        rig.run(300)
        free = rig.last.k_p[2]
        rig.follow([rig.last.T_base_ee_des, pose([0.45, 0.0, -0.03], T[:3, :3])], 1200)
        rig.run(700)
        return free, rig.last.k_p[2], rig.plant.finger_force()[2]

    stiff = pressed()
    soft = pressed(contact=contact)
    assert stiff[0] == stiff[1] == 1000.0
    assert soft[0] == pytest.approx(1000.0, rel=0.01)
    assert soft[1] == pytest.approx(150.0, rel=0.01)
    assert soft[2] < 0.3 * stiff[2]
    assert soft[2] > 1.0  # it does press


def test_the_stiffness_of_a_plan_is_the_force_it_presses_with():
    rig = Rig("draw_symbol")
    rig.plant.grip(0.0)
    T = rig.run(100)[-1].T_base_ee
    rig.follow([T, pose([0.45, 0.0, 0.02], T[:3, :3])], 2500)
    for k in (400.0, 800.0):
        down = pose([0.45, 0.0, -0.02], T[:3, :3])
        k_p = np.tile([k, k, k, 30.0, 30.0, 30.0], (4, 1))
        rig.follow([rig.last.T_base_ee_des, down, down, down], 700, k_p_des=k_p)
        assert rig.last.k_p[2] == pytest.approx(k, rel=0.01)
        deflection_m = rig.last.T_base_ee[2, 3] - rig.last.T_base_ee_des[2, 3]
        assert rig.plant.finger_force()[2] == pytest.approx(k * deflection_m, rel=0.1)
        assert deflection_m == pytest.approx(0.02, abs=0.003)


def test_the_operational_space_law_follows_a_line_as_exactly_as_the_impedance():
    rig = Rig(operational_space=OperationalConfig())
    T = rig.run(200)[-1].T_base_ee
    reports = rig.follow([moved(T, 0.0, 0.02 * k, 0.0) for k in range(11)], 100)
    error = [np.linalg.norm(r.T_base_ee_des[:3, 3] - r.T_base_ee[:3, 3]) for r in reports]
    assert 1e3 * max(error) < 4.0
    assert reports[-1].T_base_ee[1, 3] - T[1, 3] > 0.18
    assert {r.k_p for r in reports} == {None}
