"""`il eval` in one process, from the command to the report."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

from il_cli import rollouts
from il_cli.evaluate import evaluate
from il_cli.evaluate_figures import demonstrated
from il_cli.rollouts import Rollout, timed_path
from il_cli.sim import sim
from il_core import topics
from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.types import EePose, Outcome
from il_policy import checkpoint
from il_policy.config import Head, NetworkConfig, TrainConfig
from il_policy.policy import ChunkModel
from il_teleop.dataset import BuildOptions, build

TASK = "draw_symbol"


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """An untrained one that stays about where the arm is."""
    setup, config = load_setup(TASK), TrainConfig("bc", Head.REGRESSION, NetworkConfig(width=16, depth=1))
    model = ChunkModel.for_setup(setup, config)
    model.action_norm.half_range.fill_(1e-2)
    return checkpoint.save(tmp_path_factory.mktemp("policy") / "still", model, setup, config, "none", {})


def read(out):
    return json.loads((out / "report.json").read_text())


def test_one_process_gives_the_report_of_every_attempt(policy, tmp_path, capsys):
    evaluate([policy], task=TASK, episodes=2, seed=5, limit_s=0.3, in_process=True, out=tmp_path)
    report = read(tmp_path)
    assert [a["seed"] for a in report["attempts"]] == [5, 6]
    assert report["policies"][0]["name"] == "still"
    assert "randomise" not in report
    assert (tmp_path / "report.html").exists()
    said = capsys.readouterr().out
    assert "report.html" in said.replace("\n", ""), "a long path is wrapped"
    assert "0 of 2" in said, "kept beside the policy"


def test_two_policies_are_compared_in_one_process_and_scenes_may_be_varied(policy, tmp_path):
    evaluate([policy, policy], task=TASK, episodes=1, seed=5, limit_s=0.2, randomise=True, out=tmp_path)
    report = read(tmp_path)
    assert report["pairs"][0]["p"] == 1.0
    assert report["randomise"]["camera_shift_mm"] > 0
    assert "randomised" in report["how"]


@pytest.mark.parametrize("way", [{"arm": True}, {}])
def test_a_running_graph_cannot_be_varied(policy, tmp_path, way):
    with pytest.raises(ConfigError, match="--randomise"):
        evaluate([policy], task=TASK, randomise=True, out=tmp_path, **way)


def test_a_running_simulator_cannot_be_varied_either():
    with pytest.raises(ConfigError, match="--randomise: needs --record"):
        sim(randomise=True)


class Table:
    """A graph whose scene tells, a while after the policy was let go, that the task is lost, and after a reset not."""

    def __init__(self, lost_after_s):
        self.success, self.path, self.diagnostics, self.called = False, [], {"sim": {"lost": "False"}}, []
        self._lost_after_s = lost_after_s

    def set_parameter(self, *_):
        pass

    def trigger(self, name):
        self.called.append(name)

    def wait(self, condition, timeout_s, what, check):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, what
            time.sleep(0.01)
            self.diagnostics["sim"]["lost"] = "False"  # what is said comes after what was asked

    def set_bool(self, name, value, timeout_s=10.0):
        self.called.append((name, value))
        if value and self._lost_after_s is not None:
            threading.Timer(self._lost_after_s, self.diagnostics["sim"].update, [{"lost": "True"}]).start()


def test_a_rollout_ends_when_the_simulator_says_that_the_task_is_lost_and_the_next_begins_afresh():
    table = Table(lost_after_s=0.1)
    first, second = (rollouts.attempt(table, seed, 5.0, lambda: None) for seed in (1, 2))
    for made in (first, second):
        assert made.is_lost and not made.success
        assert 0.1 <= made.seconds < 2.0
    assert table.called[-2:] == [(topics.POLICY_ENABLE, False), topics.CONTROLLER_HOLD]
    late = rollouts.attempt(Table(lost_after_s=None), 3, 0.2, lambda: None)
    assert not late.is_lost
    assert late.seconds >= 0.2


def poses(stamps_ns):
    return [EePose(t, np.block([[np.eye(3), np.full((3, 1), 1e-9 * t)], [np.zeros(3), 1.0]])) for t in stamps_ns]


def test_tool_poses_of_a_rollout_become_a_path_at_the_ticks_whatever_their_jitter():
    stamps = [10_000_000 * k + 1_000_000 * (k % 3) for k in range(101)]
    t_s, path = timed_path(poses([*stamps[:50], stamps[20], *stamps[50:]]))
    assert len(t_s) == len(path) == 101, "what came late is left out"
    made = rollouts.candidate("a", [Rollout(3, True, 1.0, path, t_s, plans=4)], 10.0)
    assert made.attempts[3].plans == 4
    assert made.attempts[3].path[:, 0] == pytest.approx(np.arange(11) / 10, abs=1e-6)
    empty = rollouts.candidate("a", [Rollout(3, False, 1.0, *reversed(timed_path([])))], 10.0)
    assert empty.attempts[3].path.shape == (0, 3)


def test_demonstrations_are_the_successes_of_a_dataset_at_the_ticks_of_the_task(
    tiny_setup, demo_events, write_recording, tmp_path
):
    good = write_recording(tiny_setup, demo_events)
    bad = write_recording(tiny_setup, demo_events, Outcome.FAILURE, "demo_2")
    build([good, bad], tiny_setup, tmp_path / "data", BuildOptions(include=tuple(Outcome)))
    (path,) = demonstrated(tmp_path / "data", tiny_setup.task.rate_hz)
    (finer,) = demonstrated(tmp_path / "data", 2 * tiny_setup.task.rate_hz)
    assert np.allclose(np.diff(path[:, 0]), 0.01, atol=2e-3), "the tiny robot moves 0.1 m/s along x"
    assert len(finer) == 2 * len(path) - 1
    assert np.allclose(finer[::2], path)


def test_settings_of_serving_are_read_early_and_have_no_say_on_an_arm_that_runs_already(policy, tmp_path):
    with pytest.raises(ConfigError, match="serve"):
        evaluate([policy], task=TASK, in_process=True, config="nothing_of_this_name", out=tmp_path)
    with pytest.raises(ConfigError, match="--config.*il serve"):
        evaluate([policy], task=TASK, arm=True, config="fast", out=tmp_path)
