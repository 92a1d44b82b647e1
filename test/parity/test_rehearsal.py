"""A planner at work in simulated time: what it sees, when its plans arrive, and what is counted as success."""

import numpy as np
import pytest

from il_cli.rehearsal import PICTURE_AGE_NS, Rehearsal
from il_core.config import load_setup
from il_core.geometry import pose
from il_core.types import ActionChunk
from il_sim.plant import Plant

MS = 1_000_000


@pytest.fixture(scope="module")
def setup():
    return load_setup("reach")


@pytest.fixture(scope="module")
def rehearsal(setup):
    with Rehearsal(setup) as rehearsal:
        yield rehearsal


def straight_to(goal, dt_ns, seen):
    """A planner that knows where to go."""

    def plan(window):
        now = window[-1]
        seen.append(now)
        start = now.T_base_ee
        rows = [pose(start[:3, 3] + min(1.0, 0.02 * k / 0.3) * (goal - start[:3, 3]), start[:3, :3]) for k in range(16)]
        return ActionChunk(now.tick_ns + dt_ns, dt_ns, now.tick_ns, T_base_ee_des=np.array(rows))

    return plan


def test_a_planner_that_knows_the_way_succeeds_and_one_that_stays_does_not(setup, rehearsal):
    goal, dt_ns, seen = Plant(setup, 7).object_pose("ball")[:3, 3], setup.task.dt_ns, []
    attempt = rehearsal.attempt(straight_to(goal, dt_ns, seen), 7, 8.0)
    assert attempt.success
    assert attempt.seconds < 8.0
    assert np.linalg.norm(attempt.path[-1] - goal) < 0.015
    assert attempt.plans == len(seen)
    for observation in seen:
        assert PICTURE_AGE_NS <= observation.age_ns["camera/front"] <= PICTURE_AGE_NS + MS
        assert 0 <= observation.age_ns["ee_pose"] < 10 * MS

    def stay(window):
        now = window[-1]
        return ActionChunk(now.tick_ns + dt_ns, dt_ns, now.tick_ns, T_base_ee_des=np.array([now.T_base_ee] * 16))

    idle = rehearsal.attempt(stay, 7, 1.0)
    assert not idle.success
    assert idle.seconds == pytest.approx(1.0, abs=0.01)


def test_an_attempt_whose_object_fell_off_the_table_ends_as_lost():
    setup = load_setup("pick_place")
    dt_ns, seen = setup.task.dt_ns, []
    with Rehearsal(setup) as rehearsal:
        data, q = rehearsal.plant.data, rehearsal.plant.model.joint("cube").qposadr[0]

        def stay_and_drop(window):
            if seen:
                data.qpos[q : q + 3] = [1.2, 0.0, -0.02]  # beside the table, falling
            now = window[-1]
            seen.append(now)
            return ActionChunk(now.tick_ns + dt_ns, dt_ns, now.tick_ns, T_base_ee_des=np.array([now.T_base_ee] * 16))

        attempt = rehearsal.attempt(stay_and_drop, 7, 8.0)
    assert attempt.is_lost and not attempt.success
    assert attempt.plans == 2
    assert (seen[1].tick_ns - seen[0].tick_ns) * 1e-9 < attempt.seconds < 4.0, "soon after it fell, not at the limit"


def test_the_same_seed_and_planner_give_the_same_path(setup, rehearsal):
    goal, dt_ns = Plant(setup, 3).object_pose("ball")[:3, 3], setup.task.dt_ns
    first, second = (rehearsal.attempt(straight_to(goal, dt_ns, []), 3, 1.5) for _ in range(2))
    assert np.array_equal(first.path, second.path)
