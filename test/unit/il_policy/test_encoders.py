"""Every encoder of pictures: its shapes, gradients, training, checkpoints, graphs, and weights from a file."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_world import make_setup
from torch import Tensor, nn

from il_core.config import from_mapping
from il_core.errors import ConfigError
from il_policy import checkpoint, generic
from il_policy.array_data import ArrayEpisode
from il_policy.config import Head, NetworkConfig, ObserveConfig, PictureEncoder, TrainConfig
from il_policy.encoders.eyes import Eyes, blank_pixels, make_eyes
from il_policy.encoders.pictures import make_encoder
from il_policy.encoders.resnet import ResNet18
from il_policy.encoders.weights import begin_with
from il_policy.generic import spec_of
from il_policy.policy import ChunkModel, ChunkPolicy
from il_policy.serving.backend import ENCODE, open_backend
from il_policy.serving.export import export
from il_policy.serving.loading import exportable

torch.set_num_threads(1)
SEEN = ObserveConfig(rgb=("top",), depth=("top",), side=32, keypoints=4, channels=(8, 8))
LARGE = [PictureEncoder.RESNET18, PictureEncoder.VIT]
SIZES = {
    PictureEncoder.RESNET18: 11_182_000,
    PictureEncoder.VIT: 2_690_000,
}  # Table 1 of both papers, less their classes


def eyes_of(encoder: PictureEncoder) -> Eyes:
    torch.manual_seed(0)
    eyes = make_eyes(replace(SEEN, encoder=encoder))
    assert eyes is not None
    return eyes


def pictures(count: int, seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """A bright square somewhere on noise, and where it is, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 90, (count, 3, 32, 32), dtype=np.uint8)
    depth = np.full((count, 1, 32, 32), 1.2, np.float16)
    corner = rng.integers(0, 27, (count, 2))
    for k, (x, y) in enumerate(corner):
        rgb[k, 0, y : y + 6, x : x + 6] = 255
        depth[k, 0, y : y + 6, x : x + 6] = 0.5
    where = torch.from_numpy((corner + 2.5) / 15.5 - 1.0).float()
    return {"rgb.top": torch.from_numpy(rgb), "depth.top": torch.from_numpy(depth)}, where


def torchvisions(**changes: Tensor) -> dict[str, Tensor]:
    """Random weights under the names of torchvision's ResNet-18."""
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in ResNet18(3, 4).state_dict().items()}
    made = {name: torch.rand(s) for name, s in shapes.items() if len(s) == 4 and not name.startswith("leave")}
    norms = {"bn1.weight": torch.ones(64), "bn1.running_mean": torch.zeros(64)}
    norms |= {"layer2.0.downsample.1.weight": torch.ones(128), "bn1.num_batches_tracked": torch.tensor(7)}
    return made | norms | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)} | changes


def written(tensors: dict[str, Tensor], folder: Path) -> Path:
    path = folder / "weights.safetensors"
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("encoder", LARGE)
def test_every_number_has_its_name_and_every_pixel_counts(encoder: PictureEncoder) -> None:
    eyes, (pixels, _) = eyes_of(encoder), pictures(3)
    seen = eyes(pixels)
    names = replace(SEEN, encoder=encoder).eye_names
    assert seen.shape == (3, len(names)) == (3, 2 * 2 * 4)
    assert seen.abs().max() <= 1.0, "they are places in the picture"
    assert torch.allclose(eyes({k: v[:1] for k, v in pixels.items()}), seen[:1], atol=1e-5), (
        "of a batch no other matters"
    )
    for name, column in (("rgb.top", slice(0, 8)), ("depth.top", slice(8, 16))):
        flipped = {**pixels, name: pixels[name].flip(-1)}
        assert (eyes(flipped) - seen)[:, column].abs().max() > 1e-4
    size = sum(p.numel() for p in make_encoder(replace(SEEN, encoder=encoder), 3).parameters())
    assert size == pytest.approx(SIZES[encoder], rel=0.01)


