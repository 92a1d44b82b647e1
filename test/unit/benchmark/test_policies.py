"""What bench-policies keeps, and how it judges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark.policies import delay, drawing, keep, recipes, trial
from il_core.config import load_setup
from il_core.types import ActionChunk


def keeper(tmp_path: Path) -> keep.Keeper:
    return keep.Keeper(tmp_path / "work", tmp_path / "results")


def test_a_result_is_taken_once_and_says_where_it_comes_from(tmp_path: Path) -> None:
    taken = []

    def measure() -> dict[str, int]:
        taken.append(1)
        return {"successes": 7}

    first = keeper(tmp_path).measured("reach_bc", {"scenes": 10}, measure)
    assert keeper(tmp_path).measured("reach_bc", {"scenes": 10}, measure) == first == {"successes": 7}
    assert len(taken) == 1
    about = json.loads((tmp_path / "results" / "reach_bc.json").read_text())
    assert about["settings"] == {"scenes": 10}
    assert {"commit", "processor", "date"} <= set(about["machine"])


def test_other_settings_or_a_forgotten_result_are_measured_again(tmp_path: Path) -> None:
    keeper(tmp_path).measured("a", {"scenes": 10}, lambda: {"n": 1})
    assert keeper(tmp_path).measured("a", {"scenes": 20}, lambda: {"n": 2}) == {"n": 2}
    keeper(tmp_path).forget()
    assert keeper(tmp_path).measured("a", {"scenes": 20}, lambda: {"n": 3}) == {"n": 3}


def test_a_journal_that_was_cut_short_goes_on_with_the_next_attempt(tmp_path: Path) -> None:
    journal = keep.Journal(tmp_path / "attempts.jsonl")
    for seed in range(3):
        journal.add({"seed": seed})
    text = (tmp_path / "attempts.jsonl").read_text()
    (tmp_path / "attempts.jsonl").write_text(text[:-4])
    again = keep.Journal(tmp_path / "attempts.jsonl")
    assert [line["seed"] for line in again.lines] == [0, 1]
    again.add({"seed": 2})
    assert len(keep.Journal(tmp_path / "attempts.jsonl").lines) == 3


def test_nothing_begins_while_the_machine_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "pause"
    flag.touch()
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        flag.unlink()

    monkeypatch.setenv(keep.PAUSE, str(flag))
    monkeypatch.setattr(keep.time, "sleep", sleep)
    keep.wait_while_paused()
    assert waited == [2.0]


def test_attempts_are_summed_up_by_scene() -> None:
    lines = [{"seed": k, "success": k != 3, "seconds": 2.0, "plan_ms": [1.0, 3.0]} for k in range(5)]
    found = trial.summary(lines)
    assert (found["successes"], found["attempts"], found["failed_seeds"]) == (4, 5, [3])
    assert found["plan_ms_p50"] == pytest.approx(2.0)
    assert found["wilson95"][0] < 0.8 < found["wilson95"][1]


def test_a_training_counts_steps_so_that_a_busy_machine_changes_nothing() -> None:
    for recipe in (*recipes.POLICIES, recipes.ONE_STEP):
        config = recipe.train_config()
        assert config.max_seconds == 0 and config.threads == 1


def test_single_step_cloning_executes_one_row_and_is_another_task() -> None:
    setup = recipes.BC_STEP.setup("reach")
    assert (setup.task.horizon, setup.task.n_execute) == (2, 1)
    assert setup.digest != load_setup("reach").digest


def test_a_synchronous_plan_is_executed_after_the_wait() -> None:
    T = np.tile(np.eye(4), (6, 1, 1))
    T[:, 0, 3] = np.arange(6)
    chunk = ActionChunk(1_100, 100, 1_000, T_base_ee_des=T)
    late = delay.shifted(chunk, rows=3, ticks=2)
    assert (late.start_ns, late.obs_ns, late.horizon) == (1_300, 1_000, 3)
    np.testing.assert_array_equal(late.at(1_500), chunk.at(1_300))


def test_plans_as_old_as_the_delay_are_taken() -> None:
    setup = load_setup("pick_place")
    assert delay.patient(setup, 8).max_plan_age_ms > 800.0
    assert delay.patient(setup, 0).max_plan_age_ms == 500.0


def test_a_pen_rests_only_after_it_moved() -> None:
    still = [np.zeros(3)] * 60
    moved = [np.array([0.001 * k, 0.0, 0.0]) for k in range(60)]
    assert not drawing.rests(still, 10)
    assert not drawing.rests(moved, 10)
    assert drawing.rests(moved + [moved[-1]] * 25, 10)


def test_a_pen_that_is_put_down_and_left_there_has_drawn_nothing() -> None:
    """The scene of the drawing, on the simulated arm, for a recipe with chunks of its own."""
    path = np.array([[0.5, 0.02 * k, 0.0] for k in range(10)])
    model = drawing.Model(path[0], path, rms_mm=5.0, max_mm=10.0)
    rehearsal = drawing.DrawRehearsal(recipes.BC_STEP.setup(drawing.TASK), 0, model)

    def stay(window) -> ActionChunk:  # noqa: ANN001
        T = window[-1].T_base_ee
        task = rehearsal._setup.task
        return ActionChunk(window[-1].tick_ns, task.dt_ns, window[-1].tick_ns, T_base_ee_des=np.array([T, T]))

    attempt = rehearsal.attempt(stay, 7, 0.5)
    assert not attempt.success
    assert attempt.plans > 0
    assert np.linalg.norm(attempt.path[-1][:2] - path[0][:2]) < 3 * drawing.OFF_M
    assert rehearsal.judged[0][1] > model.max_mm


def test_a_training_is_known_by_what_differs_from_the_defaults() -> None:
    found = trial.unusual(recipes.RNN_GMM.train_config())
    assert (found["policy"], found["head"], found["steps"]) == ("rnn_gmm", "gmm", 1500)
    assert found["network"] == {"kind": "rnn", "width": 128, "depth": 2}
    assert "learning_rate" not in found, "it is the default"
    assert "flow" not in found
