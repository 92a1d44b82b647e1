"""Borders on physics of another engine: a torque that wants through a wall, the table or the arm itself."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

import il_sim  # noqa: F401 - chooses the GL backend before mujoco is used
from il_control.collision import CollisionMonitor
from il_control.config import load_control_config
from il_control.inputs import Context
from il_control.model import ArmModel
from il_control.reasons import Reason
from il_control.safety import SafetyGate
from il_control.safety_config import Obstacle, ObstacleKind, SafetyConfig
from il_core.config import load_setup
from il_sim.plant import Plant

SETUP = load_setup("pick_place")
CONFIG = load_control_config(SETUP)
HOME = np.array(SETUP.robot.q_home_rad)
TABLE = Obstacle("table", ObstacleKind.HALF_SPACE, (0.0, 0.0, 0.0), except_links=("fr3_link1",))
STOP_M, SLOW_M = 0.02, 0.05


@pytest.fixture(scope="module")
def plant():
    """An arm with nothing to touch, itself included: only the gate keeps it out."""
    plant = Plant(SETUP)
    plant.model.geom_contype[:] = plant.model.geom_conaffinity[:] = 0
    return plant


class Rig:
    """Plant, model and gate; a law that only pushes, with some damping."""

    def __init__(self, plant, safety, q=HOME, *, config=CONFIG):
        self.plant, self.model = plant, ArmModel(SETUP)
        self.monitor = CollisionMonitor(SETUP, safety) if safety.check_collisions else None
        self.gate = SafetyGate(SETUP.robot, replace(config, safety=safety), self.model, self.monitor)
        joints = [plant.model.joint(n).qposadr[0] for n in SETUP.robot.joint_names]
        plant.reset(0)
        plant.data.qpos[joints], plant.data.qvel[:] = q, 0.0
        mujoco.mj_forward(plant.model, plant.data)
        self.reasons = set()

    def run(self, ms, push, each=None, every=1):
        """Push for some time; ``push`` makes a torque of model and state."""
        for k in range(ms):
            state = self.plant.read()
            self.model.update(state.q, state.v)
            tau = self.model.bias + push(self.model, state)
            reasons = set()
            sent = self.gate.setpoint(state, tau, 0.5, self.model.bias, reasons, Context(self.plant.now_ns))
            self.reasons |= reasons
            self.plant.write(sent)
            self.plant.step()
            if each is not None and k % every == 0:
                each(state)
        return state


def along(direction, newton, damping=20.0):
    """Force on the tool, base axes."""
    force = newton * np.array([*direction, 0.0, 0.0, 0.0])
    return lambda model, state: model.J_ee_aligned.T @ force - damping * state.v


def height_above_the_table(safety):
    """Distance of the arm to the table alone: a tool that is pushed only may well swing to the arm's own base."""
    monitor = CollisionMonitor(SETUP, safety)
    return lambda q: min(n.distance_m for n in monitor.near(q, 2.0) if n.second == "table")


def test_no_push_takes_the_arm_through_the_table_and_leaving_is_free(plant):
    safety = SafetyConfig(check_collisions=True, obstacles=(TABLE,), slow_distance_m=SLOW_M, stop_distance_m=STOP_M)
    rig = Rig(plant, safety)
    height = height_above_the_table(safety)
    distances = []
    rig.run(2500, along([0, 0, -1], 60.0), lambda s: distances.append(height(s.q)), every=5)
    assert distances[0] > 0.2
    assert min(distances) > STOP_M - 0.005
    assert distances[-1] < STOP_M + 0.01  # it came, and stays there
    assert {Reason.COLLISION_NEAR} <= rig.reasons
    rig.reasons.clear()
    state = rig.run(700, along([0, 0, 1], 60.0))
    assert height(state.q) > STOP_M + 0.05


def test_sliding_along_the_table_is_free(plant):
    safety = SafetyConfig(check_collisions=True, obstacles=(TABLE,), slow_distance_m=SLOW_M, stop_distance_m=STOP_M)
    rig = Rig(plant, safety, q=np.array([0.0, 0.5, 0.0, -2.2, 0.0, 2.7, 0.785]))  # the tool just above the table
    rig.run(1000, along([0, 0, -1], 40.0))
    height, distances = height_above_the_table(safety), []
    y = rig.model.T_base_ee[1, 3]
    rig.run(500, along([0, 1, -1], 40.0), lambda s: distances.append(height(s.q)), every=5)
    assert rig.model.T_base_ee[1, 3] > y + 0.05
    assert STOP_M - 0.005 < min(distances) <= max(distances) < STOP_M + 0.015


