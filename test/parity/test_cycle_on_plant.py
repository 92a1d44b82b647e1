"""Controller and simulated arm together, in process: tracking, contact, holding, and rough handling."""

import numpy as np
import pytest

from il_control.cycle import make_cycle
from il_control.safety import Reason
from il_core.config import load_setup
from il_core.geometry import matrix_from_quat_xyzw, pose
from il_core.types import ActionChunk
from il_sim.plant import Plant

START_NS = 1_000_000_000


class Rig:
    """One plant, one cycle, in lock step at 1 kHz."""

    def __init__(self, task):
        self.setup = load_setup(task)
        self.plant = Plant(self.setup, 0, start_ns=START_NS)
        self.cycle = make_cycle(self.setup)

    def run(self, seconds, each=lambda report: None):
        for _ in range(round(seconds * 1000)):
            report = self.cycle.step(self.plant.read(), self.plant.now_ns)
            self.plant.write(report.setpoint)
            self.plant.step()
            each(report)
        return report

    def follow(self, poses, dt_ms, gripper=1.0):
        now_ns = self.plant.now_ns
        chunk = ActionChunk(
            start_ns=now_ns + 10_000_000,
            dt_ns=dt_ms * 1_000_000,
            obs_ns=now_ns,
            T_base_ee_des=np.stack(poses),
            gripper_des=np.full(len(poses), gripper),
        )
        assert self.cycle.offer_chunk(chunk)


@pytest.fixture
def rig():
    return Rig("pick_place")


def test_holding_does_not_sag(rig):
    first = rig.run(0.1)
    last = rig.run(2.0)
    assert np.linalg.norm(last.T_base_ee[:3, 3] - first.T_base_ee_des[:3, 3]) < 1e-4


def test_a_circle_is_tracked_within_millimetres(rig):
    T = rig.run(0.2).T_base_ee
    angles = np.linspace(0, 2 * np.pi, 201)
    circle = [pose(T[:3, 3] + 0.1 * np.array([np.cos(a) - 1, np.sin(a), 0]), T[:3, :3]) for a in angles]
    rig.follow(circle, 20)
    errors = []
    rig.run(4.0, lambda r: errors.append(np.linalg.norm(r.T_base_ee[:3, 3] - r.T_base_ee_des[:3, 3])))
    assert np.sqrt(np.mean(np.square(errors))) < 6e-3  # 0.16 m/s at 600 N/m, no acceleration feed-forward


def test_force_on_the_table_is_stiffness_times_penetration():
    rig = Rig("draw_symbol")
    T = rig.run(0.2).T_base_ee
    R = matrix_from_quat_xyzw(rig.setup.task.quat_xyzw_tool)
    above, below = pose([0.5, 0.3, 0.05], R), pose([0.5, 0.3, -0.005], R)
    steps = [T + (above - T) * s for s in np.linspace(0, 1, 20)]
    rig.follow([pose(S[:3, 3], R) for S in steps], 100, gripper=0.0)
    rig.run(2.5)
    rig.follow([above, below], 1000, gripper=0.0)
    report = rig.run(2.5)
    k_z = rig.cycle.config.stiffness_n_m[2]
    deflection_m = report.T_base_ee[2, 3] - report.T_base_ee_des[2, 3]
    force_n = rig.plant.finger_force()[2]
    assert force_n == pytest.approx(k_z * deflection_m, rel=0.05)
    assert deflection_m == pytest.approx(0.005, abs=0.001)


def test_a_reset_of_the_scene_is_noticed_and_held(rig):
    T = rig.run(0.2).T_base_ee
    rig.follow([T, T @ pose([0.0, 0.2, 0.1])], 1000)
    rig.run(1.2)
    rig.plant.reset(7)
    seen = set()
    report = rig.run(1.0, lambda r: seen.update(r.reasons))
    assert Reason.STATE_JUMP in seen
    home = np.array(rig.setup.robot.q_home_rad)
    np.testing.assert_allclose(rig.plant.read().q, home, atol=0.05)
    np.testing.assert_allclose(report.T_base_ee, report.T_base_ee_des, atol=2e-3)


def test_without_a_controller_the_arm_floats_and_does_not_fall(rig):
    rig.run(0.2)
    q = rig.plant.read().q
    for _ in range(1000):
        rig.plant.step()
    assert rig.plant.timeouts == 1
    np.testing.assert_allclose(rig.plant.read().q, q, atol=0.02)


def test_the_same_seed_gives_the_same_motion_bit_for_bit():
    ends = []
    for _ in range(2):
        rig = Rig("pick_place")
        T = rig.run(0.2).T_base_ee
        rig.follow([T, T @ pose([0.0, 0.1, 0.1])], 500)
        rig.run(0.8)
        ends.append(rig.plant.world_state())
    np.testing.assert_array_equal(*ends)
