"""What stands between Gazebo's joints and our topics, with MuJoCo's physics in Gazebo's place."""

import mujoco
import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import JointSetError, NonFiniteError, ShapeError
from il_sim.gazebo.arm_side import ArmSide, Phase
from il_sim.gazebo.config import load_gazebo_config
from il_sim.gazebo.names import Drive
from il_sim.plant import FALLBACK_DAMPING, Plant
from il_sim.scene import GRIPPER_DAMPING_NS_M

MS = 1_000_000
DELAY = 3  # steps between a state and the force that answers it: the bridge and two processes


@pytest.fixture(scope="module")
def setup():
    return load_setup("pick_place")


@pytest.fixture
def side(setup):
    return ArmSide(setup, load_gazebo_config())


class Physics:
    """The scene with forces on joints, as Gazebo has it: all joints at zero, and no servo of its own."""

    def __init__(self, setup, names):
        self.model = Plant(setup).model
        self.model.actuator_gainprm[:], self.model.actuator_biasprm[:] = 0.0, 0.0
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in names]
        self.names = names
        self.q, self.v = [np.array([getattr(j, key)[0] for j in joints]) for key in ("qposadr", "dofadr")]
        self.model.dof_damping[self.v[setup.robot.nq :]] += GRIPPER_DAMPING_NS_M
        self.data.joint("cube").qpos[:3] = 2.0, 0.0, 0.5  # out of the way
        self.steps, self.forces = 0, [np.zeros(len(names))] * DELAY

    def run(self, side, steps):
        """Step with what the side answers, late; its last answer."""
        for _ in range(steps):
            self.data.qfrc_applied[self.v] = self.forces.pop(0)
            mujoco.mj_step(self.model, self.data)
            self.steps += 1
            q, v = self.data.qpos[self.q], self.data.qvel[self.v]
            answer = side.take(self.steps * MS, self.names, q, v)
            force = self.forces[-1] if self.forces else np.zeros(len(self.names))
            arm = force[: len(force) - len(side.fingers)] if answer.tau is None else answer.tau
            self.forces.append(np.concatenate([arm, answer.finger_n]))
        return answer


def test_the_arm_goes_home_from_zero_and_only_then_shows_itself(side, setup):
    physics = Physics(setup, side.names)
    answer = physics.run(side, 100)
    assert side.phase is Phase.HOMING and answer.state is None
    assert side.command(physics.steps * MS, np.ones(7)) is None, "nobody else moves it meanwhile"
    answer = physics.run(side, 6000)
    assert side.phase is Phase.READY
    np.testing.assert_allclose(answer.state.q, setup.robot.q_home_rad, atol=0.01)
    assert answer.state.gripper == pytest.approx(1.0, abs=0.02), "the fingers opened"
    assert np.abs(answer.state.v).max() < 0.01, "and it stays until somebody commands"


def test_fingers_close_together_and_stay_centred_under_a_side_load(side, setup):
    physics = Physics(setup, side.names)
    physics.run(side, 5000)
    side.grip(0.0)
    physics.run(side, 300)
    x = physics.data.qpos[physics.q[7:]]
    np.testing.assert_allclose(x, 0.0, atol=2e-3)
    side.grip(0.5)
    physics.run(side, 500)
    for _ in range(300):  # one finger is pushed open with 10 N
        physics.forces[0] = physics.forces[0] + np.array([0.0] * 7 + [10.0, 0.0])
        physics.run(side, 1)
    x = physics.data.qpos[physics.q[7:]]
    assert abs(x[0] - x[1]) < 2e-3
    np.testing.assert_allclose(x.mean(), 0.02, atol=2e-3)


def at_rest(side, setup, stamp_ns=1000 * MS):
    """A state at home; Gazebo's order is not ours."""
    q = np.array([*setup.robot.q_home_rad, 0.04, 0.04])
    return side.take(stamp_ns, side.names[::-1], q[::-1], np.zeros(9))


def test_joints_come_out_in_our_order_whatever_gazebos_is(side, setup):
    answer = at_rest(side, setup)
    np.testing.assert_allclose(answer.state.q, setup.robot.q_home_rad)
    assert answer.state.gripper == 1.0
    assert answer.state.stamp_ns == 1000 * MS


