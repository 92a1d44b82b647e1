"""Scores of what was never shown: calibrated on held-out episodes, kept with the checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_core.errors import CheckpointError, EpisodeError, ShapeError
from il_policy.serving import doubt
from il_policy.serving.doubt import Kind, Watch, auroc, calibrate
from il_policy.serving.features import disagreement, is_scene, names


def arcs(rng, count, offset=0.0):
    """Demonstrations along a curve in five dimensions, each a little different; the last dimension is constant."""
    s = np.linspace(0, 1, 60)[:, None]
    made = []
    for _ in range(count):
        phase = rng.normal(scale=0.1)
        curve = np.hstack([np.cos(3 * s + phase), np.sin(3 * s + phase), s, 0 * s + rng.normal(scale=0.1), 0 * s])
        made.append(curve + offset)
    return made


@pytest.fixture(scope="module")
def detector():
    return calibrate(arcs(np.random.default_rng(0), 60))


@pytest.mark.parametrize("kind", list(Kind))
def test_about_one_in_a_hundred_unseen_demonstrated_ticks_is_above_the_threshold(detector, kind):
    fresh = np.concatenate(arcs(np.random.default_rng(1), 40))
    above = (detector.raw(fresh, kind) > detector.thresholds[kind.value]).mean()
    assert above < 0.05


@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_never_shown_scores_higher(detector, kind):
    known = detector.raw(np.concatenate(arcs(np.random.default_rng(1), 10)), kind)
    moved = detector.raw(np.concatenate(arcs(np.random.default_rng(2), 10, offset=0.8)), kind)
    assert auroc(known, moved) > 0.99


def test_neighbours_notice_the_middle_of_a_curve_where_one_gaussian_does_not(detector):
    middle = np.concatenate(arcs(np.random.default_rng(0), 20)).mean(0)[None]
    assert detector.raw(middle, Kind.KNN)[0] > detector.thresholds["knn"]
    assert detector.raw(middle, Kind.MAHALANOBIS)[0] < detector.thresholds["mahalanobis"]


def test_a_constant_feature_that_moves_is_noticed_and_nan_is_unknown(detector):
    shown = arcs(np.random.default_rng(1), 1)[0][30]
    assert detector.score(shown) < 1.2
    changed = shown.copy()
    changed[4] = 0.3
    assert detector.score(changed) > 2
    changed[4] = np.nan
    assert detector.score(changed) == np.inf


def test_held_out_means_whole_episodes(detector):
    """Neighbours in a tick's own episode would hide the distance between episodes."""
    rng = np.random.default_rng(0)
    far_apart = [e + rng.normal(scale=3.0, size=5) for e in arcs(rng, 10)]
    assert calibrate(far_apart).thresholds["knn/0"] > 3 * detector.thresholds["knn/0"]


def test_a_scene_never_shown_is_noticed_beside_much_motion_of_the_arm():
    rng = np.random.default_rng(0)

    def episode(cube):
        return np.hstack([rng.normal(size=(60, 24)), np.full((60, 1), cube)])

    shown = [episode(c) for c in rng.uniform(-0.3, 0.3, 40)]
    scene = np.arange(25) == 24
    beyond, known = episode(0.6), np.concatenate([episode(c) for c in rng.uniform(-0.3, 0.3, 10)])
    with_group, without = calibrate(shown, scene=scene), calibrate(shown)
    assert (with_group.raw(beyond, Kind.KNN) > with_group.thresholds["knn"]).all()
    assert (without.raw(beyond, Kind.KNN) > without.thresholds["knn"]).mean() < 0.5
    assert (with_group.raw(known, Kind.KNN) > with_group.thresholds["knn"]).mean() < 0.06


