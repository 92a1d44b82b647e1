"""The limits of the URDF, of the simulated arm and of the safety gate: no copy is wider than the one it is from."""

from __future__ import annotations

import numpy as np
import pytest

from il_control.config import load_control_config
from il_control.describe.tree import Tree
from il_control.limits import JointLimits
from il_core.config import load_setup
from il_sim.scene import build_model
from il_sim.tasks import make_task


@pytest.mark.parametrize("task", ["pick_place", "draw_symbol"])
def test_simulator_and_gate_keep_the_limits_of_the_urdf(task):
    setup = load_setup(task)
    joints = [Tree(setup.urdf_path).joints[name] for name in setup.robot.joint_names]
    lower, upper = np.array([[j.lower, j.upper] for j in joints]).T
    effort, velocity = np.array([[j.effort, j.velocity] for j in joints]).T
    model = build_model(setup, make_task(setup.task.name))
    simulated = np.array([model.joint(j.name).range for j in joints])
    np.testing.assert_allclose(simulated, np.stack([lower, upper], axis=1), atol=1e-9)
    assert all(model.joint(j.name).limited for j in joints)
    torques = np.array([model.actuator(j.name).ctrlrange for j in joints])
    assert (torques[:, 1] <= effort).all() and (torques[:, 0] >= -effort).all()
    gate = JointLimits(setup.robot, load_control_config(setup))
    assert (gate.q_min >= lower).all() and (gate.q_max <= upper).all()
    assert (gate.v_max <= velocity).all() and (gate.tau_max <= effort).all()
