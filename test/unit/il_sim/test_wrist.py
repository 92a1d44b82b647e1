"""The simulated force sensor: what it says is what acts on the tool, in its own frame; without it nothing changes."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_quat_xyzw, pose
from il_core.wrench import WrenchSensor
from il_sim.plant import Plant

BEHIND_KG = 0.73 + 2 * 0.015  # hand and fingers of the URDF
TURNED = WrenchSensor("ft", (0.02, -0.01, -0.15), (0.5, -0.5, 0.1, 0.7))  # a frame that the URDF does not know


def setup_with(sensor, task="push", **robot):
    setup = load_setup(task)
    return replace(setup, robot=replace(setup.robot, wrench_sensor=sensor, **robot))


def in_frame(name):
    return setup_with(WrenchSensor(name, (0.0, 0.0, -0.1034), (0.0, 0.0, 0.0, 1.0)))


@pytest.fixture(scope="module")
def plant():
    return Plant(load_setup("push", "fr3_ft"))


@pytest.fixture(scope="module")
def turned_plant():
    return Plant(setup_with(TURNED))


def hold(plant, steps=600):
    """Keep the arm where it is, stiffly, until it has come to rest."""
    dofs = [plant.model.joint(n).dofadr[0] for n in plant.robot.joint_names]
    q_des = plant.read().q.copy()
    for _ in range(steps):
        state = plant.read()
        plant.apply(plant.data.qfrc_bias[dofs] + 400.0 * (q_des - state.q) - 40.0 * state.v)
        plant.step()


def press(plant, newtons):
    """One step in which the damped tool, closed and kept upright, is driven down with a force."""
    model, data = plant.model, plant.data
    dofs = [model.joint(n).dofadr[0] for n in plant.robot.joint_names]
    J = np.zeros((6, model.nv))
    mujoco.mj_jacSite(model, data, J[:3], J[3:], model.site(plant.robot.ee_frame).id)
    J = J[:, dofs]
    twist, tilt = J @ plant.read().v, np.cross(plant.ee_pose()[:3, 2], [0.0, 0.0, -1.0])
    wrench = np.concatenate([[0.0, 0.0, -newtons] - 100.0 * twist[:3], 20.0 * tilt - 4.0 * twist[3:]])
    plant.apply(data.qfrc_bias[dofs] + J.T @ wrench - 0.5 * plant.read().v)
    plant.grip(0.0)
    plant.step()


def sensor_pose(plant):
    """Pose of the sensor's frame in base, by the robot's file and the tool's pose."""
    return plant.ee_pose() @ plant.robot.wrench_sensor.T_ee_sensor


@pytest.mark.parametrize("wrist_rad", [0.7853981633974483, 2.0])
@pytest.mark.parametrize("elbow_rad", [1.5707963267948966, 2.6])
def test_a_free_tool_at_rest_feels_nothing_whichever_way_it_points(wrist_rad, elbow_rad):
    setup = load_setup("push", "fr3_ft")
    home = (*setup.robot.q_home_rad[:5], elbow_rad, wrist_rad)
    plant = Plant(replace(setup, robot=replace(setup.robot, q_home_rad=home)))
    hold(plant)
    np.testing.assert_allclose(plant.wrench(), 0.0, atol=1e-3)
    # What is taken off is the weight and nothing else: the engine's own reading carries hand and fingers.
    data, R = plant.data, plant.data.site("wrist_sensor").xmat.reshape(3, 3)
    carried = R @ data.sensor("wrist_force").data
    np.testing.assert_allclose(carried, [0.0, 0.0, BEHIND_KG * 9.81], atol=1e-2)


def test_a_heavier_hand_is_zeroed_as_it_is(plant):
    plant.scale_masses({"fr3_hand": 3.0})
    plant.reset(0)
    hold(plant)
    try:
        np.testing.assert_allclose(plant.wrench(), 0.0, atol=1e-3)
        assert plant.data.sensor("wrist_force").data[2] == pytest.approx(-(BEHIND_KG + 2 * 0.73) * 9.81, abs=1e-2)
    finally:
        plant.scale_masses({})


@pytest.mark.parametrize("name", ["plant", "turned_plant"])
@pytest.mark.parametrize("force", [(6.0, 0.0, 0.0), (0.0, -4.0, 0.0), (1.0, 2.0, 5.0)])
def test_a_push_on_the_tool_is_felt_with_its_sign_axes_and_lever(request, name, force):
    plant = request.getfixturevalue(name)
    plant.reset(0)
    plant.push(force)
    hold(plant)
    T = sensor_pose(plant)
    torque = np.cross(plant.ee_pose()[:3, 3] - T[:3, 3], force)
    expected = np.concatenate([T[:3, :3].T @ force, T[:3, :3].T @ torque])
    assert np.abs(expected[3:]).max() > 0.1, "there is a lever to get wrong"
    np.testing.assert_allclose(plant.wrench(), expected, atol=5e-3)


