"""A task is done exactly when the cube rests in the bin and nothing holds it."""

import mujoco
import numpy as np
import pytest

from il_core.config import load_setup
from il_sim.plant import Plant
from il_sim.tasks.pick_place import BIN_INNER_M, BIN_XY_M, CUBE_SIDE_M, CUBE_X_M, CUBE_Y_M

ON_FLOOR = CUBE_SIDE_M / 2 + 0.006


@pytest.fixture(scope="module")
def plant():
    return Plant(load_setup("pick_place"))


def put_cube(plant, p, velocity=(0.0, 0.0, 0.0), steps=0):
    """Move the cube by hand and let time pass."""
    plant.reset(0)
    joint = plant.model.joint("cube")
    q, v = joint.qposadr[0], joint.dofadr[0]
    plant.data.qpos[q : q + 7] = [*p, 1.0, 0.0, 0.0, 0.0]
    plant.data.qvel[v : v + 3] = velocity
    for _ in range(max(1, steps)):
        plant.step()


def test_a_cube_dropped_into_the_bin_is_a_success_once_it_rests(plant):
    put_cube(plant, [*BIN_XY_M, 0.10])
    assert not plant.is_done(), "still falling"
    for _ in range(500):
        plant.step()
    assert plant.is_done()
    assert plant.object_pose("cube")[2, 3] == pytest.approx(ON_FLOOR, abs=0.002)


@pytest.mark.parametrize(
    "p",
    [
        (0.5, -0.1, CUBE_SIDE_M / 2),
        (BIN_XY_M[0], BIN_XY_M[1] - BIN_INNER_M / 2 - 0.06, CUBE_SIDE_M / 2),
        (BIN_XY_M[0] + BIN_INNER_M / 2 + 0.06, BIN_XY_M[1], CUBE_SIDE_M / 2),
    ],
)
def test_a_cube_beside_the_bin_is_none(plant, p):
    put_cube(plant, p, steps=300)
    assert not plant.is_done()


def test_a_cube_that_still_slides_in_the_bin_is_none(plant):
    put_cube(plant, [*BIN_XY_M, ON_FLOOR], velocity=(0.5, 0.0, 0.0))
    assert not plant.is_done()


def test_a_cube_held_by_the_fingers_is_none(plant):
    T = plant.ee_pose()
    put_cube(plant, T[:3, 3])
    plant.grip(0.0)
    bin_body = plant.model.body("bin").id
    for _ in range(400):
        plant.step()
    assert plant.read().gripper == pytest.approx(0.5, abs=0.05), "the fingers hold the cube"
    before = plant.model.body_pos[bin_body].copy()
    plant.model.body_pos[bin_body] = [*plant.object_pose("cube")[:2, 3], plant.object_pose("cube")[2, 3] - 0.03]
    try:
        plant.step()
        assert not plant.is_done()
        p = plant.object_pose("cube")[:3, 3] - plant.object_pose("bin")[:3, 3]
        assert np.abs(p[:2]).max() < 0.08 and p[2] < 0.06, "only the fingers stand between it and success"
    finally:
        plant.model.body_pos[bin_body] = before


def test_every_start_is_on_the_table_in_its_range_and_not_yet_done(plant):
    yaws = []
    for seed in range(50):
        plant.reset(seed)
        T = plant.object_pose("cube")
        assert CUBE_X_M[0] <= T[0, 3] <= CUBE_X_M[1]
        assert CUBE_Y_M[0] <= T[1, 3] <= CUBE_Y_M[1]
        assert T[2, 3] == pytest.approx(CUBE_SIDE_M / 2)
        assert not plant.is_done()
        yaws.append(np.arctan2(T[1, 0], T[0, 0]))
    assert np.ptp(yaws) > np.pi


def test_a_held_cube_does_not_creep_out_of_the_fingers(plant):
    put_cube(plant, plant.ee_pose()[:3, 3])
    plant.grip(0.0)
    for _ in range(400):
        plant.step()
    held = np.linalg.inv(plant.ee_pose()) @ plant.object_pose("cube")
    for _ in range(1000):
        plant.step()
    now = np.linalg.inv(plant.ee_pose()) @ plant.object_pose("cube")
    np.testing.assert_allclose(now[:3, 3], held[:3, 3], atol=0.001)


def test_a_cube_that_fell_off_the_table_is_lost_and_one_on_it_or_in_the_air_is_not(plant):
    plant.reset(0)
    assert not plant.is_lost()
    put_cube(plant, (1.2, 0.0, 0.3), steps=100)
    assert not plant.is_lost(), "beside the table, not yet below its top"
    for _ in range(400):
        plant.step()
    assert plant.is_lost() and not plant.is_done()
    plant.reset(0)
    assert not plant.is_lost()


def test_a_pole_is_lost_when_it_lies_and_not_when_it_was_nudged():
    plant = Plant(load_setup("go_around"))
    joint = plant.model.joint("pole")
    for tilt_rad, is_felled in ((0.15, False), (0.6, True)):  # it stands on its rim up to 0.35 rad
        plant.reset(0)
        q = joint.qposadr[0]
        plant.data.qpos[q + 2] += 0.01
        plant.data.qpos[q + 3 : q + 7] = [np.cos(tilt_rad / 2), 0.0, np.sin(tilt_rad / 2), 0.0]
        for _ in range(800):
            plant.step()
        assert plant.is_lost() is is_felled


@pytest.mark.parametrize("task", ["reach", "push", "pick_place", "peg_insert", "go_around", "draw_symbol"])
def test_no_scene_begins_lost(task):
    plant = Plant(load_setup(task))
    for seed in range(5):
        plant.reset(seed)
        assert not plant.is_lost()


@pytest.mark.parametrize("x", [*CUBE_X_M, BIN_XY_M[0]])
@pytest.mark.parametrize("y", [*CUBE_Y_M, BIN_XY_M[1]])
@pytest.mark.parametrize("z", [CUBE_SIDE_M / 2, 0.21])
def test_every_start_and_the_bin_are_in_reach_with_the_tool_straight_down(plant, x, y, z):
    robot, model = plant.robot, plant.model
    data, site = mujoco.MjData(model), model.site(robot.ee_frame).id
    q_adr = [model.joint(n).qposadr[0] for n in robot.joint_names]
    v_adr = [model.joint(n).dofadr[0] for n in robot.joint_names]
    q, down = np.array(robot.q_home_rad), np.diag([1.0, -1.0, -1.0])
    J = np.zeros((6, model.nv))
    for _ in range(200):  # damped least squares, clipped to the limits the controller keeps
        data.qpos[q_adr] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        R = data.site_xmat[site].reshape(3, 3)
        turn = sum(np.cross(R[:, k], down[:, k]) for k in range(3)) / 2
        error = np.concatenate([[x, y, z] - data.site_xpos[site], turn])
        mujoco.mj_jacSite(model, data, J[:3], J[3:], site)
        A = J[:, v_adr]
        q = q + A.T @ np.linalg.solve(A @ A.T + 1e-4 * np.eye(6), error)
        q = np.clip(q, robot.q_min_rad, robot.q_max_rad)
    assert np.abs(error).max() < 1e-4
