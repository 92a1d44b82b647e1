"""Touch: pushes are noticed soon, errors of the model are not, and both end in the right way."""

from dataclasses import replace

import numpy as np
import pytest

from il_control.laws.joint_impedance import joint_impedance
from il_control.touch import TouchConfig, TouchDetector
from il_core.errors import ConfigError
from il_sim.plant import Plant

DT = 1e-3
CONFIG = TouchConfig(threshold_nm=(3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0))
STIFFNESS = np.array([300.0, 300.0, 300.0, 300.0, 80.0, 80.0, 80.0])


class Rig:
    """The arm in empty space, swinging or at rest; its masses may differ from the model's."""

    def __init__(self, setup, model, config=CONFIG, masses=None):
        self.plant, self.model = Plant(setup), model
        self.plant.model.geom_contype[:] = self.plant.model.geom_conaffinity[:] = 0
        self.plant.scale_masses(masses or {})
        self.detector = TouchDetector(model, config)
        self.home, self.k, self.levels = self.plant.read().q, 0, []

    def run(self, steps, swing_rad=0.0, rate=3.0):
        """Touches noticed, each with the number of steps until then."""
        touches = []
        for k in range(steps):
            state = self.plant.read()
            self.model.update(state.q, state.v)
            touch = self.detector.update(state.q, state.v, state.tau, self.model.J_ee_aligned, DT)
            if touch is not None:
                touches.append((k, touch))
            self.levels.append(self.detector.level)
            q_des = self.home + swing_rad * np.sin(rate * self.k * DT + np.arange(7)) * min(1.0, self.k * DT)
            tau = joint_impedance(state.q, state.v, q_des, 0 * q_des, STIFFNESS, 0.1 * STIFFNESS, self.model.bias)
            self.plant.apply(tau)
            self.plant.step()
            self.k += 1
        return touches


def wrong(plant_links, rng):
    return dict(zip(plant_links, rng.uniform(0.9, 1.1, len(plant_links)), strict=True))


@pytest.fixture(scope="module")
def links(setup):
    return Plant(setup).link_names


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_a_push_is_noticed_within_20_ms_and_named(setup, model, links, factor):
    rig = Rig(setup, model, masses=dict.fromkeys(links, factor))
    assert rig.run(2000, swing_rad=0.3) == []
    rig.plant.push([0.0, 20.0, 0.0])
    ((delay, touch),) = rig.run(100, swing_rad=0.3)
    assert delay <= 20
    assert touch.level > 1.0
    torque = model.J_ee_aligned[1] * 20.0
    assert np.abs(torque / CONFIG.threshold_nm)[touch.joint] > 0.5 * np.abs(torque / CONFIG.threshold_nm).max()
    assert touch.cause.startswith("touched: ")
    assert f"in joint {touch.joint + 1}" in touch.cause


def test_a_model_ten_percent_wrong_is_no_touch_from_the_first_cycle_on(setup, model, links, rng):
    """Whatever the errors, as long as they keep to what was declared: fast motion, every link wrong."""
    for masses in (dict.fromkeys(links, 0.9), dict.fromkeys(links, 1.1), wrong(links, rng)):
        rig = Rig(setup, model, masses=masses)
        assert rig.run(2500, swing_rad=0.4, rate=4.0) == []
        assert max(rig.levels) < 1.0


def test_without_the_margin_the_same_error_is_taken_for_a_touch(setup, model, links):
    """The claim above can fail: it is the margin that carries it."""
    exact = replace(CONFIG, mass_error_share=0.0)
    rig = Rig(setup, model, exact, dict.fromkeys(links, 1.1))
    assert rig.run(2500, swing_rad=0.4, rate=4.0)  # the very motion of the claim above


