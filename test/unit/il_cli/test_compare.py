"""Policies compared at the same scenes: figures, pairs, and a page that holds them."""

import json

import numpy as np
import pytest

from il_cli.compare import Candidate, pairs, summary, to_json
from il_cli.evaluate_page import page
from il_cli.rehearsal import Attempt


def candidate(name, outcomes, rng, offset_m=0.0):
    made = Candidate(name, inference_ms=[10.0, 20.0, 30.0])
    for seed, success in enumerate(outcomes):
        line = np.linspace([0.3, 0.0, 0.4], [0.5, 0.1, 0.05], 60) + rng.normal(0, 0.002, (60, 3)) + [0, offset_m, 0]
        made.attempts[seed] = Attempt(seed, success, 5.0 if success else 20.0, line, 7)
    return made


def shown(rng):
    return [c.path for c in candidate("shown", [True] * 4, rng).attempts.values()]


def test_figures_count_what_happened(rng):
    figures = summary(candidate("a", [True, False, True, True], rng), shown(rng), 10.0)
    assert (figures["successes"], figures["episodes"]) == (3, 4)
    assert figures["seconds_to_success_median"] == 5.0
    assert figures["horizon_steps_mean"] == pytest.approx(10 * (3 * 5 + 20) / 4)
    assert figures["inference_ms"]["p50"] == 20.0


def test_a_policy_elsewhere_is_farther_from_the_demonstrations(rng):
    near = summary(candidate("near", [True] * 4, rng), shown(rng), 10.0)
    far = summary(candidate("far", [True] * 4, rng, offset_m=0.1), shown(rng), 10.0)
    assert near["coverage"] > 0.8 > far["coverage"]
    assert far["kl_policy_to_demonstrations_nat"] > near["kl_policy_to_demonstrations_nat"] + 1.0
    assert far["path_to_nearest_demonstration_mm"] > 50.0 > near["path_to_nearest_demonstration_mm"]


def test_without_demonstrations_nothing_is_said_about_them(rng):
    assert "coverage" not in summary(candidate("a", [True], rng), [], 10.0)


def test_pairs_count_scenes_only_one_mastered(rng):
    a, b = candidate("a", [True, True, False, True], rng), candidate("b", [True, False, False, False], rng)
    assert pairs([a, b]) == [{"first": "a", "second": "b", "only_first": 2, "only_second": 0, "p": 0.5}]


def test_a_policy_that_never_succeeds_is_reported_all_the_same(rng):
    policies = [candidate("<b>", [False, False], rng), candidate("good", [True, True], rng)]
    about = {"task": "reach", "scenes": 2, "machine": "here", "how": "in process"}
    report = to_json(policies, shown(rng), 10.0, about)
    json.dumps(report, allow_nan=False)
    assert report["policies"][0]["seconds_to_success_median"] is None
    text = page(report, policies, shown(rng))
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert text.count("data:image/png;base64,") == 2
