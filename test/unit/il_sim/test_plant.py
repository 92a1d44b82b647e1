"""The plant: reproducible, gentle without a controller, honest about time and force."""

import mujoco
import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.types import Setpoint
from il_sim.plant import STEP_NS, Plant

START_NS = 5_000_000_000


@pytest.fixture(scope="module")
def plant():
    return Plant(load_setup("pick_place"), start_ns=START_NS)


def bias(plant):
    """Torque that holds the arm where it is, from the plant's own model."""
    data = mujoco.MjData(plant.model)
    data.qpos[:] = plant.world_state()
    mujoco.mj_forward(plant.model, data)
    return data.qfrc_bias[[plant.model.joint(n).dofadr[0] for n in plant.robot.joint_names]]


def shaken(plant, seed, steps=200):
    """World states of an episode under random torques."""
    plant.reset(seed)
    rng = np.random.default_rng(7)
    states = []
    for _ in range(steps):
        plant.write(Setpoint(plant.now_ns, bias(plant) + rng.normal(0.0, 3.0, 7), rng.uniform()))
        plant.step()
        states.append(plant.world_state())
    return np.array(states)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_scene(plant):
    first, second = shaken(plant, 3), shaken(plant, 3)
    assert first.tobytes() == second.tobytes()
    assert np.abs(shaken(plant, 4)[0] - first[0]).max() > 1e-3


def test_a_reset_leaves_nothing_of_the_episode_before(plant):
    fresh = Plant(load_setup("pick_place"), seed=3)
    shaken(plant, 9)
    plant.reset(3)
    assert plant.world_state().tobytes() == fresh.world_state().tobytes()


def test_torques_that_cancel_gravity_hold_the_arm(plant):
    plant.reset(0)
    q = plant.read().q.copy()
    for _ in range(500):
        plant.apply(bias(plant))
        plant.step()
    np.testing.assert_allclose(plant.read().q, q, atol=1e-4)


def test_without_commands_gravity_compensation_takes_over_after_50_ms_and_is_counted(plant):
    plant.reset(0)
    before = plant.timeouts
    held = bias(plant)
    plant.apply(held + np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]))
    speeds = []
    for _ in range(1500):
        plant.step()
        speeds.append(abs(plant.read().v[6]))
    fastest = int(np.argmax(speeds))
    assert fastest * STEP_NS == pytest.approx(50_000_000, abs=2 * STEP_NS)
    assert speeds[-1] < 0.01 * speeds[fastest]  # damping brings it to rest
    assert plant.timeouts == before + 1
    plant.apply(bias(plant))
    plant.step()
    assert plant.timeouts == before + 1


def test_an_arm_nobody_ever_commanded_rests_where_it_is(plant):
    plant.reset(1)
    before, q = plant.timeouts, plant.read().q.copy()
    for _ in range(1000):
        plant.step()
    np.testing.assert_allclose(plant.read().q, q, atol=1e-3)
    assert plant.timeouts == before


def test_time_goes_on_in_milliseconds_over_resets_and_jumps(plant):
    plant.reset(0)
    t_ns = plant.now_ns
    plant.step()
    assert plant.now_ns == plant.read().stamp_ns == t_ns + STEP_NS
    plant.reset(1)
    assert plant.now_ns == t_ns + STEP_NS
    plant.reanchor(t_ns + 40 * STEP_NS)
    plant.step()
    assert plant.now_ns == t_ns + 41 * STEP_NS


@pytest.mark.parametrize("shift_ns", [-3_600_000_000_000, 5_000_000_000])
def test_a_clock_that_jumps_leaves_the_last_command_as_old_as_it_was(plant, shift_ns):
    plant.reset(0)
    before = plant.timeouts
    plant.apply(bias(plant))
    plant.reanchor(plant.now_ns + shift_ns)
    for _ in range(51):
        plant.step()
    assert plant.timeouts == before
    plant.step()
    assert plant.timeouts == before + 1, "silence is noticed although the clock was set"
    plant.reanchor(plant.now_ns - shift_ns)
    for _ in range(100):
        plant.step()
    assert plant.timeouts == before + 1, "one silence, counted once"


def test_a_pause_on_an_arm_nobody_commands_is_no_timeout(plant):
    plant.reset(0)
    before = plant.timeouts
    plant.reanchor(plant.now_ns + 1_000_000_000)
    plant.step()
    assert plant.timeouts == before


