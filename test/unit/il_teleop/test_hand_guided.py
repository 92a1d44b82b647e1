"""Hand-guided drawings become recordings like any other, and refuse what does not fit together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from il_core import topics
from il_core.config import load_setup
from il_core.errors import EpisodeError, RecordingError
from il_core.geometry import matrix_from_quat_xyzw, matrix_from_rotvec, pose
from il_core.metrics import path_error
from il_core.store.episodes import EpisodeStore
from il_core.store.recording import Recording
from il_teleop.dataset import BuildOptions, build
from il_teleop.dataset.hand_guided import import_hand_guided, read_drawings, sample_period
from il_teleop.dataset.retime import retime, without_pauses

SYMBOL = Path(__file__).parents[3] / "data" / "panda_hand_guided" / "symbol_17.mat"
PERIOD_S = 1 / 700


def drawing(n=3000, period_s=PERIOD_S, noise=0.0, seed=0):
    """A smooth planar motion and its exact velocity, (3, n) each, behind the robot as in the data."""
    t = np.arange(n) * period_s
    zero = np.zeros(n)
    p = np.stack([-0.45 + 0.05 * np.cos(t), -0.3 + 0.08 * np.sin(0.7 * t), zero + 0.259])
    v = np.stack([-0.05 * np.sin(t), 0.056 * np.cos(0.7 * t), zero])
    v += noise * np.random.default_rng(seed).normal(size=v.shape)
    return p, v


def write_mat(path, drawings):
    data = np.zeros((1, len(drawings)), dtype=[("pos", "O"), ("vel", "O"), ("F", "O")])
    for i, (p, v) in enumerate(drawings):
        data[0, i] = (p, v, np.tile([[1.0], [2.0], [3.0]], p.shape[1]))
    savemat(path, {"symbol_data": data})
    return path


@pytest.fixture
def setup():
    return load_setup("draw_symbol")


def test_the_period_is_recovered_exactly_and_through_noise():
    p, v = drawing()
    assert sample_period(p.T, v.T) == pytest.approx((PERIOD_S, 0.0), abs=1e-6)
    errors = [sample_period(*(a.T for a in drawing(noise=0.01, seed=k)))[0] / PERIOD_S - 1 for k in range(20)]
    assert np.abs(errors).max() < 0.01  # of any one drawing
    assert abs(np.mean(errors)) < 0.002  # no bias


def test_velocities_of_another_motion_are_refused():
    p, _ = drawing()
    _, v = drawing(seed=1)
    with pytest.raises(
        EpisodeError, match="velocities leave .* % of the motion unexplained .*must be of one recording"
    ):
        sample_period(p.T, np.roll(v, 1, axis=0).T)


def test_a_drawing_that_is_too_short_or_still_is_refused():
    p, v = drawing(100)
    with pytest.raises(EpisodeError, match="has 100 samples, need more than 200"):
        sample_period(p.T, v.T)
    still = np.zeros((500, 3))
    with pytest.raises(EpisodeError, match="unexplained"):
        sample_period(still, still)


def test_drawings_sampled_at_different_rates_are_refused(tmp_path):
    mat = write_mat(tmp_path / "symbol_1.mat", [drawing(), drawing(period_s=1 / 500)])
    with pytest.raises(EpisodeError, match="seem sampled at 700, 500 Hz, expected one rate"):
        read_drawings(mat)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(EpisodeError, match="no such file; pass the path of a symbol"):
        read_drawings(tmp_path / "none.mat")
    cut = tmp_path / "cut.mat"
    cut.write_bytes(SYMBOL.read_bytes()[:100_000])
    with pytest.raises(EpisodeError, match="is no hand-guided .mat file"):
        read_drawings(cut)
    savemat(tmp_path / "other.mat", {"x": 1})
    with pytest.raises(EpisodeError, match="is no hand-guided .mat file"):
        read_drawings(tmp_path / "other.mat")
    p, v = drawing()
    with pytest.raises(EpisodeError, match=r"drawing 1: pos, vel, F must be finite \(3, T\)"):
        read_drawings(write_mat(tmp_path / "nan.mat", [(p * np.nan, v)]))


def test_the_real_file_is_sampled_at_about_695_hz():
    drawings = read_drawings(SYMBOL)
    assert [len(d.p_data) for d in drawings] == [5520, 5471, 8647, 9637, 17703, 15523]
    assert all(690 < 1 / d.period_s < 700 for d in drawings)
    assert all(d.residual < 0.05 for d in drawings)


def test_import_turns_the_drawing_to_the_front_and_onto_the_table(tmp_path, setup):
    p, v = drawing(400)
    mat = write_mat(tmp_path / "symbol_1.mat", [(p, v)])
    (path,) = import_hand_guided(mat, tmp_path / "rec", setup)
    recording = Recording.open(path)
    messages = list(recording.messages([topics.HAND_POSITION]))
    got = np.array([[m.point.x, m.point.y, m.point.z] for _, m, _, _ in messages])
    assert np.allclose(got, np.array([-p[0], -p[1], p[2] - 0.259]).T, atol=1e-12)
    stamps = np.array([stamp for _, _, _, stamp in messages])
    assert np.allclose(np.diff(stamps), 1e9 * PERIOD_S, rtol=5e-3)
    _, force, _, _ = next(iter(recording.messages([topics.HAND_FORCE])))
    assert (force.wrench.force.x, force.wrench.force.y, force.wrench.force.z) == (-1.0, -2.0, 3.0)
    T = np.array(json.loads(recording.header.notes["T_base_data"]))
    assert np.allclose((T @ [*p[:, 0], 1.0])[:3], got[0])


def test_import_twice_gives_the_same_bytes_and_overwrites_nothing(tmp_path, setup):
    mat = write_mat(tmp_path / "symbol_1.mat", [drawing(400)])
    (a,) = import_hand_guided(mat, tmp_path / "a", setup)
    (b,) = import_hand_guided(mat, tmp_path / "b", setup)
    assert [f.read_bytes() for f in sorted(a.iterdir())] == [f.read_bytes() for f in sorted(b.iterdir())]
    with pytest.raises(RecordingError, match="exists already"):
        import_hand_guided(mat, tmp_path / "a", setup)


def test_a_drawing_becomes_an_episode_with_and_without_its_timing(tmp_path, setup):
    (path,) = import_hand_guided(write_mat(tmp_path / "symbol_1.mat", [drawing()]), tmp_path / "rec", setup)
    build([path], setup, tmp_path / "timed")
    build([path], setup, tmp_path / "path", BuildOptions(path_speed_m_s=0.04))
    timed, even = (EpisodeStore.open(tmp_path / n, setup.digest).episode(0) for n in ("timed", "path"))
    lines = [np.array([o.T_base_ee[:3, 3] for o in e.observations]) for e in (timed, even)]
    assert path_error(*lines)[0] < 0.5
    R_tool = matrix_from_quat_xyzw(setup.task.quat_xyzw_tool)
    assert all(np.array_equal(o.T_base_ee[:3, :3], R_tool) for o in timed.observations)
    assert "constant path speed 0.04 m/s" in even.notes["timing"]
    assert "timing" not in timed.notes


def poses_along(xs):
    return [pose([x, 0.0, 0.0], matrix_from_rotvec([0.0, 0.0, x])) for x in xs]


def test_retiming_gives_constant_speed_whatever_the_timing_was():
    hasty = np.concatenate([np.linspace(0, 0.05, 20), np.full(500, 0.05), np.linspace(0.05, 0.3, 4000)])
    steps = np.diff([T[0, 3] for T in retime(poses_along(hasty), 0.04, rate_hz=10, rest_ticks=3)])
    assert np.allclose(steps[:-4], 0.004, atol=1e-9)
    assert np.allclose(steps[-3:], 0.0)


def test_retiming_keeps_both_ends_and_the_rotation():
    out = retime(poses_along(np.linspace(0, 0.301, 500)), 0.04, rate_hz=10, rest_ticks=0)
    assert out[0][0, 3] == 0.0
    assert out[-1][0, 3] == pytest.approx(0.301)
    for T in out:
        assert np.allclose(T[:3, :3], matrix_from_rotvec([0.0, 0.0, T[0, 3]]), atol=1e-5)


def test_tremor_at_rest_adds_no_length(rng):
    trembling = np.full(5000, 0.1) + 1e-4 * rng.normal(size=5000)
    assert len(without_pauses(poses_along(np.concatenate([[0.0, 0.05], trembling])))) <= 4


@pytest.mark.parametrize(("speed", "problem"), [(0.0, "speed must be positive"), (0.04, "moved less than 1 mm")])
def test_retiming_refuses_no_speed_and_no_motion(speed, problem):
    with pytest.raises(EpisodeError, match=problem):
        retime(poses_along([0.0, 0.0]), speed, rate_hz=10, rest_ticks=1)
