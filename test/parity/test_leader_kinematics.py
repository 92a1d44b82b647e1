"""The leader's forward kinematics in numpy against Pinocchio's, on every arm there is."""

import numpy as np
import pytest

from il_control.model import ArmModel
from il_core.config import config_dir, load_setup
from il_teleop.kinematics import chain_of


@pytest.mark.parametrize("robot", sorted(p.stem for p in (config_dir() / "robot").glob("*.yaml")))
def test_both_say_the_tool_is_at_the_same_place(robot, rng):
    setup = load_setup("pick_place" if robot == "fr3" else "draw_symbol", robot)
    chain, model = chain_of(setup), ArmModel(setup)
    for _ in range(20):
        q = rng.uniform(setup.robot.q_min_rad, setup.robot.q_max_rad)
        model.update(q, np.zeros(len(q)))
        np.testing.assert_allclose(chain.pose(q), model.T_base_ee, atol=1e-9)
