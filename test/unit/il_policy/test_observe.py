"""What policies see, feel and hear: encoders with their guarantees, and a policy trained on pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import HALF_M, World, demonstrate, make_setup

from il_core.config import Setup
from il_core.errors import ConfigError, DeviceError, EpisodeError
from il_core.types import ArmState, Episode
from il_policy import checkpoint
from il_policy.augment.pixels import augment_pixels, depth_noise
from il_policy.config import AugmentConfig, Head, Language, NetworkConfig, ObserveConfig, TrainConfig
from il_policy.dataset import INSTRUCTION_NOTE, ChunkDataset
from il_policy.encoders.cnn import spatial_softmax
from il_policy.encoders.extras import Extras
from il_policy.encoders.eyes import blank_pixels, make_eyes
from il_policy.encoders.pictures import DepthEye, RgbEye
from il_policy.encoders.pixels import PixelReader, cloud, shrink, small_depth
from il_policy.encoders.points import PointEye
from il_policy.encoders.text import hashed_ngrams
from il_policy.train import train

ALL = ObserveConfig(
    rgb=("front",), depth=("front", "wrist"), points=("front",), side=16, keypoints=4, channels=(8, 8), point_count=64
)
MIXED = replace(ALL, depth=("front",), side=32, keypoints=8)
CUBE = np.array([0.5, 0.1, HALF_M])


def test_shrinking_takes_means_over_cells_of_any_size() -> None:
    image = np.arange(6 * 9 * 2, dtype=np.float64).reshape(6, 9, 2)
    assert shrink(image, 3)[0, 0] == pytest.approx(image[:2, :3].mean((0, 1)))
    assert shrink(image, 1)[0, 0] == pytest.approx(image.mean((0, 1)))
    assert shrink(image[:2, :2], 4).shape == (4, 4, 2)


def test_depth_that_was_not_measured_does_not_count(setup: Setup) -> None:
    frame = World(setup, CUBE).observe().images["front"]
    holes = frame.depth_m.copy()
    holes[::2] = 0.0
    whole, holed = (small_depth(replace(frame, depth_m=d), 16, 2.0) for d in (frame.depth_m, holes))
    assert np.abs(whole.astype(float) - holed).max() < 0.02, "means are over what is there"
    assert small_depth(replace(frame, depth_m=np.zeros_like(holes)), 16, 2.0).max() == 0.0
    torch.manual_seed(0)
    eye = DepthEye(replace(ALL, depth_max_m=2.0))
    depth = torch.rand(2, 1, 16, 16) + 0.2
    depth[:, :, :8] = 0.0
    far = depth.clone()
    far[:, :, :8] = 5.0
    assert torch.equal(eye(depth), eye(far)), "missing and too far are the same"
    assert not torch.equal(eye(depth), eye(depth.clamp(min=0.1))), "and differ from measured"


def test_a_cloud_lies_on_what_the_camera_sees_in_base(setup: Setup) -> None:
    frame = World(setup, CUBE).observe().images["front"]
    points = cloud(frame, setup.robot.camera("front").T_mount_optical, 70_000, 2.0)
    red = points[points[:, 3] > 0.6]
    assert np.abs(red[:, :3].mean(0) - [0.5, 0.1, 2 * HALF_M]).max() < 0.004
    with pytest.raises(DeviceError, match="camera 'front' measures no depth within 0.1 m"):
        cloud(frame, np.eye(4), 10, 0.1)


def test_spatial_softmax_says_where_the_peak_is() -> None:
    maps = torch.full((1, 1, 9, 9), -50.0)
    maps[0, 0, 0, 8] = 50.0  # top right
    assert spatial_softmax(maps)[0].tolist() == pytest.approx([1.0, -1.0])


def test_the_order_of_points_does_not_matter_and_every_eye_is_asked(setup: Setup) -> None:
    torch.manual_seed(0)
    eye, points = PointEye(8), torch.rand(2, 30, 6)
    assert torch.allclose(eye(points), eye(points[:, torch.randperm(30)]), atol=1e-6)
    eyes = make_eyes(ALL)
    assert eyes is not None and make_eyes(ObserveConfig()) is None
    pixels = blank_pixels(ALL)
    seen = eyes(pixels)
    assert seen.shape == (1, eyes.dim) == (1, 3 * 8 + 64)
    for name, tensor in pixels.items():
        changed = {**pixels, name: (tensor.float() + torch.rand(tensor.shape) * 1.5).to(tensor.dtype)}
        assert not torch.equal(eyes(changed), seen), f"{name} is not looked at"
    assert RgbEye(ALL)(pixels["rgb.front"]).shape == (1, 8)


def test_reading_pixels_names_what_is_missing(setup: Setup) -> None:
    o = World(setup, CUBE).observe()
    pixels = PixelReader(setup, ALL).read(o, o)
    assert {k: v.shape for k, v in pixels.items()} == {k: tuple(v.shape[1:]) for k, v in blank_pixels(ALL).items()}
    with pytest.raises(DeviceError, match="camera 'front' is not in the observation"):
        PixelReader(setup, ALL).read(replace(o, images={}), o)
    with pytest.raises(ConfigError, match="no camera 'frnt'; did you mean 'front'"):
        PixelReader(setup, ObserveConfig(rgb=("frnt",)))


def test_torque_and_wrench_come_from_measurements_or_not_at_all(setup: Setup) -> None:
    felt = Extras(setup, ObserveConfig(torque=True, wrench=True))
    arm = ArmState(0, np.zeros(2), np.zeros(2), np.array([3.0, 4.0]), 1.0)
    o = replace(World(setup, CUBE).observe(), arm=arm, wrench=np.arange(6.0))
    assert felt.encode(o).tolist() == [3, 4, 0, 1, 2, 3, 4, 5]
    assert felt.names == ("tau.0", "tau.1", *(f"wrench.{n}" for n in ("fx", "fy", "fz", "tx", "ty", "tz")))
    with pytest.raises(EpisodeError, match="no wrench, but the policy observes it"):
        felt.encode(replace(o, wrench=None))
    with pytest.raises(EpisodeError, match="no joint state, but the policy observes torques"):
        felt.encode(replace(o, arm=None))


def test_instructions_with_common_words_are_near_each_other() -> None:
    red, again, blue, other = (
        hashed_ngrams(t, 256)
        for t in ("put the red cube into the bin", "Put the RED cube into the bin!", "put the blue cube away", "wipe")
    )
    assert np.array_equal(red, again)
    assert red @ blue > 0.4 > red @ other
    assert np.linalg.norm(red) == pytest.approx(1.0)
    assert not hashed_ngrams("", 16).any()


def test_what_was_said_in_an_episode_reaches_the_network() -> None:
    setup = make_setup(cameras=(), objects=())
    demo = demonstrate(setup, CUBE)
    config = TrainConfig("t", Head.REGRESSION, observe=ObserveConfig(language=Language.NGRAM, language_dim=8))
    told = replace(demo, notes={INSTRUCTION_NOTE: "push it"})
    default, other = (ChunkDataset([d], setup, config).arrays[0].inputs for d in (demo, told))
    assert default[0, -8:] == pytest.approx(hashed_ngrams(setup.task.instruction, 8))
    assert other[0, -8:] == pytest.approx(hashed_ngrams("push it", 8))


@pytest.fixture(scope="module")
def seen() -> tuple[Setup, list[Episode]]:
    """A task without located objects: only pixels tell where the cube is."""
    setup = make_setup(cameras=("front", "wrist"), objects=())
    places = ([0.4, 0.1, HALF_M], [0.55, -0.05, HALF_M])
    demos = [demonstrate(setup, np.array(p), f"d{i}") for i, p in enumerate(places)]
    return setup, [
        replace(d, observations=d.observations[:4], T_base_ee_des=d.T_base_ee_des[:4], gripper_des=d.gripper_des[:4])
        for d in demos
    ]


def test_a_policy_that_only_sees_pixels_goes_where_the_cube_is(
    seen: tuple[Setup, list[Episode]], tmp_path: Path
) -> None:
    setup, demos = seen
    noise = AugmentConfig(0, 0, 0, colour=0.05, depth_m=0.001)
    config = TrainConfig(
        "px", Head.REGRESSION, NetworkConfig(width=64, depth=1), observe=MIXED, augment=noise,
        steps=160, batch_size=8, learning_rate=3e-3, eval_every=1000, ema_power=0.5,
    )  # fmt: skip
    train(ChunkDataset(demos, setup, config), setup, config, tmp_path)
    policy = checkpoint.load(tmp_path, setup)
    policy.warm_up()
    for demo in demos:
        first = demo.observations[0]
        error = policy.predict([first, first]).rows[:4, :3, 3] - demo.T_base_ee_des[:4, :3, 3]
        assert np.abs(error).max() < 0.04, "the two demonstrations differ by 86 mm"
    a, b = (checkpoint.load(tmp_path, setup).predict([first, first]).rows for _ in range(2))
    assert np.array_equal(a, b)


def test_disturbed_pixels_keep_their_type_range_and_holes_and_depend_on_the_seed(setup: Setup) -> None:
    o = World(setup, CUBE).observe()
    read = PixelReader(setup, ALL).read(o, o)
    pixels = {k: torch.from_numpy(v)[None].repeat_interleave(4, 0) for k, v in read.items()}
    strong = AugmentConfig(shift_px=4, colour=0.5, depth_m=0.01, depth_dropout=0.2, camera_rad=0.05, camera_m=0.01)
    views = {k: torch.from_numpy(v)[None].float() for k, v in PixelReader(setup, ALL).views(o, o).items()}
    a, b, c = (augment_pixels(pixels, strong, torch.Generator().manual_seed(s), views) for s in (0, 0, 1))
    for name, before in pixels.items():
        assert a[name].dtype == before.dtype and a[name].shape == before.shape
        assert torch.equal(a[name], b[name]) and not torch.equal(a[name], c[name])
    quiet = augment_pixels(pixels, AugmentConfig(), torch.Generator())
    assert all(torch.equal(quiet[k], pixels[k]) for k in pixels)
    depth = torch.zeros(1, 1, 4, 4)
    depth[..., :2] = 1.0
    noisy = depth_noise(depth, 0.05, 0.0, torch.Generator().manual_seed(0))
    assert (noisy[..., 2:] == 0).all() and (noisy[..., :2] != 1).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"side": 2}, "side must be in 8"),
        ({"channels": (3,)}, "multiples of 4"),
        ({"keypoints": 10**9}, "must be in 1..4096"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ObserveConfig(**wrong)  # type: ignore[arg-type]