def test_joints_that_are_not_ours_do_no_harm_and_missing_ones_are_named(side, setup):
    q = [*setup.robot.q_home_rad, 0.04, 0.04, 1.0]
    assert side.take(MS, [*side.names, "door"], q, [0.0] * 10).state is not None
    with pytest.raises(JointSetError, match="fr3_joint7"):
        side.take(2 * MS, [n for n in side.names if n != "fr3_joint7"], [0.0] * 8, [0.0] * 8)
    with pytest.raises(ShapeError, match="expected shape"):
        side.take(2 * MS, side.names, [0.0] * 9, [])
    with pytest.raises(NonFiniteError):
        side.take(2 * MS, side.names, [np.nan] * 9, [0.0] * 9)


def test_a_command_is_clipped_to_the_limits_and_reported_with_the_next_state(side, setup):
    at_rest(side, setup)
    wanted = np.array([100.0, -100.0, 5.0, 0.0, 20.0, -20.0, 1.0])
    sent = side.command(1000 * MS, wanted)
    np.testing.assert_allclose(sent, [87.0, -87.0, 5.0, 0.0, 12.0, -12.0, 1.0])
    answer = at_rest(side, setup, 1001 * MS)
    assert answer.tau is None, "the controller's answer is on its way"
    np.testing.assert_allclose(answer.state.tau, sent)


def test_an_old_answer_does_not_replace_a_newer_one(side, setup):
    at_rest(side, setup)
    at_rest(side, setup, 1001 * MS)
    assert side.command(1001 * MS, np.ones(7)) is not None
    assert side.command(1000 * MS, np.zeros(7)) is None
    assert side.command(1001 * MS, np.zeros(7)) is None
    assert side.command(5000 * MS, np.zeros(7)) is None, "an answer to a state that was not sent"


def test_silence_of_the_controller_ends_in_mujocos_own_gravity_compensation(side, setup):
    at_rest(side, setup)
    side.command(1000 * MS, np.full(7, 3.0))
    assert at_rest(side, setup, 1050 * MS).tau is None
    rng = np.random.default_rng(1)
    q, v = np.array([*setup.robot.q_home_rad, 0.04, 0.04]), rng.uniform(-0.5, 0.5, 9)
    answer = side.take(1051 * MS, side.names, q, v)
    assert side.timeouts == 1
    plant = Plant(setup)
    dofs = [plant.model.joint(n).dofadr[0] for n in side.names]
    for k, name in enumerate(side.names):
        plant.data.joint(name).qpos, plant.data.joint(name).qvel = q[k], v[k]
    mujoco.mj_forward(plant.model, plant.data)
    bias = plant.data.qfrc_bias[dofs[:7]]
    assert np.abs(bias).max() > 10.0
    np.testing.assert_allclose(answer.tau, np.clip(bias - FALLBACK_DAMPING * v[:7], -87, 87), atol=1e-9)
    at_rest(side, setup, 1052 * MS)
    assert side.timeouts == 1, "counted once"


def test_a_paused_gazebo_is_answered_once(side, setup):
    assert at_rest(side, setup) is not None
    assert at_rest(side, setup) is None


def test_a_reset_of_gazebo_brings_the_arm_home_again(side, setup):
    at_rest(side, setup)
    side.command(1000 * MS, np.ones(7))
    answer = side.take(MS, side.names, np.zeros(9), np.zeros(9))
    assert side.resets == 1 and side.phase is Phase.HOMING
    assert answer.state is None and answer.tau is not None
    assert side.command(1001 * MS, np.ones(7)) is None, "commands from before the reset are over"


def test_with_ros2_control_the_arm_is_at_home_and_only_the_fingers_are_driven(setup):
    side = ArmSide(setup, load_gazebo_config(), Drive.ROS2_CONTROL)
    side.note(np.arange(7.0))
    answer = at_rest(side, setup)
    assert answer.tau is None and answer.finger_n.shape == (2,)
    answer = at_rest(side, setup, 2000 * MS)
    assert answer.tau is None, "there is nobody else to fall back to"
    side.note(np.arange(7.0))
    np.testing.assert_allclose(at_rest(side, setup, 2001 * MS).state.tau, np.arange(7.0))
