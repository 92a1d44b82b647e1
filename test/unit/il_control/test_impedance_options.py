"""What the torque cycle can be set to do: stiffness out of a plan, softness in contact, another law, friction."""

from dataclasses import replace

import numpy as np
import pytest

from il_control.arbiter import Source
from il_control.config import ControlConfig, OperationalConfig, load_control_config
from il_control.cycle import make_cycle
from il_control.impedance import Impedance
from il_control.laws.compensation import FrictionConfig, friction_torque
from il_control.laws.contact_adaptive import ContactConfig
from il_control.model import ArmModel
from il_control.touch import TouchConfig
from il_control.tracker import Wish
from il_core.errors import ConfigError, NonFiniteError, ShapeError
from il_core.geometry import pose
from il_core.types import ActionChunk, ArmCommand, ArmState

MS = 1_000_000
T0 = 1_000_000_000
SOFT = np.array([200.0, 200.0, 200.0, 10.0, 10.0, 10.0])
STIFF = np.array([900.0, 900.0, 900.0, 40.0, 40.0, 40.0])
TOUCH = TouchConfig((3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0))


@pytest.fixture
def home(setup):
    return np.array(setup.robot.q_home_rad)


def step(cycle, q, t_ms, v=None):
    state = ArmState(T0 + t_ms * MS, q, np.zeros(7) if v is None else v, np.zeros(7), 1.0)
    return cycle.step(state, state.stamp_ns)


def plan(T, k_p, start_ms, row_ms=100):
    return ActionChunk(
        T0 + start_ms * MS, row_ms * MS, T0 + (start_ms - 1) * MS, T_base_ee_des=np.stack([T] * len(k_p)), k_p_des=k_p
    )


def test_a_damping_ratio_asked_for_is_ramped_bounded_and_changes_the_torque_not_the_stiffness(setup, home):
    cycle = make_cycle(setup)
    step(cycle, home, 0)
    v = np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    before = step(cycle, home, 1, v)
    cycle.set_stiffness(None, 0.6)
    reports = [step(cycle, home, t, v) for t in range(2, 400)]
    assert 0.6 < reports[0].zeta < before.zeta
    assert reports[-1].zeta == pytest.approx(0.6)
    np.testing.assert_array_equal(reports[-1].k_p, before.k_p)
    assert abs(reports[-1].setpoint.tau[0]) < 0.8 * abs(before.setpoint.tau[0])
    cycle.set_stiffness(None, 0.01)
    assert [step(cycle, home, t) for t in range(400, 800)][-1].zeta == cycle.config.stiffness_bounds.zeta[0]
    with pytest.raises(NonFiniteError, match="damping ratio"):
        cycle.set_stiffness(None, float("nan"))


def test_the_stiffness_of_a_plan_is_in_force_row_by_row_and_kept_while_holding(setup, home):
    cycle = make_cycle(setup)
    T = step(cycle, home, 0).T_base_ee
    own = np.array([*cycle.config.stiffness_n_m, *cycle.config.stiffness_nm_rad])
    assert cycle.offer_chunk(plan(T, np.stack([SOFT, SOFT, STIFF]), 10, row_ms=200))
    reports = [step(cycle, home, t) for t in range(1, 800)]
    np.testing.assert_allclose(reports[0].k_p, own)
    np.testing.assert_allclose(reports[205].k_p, SOFT, rtol=1e-6)
    np.testing.assert_allclose(reports[308].k_p, 0.5 * (SOFT + STIFF), rtol=0.02)
    assert reports[-1].source is Source.HOLD
    np.testing.assert_allclose(reports[-1].k_p, STIFF, rtol=1e-6)
    # A person at the device says nothing about stiffness: the settings' own comes back.
    cycle.offer_command(ArmCommand(T0 + 800 * MS, T, 1.0))
    later = [step(cycle, home, t) for t in range(800, 990)]
    assert later[0].source is Source.TELEOP
    np.testing.assert_allclose(later[-1].k_p, own, rtol=1e-6)