@pytest.mark.parametrize("encoder", LARGE)
def test_gradients_reach_the_first_layer_and_after_a_step_every_layer(encoder: PictureEncoder) -> None:
    eye, rgb = eyes_of(encoder).eyes["rgb_top"], pictures(2)[0]["rgb.top"]
    first = next(p for p in eye.parameters() if p.ndim == 4)
    optimizer = torch.optim.SGD(eye.parameters(), 1e-2)
    eye(rgb).square().sum().backward()
    assert first.grad is not None and first.grad.abs().max() > 0
    optimizer.step()
    optimizer.zero_grad()
    eye(rgb).square().sum().backward()
    # The norms at a block's end are zero at first, so that what is before them learns from the second step on.
    silent = [n for n, p in eye.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not silent


@pytest.mark.parametrize("encoder", LARGE)
def test_a_short_training_learns_where_a_square_is(encoder: PictureEncoder) -> None:
    torch.manual_seed(0)
    eye = eyes_of(encoder).eyes["rgb_top"]
    network = nn.Sequential(eye, nn.Linear(8, 2))
    pixels, where = pictures(8)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    losses = []
    for _ in range(15):
        loss = (network(pixels["rgb.top"]) - where).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def seen_episode(count: int = 6) -> ArrayEpisode:
    rng = np.random.default_rng(0)
    seen = {"top": rng.integers(0, 255, (count, 40, 40, 3), dtype=np.uint8)}
    return ArrayEpisode("seen", {"x": np.arange(count) / count}, rng.normal(size=(count, 2)), seen)


@pytest.mark.parametrize(("encoder", "kind"), [(PictureEncoder.RESNET18, "depth"), (PictureEncoder.VIT, "rgb")])
def test_a_saved_policy_plans_as_before_in_torch_and_in_graphs(
    encoder: PictureEncoder, kind: str, tmp_path: Path
) -> None:
    setup = make_setup()
    looked = ObserveConfig(rgb=("front",)) if kind == "rgb" else ObserveConfig(depth=("front",))
    observe = replace(looked, side=32, keypoints=4, encoder=encoder)
    config = TrainConfig("bc", Head.REGRESSION, NetworkConfig(width=16, depth=1), observe=observe)
    torch.manual_seed(0)
    model = ChunkModel.for_setup(setup, config).eval()
    checkpoint.save(tmp_path, model, setup, config, "none", {})
    policy = checkpoint.load(tmp_path, setup)
    assert isinstance(policy, ChunkPolicy) and policy.config.observe == observe
    pixels = {f"{kind}.front": pictures(1)[0][f"{kind}.top"]}
    known = torch.zeros(1, len(model.input_norm.centre))
    with torch.no_grad():
        seen = model.condition(known, pixels)
    assert torch.equal(policy.model.condition(known, pixels), seen)
    artifact = export(tmp_path, ["onnx", "openvino"], policy)
    assert max(artifact.max_error.values()) <= 1e-4
    feeds = {"inputs": known.numpy()} | {name: picture.numpy() for name, picture in pixels.items()}
    for runtime in ("onnx", "openvino"):
        got = open_backend(runtime, tmp_path, artifact).run(ENCODE, feeds)[0]
        assert np.abs(got - seen.numpy()).max() < 1e-4


def test_convolutions_of_torchvisions_network_are_taken_over_and_nothing_else(tmp_path: Path) -> None:
    eyes, theirs = eyes_of(PictureEncoder.RESNET18), torchvisions()
    before = {name: p.clone() for name, p in eyes.state_dict().items()}
    eyes.begin_with(written(theirs, tmp_path))
    convolutions = {name for name, p in theirs.items() if p.ndim == 4}
    assert len(convolutions) == 20, "17 in the blocks and before them, 3 beside skips"
    for kind in ("rgb", "depth"):
        prefix = f"eyes.{kind}_top.cnn."
        for name, now in eyes.state_dict().items():
            if name.startswith(prefix):
                inner = name.removeprefix(prefix)
                is_taken = inner in convolutions and (kind, inner) != ("depth", "conv1.weight")
                assert torch.equal(now, theirs[inner] if is_taken else before[name]), name


@pytest.mark.parametrize("encoder", [PictureEncoder.KEYPOINTS, PictureEncoder.VIT])
def test_a_training_begins_with_the_weights_of_a_file_and_its_policy_needs_that_file_no_more(
    encoder: PictureEncoder, tmp_path: Path
) -> None:
    observe = ObserveConfig(rgb=("top",), side=32, keypoints=4, channels=(8, 8), encoder=encoder)
    torch.manual_seed(5)
    theirs = {name: torch.randn_like(p) for name, p in make_encoder(observe, 3).state_dict().items()}
    path = written(theirs, tmp_path)
    config = TrainConfig(
        "bc", Head.REGRESSION, NetworkConfig(width=16, depth=1), observe=replace(observe, weights=str(path)),
        steps=1, batch_size=2, learning_rate=1e-9,
    )  # fmt: skip
    episodes = [seen_episode()]
    generic.train(episodes, config, tmp_path / "out", spec_of(episodes, n_obs=1, horizon=4, n_execute=4))
    origin = checkpoint.read_stored(tmp_path / "out").origin
    assert origin is not None and origin.eyes_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"encoders of pictures from weights {origin.eyes_sha256[:12]}" in origin.line()
    path.unlink()
    eyes = exportable(tmp_path / "out").model.eyes
    assert eyes is not None
    for name, now in eyes.state_dict().items():
        assert torch.allclose(now, theirs[name.removeprefix("eyes.rgb_top.cnn.")], atol=1e-6), name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer4.1.conv2.weight": torch.zeros(512, 512, 1, 1)}, r"2.weight' is \(512, 512, 1, 1\), expected \(512"),
        ({"layer1.2.conv1.weight": torch.zeros(1, 1, 3, 3)}, "also has 'layer1.2.conv1.weight', which a ResNet18 does"),
        ({"conv1.weight": torch.full((64, 3, 7, 7), np.nan)}, "'conv1.weight' holds NaN or infinity"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"'conv1.weight' is \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)"),
    ],
)  # fmt: skip
def test_weights_of_another_network_are_refused(changes: dict[str, Tensor], words: str, tmp_path: Path) -> None:
    path = written(torchvisions(**changes), tmp_path)
    with torch.device("meta"):
        encoder = ResNet18(3, 4)  # shapes only: nothing may be written to it
    with pytest.raises(ConfigError, match=f"observe.weights {path}: .*{words}"):
        begin_with(encoder, path)