def test_poses_are_those_of_the_state_that_is_read(plant):
    plant.reset(0)
    for _ in range(20):
        plant.apply(bias(plant) + np.array([20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
        plant.step()
    data = mujoco.MjData(plant.model)
    data.qpos[:] = plant.world_state()
    mujoco.mj_kinematics(plant.model, data)
    np.testing.assert_array_equal(plant.ee_pose()[:3, 3], data.site(plant.robot.ee_frame).xpos)
    np.testing.assert_array_equal(plant.object_pose("cube")[:3, 3], data.body("cube").xpos)


def test_looking_at_poses_does_not_change_what_happens_next(plant):
    def run(is_looking):
        plant.reset(2)
        for _ in range(100):
            plant.apply(bias(plant) + 2.0)
            plant.step()
            if is_looking:
                plant.ee_pose(), plant.object_pose("cube")
        return plant.world_state().tobytes()

    assert run(is_looking=True) == run(is_looking=False)


def test_the_gripper_closes_and_opens_within_half_a_second(plant):
    plant.reset(0)
    for opening in (0.0, 0.5, 1.0):
        plant.grip(opening)
        for _ in range(500):
            plant.step()
        assert plant.read().gripper == pytest.approx(opening, abs=0.02)


@pytest.mark.parametrize("newtons", [4.0, 10.0])
def test_pressing_on_the_table_is_felt_with_the_force_that_presses(drawing_plant, newtons):
    force = settle_pressing(drawing_plant, newtons)
    assert force[2] == pytest.approx(newtons, abs=0.05 * newtons)
    assert np.linalg.norm(force[:2]) < 0.2 * newtons


def test_in_the_air_no_force_is_felt(plant):
    plant.reset(0)
    plant.step()
    assert not plant.finger_force().any()


def test_an_unknown_object_lists_those_there_are(plant):
    with pytest.raises(ConfigError, match="did you mean 'cube'"):
        plant.object_pose("cub")


@pytest.fixture(scope="module")
def drawing_plant():
    """Closed fingers of the drawing task, resting on the table."""
    plant = Plant(load_setup("draw_symbol"))
    push = Pusher(plant)
    for _ in range(3000):
        is_near = plant.ee_pose()[2, 3] < 0.02
        push(np.array([0.0, 0.0, -4.0 if is_near else -40.0]))
        if plant.finger_force()[2] > 0.5:
            return plant
    raise RuntimeError(f"no contact; the tool is at {plant.ee_pose()[:3, 3]}")


class Pusher:
    """Pushes the damped tool with a force, upright by a spring, for one step per call."""

    def __init__(self, plant):
        self.plant, self.data = plant, mujoco.MjData(plant.model)
        self.dofs = [plant.model.joint(n).dofadr[0] for n in plant.robot.joint_names]
        self.site = plant.model.site(plant.robot.ee_frame).id

    def __call__(self, force):
        plant, data, v = self.plant, self.data, self.plant.read().v
        data.qpos[:] = plant.world_state()
        mujoco.mj_forward(plant.model, data)
        J = np.zeros((6, plant.model.nv))
        mujoco.mj_jacSite(plant.model, data, J[:3], J[3:], self.site)
        J = J[:, self.dofs]
        twist = J @ v
        tilt = np.cross(plant.ee_pose()[:3, 2], [0.0, 0.0, -1.0])
        wrench = np.concatenate([force - 100.0 * twist[:3], 20.0 * tilt - 4.0 * twist[3:]])
        plant.apply(data.qfrc_bias[self.dofs] + J.T @ wrench - 0.5 * v)
        plant.grip(0.0)
        plant.step()


def settle_pressing(plant, newtons):
    push = Pusher(plant)
    for _ in range(1500):
        push(np.array([0.0, 0.0, -newtons]))
    return plant.finger_force()


class TestPushes:
    """Forces from outside, and an arm heavier than its description."""

    def acceleration(self, plant, tau):
        """Of the joints, over one step from the present state."""
        before = plant.read().v.copy()
        plant.apply(tau)
        plant.step()
        return (plant.read().v - before) / 1e-3

    def test_a_push_moves_the_arm_like_the_torques_it_stands_for(self, plant):
        force = np.array([12.0, -15.0, 8.0])
        plant.reset(5)
        jacobian = np.zeros((3, plant.model.nv))
        mujoco.mj_jacSite(plant.model, plant.data, jacobian, None, plant.model.site(plant.robot.ee_frame).id)
        joints = [plant.model.joint(n).dofadr[0] for n in plant.robot.joint_names]
        as_torque = self.acceleration(plant, bias(plant) + jacobian[:, joints].T @ force)
        plant.reset(5)
        plant.push(force)
        as_push = self.acceleration(plant, bias(plant))
        np.testing.assert_allclose(as_push, as_torque, rtol=1e-3, atol=1e-3)

    def test_a_push_ends_after_its_steps_and_with_a_reset(self, plant):
        def is_pushed():
            plant.step()
            return bool(plant.data.xfrc_applied.any())

        plant.reset(0)
        plant.push([5.0, 0.0, 0.0], link="fr3_link4", steps=3)
        assert [is_pushed() for _ in range(5)] == [True, True, True, False, False]
        plant.push([5.0, 0.0, 0.0])
        plant.push([0.0, 5.0, 0.0], link="fr3_link4")  # in place of the first
        plant.step()
        assert np.count_nonzero(plant.data.xfrc_applied[:, :3]) == 1
        plant.reset(0)
        assert not is_pushed()

    def test_links_twice_as_heavy_weigh_twice_as_much(self):
        plant = Plant(load_setup("pick_place"), seed=1)
        state, described = plant.world_state(), bias(plant)
        plant.scale_masses(dict.fromkeys(plant.link_names, 2.0))
        np.testing.assert_array_equal(plant.world_state(), state)
        np.testing.assert_allclose(bias(plant), 2.0 * described)
        plant.scale_masses({})
        np.testing.assert_array_equal(bias(plant), described)

    def test_what_cannot_be_pushed_or_weighed_is_named(self, plant):
        with pytest.raises(ConfigError, match="no link 'fr3_link99'; did you mean"):
            plant.push([0, 0, 1], link="fr3_link99")
        with pytest.raises(ConfigError, match="no link 'cube'; Options: fr3_hand"):
            plant.scale_masses({"cube": 2.0})
        with pytest.raises(ConfigError, match="mass of 'fr3_hand' times 0.0: the factor must be positive"):
            plant.scale_masses({"fr3_hand": 0.0})
