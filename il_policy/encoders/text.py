"""Instructions as vectors, by encoders that a configuration and a checkpoint name.

``ngram`` needs no model: words that share letters are near each other. ``minilm`` knows what words mean; its weights
come from a package. Other packages bring others, see :func:`text_encoder`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

import numpy as np

from il_core.errors import ConfigError, nearest
from il_core.geometry import Array
from il_policy.observe_config import Language

GROUP = "il_robot.text_encoders"
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


OURS = {
    Language.NGRAM: hashed_ngrams.__module__ + ":hashed_ngrams",
    Language.MINILM: "il_policy.encoders.minilm:encode",
}
_registered: dict[str, TextEncoder] = {}


def register(name: str, encoder: TextEncoder) -> None:
    """Make an encoder known in this process, as an entry point makes it known in all.

    It must give the same vector for the same text in training and on the robot: checkpoints name it.

    Raises:
        ConfigError: the name is one of ours.
    """
    if name in (Language.NONE, *OURS):
        raise ConfigError("text encoder", f"'{name}' is one of ours, and checkpoints rely on it; choose another name")
    _registered[name] = encoder
    encode_text.cache_clear()


def text_encoder(name: str) -> TextEncoder:
    """The encoder of a name: ours, a registered one, or one that an installed package brings.

    A package brings one as an entry point of the group ``il_robot.text_encoders``: a function of a text and a number
    of dimensions that gives a vector of so many numbers.

    Raises:
        ConfigError: nobody here knows that name; or its package is broken.
    """
    if name in _registered:
        return _registered[name]
    brought = {point.name: point for point in entry_points(group=GROUP)}
    where = f"observe.language '{name}'"
    if name in OURS:
        module, _, function = OURS[name].partition(":")
        found: TextEncoder = getattr(import_module(module), function)
        return found
    if name not in brought:
        known = sorted({*OURS, *brought, *_registered})
        step = f"or pip install the package that brings it as an entry point of '{GROUP}'"
        raise ConfigError(where, f"is no text encoder that is installed here; {nearest(name, known)}; {step}")
    try:
        loaded = brought[name].load()
    except Exception as error:  # whatever the import of a foreign package raises
        raise ConfigError(where, f"its package cannot be imported: {error!r}; install it again") from error
    if not callable(loaded):
        raise ConfigError(where, f"its entry point is a {type(loaded).__name__}, expected a function of text and size")
    return loaded


@lru_cache(maxsize=256)
def encode_text(name: str, text: str, dim: int) -> Array:
    """Vector of an instruction, (dim,), read-only.

    Raises:
        ConfigError: no such encoder, or it gave something else.
    """
    vector = np.array(text_encoder(name)(text, dim), dtype=np.float64)
    if vector.shape != (dim,) or not np.isfinite(vector).all():
        got = f"gave shape {vector.shape} for {text!r}, expected {dim} finite numbers"
        raise ConfigError(f"observe.language '{name}'", f"{got}; tell who made the encoder")
    vector.flags.writeable = False
    return vector