def test_a_file_that_is_no_safetensors_is_refused_unread(tmp_path: Path) -> None:
    encoder, path = make_encoder(SEEN, 3), tmp_path / "weights.pth"
    with pytest.raises(ConfigError, match="cannot be read: No such file.*give a .safetensors file"):
        begin_with(encoder, path)
    torch.save({"body.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="is not a safetensors file .*other formats can run code"):
        begin_with(encoder, path)
    with pytest.raises(ConfigError, match="has no 'sharpness', 'body.0.bias'.* expected the state of a KeypointCnn"):
        begin_with(encoder, written({"body.0.weight": torch.zeros(8, 3, 5, 5)}, tmp_path))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"encoder": "resnet18", "side": 31}, r"side must be in 32\.\.512 for resnet18, got 31"),
        ({"encoder": "vit", "side": 60}, "side must be a multiple of 8 for vit, got 60"),
        ({"encoder": "vit", "side": 8}, r"side must be in 16\.\.512 for vit, got 8"),
        ({"encoder": "resnet50"}, "unknown value 'resnet50'; .*resnet18"),
        ({"weights": "a.safetensors"}, "weights are for encoders of pictures; name cameras in rgb or depth"),
    ],
)
def test_settings_that_no_encoder_can_follow_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_mapping(ObserveConfig, values, "observe")


def test_settings_of_older_checkpoints_mean_the_compact_network_and_its_tensors() -> None:
    old = from_mapping(ObserveConfig, {"rgb": ["top"], "side": 16, "channels": [8, 8], "keypoints": 4}, "policy.json")
    eyes = make_eyes(old)
    assert old.encoder is PictureEncoder.KEYPOINTS and eyes is not None
    body = [f"body.{i}.{kind}" for i in (0, 1, 3, 4, 6) for kind in ("weight", "bias")]
    assert set(eyes.state_dict()) == {f"eyes.rgb_top.cnn.{name}" for name in ("sharpness", *body)}
    assert eyes(blank_pixels(old)).shape == (1, 8)
