"""Noise on what is read: of the size asked for, on the numbers meant, and consistent with the targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_world import HALF_M, World, demonstrate, make_setup

from il_core.arrays import ArrayEpisode
from il_core.config import Setup
from il_core.types import ArmState, Episode
from il_policy.array_data import ArrayDataset
from il_policy.arrays import spec_of
from il_policy.augment.pixels import augment_pixels, cloud_dropout, cloud_noise
from il_policy.config import ActionEncoding, AugmentConfig, Head, ObserveConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.encoders.pixels import PixelReader, cloud
from il_policy.windows import Batch

QUIET = AugmentConfig(0.0, 0.0, 0.0)
CONFIG = TrainConfig("test", Head.REGRESSION)
CUBE = np.array([0.5, 0.1, HALF_M])


def moving(setup: Setup, n: int = 400) -> Episode:
    """A demonstration, made longer, whose joints, torques and wrench move, each in its own unit."""
    demo, rng = demonstrate(setup, CUBE), np.random.default_rng(0)
    seen = []
    for k in range(n):
        o = demo.observations[k % len(demo.observations)]
        q, tau = rng.normal(0.0, 0.3, 2), rng.normal(0.0, 20.0, 2)
        arm = ArmState(k * 10**8, q, np.zeros(2), tau, 1.0)
        seen.append(replace(o, tick_ns=k * 10**8, arm=arm, wrench=rng.normal(0.0, 5.0, 6)))
    rows = np.arange(n) % len(demo.observations)
    return replace(demo, observations=tuple(seen), T_base_ee_des=demo.T_base_ee_des[rows], gripper_des=np.ones(n))


def test_every_sensor_gets_noise_in_units_of_its_own_spread_and_nothing_else_does() -> None:
    setup = make_setup(cameras=(), objects=(), state=("ee_position", "ee_rotation_6d", "gripper", "q"))
    config = replace(CONFIG, observe=ObserveConfig(torque=True, wrench=True))
    data = ChunkDataset([moving(setup)], setup, config)
    batch = data.batch([0])
    noisy = data.noise(replace(QUIET, state=0.1), batch)(batch, torch.Generator().manual_seed(0))
    moved, spread = (noisy.inputs - batch.inputs).std(0), batch.inputs.std(0)
    for i, name in enumerate(data.encoder.names):
        is_sensor = name.startswith(("q.", "tau.", "wrench.", "ee_rotation_6d."))
        expected = 0.1 * spread[i].item() if is_sensor else 0.0
        assert moved[i].item() == pytest.approx(expected, rel=0.15, abs=1e-6), name
    assert torch.equal(noisy.action, batch.action)
    assert {n.split(".")[0] for n, s in zip(data.encoder.names, spread, strict=True) if s > 1} == {"tau", "wrench"}


def test_relative_joint_targets_stay_where_they_are_when_the_posture_is_misread() -> None:
    setup = make_setup(cameras=(), objects=(), state=("q", "gripper"))
    for encoding, is_seen_from_posture in (
        (ActionEncoding.JOINT_RELATIVE_V1, True),
        (ActionEncoding.JOINT_ABSOLUTE_V1, False),
    ):
        data = ChunkDataset([moving(setup, 40)], setup, replace(CONFIG, action_encoding=encoding))
        batch = data.batch([0])
        noisy = data.noise(replace(QUIET, state=0.5), batch)(batch, torch.Generator().manual_seed(0))
        q = [data.encoder.names.index(f"q.{i}@0") for i in range(2)]
        shift = (noisy.inputs - batch.inputs)[:, None, q]
        assert shift.abs().max() > 0.1
        expected = batch.action[..., :2] - (shift if is_seen_from_posture else 0.0)
        assert torch.allclose(noisy.action[..., :2], expected, atol=1e-6)
        assert torch.equal(noisy.action[..., 2], batch.action[..., 2])


def test_columns_without_an_arm_get_it_too_and_only_if_asked() -> None:
    rng = np.random.default_rng(0)
    columns = {"big": rng.normal(0.0, 100.0, (500, 2)), "small": rng.normal(0.0, 0.01, (500, 1)), "still": np.ones(500)}
    episodes = [ArrayEpisode("e", columns, rng.normal(size=(500, 1)))]
    data = ArrayDataset(episodes, spec_of(episodes, n_obs=1), CONFIG)
    batch = data.batch([0])
    noisy = data.noise(replace(QUIET, state=0.2), batch)(batch, torch.Generator().manual_seed(0))
    moved = (noisy.inputs - batch.inputs).std(0).tolist()
    assert moved == pytest.approx([20.0, 20.0, 0.002, 0.0], rel=0.1)
    assert torch.equal(data.noise(QUIET, batch)(batch, torch.Generator()).inputs, batch.inputs)


@pytest.fixture
def seen(setup: Setup) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """A cloud of the front camera (4, N, 6), the camera's view (4, 2, 3), and its pose."""
    frame = World(setup, CUBE).observe().images["front"]
    T = setup.robot.camera("front").T_mount_optical
    points = torch.from_numpy(cloud(frame, T, 2000, 2.0))[None].repeat(4, 1, 1)
    return points, torch.from_numpy(np.stack([T[:3, 3], T[:3, 2]])).float()[None].repeat(4, 1, 1), T


