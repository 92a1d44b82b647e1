"""Coverage and divergence of visited places: against what is known exactly."""

import numpy as np
import pytest

from il_core.errors import ShapeError
from il_core.visitation import coverage, kl_divergence


def test_a_path_covers_itself_and_half_a_path_covers_half():
    line = np.stack([np.linspace(0.0, 0.899, 1000), np.zeros(1000)], axis=1)
    assert coverage(line, line) == 1.0
    assert coverage(line[:500], line) == pytest.approx(0.5, abs=0.04)
    assert coverage(line + [0.0, 1.0], line) == 0.0


def test_more_ground_than_the_reference_is_no_fault():
    line = np.stack([np.linspace(0.0, 0.899, 1000), np.zeros(1000)], axis=1)
    assert coverage(np.concatenate([line, line + 5.0]), line) == 1.0


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_divergence_of_two_normal_distributions_is_half_the_squared_shift(shift, rng):
    """Closed form for equal covariance: KL = |shift|^2 / 2."""
    p, q = rng.normal(size=(3000, 2)), rng.normal(size=(3000, 2)) + [shift, 0.0]
    assert kl_divergence(p, q) == pytest.approx(shift**2 / 2, abs=0.12 + 0.05 * shift**2)


def test_divergence_does_not_depend_on_the_unit(rng):
    p, q = rng.normal(size=(500, 3)), rng.normal(size=(400, 3)) + 0.3
    assert kl_divergence(1000 * p, 1000 * q) == pytest.approx(kl_divergence(p, q))


def paths(count: int, shift: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Arcs between random ends, 100 points each [m], and the number of the path of every point."""
    u = np.linspace(0.0, 1.0, 100)[:, None]
    ends, bend = rng.normal(0.0, 0.05, (count, 2, 3)), rng.normal(0.0, 0.05, (count, 1, 3))
    ends[:, 1, 0] += 0.4
    points = [a + (b - a) * u + h * np.sin(np.pi * u) + [0.0, shift, 0.0] for (a, b), h in zip(ends, bend, strict=True)]
    return np.concatenate(points), np.repeat(np.arange(count), len(u))


@pytest.mark.parametrize("count", [5, 10, 20])
def test_paths_of_one_kind_do_not_diverge_whatever_their_number_and_others_do(count, rng):
    """Neighbours on the same path would make it more than 1 nat."""
    same, moved = [], []
    for _ in range(10):
        p, of = paths(count, 0.0, rng)
        same.append(kl_divergence(p, paths(count, 0.0, rng)[0], p_path=of))
        moved.append(kl_divergence(p, paths(count, 0.1, rng)[0], p_path=of))
    assert abs(np.mean(same)) < 0.25
    assert np.mean(moved) > np.mean(same) + 0.5
    assert kl_divergence(p, paths(count, 0.0, rng)[0]) > 1.0


def test_a_single_path_has_no_neighbours_on_others(rng):
    p, of = paths(1, 0.0, rng)
    with pytest.raises(ShapeError, match="beside those of any path"):
        kl_divergence(p, p, p_path=of)


@pytest.mark.parametrize("p, q", [((5, 2), (50, 2)), ((50, 2), (4, 2)), ((50, 2), (50, 3)), ((50,), (50,))])
def test_sets_that_cannot_be_compared_are_refused(p, q):
    with pytest.raises(ShapeError):
        kl_divergence(np.zeros(p), np.zeros(q))