def test_a_stiffness_asked_for_by_hand_comes_back_after_a_plan_that_had_its_own(setup, home):
    cycle = make_cycle(setup)
    T = step(cycle, home, 0).T_base_ee
    cycle.set_stiffness(np.full(6, 60.0) * [5, 5, 5, 0.5, 0.5, 0.5])
    cycle.offer_chunk(plan(T, np.stack([STIFF, STIFF]), 10, row_ms=300))
    reports = [step(cycle, home, t) for t in range(1, 330)]
    np.testing.assert_allclose(reports[300].k_p, STIFF, rtol=1e-6)
    cycle.offer_command(ArmCommand(T0 + 330 * MS, T, 1.0))
    last = [step(cycle, home, t) for t in range(330, 520)][-1]
    np.testing.assert_allclose(last.k_p, [300.0, 300.0, 300.0, 30.0, 30.0, 30.0], rtol=1e-6)


@pytest.mark.parametrize("load_m, is_paid", [(0.0, True), (0.05, False)])
def test_a_plan_raises_a_loaded_spring_only_as_far_as_the_tank_pays(setup, home, load_m, is_paid):
    cycle = make_cycle(setup)
    T = step(cycle, home, 0).T_base_ee
    off = pose(T[:3, 3] + [0.0, load_m, 0.0], T[:3, :3])
    high = np.array([3000.0, 3000.0, 3000.0, 100.0, 100.0, 100.0])
    cycle.offer_chunk(plan(off, np.stack([SOFT, SOFT, high, high]), 10, row_ms=700))
    reports = [step(cycle, home, t) for t in range(1, 2100)]  # an arm that is held where it is
    stiffness = [r.k_p[1] for r in reports]
    np.testing.assert_allclose(stiffness[600], 200.0)
    assert bool(stiffness[-1] > 2999.0) is is_paid
    assert stiffness[-1] > 300.0
    # Nothing comes in while the target stands still: the rise is paid by what the tank had, at most its cap.
    assert 0.5 * (stiffness[-1] - 200.0) * load_m**2 <= cycle.config.energy_tank.cap_j


@pytest.mark.parametrize(
    "k_p, error, words",
    [
        (np.ones((3, 6)), ShapeError, r"k_p_des: expected shape \(2, 6\)"),
        (np.ones((2, 3)), ShapeError, r"k_p_des: expected shape \(2, 6\)"),
        (-np.ones((2, 6)), ValueError, "must not be negative"),
        (np.full((2, 6), np.nan), ValueError, "k_p_des"),
    ],
)
def test_a_stiffness_that_cannot_be_is_refused(k_p, error, words):
    with pytest.raises(error, match=words):
        ActionChunk(0, 1, 0, T_base_ee_des=np.stack([np.eye(4)] * 2), k_p_des=k_p)


def test_a_plan_of_postures_has_no_tool_stiffness():
    with pytest.raises(ValueError, match="goes with T_base_ee_des, not q_des"):
        ActionChunk(0, 1, 0, q_des=np.zeros((2, 7)), k_p_des=np.ones((2, 6)))


def contact_law(setup, config):
    contact = ContactConfig(k_p_free=(600.0,) * 3 + (30.0,) * 3)
    model = ArmModel(setup)
    law = Impedance(replace(config, contact=contact, touch=TOUCH), setup.robot, model)
    return law, law.start()


def test_an_unexpected_contact_softens_the_tool_and_its_end_stiffens_it_again(setup, config, home):
    law, wish = contact_law(setup, config)
    state = ArmState(0, home, np.zeros(7), np.zeros(7), 1.0)
    push = np.array([0.0, 15.0, 0.0, 0.0, 0.0, 0.0])
    for _ in range(100):
        law.torque(state, wish, set(), np.zeros(6))
    np.testing.assert_allclose(law.k_p[:3], 600.0)
    for _ in range(300):
        law.torque(state, wish, set(), push)
    np.testing.assert_allclose(law.k_p[:3], 150.0, rtol=1e-6)
    for _ in range(1200):
        law.torque(state, wish, set(), np.zeros(6))
    np.testing.assert_allclose(law.k_p[:3], 600.0, rtol=1e-6)


def test_a_contact_that_is_expected_softens_nothing_until_the_expectation_is_old(setup, config, home):
    law, wish = contact_law(setup, config)
    push = np.array([0.0, 15.0, 0.0, 0.0, 0.0, 0.0])
    law.expect_wrench(0, push)
    life_ms = int(law.config.max_plan_age_ms)
    for t in range(life_ms):
        law.torque(ArmState(t * MS, home, np.zeros(7), np.zeros(7), 1.0), wish, set(), push)
    np.testing.assert_allclose(law.k_p[:3], 600.0)
    for t in range(life_ms, life_ms + 300):
        law.torque(ArmState(t * MS, home, np.zeros(7), np.zeros(7), 1.0), wish, set(), push)
    np.testing.assert_allclose(law.k_p[:3], 150.0, rtol=1e-6)
    with pytest.raises(ShapeError, match="expected wrench"):
        law.expect_wrench(0, np.zeros(3))
    with pytest.raises(ConfigError, match="nothing softens"):
        Impedance(config, setup.robot, ArmModel(setup)).expect_wrench(0, push)