def test_depth_noise_moves_points_along_the_rays_that_measured_them(
    seen: tuple[torch.Tensor, torch.Tensor, np.ndarray],
) -> None:
    points, view, T = seen
    noisy = cloud_noise(points, view, 0.01, torch.Generator().manual_seed(0))
    inverse = np.linalg.inv(T)
    before, after = (p[..., :3].double().numpy() @ inverse[:3, :3].T + inverse[:3, 3] for p in (points, noisy))
    assert np.allclose(before[..., :2] / before[..., 2:], after[..., :2] / after[..., 2:], atol=1e-4), "same pixel"
    moved = (after - before)[..., 2] / before[..., 2] ** 2
    assert moved.std() == pytest.approx(0.01, rel=0.05) and abs(moved.mean()) < 0.001
    assert torch.equal(noisy[..., 3:], points[..., 3:])


def test_points_go_missing_and_one_that_is_left_stands_in(seen: tuple[torch.Tensor, torch.Tensor, np.ndarray]) -> None:
    points, _, _ = seen
    left = cloud_dropout(points, 0.3, torch.Generator().manual_seed(0))
    assert left.shape == points.shape
    for k in range(len(points)):
        is_lost = (left[k] != points[k]).any(-1)
        assert is_lost.float().mean().item() == pytest.approx(0.3, abs=0.05)
        stand_in = left[k][is_lost].unique(dim=0)
        assert len(stand_in) == 1 and (points[k][~is_lost] == stand_in).all(-1).any()
    alone = cloud_dropout(points, 1.0, torch.Generator().manual_seed(0))
    assert all(len(cloud.unique(dim=0)) == 1 for cloud in alone), "a cloud is never empty"


def test_a_training_batch_carries_the_views_that_the_noise_needs(setup: Setup, episode: Episode) -> None:
    config = replace(CONFIG, observe=ObserveConfig(points=("front", "wrist"), point_count=16))
    data = ChunkDataset([episode], setup, config)
    batch = data.batch([0]).take(torch.tensor([0, 5]))
    o = episode.observations
    reader = PixelReader(setup, config.observe)
    assert batch.views["wrist"][1].numpy() == pytest.approx(reader.views(o[5], o[4])["wrist"], abs=1e-6)
    assert not torch.equal(batch.views["wrist"][0], batch.views["wrist"][1]), "the wrist moves"
    assert torch.equal(batch.views["front"][0], batch.views["front"][1])
    noisy = data.noise(replace(QUIET, depth_m=0.02), batch)(batch, torch.Generator().manual_seed(0))
    assert not torch.equal(noisy.pixels["points.wrist"], batch.pixels["points.wrist"])
    assert isinstance(noisy, Batch) and noisy.views is batch.views
    still = augment_pixels(batch.pixels, QUIET, torch.Generator(), batch.views)
    assert all(torch.equal(still[k], batch.pixels[k]) for k in still)
