"""The straight line that scripts ask for."""

import numpy as np
import pytest

from il_cli.motions import LEAD_NS, straight_line
from il_core.geometry import matrix_from_rotvec, pose


def line(seconds=2.0):
    T_to = pose([0.5, 0.2, 0.1], matrix_from_rotvec([0.0, 0.0, 1.0]))
    return straight_line(np.eye(4), T_to, seconds, now_ns=10_000_000_000, gripper=0.5), T_to


def test_line_starts_and_ends_where_asked_and_takes_that_long():
    chunk, T_to = line()
    np.testing.assert_allclose(chunk.T_base_ee_des[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(chunk.T_base_ee_des[-1], T_to, atol=1e-12)
    assert chunk.start_ns == 10_000_000_000 + LEAD_NS
    assert chunk.end_ns - chunk.start_ns == 2_000_000_000


def test_line_is_straight_and_starts_and_ends_at_rest():
    chunk, T_to = line()
    p = chunk.T_base_ee_des[:, :3, 3]
    direction = T_to[:3, 3] / np.linalg.norm(T_to[:3, 3])
    assert np.linalg.norm(np.cross(p, direction), axis=1).max() < 1e-12
    speed = np.linalg.norm(np.diff(p, axis=0), axis=1)
    assert max(speed[0], speed[-1]) < 1e-3 * speed.max()


def test_impossible_duration_is_refused():
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        line(seconds=0)
