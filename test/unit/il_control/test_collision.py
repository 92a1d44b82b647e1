"""Distances of the arm to itself and to what stands around it, checked against geometry and differences."""

from dataclasses import replace

import numpy as np
import pytest

from il_control.collision import CollisionMonitor
from il_control.reasons import Reason
from il_control.safety_config import Obstacle, ObstacleKind, SafetyConfig
from il_core.errors import ConfigError

TABLE = Obstacle("table", ObstacleKind.HALF_SPACE, (0.0, 0.0, 0.0), except_links=("fr3_link1",))
LOW = np.array([0.0, 0.5, 0.0, -2.2, 0.0, 2.7, 0.785])  # upright, the finger tips 48 mm above the table
STILL = np.zeros(7)
HAND_TO_TCP_M = 0.1034 - 0.0584 - 0.045  # finger boxes end at the tool point


def monitor(setup, *obstacles, **values):
    return CollisionMonitor(setup, SafetyConfig(check_collisions=True, obstacles=obstacles, **values))


@pytest.fixture
def home(setup):
    return np.array(setup.robot.q_home_rad)


def test_home_is_far_from_everything(setup, home):
    nearest = monitor(setup, TABLE).distance(home)
    assert nearest.distance_m > 0.2


def test_the_distance_to_the_table_is_the_height_of_the_lowest_point(setup, model, home):
    m = monitor(setup, TABLE)
    q = LOW.copy()  # the tool a few centimetres above the table, upright
    model.update(q, np.zeros(7))
    tilt = np.arccos(-model.T_base_ee[2, 2])
    assert tilt < 0.01
    nearest = m.distance(q)
    assert nearest.second == "table"
    assert nearest.first.endswith("finger")
    assert nearest.distance_m == pytest.approx(model.T_base_ee[2, 3] - HAND_TO_TCP_M, abs=1e-3)
    assert nearest.p_second[2] == pytest.approx(0.0, abs=1e-9)


def test_the_gradient_is_the_derivative_of_the_distance(setup, random_q):
    box = Obstacle("box", ObstacleKind.BOX, (0.45, 0.1, 0.35), size_m=(0.1, 0.2, 0.3), quat_xyzw=(0.0, 0.0, 0.6, 0.8))
    m = monitor(setup, TABLE, box)
    seen, checked = set(), 0
    for _ in range(60):
        q = random_q()
        pair = m.distance(q)
        if pair.distance_m < 0.005:  # inside each other the direction is a guess
            continue
        numeric = []
        for step in 1e-5 * np.eye(7):
            a, b = m.distance(q + step), m.distance(q - step)
            numeric.append((a.distance_m - b.distance_m) / 2e-5)
        if {a.first, a.second} == {pair.first, pair.second}:
            # Where the nearest point changes from edge to edge there is no derivative: a few of them are excused.
            checked += bool(np.allclose(numeric, pair.gradient, atol=2e-3))
            seen.add((pair.first, pair.second))
    assert checked >= 30
    assert {"table", "box"} <= {second for _, second in seen}


def test_the_srdf_says_which_pairs_are_not_checked(setup, tmp_path):
    path = tmp_path / "none.srdf"
    path.write_text('<?xml version="1.0"?>\n<robot name="fr3"/>')
    assert monitor(replace(setup, srdf_path=path)).pairs > monitor(setup).pairs


def test_links_that_may_touch_an_obstacle_are_not_checked_against_it(setup, home):
    deep = Obstacle("floor", ObstacleKind.HALF_SPACE, (0.0, 0.0, 0.05))
    assert monitor(setup, deep).distance(home).distance_m < 0
    assert monitor(setup, replace(deep, except_links=("fr3_link1",))).distance(home).distance_m > 0.2


