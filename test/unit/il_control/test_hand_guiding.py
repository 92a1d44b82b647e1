"""Hand guiding on the simulated arm: what moves with the hand, what does not, and how fast."""

from dataclasses import replace

import numpy as np
import pytest

from il_control.guiding_config import GuidingConfig
from il_control.laws.cartesian_impedance import pose_error
from il_control.laws.hand_guiding import GuidingMode, HandGuiding
from il_core.errors import ConfigError, ShapeError
from il_sim.plant import Plant

DT = 1e-3
ZERO = np.zeros(3)
CONFIG = GuidingConfig()
BLEND = 350  # steps after which every constraint is in


class Rig:
    """The arm in empty space with a hand on its tool."""

    def __init__(self, setup, model, config=CONFIG):
        self.plant, self.model = Plant(setup), model
        self.plant.model.geom_contype[:] = self.plant.model.geom_conaffinity[:] = 0
        self.guiding = HandGuiding(config, setup.robot)
        self.poses, self.speeds, self.taus, self.powers = [], [], [], []
        self.measure()

    def measure(self):
        state = self.plant.read()
        self.model.update(state.q, state.v)
        return state

    def enter(self, mode=GuidingMode.FREE, direction=None):
        self.measure()
        self.guiding.enter(self.model.T_base_ee, mode, direction)

    def run(self, steps, force=ZERO):
        """Poses of the tool during some steps of a push."""
        self.plant.push(force)
        first = len(self.poses)
        for _ in range(steps):
            state = self.measure()
            m = self.model
            tau = self.guiding.torque(state.v, m.T_base_ee, m.J_ee_aligned, state.q, m.bias, DT)
            self.taus.append(tau)
            self.powers.append((tau - m.bias) @ state.v)
            self.poses.append(m.T_base_ee.copy())
            self.speeds.append(np.linalg.norm(m.J_ee_aligned[:3] @ state.v))
            self.plant.apply(tau)
            self.plant.step()
        return np.array(self.poses[first:])


@pytest.fixture
def rig(setup, model):
    return Rig(setup, model)


def energy(rig):
    """Kinetic energy of the arm [J]."""
    v = rig.measure().v
    return 0.5 * v @ rig.model.mass_matrix() @ v


def test_free_the_arm_follows_the_hand_and_stays_where_it_is_let_go(rig):
    rig.enter()
    still = rig.run(1000)
    assert np.linalg.norm(still[-1, :3, 3] - still[0, :3, 3]) < 1e-3
    led = rig.run(1000, np.array([0.0, 10.0, 0.0]))
    assert led[-1, 1, 3] - led[0, 1, 3] > 0.1
    rig.run(6000)
    later = rig.run(1000)
    assert np.linalg.norm(later[-1, :3, 3] - later[0, :3, 3]) < 2e-3


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.0, 3.0, 3.0)])
def test_plane_the_tool_stays_in_it_and_moves_along_it(rig, normal):
    rig.enter(GuidingMode.PLANE, np.array(normal))
    n = np.array(normal) / np.linalg.norm(normal)
    along = np.array([1.0, 0.0, 0.0])
    rig.run(BLEND)
    way = rig.run(700, 30.0 * n + 5.0 * along)[:, :3, 3] - rig.guiding.anchor[:3, 3]
    assert np.abs(way @ n).max() < 0.013  # 30 N / 3000 N/m, and what the arm overshoots
    assert (way @ along)[-1] > 0.02


def test_axis_the_tool_stays_on_the_line_and_moves_along_it(rig):
    rig.enter(GuidingMode.AXIS, np.array([0.0, 1.0, 0.0]))
    rig.run(BLEND)
    way = rig.run(700, np.array([18.0, 8.0, -24.0]))[:, :3, 3] - rig.guiding.anchor[:3, 3]
    assert np.linalg.norm(way[:, [0, 2]], axis=1).max() < 0.013
    assert way[-1, 1] > 0.05


def test_orientation_locked_the_tool_moves_but_hardly_turns(rig):
    rig.enter(GuidingMode.ORIENTATION_LOCKED)
    rig.run(BLEND)
    poses = rig.run(700, np.array([0.0, 30.0, 0.0]))
    turns = [np.linalg.norm(pose_error(T, rig.guiding.anchor)[3:]) for T in poses]
    assert max(turns) < 0.05
    assert poses[-1, 1, 3] - poses[0, 1, 3] > 0.08


