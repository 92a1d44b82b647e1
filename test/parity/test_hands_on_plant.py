"""A person takes the arm by the hand: noticed, followed, let go and driven on, on physics of another engine."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from il_control.arbiter import Source
from il_control.config import load_control_config
from il_control.cycle import make_cycle
from il_control.laws.hand_guiding import GuidingMode
from il_control.safety import Reason
from il_control.touch import TouchConfig
from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.geometry import pose
from il_core.types import ActionChunk, ArmCommand
from il_sim.plant import STEP_NS, Plant

sys.path.insert(0, str(Path(__file__).parent))
from plant_rig import PlantRig  # noqa: E402

MS = 1_000_000
TOUCH = TouchConfig((3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0))


class Rig(PlantRig):
    """Plant and cycle, a millisecond a step."""

    def __init__(self, **changes):
        self.setup = load_setup("pick_place")
        config = load_control_config(self.setup)
        safety = replace(config.safety, contact_force_max_n=changes.pop("contact_force_max_n", None))
        self.config = replace(config, touch=TOUCH, safety=safety, **changes)
        self.plant, self.cycle = Plant(self.setup, start_ns=5_000_000_000), make_cycle(self.setup, self.config)
        self.reports = []
        self.run(500)

    def offer_plan(self, *offset):
        now_ns, T = self.plant.now_ns, self.last.T_base_ee
        rows = np.stack([T, pose(T[:3, 3] + np.array(offset), T[:3, :3])])
        plan = ActionChunk(start_ns=now_ns + STEP_NS, dt_ns=4000 * MS, obs_ns=now_ns, T_base_ee_des=rows)
        assert self.cycle.offer_chunk(plan)


def test_a_push_takes_the_arm_from_the_policy_and_leads_it_until_it_is_asked_back():
    rig = Rig()
    assert rig.cycle.watch_touch(True) == ""
    rig.offer_plan(0.0, 0.2, 0.0)
    assert {r.source for r in rig.run(1000)[2:]} == {Source.PLAN}
    rig.plant.push([0.0, 0.0, 20.0])
    pushed = rig.run(400)
    noticed_ms = next(k for k, r in enumerate(pushed) if r.source is Source.GUIDING)
    assert noticed_ms <= 20
    assert rig.last.change.cause.startswith("touched: ")
    rose_m = rig.last.T_base_ee[2, 3] - pushed[0].T_base_ee[2, 3]
    assert rose_m > 0.02, "it goes with the hand"
    rig.plant.push([0.0, 0.0, 0.0])
    rig.run(600)
    left = rig.last.T_base_ee
    assert rig.cycle.release(Source.GUIDING, "let go")
    held = rig.run(400)
    assert held[-1].source is Source.HOLD
    np.testing.assert_allclose(rig.last.T_base_ee[:3, 3], left[:3, 3], atol=0.005)
    assert rig.cycle.request(Source.PLAN, "asked back") == ""
    assert rig.run(5)[-1].source is Source.PLAN


def test_every_change_of_law_is_bump_free():
    rig = Rig()
    rig.offer_plan(0.0, 0.15, 0.05)
    rig.run(700)
    first = len(rig.reports)
    rig.cycle.request(Source.GUIDING, "test")
    rig.run(300)
    rig.cycle.set_guiding(GuidingMode.PLANE)
    rig.run(300)
    rig.cycle.release(Source.GUIDING, "test")
    rig.run(300)
    taus = np.array([r.setpoint.tau for r in rig.reports[first - 1 :]])
    assert np.abs(np.diff(taus, axis=0)).max() < 0.5  # half of what the torque-rate limit allows in a cycle
    assert not any(Reason.TORQUE_RATE in r.reasons for r in rig.reports[first:])


def test_without_takeover_a_push_is_resisted():
    rig = Rig()
    before = rig.last.T_base_ee[:3, 3].copy()
    rig.plant.push([0.0, 20.0, 0.0])
    assert {r.source for r in rig.run(1500)} == {Source.HOLD}
    way = rig.last.T_base_ee[:3, 3] - before
    assert way[1] == pytest.approx(20.0 / rig.config.stiffness_n_m[1], rel=0.1)


def test_a_contact_force_over_the_written_limit_stops_the_arm():
    rig = Rig(contact_force_max_n=30.0)
    rig.plant.push([0.0, 25.0, 0.0])
    assert not any(Reason.CONTACT_FORCE in r.reasons for r in rig.run(500))
    rig.plant.push([0.0, 50.0, 0.0])
    assert any(Reason.CONTACT_FORCE in r.reasons for r in rig.run(200))


def test_hand_guiding_is_refused_until_somebody_wrote_the_contact_force_down():
    setup = load_setup("pick_place")
    cycle = make_cycle(setup)
    with pytest.raises(ConfigError, match="contact_force_max_n"):
        cycle.request(Source.GUIDING, "test")
    with pytest.raises(ConfigError, match="contact_force_max_n"):
        cycle.watch_touch(True)


def test_stiffness_set_at_run_time_is_what_a_push_feels():
    rig = Rig()
    for k in (300.0, 1200.0):
        rig.cycle.set_stiffness(np.array([k, k, k, 30.0, 30.0, 30.0]))
        rig.run(1500)
        before = rig.last.T_base_ee[:3, 3].copy()
        np.testing.assert_allclose(rig.last.k_p[:3], k)
        rig.plant.push([0.0, 10.0, 0.0])
        rig.run(1500)
        assert (rig.last.T_base_ee[:3, 3] - before)[1] == pytest.approx(10.0 / k, rel=0.1)
        rig.plant.push([0.0, 0.0, 0.0])
        rig.run(1500)


def test_a_first_target_far_away_is_not_followed():
    rig = Rig()
    T = rig.last.T_base_ee
    rig.cycle.offer_command(ArmCommand(rig.plant.now_ns, pose(T[:3, 3] + [0.0, 0.5, 0.0], T[:3, :3]), 1.0))
    reports = rig.run(100)
    assert Reason.TARGET_JUMP in reports[0].reasons
    assert {r.source for r in reports} == {Source.HOLD}
    np.testing.assert_allclose(rig.last.T_base_ee, T, atol=2e-3)
