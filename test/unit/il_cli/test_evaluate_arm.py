"""Attempts judged by a person: blind, resumable to the line, and counted as they were judged."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from il_cli.evaluate_arm import Try, digest_of, judge_all, report
from il_cli.evaluate_page import page
from il_cli.evaluate_report import to_json
from il_cli.evaluate_scenes import overlaid
from il_cli.interventions import Interventions
from il_cli.person import Person
from il_cli.trials import Trial, TrialLog, Verdict, blind_order, candidates_of
from il_core.errors import ConfigError

ABOUT = {
    "task": "pick",
    "scenes": 3,
    "seed": 4,
    "limit_s": 20.0,
    "policies": [{"path": f"outputs/{name}", "weights_sha256": name * 8} for name in ("bc", "flow")],
}
LINE = np.linspace([0.3, 0.0, 0.4], [0.5, 0.1, 0.05], 20)


def typing(text):
    """A person who has typed this and then left, and what was said to them."""
    reads, writes = os.pipe()
    os.write(writes, text.encode())
    os.close(writes)
    said = []
    return Person(said.append, reads), said


def test_every_policy_meets_every_scene_once_in_an_order_that_follows_from_the_seed():
    order = blind_order(3, 8, seed=1)
    assert len({(t.scene, t.policy) for t in order}) == 24
    assert [t.scene for t in order] == sorted(t.scene for t in order), "a scene is set up, then tried by all"
    assert order == blind_order(3, 8, seed=1) != blind_order(3, 8, seed=2)
    assert len({tuple(t.policy for t in order if t.scene == s) for s in range(8)}) > 2


def test_what_is_typed_is_kept_and_an_evaluation_goes_on_where_it_ended(tmp_path):
    order, seen = blind_order(2, 3, seed=4), []

    def attempt(turn, question):
        seen.append((turn, question))
        return Try(1.5, 3, LINE, Interventions(1, 0.5, 1, 0.4))

    person, said = typing("4\ny\nmaybe\n3\n1\nn\ns\nq\n")
    assert not judge_all(TrialLog(tmp_path / "t.jsonl", ABOUT), order, person, attempt)
    assert not any("bc" in line or "flow" in line for line in [*said, *(q for _, q in seen)]), "nobody says whose it is"
    assert any("'maybe' is none of these" in line for line in said)
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('{"scene": 2, "pol')  # power was cut here
    log = TrialLog(tmp_path / "t.jsonl", ABOUT)
    assert [t.verdict for t in log.trials] == [Verdict.SUCCESS, Verdict.FAILURE, Verdict.SKIP]
    assert [t.score for t in log.trials] == [4, 1, None], "a mark may be given, and corrected, before the answer"
    assert log.trials[0].interventions == Interventions(1, 0.5, 1, 0.4)
    person, _ = typing("y\ny\nn\n")
    assert judge_all(log, order, person, attempt)
    assert [turn for turn, _ in seen] == [*order[:4], *order[3:]], "the one that was not judged is made again"
    assert seen[-1][1].startswith("attempt 6 of 6")
    again = TrialLog(tmp_path / "t.jsonl", ABOUT)
    assert again.left(order) == [] and len(again.trials) == 6
    report(again, ABOUT, 10.0, tmp_path, [LINE, LINE + 0.001])
    found = json.loads((tmp_path / "report.json").read_text())
    assert sum(p["score"]["count"] for p in found["policies"] if "score" in p) == 2
    assert sum(p["interventions"]["by_people"] for p in found["policies"]) == 5
    assert all(p["coverage"] > 0 and p["horizon"]["limit_steps"] == 200.0 for p in found["policies"])
    assert found["skipped"] == 1 and sum(p["episodes"] for p in found["policies"]) == 5
    assert "judged blind by a person" in (tmp_path / "report.html").read_text()


def test_results_of_another_evaluation_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "t.jsonl"
    TrialLog(path, ABOUT).add(Trial(0, 1, Verdict.SUCCESS, 2.0, 1))
    with pytest.raises(ConfigError, match="results of another evaluation"):
        TrialLog(path, {**ABOUT, "seed": 5})
    with pytest.raises(ConfigError, match="results of another evaluation"):
        TrialLog(path, {**ABOUT, "limit_s": 30.0})
    path.write_text(path.read_text() + "garbage\n")
    with pytest.raises(ConfigError, match="line 3 is damaged"):
        TrialLog(path, ABOUT)


def test_only_scenes_that_both_were_judged_at_are_paired():
    trials = [
        Trial(scene, policy, verdict, 1.0, 1, tuple(map(tuple, LINE.tolist())))
        for policy, said in enumerate(["ysyn", "yynn"])
        for scene, verdict in enumerate(
            {"y": Verdict.SUCCESS, "n": Verdict.FAILURE, "s": Verdict.SKIP}[c] for c in said
        )
    ]
    candidates = candidates_of(["bc", "flow"], trials)
    values = to_json(candidates, [], 10.0, 20.0, {"task": "pick", "scenes": 4, "machine": "m", "how": "h"})
    assert [p["episodes"] for p in values["policies"]] == [3, 4]
    assert (values["pairs"][0]["only_first"], values["pairs"][0]["only_second"]) == (1, 0)
    assert "skipped" in page(values, candidates, [])


def test_enter_ends_an_attempt_and_a_closed_terminal_means_quit():
    person, _ = typing("\n")
    assert person.has_pressed_enter()
    assert person.ask("go on?", {"y": "yes"}) == Person.QUIT
    reads, writes = os.pipe()
    assert not Person(print, reads).has_pressed_enter()
    os.close(writes)


def test_a_scene_that_is_back_in_place_gives_its_own_picture_as_overlay():
    wanted = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    assert np.array_equal(overlaid(wanted, wanted), wanted)
    assert np.array_equal(overlaid(np.zeros_like(wanted), wanted), wanted // 2)
    with pytest.raises(ConfigError, match=r"pictures are \(6, 8, 3\), the camera's are \(3, 8, 3\)"):
        overlaid(wanted, wanted[:3])


def test_marks_are_one_to_five():
    with pytest.raises(ConfigError, match="a mark is 1 to 5, got 6"):
        Trial(0, 0, Verdict.SUCCESS, 2.0, 1, score=6)


def test_weights_of_lerobot_have_a_digest_too(tmp_path):
    for name, weights in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"type": "act"}')
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    a, b, c = (digest_of(tmp_path / name) for name in "abc")
    assert a == b != c