def test_position_locked_the_tool_turns_about_its_point(rig):
    rig.enter(GuidingMode.POSITION_LOCKED)
    rig.run(BLEND)
    poses = rig.run(500, np.array([18.0, 0.0, -24.0]))
    assert np.linalg.norm(poses[:, :3, 3] - rig.guiding.anchor[:3, 3], axis=1).max() < 0.013
    link = "fr3_link6"  # a hand on the wrist
    rig.run(300)
    rig.plant.push([0.0, 10.0, 0.0], link=link)
    start = rig.poses[-1]
    for _ in range(500):
        state = rig.measure()
        m = rig.model
        rig.plant.apply(rig.guiding.torque(state.v, m.T_base_ee, m.J_ee_aligned, state.q, m.bias, DT))
        rig.plant.step()
    rig.measure()
    assert np.linalg.norm(pose_error(rig.model.T_base_ee, start)[3:]) > 0.1
    assert np.linalg.norm(rig.model.T_base_ee[:3, 3] - rig.guiding.anchor[:3, 3]) < 0.013


DIRECTIONS = [(0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (-0.6, 0.0, 0.8)]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_tool_keeps_below_the_largest_speed(rig, direction):
    rig.enter()
    rig.run(BLEND)
    rig.run(700, 30.0 * np.array(direction))
    assert 0.1 < max(rig.speeds) < CONFIG.speed_max_m_s


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_tool_keeps_near_the_largest_speed_even_under_100_n(rig, direction):
    """On motors strong enough: 100 N on the tool is 30 N·m in the FR3's wrist, whose motors have 12."""
    rig.plant.model.jnt_actfrcrange[:] *= 10.0
    rig.plant.model.actuator_ctrlrange[:] *= 10.0
    rig.enter()
    rig.run(BLEND)
    rig.run(700, 100.0 * np.array(direction))
    assert 0.15 < max(rig.speeds) < 1.1 * CONFIG.speed_max_m_s


def test_a_wall_is_entered_no_further_than_its_stiffness_says_and_gives_nothing_back(setup, model):
    rig = Rig(setup, model)
    p = rig.model.T_base_ee[:3, 3].copy()
    config = replace(CONFIG, box_min_m=tuple(p - 0.5), box_max_m=(p[0] + 0.5, p[1] + 0.05, p[2] + 0.5))
    rig = Rig(setup, model, config)
    rig.enter()
    rig.run(BLEND)
    poses = rig.run(1500, np.array([0.0, 30.0, 0.0]))
    depth = poses[:, 1, 3] - (p[1] + 0.05)
    assert depth[-1] > 0.005  # it leans on the wall
    assert depth.max() < 0.013


def test_a_wall_sends_the_tool_back_slower_than_it_came(setup, model):
    rig = Rig(setup, model)
    p = rig.model.T_base_ee[:3, 3].copy()
    config = replace(CONFIG, box_min_m=tuple(p - 0.5), box_max_m=(p[0] + 0.5, p[1] + 0.05, p[2] + 0.5))
    rig = Rig(setup, model, config)
    rig.enter()
    rig.run(BLEND)
    while rig.model.T_base_ee[1, 3] < p[1] + 0.049:
        rig.run(1, np.array([0.0, 30.0, 0.0]))
    before = energy(rig)
    rig.run(500)
    assert rig.poses[-1][1, 3] < p[1] + 0.051  # out again, or about to be
    assert energy(rig) < 0.7 * before
    # what the law did on the arm in all that time: it only took energy
    assert sum(rig.powers[-500:]) * DT < 0.0


def test_a_joint_is_stopped_before_its_limit(setup, model):
    rig = Rig(setup, model)
    joint = 6
    address = rig.plant.model.joint(setup.robot.joint_names[joint]).qposadr[0]
    rig.plant.data.qpos[address] = setup.robot.q_max_rad[joint] - 0.3
    rig.enter()
    rig.run(BLEND)
    dof = rig.plant.model.joint(setup.robot.joint_names[joint]).dofadr[0]
    rig.plant.data.qfrc_applied[dof] = 3.0  # a hand that twists the flange
    rig.run(3000)
    q = rig.measure().q[joint]
    assert setup.robot.q_max_rad[joint] - CONFIG.joint_margin_rad < q < setup.robot.q_max_rad[joint]


@pytest.mark.parametrize("mode", list(GuidingMode))
def test_entering_at_speed_begins_with_the_bias_alone_and_without_a_jump(setup, model, mode):
    """Torque changes by less per cycle than the arm takes, 1 N·m, and speed does not grow."""
    rig = Rig(setup, model)
    rig.enter()
    rig.run(BLEND)
    rig.run(300, np.array([0.0, 50.0, 0.0]))
    rig.guiding.leave()
    rig.enter(mode)
    speed = rig.speeds[-1]
    assert speed > 0.15
    state = rig.measure()
    bias = rig.model.bias.copy()
    first = len(rig.taus)
    rig.run(600)
    np.testing.assert_allclose(rig.taus[first], bias, atol=1e-9)
    assert np.abs(np.diff(rig.taus[first:], axis=0)).max() < 1.0
    assert max(rig.speeds[first:]) < 1.1 * max(speed, float(np.linalg.norm(rig.model.J_ee_aligned[:3] @ state.v)))


def test_another_mode_under_load_comes_without_a_jump(rig):
    rig.enter(GuidingMode.PLANE)
    rig.run(BLEND)
    rig.run(600, np.array([0.0, 0.0, 30.0]))
    rig.enter(GuidingMode.FREE)
    rig.run(400, np.array([0.0, 0.0, 30.0]))
    steps = np.abs(np.diff(rig.taus[BLEND:], axis=0)).max()
    assert np.abs(rig.taus[BLEND + 599] - rig.taus[BLEND + 600]).max() < 0.1
    assert steps < 1.0


def test_springs_pull_no_harder_than_their_bounds(setup, model):
    guiding = HandGuiding(CONFIG, setup.robot)
    model.update(np.array(setup.robot.q_home_rad), np.zeros(7))
    guiding.enter(model.T_base_ee, GuidingMode.POSITION_LOCKED)
    T = model.T_base_ee.copy()
    T[:3, 3] += [0.5, -0.5, 0.5]  # carried away by force
    for _ in range(BLEND):
        tau = guiding.torque(np.zeros(7), T, model.J_ee_aligned, model.q, model.bias, DT)
    force = np.linalg.lstsq(model.J_ee_aligned.T, tau - model.bias, rcond=None)[0]
    assert np.linalg.norm(force[:3]) == pytest.approx(CONFIG.force_max_n, rel=1e-6)


def test_friction_compensation_is_added_as_it_comes(setup, model):
    guiding = HandGuiding(CONFIG, setup.robot)
    guiding.enter(model.T_base_ee, GuidingMode.FREE)
    friction = np.arange(7.0)
    args = (np.zeros(7), model.T_base_ee, model.J_ee_aligned, np.array(setup.robot.q_home_rad), model.bias, DT)
    for _ in range(BLEND):
        tau = guiding.torque(*args, friction)
    np.testing.assert_allclose(tau - model.bias, friction)


def test_it_must_be_entered_first_and_again_after_leaving(setup, model):
    guiding = HandGuiding(CONFIG, setup.robot)
    args = (np.zeros(7), model.T_base_ee, model.J_ee_aligned, model.q, model.bias, DT)
    with pytest.raises(ConfigError, match="not entered; call enter"):
        guiding.torque(*args)
    guiding.enter(model.T_base_ee, GuidingMode.FREE)
    guiding.torque(*args)
    guiding.leave()
    with pytest.raises(ConfigError, match="not entered; call enter"):
        guiding.torque(*args)


def test_a_direction_must_be_one(setup, model):
    guiding = HandGuiding(CONFIG, setup.robot)
    with pytest.raises(ConfigError, match="a direction needs a length"):
        guiding.enter(model.T_base_ee, GuidingMode.AXIS, np.zeros(3))
    with pytest.raises(ShapeError, match=r"direction: expected shape \(3,\), got \(2,\)"):
        guiding.enter(model.T_base_ee, GuidingMode.AXIS, np.ones(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stiffness_n_m": 0.0}, "stiffness_n_m must be positive, got 0.0"),
        ({"speed_max_m_s": float("nan")}, "speed_max_m_s must be positive, got nan"),
        ({"joint_damping_nms_rad": -1.0}, "joint_damping_nms_rad must not be negative, got -1.0"),
        ({"speed_free_share": 1.0}, r"speed_free_share must lie in \[0, 1\), got 1.0"),
        ({"speed_free_share": 0.9}, r"rises by 4000 N·s/m, more than 1500 chatters; lower"),
        ({"box_min_m": (0.0, 1.0)}, "box_min_m needs three coordinates or none"),
        ({"box_min_m": (0, 0, 1), "box_max_m": (1, 1, 1)}, "the box from .* is empty"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)
