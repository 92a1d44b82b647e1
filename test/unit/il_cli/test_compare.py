"""Policies compared at the same scenes: blind order, the same scenes for all, and reproducible attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from il_cli.compare import Candidate, compare, distinct
from il_core.config import load_setup
from il_policy import checkpoint
from il_policy.config import Head, NetworkConfig, TrainConfig
from il_policy.policy import ChunkModel
from il_policy.serving.config import Handover, ServeConfig
from il_sim.randomise import Randomisation

TASK = "draw_symbol"  # no cameras: an attempt takes a tenth of a second
SEEDS, LIMIT_S = range(7, 10), 0.2


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two untrained policies that stay about where the arm is, one of them under two names."""
    setup, paths = load_setup(TASK), []
    for k, name in enumerate(("first", "second", "again")):
        config = TrainConfig("bc", Head.REGRESSION, NetworkConfig(width=16, depth=1))
        if name != "again":
            model = ChunkModel.for_setup(setup, config)
            model.action_norm.half_range.fill_((1.0 + k) * 1e-2)
        paths.append(checkpoint.save(tmp_path_factory.mktemp(name) / name, model, setup, config, "none", {}))
    return paths


@pytest.fixture(scope="module")
def setup():
    return load_setup(TASK)


def test_every_policy_meets_every_scene_once_and_who_tries_next_cannot_be_guessed(setup, checkpoints):
    made = []
    candidates = compare(setup, checkpoints[:2], SEEDS, LIMIT_S, made.append)
    assert [c.name for c in candidates] == ["first", "second"]
    for c in candidates:
        assert sorted(c.attempts) == list(SEEDS)
        assert [a.seed for a in c.in_order] == list(SEEDS)
        assert all(a.plans > 0 and len(a.path) for a in c.in_order)
        assert len(c.inference_ms) == sum(a.plans for a in c.in_order)
    order = [next(k for k, c in enumerate(candidates) if c.attempts[a.seed] is a) for a in made]
    assert [a.seed for a in made] != sorted(a.seed for a in made), "scenes come in random order"
    assert order not in ([0, 1] * 3, [1, 0] * 3, [0] * 3 + [1] * 3, [1] * 3 + [0] * 3)
    again = []
    compare(setup, checkpoints[:2], SEEDS, LIMIT_S, again.append)
    assert [a.seed for a in again] == [a.seed for a in made], "the order follows from the seeds"


def test_a_policy_under_two_names_does_the_same_twice_at_the_same_scenes(setup, checkpoints):
    _, one, same = checkpoints
    a, b = compare(setup, [one, same], SEEDS[:2], LIMIT_S)
    for seed in SEEDS[:2]:
        assert a.attempts[seed].path.tobytes() == b.attempts[seed].path.tobytes()
    assert a.attempts[7].path.tobytes() != a.attempts[8].path.tobytes(), "every scene begins elsewhere"


def test_ranges_of_randomisation_reach_what_the_policy_sees(tmp_path):
    seen = load_setup("reach")
    config = TrainConfig("bc", Head.REGRESSION, NetworkConfig(width=16, depth=1))
    torch.manual_seed(1)  # a network whose first targets are near enough for the gate to let them pass
    model = ChunkModel.for_setup(seen, config)
    path = checkpoint.save(tmp_path / "looks", model, seen, config, "none", {})

    def tried(ranges):
        return compare(seen, [path], [7], 0.5, randomise=ranges)[0].attempts[7].path

    plain = tried(None)
    assert plain.tobytes() == tried(Randomisation()).tobytes()
    assert plain.tobytes() != tried(Randomisation(camera_shift_mm=30.0)).tobytes()


@pytest.fixture(scope="module")
def noisy(setup, tmp_path_factory):
    """An untrained diffusion policy that stays about where the arm is."""
    config = TrainConfig("diffusion", Head.DIFFUSION, NetworkConfig(width=16, depth=1))
    model = ChunkModel.for_setup(setup, config)
    model.action_norm.half_range.fill_(1e-2)
    return checkpoint.save(tmp_path_factory.mktemp("noisy") / "noisy", model, setup, config, "none", {})


def path_of(setup, policy, **serving):
    limit_s = 0.7 + setup.task.n_execute / setup.task.rate_hz  # the second plan is in force for a while
    return compare(setup, [policy], [7], limit_s, serving=ServeConfig(**serving))[0].attempts[7].path.tobytes()


def test_a_deadline_takes_no_denoising_step_away_where_time_is_simulated(setup, noisy):
    assert path_of(setup, noisy, deadline_ms=1e-6, min_steps=1) == path_of(setup, noisy)


def test_how_plans_are_joined_is_as_the_settings_say(setup, noisy):
    assert path_of(setup, noisy, handover=Handover.NONE) != path_of(setup, noisy)


def test_policies_of_one_folder_name_are_called_by_their_whole_paths():
    assert distinct(["bc", "flow"], ["a/bc", "a/flow"]) == ["bc", "flow"]
    assert distinct(["bc", "bc"], ["a/bc", "b/bc"]) == ["a/bc", "b/bc"]


def test_the_time_of_a_plan_is_unknown_where_nobody_measured():
    assert Candidate("a").inference() is None
    assert Candidate("a", inference_ms=[10.0, 20.0, 30.0]).inference() == pytest.approx((20.0, 29.8))
    assert replace(Candidate("a"), inference_p50_p99=(5.0, 9.0)).inference() == (5.0, 9.0)
