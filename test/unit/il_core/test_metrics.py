"""The distance of two drawn lines has the properties of a distance, and known values."""

from __future__ import annotations

import numpy as np
import pytest

from il_core.errors import ShapeError
from il_core.metrics import log_dimensionless_jerk, moving, path_error, resample

LINE = np.column_stack([np.linspace(0.0, 0.1, 11), np.zeros(11)])


def test_parallel_lines_are_their_offset_apart():
    assert path_error(LINE, LINE + [0.0, 0.004]) == pytest.approx((4.0, 4.0))


def test_it_is_symmetric_and_zero_for_the_same_line(rng):
    a, b = rng.normal(size=(2, 8, 2)) * 0.02
    assert path_error(a, b) == pytest.approx(path_error(b, a))
    assert path_error(a, a) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_timing_and_direction_play_no_part():
    lingering = np.repeat(LINE, [1, 1, 50, 1, 1, 1, 1, 90, 1, 1, 1], axis=0)[::-1]
    offset = LINE + [0.0, 0.003]
    assert path_error(lingering, offset) == pytest.approx(path_error(LINE, offset), abs=1e-6)


def test_height_plays_no_part():
    high = np.column_stack([LINE, np.full(11, 0.3)])
    assert path_error(high, LINE) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_half_a_drawing_is_far_from_the_whole():
    rms, greatest = path_error(LINE[:6], LINE)
    assert greatest == pytest.approx(50.0)
    assert rms == pytest.approx(50.0 / np.sqrt(12), rel=0.02)  # mean square of 0..50 mm on half of one line


def test_moving_both_lines_changes_nothing(rng):
    a, b = rng.normal(size=(2, 8, 2)) * 0.02
    c, s = np.cos(0.7), np.sin(0.7)
    R = np.array([[c, -s], [s, c]])
    assert path_error(a @ R.T + 1.0, b @ R.T + 1.0) == pytest.approx(path_error(a, b), rel=1e-6)


def test_a_point_is_a_path():
    assert path_error(np.zeros((1, 2)), np.array([[0.003, 0.004]])) == pytest.approx((5.0, 5.0))


def test_resampled_points_are_equally_far_apart(rng):
    points = resample(LINE[[0, 1, 1, 7, 10]], 0.003)
    assert np.ptp(np.linalg.norm(np.diff(points, axis=0), axis=1)) < 1e-12
    assert np.array_equal(points[[0, -1]], LINE[[0, -1]])


@pytest.mark.parametrize("path", [np.zeros((0, 2)), np.zeros(3), np.zeros((4, 4))])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ShapeError, match="path_b: expected shape .N, 2. or .N, 3."):
        path_error(LINE, path)


def least_jerk(seconds, rate_hz, goal=(0.3, 0.1, -0.2)):
    """The movement of least jerk from rest to rest (Flash and Hogan 1985)."""
    s = np.linspace(0.0, 1.0, round(seconds * rate_hz) + 1)[:, None]
    return (10 * s**3 - 15 * s**4 + 6 * s**5) * np.array(goal)


@pytest.mark.parametrize("seconds, size", [(1.0, 1.0), (4.0, 1.0), (2.0, 0.1)])
def test_the_smoothest_movement_has_its_known_smoothness_whatever_its_size_and_duration(seconds, size):
    path = size * least_jerk(seconds, 1000)
    assert log_dimensionless_jerk(path, 1e-3) == pytest.approx(-np.log(720 / 1.875**2), abs=0.01)


def test_stops_and_trembling_are_less_smooth(rng):
    once = least_jerk(2.0, 50)
    twice = np.concatenate([least_jerk(1.0, 50), least_jerk(1.0, 50)[1:] + least_jerk(1.0, 50)[-1]])
    smooth, stops, trembles = (
        log_dimensionless_jerk(p, 0.02) for p in (once, twice, once + rng.normal(0.0, 1e-3, once.shape))
    )
    assert smooth > stops > trembles


def test_a_corner_at_a_steady_speed_is_not_smooth():
    along = np.linspace(0.0, 0.1, 21)
    straight, corner = np.zeros((41, 2)), np.zeros((41, 2))
    straight[:, 0] = np.linspace(0.0, 0.2, 41)
    corner[:21, 0], corner[20:, 0], corner[20:, 1] = along, 0.1, along
    assert log_dimensionless_jerk(corner, 0.05) < -5
    with pytest.raises(ValueError, match="without jerk"):
        log_dimensionless_jerk(straight, 0.05)


def test_rest_before_and_after_is_left_out_and_a_pause_within_is_not():
    path = least_jerk(2.0, 20)
    held = np.concatenate([path[:1].repeat(30, axis=0), path, path[-1:].repeat(9, axis=0)])
    assert moving(held).tobytes() == moving(path).tobytes()
    paused = np.insert(path, [20] * 15, path[20], axis=0)
    assert len(moving(paused)) == len(moving(path)) + 15
    assert len(moving(path[:1].repeat(5, axis=0))) == 0


def test_smoothness_of_too_few_points_is_refused():
    with pytest.raises(ShapeError, match="N >= 5"):
        log_dimensionless_jerk(LINE[:4], 0.1)