def test_no_spring_folds_the_arm_into_itself(plant):
    """The hand is drawn to the shoulder, by a joint spring to a posture in which they overlap."""
    safety = SafetyConfig(check_collisions=True, slow_distance_m=SLOW_M, stop_distance_m=STOP_M)
    q_bad = np.array([0.0, -1.0, 0.0, -2.95, 0.0, 0.65, 0.785])
    exact = CollisionMonitor(SETUP, safety)
    assert exact.distance(q_bad).distance_m < 0.0
    spring = lambda model, state: 100.0 * (q_bad - state.q) - 15.0 * state.v  # noqa: E731
    rig, distances = Rig(plant, safety), []
    rig.run(1500, spring, lambda s: distances.append(exact.distance(s.q).distance_m), every=5)
    assert min(distances) > STOP_M - 0.005
    assert distances[-1] < SLOW_M
    free = Rig(plant, SafetyConfig())
    assert exact.distance(free.run(1500, spring).q).distance_m < 0.0  # without the check it does


@pytest.mark.parametrize("axis, sign", [(0, 1), (1, -1), (2, 1), (2, -1)])
def test_no_push_takes_the_tool_out_of_the_workspace(plant, axis, sign):
    safety = SafetyConfig(workspace_min_m=(0.2, -0.2, 0.3), workspace_max_m=(0.65, 0.2, 0.7))
    low, high = np.array(safety.workspace_min_m), np.array(safety.workspace_max_m)
    rig, depth = Rig(plant, safety), []
    direction = sign * np.eye(3)[axis]

    def look(state):
        p = rig.model.T_base_ee[:3, 3]
        depth.append(max((low - p).max(), (p - high).max()))

    rig.run(3000, along(direction, 40.0), look, every=5)
    assert max(depth) < 0.005
    assert depth[-1] > -0.02
    assert Reason.WORKSPACE_LIMIT in rig.reasons
    rig.run(200, along(-direction, 40.0), look)
    assert depth[-1] < -0.02


def test_a_tool_found_outside_the_workspace_is_not_pushed_in(plant):
    safety = SafetyConfig(workspace_min_m=(0.2, -0.2, 0.6), workspace_max_m=(0.65, 0.2, 0.9))
    rig = Rig(plant, safety)
    rig.run(500, along([0, 0, 0], 0.0))
    z = rig.model.T_base_ee[2, 3]
    assert z < 0.55
    rig.run(500, along([0, 0, -1], 20.0))
    assert rig.model.T_base_ee[2, 3] > z - 0.01  # no further out
    rig.run(1000, along([0, 0, 1], 20.0))
    assert rig.model.T_base_ee[2, 3] > 0.6


def test_a_model_that_is_wrong_does_not_creep_through_a_border(plant):
    """Ten newtons that nothing knows of press the tool on."""
    safety = SafetyConfig(workspace_min_m=(0.2, -0.2, 0.35), workspace_max_m=(0.65, 0.2, 0.9))
    rig, z = Rig(plant, safety), []
    rig.plant.push([0.0, 0.0, -10.0], link="fr3_hand")
    rig.run(1500, along([0, 0, -1], 20.0), lambda s: z.append(rig.model.T_base_ee[2, 3]))
    rig.plant.push([0.0, 0.0, 0.0])
    assert min(z) > 0.35 - 0.015
    assert abs(z[-1] - z[-300]) < 1e-3


def test_the_tool_keeps_its_speed_limit(plant):
    push, speeds = along([0, 1, 0], 60.0, damping=0.0), {}
    for limit in (None, 0.25):
        speeds[limit] = []
        rig = Rig(plant, SafetyConfig(tool_speed_max_m_s=limit))
        look = lambda s, out=speeds[limit]: out.append(np.linalg.norm(rig.model.J_ee_aligned[:3] @ s.v))  # noqa: B023, E731
        rig.run(300, push, look)
    assert max(speeds[None]) > 0.6
    assert max(speeds[0.25]) < 0.28
    assert max(speeds[0.25]) > 0.2
    assert Reason.TOOL_SPEED in rig.reasons


def test_a_joint_that_accelerates_too_much_is_pushed_less(plant):
    """Torque for twice the allowed acceleration of the last joint."""
    push = lambda model, state: np.array([0.0] * 6 + [3.0])  # noqa: E731
    config = replace(CONFIG, limit_damping_nms_rad=0.001)
    peak = {}
    for a_max in (1000.0, 15.0):
        rig, v = Rig(plant, SafetyConfig(), config=replace(config, acceleration_max_rad_s2=a_max)), []
        rig.run(150, push, lambda s, v=v: v.append(s.v[6]))
        peak[a_max] = np.diff(v)[80:140].mean() * 1000
    assert peak[1000.0] > 25.0
    assert peak[15.0] < 17.0
    assert Reason.ACCELERATION_LIMIT in rig.reasons


def test_pressing_without_moving_is_not_accelerating(plant):
    """A torque that something holds against counts by what is measured: by nothing."""
    rig = Rig(plant, SafetyConfig())
    state = rig.plant.read()
    rig.model.update(state.q, state.v)
    bias = rig.model.bias
    for _ in range(200):
        reasons = set()
        sent = rig.gate.setpoint(state, bias + np.array([0.0] * 6 + [8.0]), 0.5, bias, reasons)
    assert sent.tau[6] == pytest.approx(bias[6] + 8.0)
    assert reasons == set()