def test_masses_are_learnt_and_the_residual_of_gravity_vanishes(setup, model, links):
    rig = Rig(setup, model, masses=dict.fromkeys(links, 1.1))
    rig.run(100)
    before = np.abs(rig.detector.observer.tau_ext).max()
    rig.run(3000, swing_rad=0.4)
    rig.run(500)
    assert before > 2.0
    assert np.abs(rig.detector.tau_ext).max() < 0.3
    assert rig.detector.mass_errors[3:6] == pytest.approx([0.1] * 3, abs=0.03)


def test_a_touch_is_reported_once_and_ends_after_the_push(setup, model):
    rig = Rig(setup, model)
    rig.run(500)
    rig.plant.push([0.0, 20.0, 0.0])
    assert len(rig.run(1000)) == 1
    assert rig.detector.is_touched
    rig.plant.push(np.zeros(3))
    assert rig.run(150) == []
    assert rig.detector.is_touched  # not yet: the release has its time too
    rig.run(400)
    assert not rig.detector.is_touched
    rig.plant.push([0.0, 20.0, 0.0])
    assert len(rig.run(200)) == 1


def test_nothing_is_learnt_from_a_touch(setup, model):
    rig = Rig(setup, model)
    rig.run(500)
    rig.plant.push([0.0, 20.0, -15.0])
    rig.run(20)
    learnt = rig.detector.mass_errors.copy()
    rig.run(1500)
    np.testing.assert_array_equal(rig.detector.mass_errors, learnt)


def test_a_lean_is_learnt_as_weight_only_as_far_as_masses_may_be_wrong(setup, model):
    rig = Rig(setup, model)
    touches = []
    for newton in np.linspace(0.0, 60.0, 120):  # 6 s
        rig.plant.push([0.0, 0.0, -newton])
        touches += rig.run(50)
    assert len(touches) == 1
    assert np.abs(rig.detector.mass_errors).max() <= CONFIG.mass_error_share


def test_one_bad_reading_of_a_velocity_is_no_touch(setup, model):
    rig = Rig(setup, model)
    rig.run(500)
    state = rig.plant.read()
    bad = state.v + np.array([0.03, 0.03, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert rig.detector.update(state.q, bad, state.tau, model.J_ee_aligned, DT) is None
    assert rig.detector.level > 1.0
    rig.plant.step()
    assert rig.run(300) == []


def test_a_push_on_the_elbow_is_noticed(setup, model):
    rig = Rig(setup, model)
    rig.run(1000)
    rig.plant.push([0.0, 25.0, 0.0], link="fr3_link4")
    ((delay, touch),) = rig.run(100)
    assert delay <= 20
    assert touch.joint < 4  # joints further out cannot feel it


def test_a_gap_in_time_starts_anew_and_keeps_what_was_learnt(setup, model, links):
    rig = Rig(setup, model, masses=dict.fromkeys(links, 1.1))
    rig.run(1500, swing_rad=0.3)
    learnt, state = rig.detector.mass_errors.copy(), rig.plant.read()
    assert rig.detector.update(state.q, state.v + 1.0, state.tau, model.J_ee_aligned, 5.0) is None
    assert rig.detector.level == 0.0
    np.testing.assert_array_equal(rig.detector.mass_errors, learnt)
    rig.detector.reset()
    assert not rig.detector.mass_errors.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold_nm": (1.0, 0.0)}, "threshold_nm must be positive in every joint"),
        ({"threshold_nm": ()}, "threshold_nm must be positive in every joint"),
        ({"mass_error_share": 1.0}, r"mass_error_share must lie in \[0, 1\), got 1.0"),
        ({"learning_period_ms": 0.0}, "learning_period_ms must be positive, got 0.0"),
        ({"observer_gain_per_s": -1.0}, "observer_gain_per_s must be positive, got -1.0"),
        ({"hold_ms": -1.0}, "hold_ms must not be negative, got -1.0"),
        ({"release_level": 0.0}, r"release_level must lie in \(0, 1\], got 0.0"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)


def test_thresholds_are_one_per_joint(model):
    with pytest.raises(ConfigError, match="threshold_nm has 2 values for 7 joints"):
        TouchDetector(model, TouchConfig(threshold_nm=(1.0, 1.0)))
