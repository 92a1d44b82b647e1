"""Instructions as vectors. The default needs no model: words that share letters are near each other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from il_core.errors import ConfigError, nearest
from il_core.geometry import Array
from il_policy.observe_config import Language

SIZES = (3, 4, 5)  # letters per n-gram, as in fastText

TextEncoder = Callable[[str, int], Array]


def hashed_ngrams(text: str, dim: int) -> Array:
    r"""Character n-grams hashed into ``dim`` signed buckets, of unit length, (dim,).

    .. math:: v_{h(g)} \mathrel{+}= \pm 1 \quad \text{for every n-gram}\ g\ \text{of every word}

    Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009; n-grams with word
    borders as in Bojanowski et al., "Enriching word vectors with subword information", TACL 2017. The same
    on every machine (BLAKE2b). An empty text is the zero vector.
    """
    vector = np.zeros(dim)
    for word in "".join(c if c.isalnum() else " " for c in text.casefold()).split():
        framed = f"<{word}>"
        grams = {framed[i : i + n] for n in SIZES for i in range(max(1, len(framed) - n + 1))}
        for gram in grams:
            h = int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "little")
            vector[(h >> 1) % dim] += 1.0 if h & 1 else -1.0
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


ENCODERS: dict[str, TextEncoder] = {Language.NGRAM.value: hashed_ngrams}


def register(name: str, encoder: TextEncoder) -> None:
    """Put another encoder in the place of a known name, such as a local model for ``ngram``.

    It must give the same vector for the same text in training and on the robot.

    Raises:
        ConfigError: no such name.
    """
    if name not in ENCODERS:
        raise ConfigError("text encoder", f"unknown name '{name}'; {nearest(name, list(ENCODERS))}")
    ENCODERS[name] = encoder


def encode_text(kind: Language, text: str, dim: int) -> Array:
    """Vector of an instruction, (dim,)."""
    return ENCODERS[kind.value](text, dim)
