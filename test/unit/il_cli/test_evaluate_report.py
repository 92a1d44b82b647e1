"""What attempts say in figures, and the one report that holds them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from il_cli.compare import Candidate
from il_cli.evaluate_drawings import distributions
from il_cli.evaluate_figures import horizon, motion, movements, pairs, summary
from il_cli.evaluate_page import page
from il_cli.evaluate_report import to_json, write
from il_cli.interventions import Interventions
from il_cli.rehearsal import Attempt

RATE_HZ, LIMIT_S = 10.0, 20.0
ABOUT = {"task": "reach", "scenes": 2, "machine": "here", "how": "in process"}


def line(rng, seconds=5.0, offset_m=0.0, noise_m=0.002):
    """A movement from rest to rest, as a tool makes it, at the ticks."""
    s = np.linspace(0.0, 1.0, round(seconds * RATE_HZ) + 1)[:, None]
    a, b = np.array([0.3, 0.0, 0.4]), np.array([0.5, 0.1, 0.05])
    path = a + (10 * s**3 - 15 * s**4 + 6 * s**5) * (b - a) + [0.0, offset_m, 0.0]
    return path + rng.normal(0.0, noise_m, path.shape)


def candidate(name, outcomes, rng, offset_m=0.0, failed_s=LIMIT_S):
    made = Candidate(name, inference_ms=[10.0, 20.0, 30.0])
    for seed, success in enumerate(outcomes):
        path = line(rng, offset_m=offset_m)
        made.attempts[seed] = Attempt(seed, success, 5.0 if success else failed_s, path, 7, not success)
    return made


def shown(rng):
    return [c.path for c in candidate("shown", [True] * 4, rng).attempts.values()]


def test_figures_count_what_happened(rng):
    figures = summary(candidate("a", [True, False, True, True], rng), shown(rng), RATE_HZ, LIMIT_S)
    assert (figures["successes"], figures["episodes"], figures["lost"]) == (3, 4, 1)
    assert figures["seconds_to_success_median"] == 5.0
    assert figures["steps_to_success"]["p50"] == 50.0
    assert figures["inference_ms"]["p50"] == 20.0
    assert "interventions" not in figures
    assert "score" not in figures


def mean_horizon(*attempts):
    made = [Attempt(k, ok, s, np.zeros((0, 3)), 1) for k, (ok, s) in enumerate(attempts)]
    return horizon(made, RATE_HZ, LIMIT_S)["steps_to_failure_restricted_mean"]


def test_a_better_policy_never_has_a_shorter_horizon():
    assert mean_horizon((True, 3.0), (True, 19.0)) == LIMIT_S * RATE_HZ, "how quick a success is plays no part"
    base = mean_horizon((True, 3.0), (False, 4.0), (False, 8.0))
    assert base == pytest.approx(RATE_HZ * (20 + 4 + 8) / 3)
    assert mean_horizon((True, 3.0), (False, 6.0), (False, 8.0)) > base, "a later failure"
    assert mean_horizon((True, 3.0), (True, 4.0), (False, 8.0)) > base, "a success in place of a failure"


def test_what_lasts_to_the_limit_is_the_success_rate(rng):
    curve = horizon(candidate("a", [True, False, True, True], rng).in_order, RATE_HZ, LIMIT_S)
    assert curve["survival"][-1] == pytest.approx(0.75)
    assert curve["failure_steps"] == [200.0]


def test_a_policy_elsewhere_is_farther_from_the_demonstrations(rng):
    near = summary(candidate("near", [True] * 4, rng), shown(rng), RATE_HZ, LIMIT_S)
    far = summary(candidate("far", [True] * 4, rng, offset_m=0.1), shown(rng), RATE_HZ, LIMIT_S)
    assert near["coverage"] > 0.8 > far["coverage"]
    assert far["kl_policy_to_demonstrations_nat"] > near["kl_policy_to_demonstrations_nat"] + 1.0
    assert far["path_to_nearest_demonstration_mm"] > 50.0 > near["path_to_nearest_demonstration_mm"]


def test_timing_and_smoothness_are_quantiles_of_the_movements_without_rest_around_them(rng):
    paths = [line(rng, seconds, noise_m=0.0) for seconds in (2.0, 3.0, 4.0)]
    rested = [np.concatenate([p, p[-1:].repeat(20, axis=0)]) for p in paths]
    figures = motion(rested, RATE_HZ)
    assert figures == motion(paths, RATE_HZ)
    assert 2.4 < figures["duration_s"]["p50"] <= 3.0
    assert figures["duration_s"]["p10"] < figures["duration_s"]["p50"] < figures["duration_s"]["p90"]
    assert figures["length_m"]["p50"] == pytest.approx(np.linalg.norm(paths[0][-1] - paths[0][0]), rel=0.01)
    trembling = motion([line(rng, seconds, noise_m=0.005) for seconds in (2.0, 3.0, 4.0)], RATE_HZ)
    jerk = "log_dimensionless_jerk"
    assert trembling[jerk]["p90"] < figures[jerk]["p10"] < 0.0


def test_the_picture_of_distributions_shows_who_failed_and_who_moves(rng):
    def drawn(*made):
        curves = {c.name: horizon(c.in_order, RATE_HZ, LIMIT_S) for c in made}
        moved = {c.name: movements([a.path for a in c.in_order if a.success], RATE_HZ) for c in made}
        return plt.imread(io.BytesIO(distributions(curves, moved)))

    good, bad = candidate("a", [True, True], rng), candidate("a", [False, False], rng, failed_s=3.0)
    pictures = [drawn(good), drawn(bad), drawn(good, replace(bad, name="b"))]
    assert all(p.shape == pictures[0].shape and p.std() > 0.01 for p in pictures)
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_policies_that_never_move_have_no_movement_and_no_divergence(rng):
    still = Candidate("still", {0: Attempt(0, False, LIMIT_S, np.tile([0.3, 0.0, 0.4], (50, 1)), 3)})
    figures = summary(still, shown(rng), RATE_HZ, LIMIT_S)
    assert figures["motion"]["duration_s"] is None
    assert figures["kl_policy_to_demonstrations_nat"] is None
    gone = Candidate("gone", {0: Attempt(0, True, 1.0, np.zeros((0, 3)), 0)})
    assert summary(gone, shown(rng), RATE_HZ, LIMIT_S)["coverage"] is None


def test_without_demonstrations_nothing_is_said_about_them(rng):
    assert "coverage" not in summary(candidate("a", [True], rng), [], RATE_HZ, LIMIT_S)


def test_interventions_and_marks_are_summed_over_the_attempts_that_have_them(rng):
    made = candidate("a", [True, True, False, True], rng)
    helped = [Interventions(2, 3.0, 1, 2.5), Interventions(0, 0.0, 0, 0.0), Interventions(1, 0.5, 0, 0.0), None]
    for (seed, told), score in zip(enumerate(helped), (5, None, 2, 4), strict=True):
        made.attempts[seed] = replace(made.attempts[seed], interventions=told, score=score)
    figures = summary(made, [], RATE_HZ, LIMIT_S)
    assert figures["interventions"] == {
        "attempts": 3, "count": 3, "seconds": 3.5, "by_people": 1, "seconds_by_people": 2.5,
        "successes_without_people": 1,
    }  # fmt: skip
    assert figures["score"] == {"mean": pytest.approx(11 / 3), "count": 3}
    report = to_json([made], [], RATE_HZ, LIMIT_S, ABOUT)
    assert [a.get("score") for a in report["attempts"]] == [5, None, 2, 4]
    assert report["attempts"][0]["interventions"]["by_people"] == 1
    assert "interventions" not in report["attempts"][3]
    text = page(report, [made], [])
    assert "policy left 2 times for 3.0 s, 1 by people for 2.5 s" in text
    assert "mark 5" in text


def test_pairs_count_scenes_only_one_mastered(rng):
    a, b = candidate("a", [True, True, False, True], rng), candidate("b", [True, False, False, False], rng)
    assert pairs([a, b]) == [{"first": "a", "second": "b", "only_first": 2, "only_second": 0, "p": 0.5}]


def test_the_report_is_one_page_and_one_file_and_escapes_names(rng, tmp_path):
    policies = [candidate("<b>", [False, False], rng, failed_s=3.0), candidate("good", [True, True], rng)]
    demos = shown(rng)
    report = write(tmp_path / "new", policies, demos, RATE_HZ, LIMIT_S, ABOUT)
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == report
    assert report["policies"][0]["seconds_to_success_median"] is None
    assert report["demonstrations"]["episodes"] == 4
    assert set(report["demonstrations"]["motion"]) == set(report["policies"][1]["motion"])
    text = (tmp_path / "new" / "report.html").read_text()
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "<th>demonstrations</th>" in text
    assert "lost, 3.0 s" in text
    assert text.count("data:image/png;base64,") == 3, "paths of each, and the distributions of all"
