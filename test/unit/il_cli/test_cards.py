"""What `il eval` found stays with the policy: over ROS, in process and on the arm alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from il_cli.cards import about_to_try, keep_cards
from il_cli.compare import Candidate
from il_cli.evaluate_arm import report
from il_cli.rehearsal import Attempt
from il_cli.trials import Trial, TrialLog, Verdict
from il_core.errors import CheckpointError
from il_policy import files
from il_policy.card import FILE, described, read_card

OLD, NEW = "ab" * 32, "cd" * 32
ABOUT = {"task": "reach", "how": "over ROS, in real time"}


def policy(folder: Path, weights: str) -> Path:
    """A folder whose policy.json names these weights."""
    folder.mkdir(exist_ok=True)
    files.write_sealed(folder / "policy.json", {"weights_sha256": weights})
    return folder


def candidate(successes: int, attempts: int) -> Candidate:
    """A policy that succeeded so often, at scenes from 7 on."""
    tries = [Attempt(7 + k, k < successes, 1.0, np.zeros((2, 3)), 3) for k in range(attempts)]
    return Candidate("p", {a.seed: a for a in tries})


def test_every_policy_gets_its_own_result_and_lerobots_get_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, foreign = policy(tmp_path / "a", OLD), policy(tmp_path / "b", NEW), tmp_path / "lerobot"
    foreign.mkdir()
    (foreign / "config.json").write_text("{}")
    tried = about_to_try([first, foreign, second])
    keep_cards(tried, [candidate(3, 4), candidate(1, 1), candidate(0, 4)], ABOUT)
    for folder, weights, successes in ((first, OLD, 3), (second, NEW, 0)):
        (run,) = read_card(folder).runs
        assert (run.weights_sha256, run.successes, run.seeds) == (weights, successes, (7, 8, 9, 10))
        assert (run.task, run.how) == ("reach", "over ROS, in real time")
    assert not (foreign / FILE).exists()
    said = capsys.readouterr().out
    assert f"{first}: reach, over ROS, in real time: 3 of 4" in said and said.count("\n") == 2


def test_what_a_person_judged_on_an_arm_is_kept_with_the_weights_that_moved_it(tmp_path: Path) -> None:
    folders = [policy(tmp_path / "a", OLD), policy(tmp_path / "b", NEW)]
    named = [{"path": str(f), "weights_sha256": w} for f, w in zip(folders, (OLD, NEW), strict=True)]
    about = {"task": "reach", "scenes": 2, "seed": 1, "limit_s": 5.0, "policies": named}
    log = TrialLog(tmp_path / "trials.jsonl", about)
    line = tuple((0.1 * k, 0.0, 0.2) for k in range(4))
    for scene, first, second in ((0, Verdict.SUCCESS, Verdict.FAILURE), (1, Verdict.SUCCESS, Verdict.SKIP)):
        log.add(Trial(scene, 0, first, 1.0, 2, line))
        log.add(Trial(scene, 1, second, 1.0, 2, line))
    report(log, about, 10.0, tmp_path / "out")
    found = [(r.how, r.weights_sha256, r.successes, r.seeds) for f in folders for r in read_card(f).runs]
    how = "on the arm, judged blind by a person"
    assert found == [(how, OLD, 2, (0, 1)), (how, NEW, 0, (0,))], "what was skipped does not count"


def test_weights_that_changed_meanwhile_and_a_damaged_card_are_said_and_do_not_end_the_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, damaged = policy(tmp_path / "a", OLD), policy(tmp_path / "b", OLD)
    tried = about_to_try([changed, damaged])
    policy(changed, NEW)
    (damaged / FILE).write_text("{")
    keep_cards(tried, [candidate(3, 4), candidate(3, 4)], ABOUT)
    said = capsys.readouterr().err
    assert "was trained again meanwhile" in said and "delete it and run `il eval` again" in said
    assert read_card(changed).runs == ()
    with pytest.raises(CheckpointError, match="not valid JSON"):
        described(damaged)