def test_without_an_estimate_the_tool_stays_as_soft_as_it_was(setup, config, home):
    law, wish = contact_law(setup, config)
    state = ArmState(0, home, np.zeros(7), np.zeros(7), 1.0)
    for _ in range(300):
        law.torque(state, wish, set(), np.array([0.0, 15.0, 0.0, 0.0, 0.0, 0.0]))
    for _ in range(1200):
        law.torque(state, wish, set(), None)
    np.testing.assert_allclose(law.k_p[:3], 150.0, rtol=1e-6)


def test_contact_never_stiffens_beyond_what_was_asked_for(setup, config, home):
    law, wish = contact_law(setup, config)
    state = ArmState(0, home, np.zeros(7), np.zeros(7), 1.0)
    soft = Wish(None, wish.T_base_ee_des, np.zeros(6), None, np.array([100.0, 100.0, 100.0, 8.0, 8.0, 8.0]))
    for _ in range(400):
        law.torque(state, soft, set(), np.zeros(6))
    np.testing.assert_allclose(law.k_p, [100.0, 100.0, 100.0, 8.0, 8.0, 8.0], rtol=1e-6)


def test_friction_is_carried_by_the_measured_velocity(setup, config, home):
    friction = FrictionConfig((0.3,) * 7, (0.1,) * 7)
    plain, carried = make_cycle(setup), make_cycle(setup, replace(config, friction=friction))
    v = np.array([0.1, -0.1, 0.05, 0.1, -0.2, 0.1, 0.2])
    for t in range(30):
        a, b = step(plain, home, t, v), step(carried, home, t, v)
    np.testing.assert_allclose(b.setpoint.tau - a.setpoint.tau, friction_torque(v, friction), atol=1e-9)


def test_operational_space_takes_the_place_of_the_impedance_and_has_no_stiffness(setup, config, home):
    cycle = make_cycle(setup, replace(config, operational_space=OperationalConfig()))
    T = step(cycle, home, 0).T_base_ee
    cycle.offer_command(ArmCommand(T0 + MS, pose(T[:3, 3] + [0.0, 0.05, 0.0], T[:3, :3]), 1.0))
    reports = [step(cycle, home, t) for t in range(1, 600)]
    assert {r.k_p is None for r in reports} == {True}
    model = ArmModel(setup)
    model.update(home, np.zeros(7))
    tau = reports[-1].setpoint.tau - model.bias
    acceleration = model.J_ee_aligned @ np.linalg.solve(model.mass_matrix(), tau)
    e = reports[-1].T_base_ee_des[1, 3] - T[1, 3]
    assert acceleration[1] == pytest.approx(400.0 * e, rel=0.15)  # omega² e: a unit mass on a spring
    assert np.abs(acceleration[[0, 2]]).max() < 0.05 * acceleration[1]
    with pytest.raises(ConfigError, match="operational-space law has none"):
        cycle.set_stiffness(SOFT)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"contact": ContactConfig()}, "contact needs an estimate of the force"),
        (
            {"contact": ContactConfig(), "touch": TOUCH, "operational_space": OperationalConfig()},
            "contact changes the stiffness, operational_space has none",
        ),
        ({"target_time_constant_s": 0.001}, "at least two control periods"),
        ({"rate_hz": 40}, "rate_hz must be 50 to 1000, got 40"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(config: ControlConfig, changes, words):
    with pytest.raises(ValueError, match=words):
        replace(config, **changes)


def test_friction_must_be_one_value_per_joint(setup, tmp_path):
    text = (setup.urdf_path.parents[1] / "control" / "default.yaml").read_text()
    path = tmp_path / "bad.yaml"
    path.write_text(text + "friction: {coulomb_nm: [1, 1], viscous_nms_rad: [0, 0]}\n")
    with pytest.raises(ConfigError, match="'friction' has 2 values for 7 joints"):
        load_control_config(setup, path)