def test_doubt_about_what_a_run_began_with_fades_instead_of_ending_with_the_grasp():
    """The cube is in sight for 20 ticks, then in the hand, where it looks the same wherever it was taken from."""
    rng = np.random.default_rng(0)

    def run(cube):
        place = np.where(np.arange(60) < 20, cube, 0.0) + rng.normal(scale=0.005, size=60)
        return np.column_stack([np.linspace(0, 1, 60), place])

    shown, known = ([run(c) for c in rng.uniform(0.2, 0.5, n)] for n in (60, 30))
    strange = [run(c) for c in rng.uniform(0.6, 0.9, 30)]

    def told(memory_ticks):
        found = calibrate(shown, memory_ticks=memory_ticks)
        scores = ([doubt.remembered(found.raw(e, Kind.KNN), memory_ticks) for e in runs] for runs in (known, strange))
        return found, *(np.concatenate(s) / found.thresholds["knn"] for s in scores)

    _, before, strange_before = told(0.0)
    found, after, strange_after = told(50.0)
    assert auroc(before, strange_before) < 0.75 and auroc(after, strange_after) > 0.9
    assert (after > 1).mean() < 0.06 and (strange_after > 1).mean() > 0.8
    watch = Watch(1.0, memory_ns=50 * 10**8)
    online = [watch.remember(found.score(row), k * 10**8) for k, row in enumerate(strange[0])]
    offline = doubt.remembered(found.raw(strange[0], Kind.KNN), 50.0) / found.thresholds["knn"]
    assert online == pytest.approx(offline)
    assert watch.remember(float("inf"), 60 * 10**8) == np.inf
    assert watch.remember(0.0, 10**12) == pytest.approx(0.0, abs=1e-6), "it fades, and what is not finite is not kept"


def test_cameras_that_disagree_are_a_feature(setup, window):
    agreeing = disagreement(setup, window)
    cameras = setup.robot.cameras
    moved = replace(cameras[0], p_mount_optical_m=(0.5, 0.05, 0.9))
    shifted = replace(setup, robot=replace(setup.robot, cameras=(moved, *cameras[1:])))
    frames = {name: replace(window[-1].images["front"], camera=name) for name in ("front", "wrist")}
    both = replace(cameras[0], name="wrist")
    twice = replace(setup, robot=replace(setup.robot, cameras=(cameras[0], both)))
    off = replace(setup, robot=replace(setup.robot, cameras=(moved, both)))
    seen = (replace(window[-1], images=frames),) * 2
    assert agreeing.shape == (1,) and disagreement(shifted, window).shape == (1,)
    assert disagreement(twice, seen)[0] < 1e-9
    assert disagreement(off, seen)[0] == pytest.approx(1.0, rel=1e-6)  # 5 cm
    assert is_scene(setup, 2).sum() == 5 and len(names(setup, 2)) == 16


def test_it_survives_the_disk_and_is_bound_to_its_weights(detector, tmp_path):
    doubt.save(tmp_path, detector, "a" * 64, 20)
    again = doubt.load(tmp_path, "a" * 64)
    x = np.random.default_rng(0).normal(size=5)
    assert again.score(x) == pytest.approx(detector.score(x), rel=1e-5)
    with pytest.raises(CheckpointError, match="made for other weights.*run `il calibrate` again"):
        doubt.load(tmp_path, "b" * 64)
    values = json.loads((tmp_path / doubt.FILE).read_text())
    (tmp_path / values["tensors"]["name"]).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="damaged"):
        doubt.load(tmp_path, "a" * 64)


def test_a_checkpoint_without_calibration_has_no_detector(tmp_path):
    assert doubt.load(tmp_path, "a" * 64) is None


def test_too_few_episodes_and_strange_features_are_refused(detector):
    with pytest.raises(EpisodeError, match="2 episodes, need 3; record more"):
        calibrate(arcs(np.random.default_rng(0), 2))
    with pytest.raises(ShapeError, match=r"features: expected shape \(M, 5\)"):
        detector.raw(np.zeros((1, 4)), Kind.KNN)


def test_doubt_does_not_flicker_at_the_limit():
    watch = Watch(1.0)
    assert [watch.see(s) for s in (0.9, 1.1, 0.9, 1.05, 0.7, 0.9, float("nan"))] == [0, 1, 1, 1, 0, 0, 1]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
@settings(max_examples=50)
def test_auroc_counts_pairs(known, unknown):
    pairs = [(u > k) + 0.5 * (u == k) for u in unknown for k in known]
    assert auroc(np.array(known), np.array(unknown)) == pytest.approx(np.mean(pairs))
