"""Half the control rate is enough to hold and to follow: the fallback for slow machines."""

from dataclasses import replace

import numpy as np

from il_control.config import load_control_config
from il_control.cycle import make_cycle
from il_core.config import load_setup
from il_core.geometry import pose
from il_core.types import ActionChunk
from il_sim.plant import Plant


def test_at_500_hz_the_arm_follows_a_line_and_then_rests():
    setup = load_setup("pick_place")
    plant = Plant(setup, 0, start_ns=1_000_000_000)
    cycle = make_cycle(setup, replace(load_control_config(setup), rate_hz=500))
    errors, speeds = [], []
    for k in range(2000):
        state = plant.read()
        report = cycle.step(state, plant.now_ns)
        plant.write(report.setpoint)
        for _ in range(2):
            plant.step()
        if k == 100:
            T = report.T_base_ee
            rows = np.stack([T @ pose([0.0, 0.002 * i, 0.002 * i]) for i in range(51)])
            now_ns = plant.now_ns
            cycle.offer_chunk(
                ActionChunk(start_ns=now_ns + 10_000_000, dt_ns=40_000_000, obs_ns=now_ns, T_base_ee_des=rows)
            )
        errors.append(np.linalg.norm(report.T_base_ee[:3, 3] - report.T_base_ee_des[:3, 3]))
        speeds.append(np.abs(state.v).max())
    assert np.linalg.norm(report.T_base_ee[:3, 3] - rows[-1][:3, 3]) < 1e-3
    assert max(errors) < 0.01
    assert max(speeds[-200:]) < 1e-3