def test_the_gripper_counts_as_open(setup, home):
    """Beside the open fingers a thin wall is near, closed ones would leave 4 cm more."""
    m = monitor(setup)
    shapes = m._shapes.geometryObjects
    left = next(o for o in shapes if o.name == "fr3_leftfinger_0")
    right = next(o for o in shapes if o.name == "fr3_rightfinger_0")
    gap = np.linalg.norm(left.placement.translation - right.placement.translation)
    assert gap == pytest.approx(2 * (setup.robot.gripper_open_m + 0.004), abs=1e-6)


def test_what_is_near_slows_the_approach_and_what_is_far_does_nothing(setup, home):
    m = monitor(setup, TABLE, slow_distance_m=0.05, stop_distance_m=0.01)
    assert m.watch(home, STILL) == []
    low = LOW.copy()
    down = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    for _ in range(200):
        nearest = m.distance(low)
        if nearest.distance_m < 0.03:
            break
        low = low + 0.003 * down
    for _ in range(10):  # the period of the evaluation
        borders = m.watch(low, STILL)
    assert borders
    assert all(b.reason is Reason.COLLISION_NEAR for b in borders)
    assert all(0.0 < b.speed_max < 0.2 for b in borders)
    assert all(b.gradient @ down < 0.0 for b in borders)


def test_between_evaluations_the_distance_follows_the_joints(setup, home):
    m = monitor(setup, TABLE, slow_distance_m=0.05, stop_distance_m=0.01)
    low = LOW.copy()
    while m.distance(low).distance_m > 0.035:
        low = low + [0.0, 0.001, 0.0, 0.0, 0.0, 0.0, 0.0]
    first = m.watch(low, STILL)[0].speed_max
    step = np.array([0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0])
    exact = monitor(setup, TABLE, slow_distance_m=0.05, stop_distance_m=0.01).watch(low + step, STILL)[0].speed_max
    assert m.watch(low + step, STILL)[0].speed_max == pytest.approx(exact, abs=0.02 * (first - exact) + 1e-4)
    assert exact < first


def test_an_arm_found_too_near_is_not_pushed_and_gets_back_nothing_it_left(setup, home):
    """The stop distance follows the arm out, and never in."""
    lifted = replace(TABLE, p_base_m=(0.0, 0.0, 0.0))
    m = monitor(setup, lifted, slow_distance_m=0.05, stop_distance_m=0.03)
    low = LOW.copy()
    step = np.array([0.0, 0.001, 0.0, 0.0, 0.0, 0.0, 0.0])
    while m.distance(low).distance_m > 0.010:
        low = low + step

    def allowed(q):
        for _ in range(10):
            borders = m.watch(q, STILL)
        return min(b.speed_max for b in borders)

    assert m.watch(low, STILL)[0].speed_max == pytest.approx(0.0, abs=1e-9)  # found here: stays
    out = low.copy()
    while m.distance(out).distance_m < 0.020:
        out = out - step
    assert allowed(out) == pytest.approx(0.0, abs=1e-9)
    assert allowed(low) < -0.05  # back in: asked to leave
    m.reset()
    assert allowed(low) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "obstacle, words",
    [
        (replace(TABLE, except_links=("fr3_link9",)), "'table'.*names 'fr3_link9', which has no shape; did you mean"),
    ],
)
def test_an_obstacle_that_names_what_is_not_there_is_refused(setup, obstacle, words):
    with pytest.raises(ConfigError, match=words):
        monitor(setup, obstacle)


def test_shapes_that_are_none_are_refused():
    with pytest.raises(ValueError, match="a box needs 3 positive values in size_m"):
        Obstacle("bin", ObstacleKind.BOX, (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="normal must not be zero"):
        Obstacle("wall", ObstacleKind.HALF_SPACE, (0.0, 0.0, 0.0), normal=(0.0, 0.0, 0.0))


def test_a_missing_srdf_is_named(setup, tmp_path):
    with pytest.raises(ConfigError, match="nothing.srdf: no such file; it lists the pairs of links not to check"):
        monitor(replace(setup, srdf_path=tmp_path / "nothing.srdf"))