def test_a_push_before_the_sensor_is_not_felt(plant):
    plant.reset(0)
    plant.push([8.0, -5.0, 3.0], link="fr3_link7")
    hold(plant)
    np.testing.assert_allclose(plant.wrench(), 0.0, atol=5e-3)


def test_the_hands_inertia_is_felt_against_the_acceleration(plant):
    plant.reset(0)
    model, data, body = plant.model, plant.data, plant.model.body("fr3_hand").id
    dofs = [model.joint(n).dofadr[0] for n in plant.robot.joint_names]

    def momentum():
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_subtreeVel(model, data)
        return BEHIND_KG * data.subtree_linvel[body]

    for _ in range(20):
        before = momentum()
        plant.apply(data.qfrc_bias[dofs] + np.array([15.0, 10.0, 0.0, -8.0, 0.0, 0.0, 0.0]))
        plant.step()
    change = (momentum() - before) / 1e-3
    felt = sensor_pose(plant)[:3, :3] @ plant.wrench()[:3]
    assert np.linalg.norm(change) > 1.0
    np.testing.assert_allclose(felt, -change, atol=0.02 * np.linalg.norm(change))


def test_pressing_on_the_table_it_agrees_with_the_contacts_of_the_fingers(turned_plant):
    plant = turned_plant
    plant.reset(0)
    for _ in range(4000):
        press(plant, 8.0 if plant.ee_pose()[2, 3] < 0.02 else 40.0)
        if plant.finger_force()[2] > 1.0 and np.abs(plant.read().v).max() < 1e-3:
            break
    force = plant.finger_force()
    assert force[2] > 5.0
    felt = sensor_pose(plant)[:3, :3] @ plant.wrench()[:3]
    np.testing.assert_allclose(felt, force, atol=0.02 * force[2])


def test_looking_at_poses_does_not_change_what_is_felt(plant):
    plant.reset(0)
    plant.push([5.0, 0.0, 0.0])
    for _ in range(30):
        plant.step()
    felt = plant.wrench()
    plant.ee_pose(), plant.object_pose("puck")
    np.testing.assert_array_equal(plant.wrench(), felt)


def test_the_frame_is_where_the_robots_file_says(plant, turned_plant):
    for some in (plant, turned_plant):
        some.reset(0)
        T, site = sensor_pose(some), some.data.site("wrist_sensor")
        np.testing.assert_allclose(pose(site.xpos, site.xmat.reshape(3, 3)), T, atol=1e-9)


@pytest.mark.parametrize("frame", ["fr3_hand", "fr3_link7", "fr3_tcp", "unknown"])
def test_the_hand_hangs_at_the_sensor_whatever_frame_its_messages_are_in(frame):
    model = Plant(in_frame(frame)).model
    assert model.body(model.site_bodyid[model.site("wrist_sensor").id]).name == "fr3_hand"


def test_a_sensor_without_a_place_is_refused():
    with pytest.raises(ConfigError, match="frame 'fr3_link5' of .*fr3.urdf does not move with the tool"):
        Plant(in_frame("fr3_link5"))
    sensor = WrenchSensor("ft", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    with pytest.raises(ConfigError, match="no fixed joint in .*: 'fr3_link7' is itself the arm's last moving link"):
        Plant(setup_with(sensor, ee_frame="fr3_link7"))


def test_an_arm_without_the_sensor_has_none_and_both_move_alike(plant):
    bare = Plant(load_setup("push"))
    assert bare.model.nsensor == 0
    with pytest.raises(ConfigError, match="robot 'fr3': has no 'wrench_sensor'"):
        bare.wrench()
    rng = np.random.default_rng(4)
    torques = rng.normal(0.0, 3.0, (200, 7))
    ends = []
    for one in (plant, bare):
        one.reset(6)
        dofs = [one.model.joint(n).dofadr[0] for n in one.robot.joint_names]
        for tau in torques:
            one.apply(one.data.qfrc_bias[dofs] + tau)
            one.step()
        ends.append(one.world_state().tobytes())
    assert ends[0] == ends[1]


def test_the_robot_with_the_sensor_is_the_robot_without_it_otherwise():
    felt, bare = load_setup("push", "fr3_ft"), load_setup("push")
    assert replace(felt.robot, name="fr3", wrench_sensor=None) == bare.robot
    assert felt.urdf_path == bare.urdf_path
    assert felt.digest != bare.digest, "data of the one are not the other's"
    np.testing.assert_allclose(matrix_from_quat_xyzw(felt.robot.wrench_sensor.quat_xyzw_ee_sensor), np.eye(3))
