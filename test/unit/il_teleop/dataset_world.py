"""Small datasets for the tests of formats: two joints, a gripper, one camera of 32x24 pixels, smooth pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from il_core.clock import tick_ns
from il_core.geometry import matrix_from_rotvec, pose
from il_core.spec import digest
from il_core.store.episodes import EpisodeStore
from il_core.types import ArmState, CameraFrame, Episode, Observation, Outcome

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
WIDTH, HEIGHT = 32, 24


def world_setup(make_setup, **changes):
    """The tiny robot of test/conftest.py with pictures that a video encoder takes."""
    setup = make_setup(**changes)
    camera = replace(setup.robot.cameras[0], width=WIDTH, height=HEIGHT)
    robot = replace(setup.robot, cameras=(camera,))
    return replace(setup, robot=robot, digest=digest(robot, setup.task, "<robot/>"))


def picture(k):
    """A picture that changes smoothly in space and time, (24, 32, 3) uint8."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([60 + 4 * x + k, 40 + 6 * y, 200 - 3 * x - 2 * k], axis=-1).astype(np.uint8)


def depth_mm(k):
    """Whole millimetres with a corner that was not measured, (24, 32)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mm = (400 + 25 * x + 11 * y + 3 * k).astype(np.float32)
    mm[:3, :4] = 0
    return mm


def forward(q):
    """Tool pose of two joints (2,) [rad]: any smooth map will do, as long as all use it."""
    return pose([0.4 + 0.1 * q[0], 0.1 * q[1], 0.3], matrix_from_rotvec([np.pi, 0.1 * q[0], 0.0]))


def make_episode(setup, rng, name="one", n=6, outcome=Outcome.SUCCESS, *, intervention=None, start_tick=3):
    """An episode whose poses are those of its joints; samples are a few milliseconds old."""
    intrinsics, rate = setup.robot.cameras[0].intrinsics, setup.task.rate_hz
    q = np.cumsum(rng.normal(scale=0.05, size=(n + 1, 2)), axis=0)
    observations = []
    for k in range(n):
        t = tick_ns(T0, start_tick + k, rate)
        arm = ArmState(t - 2 * MS, q[k], rng.normal(size=2), rng.normal(size=2), float(rng.uniform()))
        depth_m = depth_mm(k) * np.float32(1e-3)
        frame = CameraFrame(t - 7 * MS - k, "eye", picture(k), depth_m, intrinsics)
        age = {"arm": 2 * MS, "ee_pose": 3 * MS, "camera/eye": 7 * MS + k}
        observations.append(Observation(t, forward(q[k]), arm, {"eye": frame}, age))
    T_des = np.array([forward(row) for row in q[1:]])
    notes = {"operator": "ada"}
    return Episode(name, tuple(observations), T_des, rng.uniform(size=n), outcome, rate, notes, intervention)


def make_store(path, setup, rng, lengths=(6, 9, 4), *, labelled=True, known=True):
    """A dataset; the last episode failed and has another instruction."""
    store = EpisodeStore.create(path, setup)
    for i, n in enumerate(lengths):
        last = i == len(lengths) - 1
        outcome = Outcome.UNLABELLED if not labelled else Outcome.FAILURE if last else Outcome.SUCCESS
        marks = np.arange(n) >= 2 if known else None
        episode = make_episode(setup, rng, f"demo_{i}", n, outcome, intervention=marks)
        store.add(episode, source=f"rec_{i}", instruction="place it" if last else None)
    return store


def assert_alike(a, b, *, atol=0.0, rgb_atol=0, depth_atol_m=0.0):
    """Two episodes agree: stamps, labels and marks exactly, numbers and pictures within bounds."""
    assert (a.name, a.outcome, a.rate_hz, dict(a.notes)) == (b.name, b.outcome, b.rate_hz, dict(b.notes))
    assert len(a.observations) == len(b.observations)
    assert np.allclose(a.T_base_ee_des, b.T_base_ee_des, rtol=0, atol=atol)
    assert np.allclose(a.gripper_des, b.gripper_des, rtol=0, atol=atol)
    assert (a.intervention is None) == (b.intervention is None)
    assert a.intervention is None or np.array_equal(a.intervention, b.intervention)
    assert (a.k_p_des is None) == (b.k_p_des is None)
    assert a.k_p_des is None or np.allclose(a.k_p_des, b.k_p_des, rtol=2e-7, atol=atol)
    for x, y in zip(a.observations, b.observations, strict=True):
        assert (x.tick_ns, dict(x.age_ns)) == (y.tick_ns, dict(y.age_ns))
        assert (x.wrench is None) == (y.wrench is None)
        assert x.wrench is None or np.allclose(x.wrench, y.wrench, rtol=2e-7, atol=atol)
        assert np.allclose(x.T_base_ee, y.T_base_ee, rtol=0, atol=atol)
        for field in ("q", "v", "tau", "gripper"):
            assert np.allclose(getattr(x.arm, field), getattr(y.arm, field), rtol=0, atol=atol)
        for camera, frame in x.images.items():
            other = y.images[camera]
            assert (frame.stamp_ns, frame.intrinsics) == (other.stamp_ns, other.intrinsics)
            assert np.abs(frame.rgb.astype(int) - other.rgb).max() <= rgb_atol
            assert np.abs(frame.depth_m - other.depth_m).max() <= depth_atol_m
