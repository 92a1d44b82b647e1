"""Weights that picture encoders begin a training with, from a safetensors file: numbers only, nothing is run.

The file holds the state of one encoder of ours, every tensor of it. Or it holds torchvision's ResNet-18 (timm's has
the same names): its convolutions are taken, while norms and the last layer, which differ, begin anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from il_core.errors import ConfigError
from il_policy.files import MAX_BYTES

FOREIGN = "bn1.weight"  # a norm as torchvision calls it; ours are called otherwise
LAST = "leave."  # the layer that makes points of interest
SHOWN = 3  # names in an error


@torch.no_grad()
def begin_with(encoder: nn.Module, path: Path) -> str:
    """Fill an encoder with the weights of a file.

    The first convolution of a depth encoder begins anew if the file's looks at colours.

    Returns:
        SHA-256 of the file, hex.

    Raises:
        ConfigError: unreadable, or not the weights of such an encoder.
    """
    (tensors, sha256), where = read_weights(path), f"observe.weights {path}"
    mine = dict(encoder.state_dict())
    first = next(name for name, tensor in mine.items() if tensor.ndim == 4)
    if first in tensors and _fits_other_channels(mine[first], tensors[first]):
        del mine[first]
    if FOREIGN in tensors:
        mine = {name: tensor for name, tensor in mine.items() if tensor.ndim == 4 and not name.startswith(LAST)}
    missing = [name for name in mine if name not in tensors]
    if missing or not mine:
        expected = f"the state of a {type(encoder).__name__}"
        raise ConfigError(where, f"has no {_some(missing)}, expected {expected}; it has {_some(list(tensors))}")
    more = [
        name for name in tensors if name not in {first, *mine} and (FOREIGN not in tensors or tensors[name].ndim == 4)
    ]
    if more:
        problem = f"also has {_some(more)}, which a {type(encoder).__name__} does not"
        raise ConfigError(where, f"{problem}; take a file of the same encoder")
    for name, tensor in mine.items():
        got, wanted = tuple(tensors[name].shape), tuple(tensor.shape)
        if got != wanted:
            problem = f"'{name}' is {got}, expected {wanted} with today's keypoints, side and channels"
            raise ConfigError(where, f"{problem}; take a file of the same encoder")
    for name, tensor in mine.items():
        tensor.copy_(tensors[name])
    return sha256


def read_weights(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """All tensors of a safetensors file, and its SHA-256, hex.

    Raises:
        ConfigError: unreadable, of another format, or not finite.
    """
    where = f"observe.weights {path}"
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(where, f"{size} bytes, expected at most {MAX_BYTES}; take a file of one encoder")
        data = path.read_bytes()
        tensors = load_tensors(data)
    except OSError as error:
        raise ConfigError(where, f"cannot be read: {error.strerror}; give a .safetensors file") from error
    except SafetensorError as error:
        step = "convert it elsewhere with safetensors.torch.save_file: other formats can run code"
        raise ConfigError(where, f"is not a safetensors file ({error}); {step}") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ConfigError(where, f"'{name}' holds NaN or infinity; take another file")
    return tensors, hashlib.sha256(data).hexdigest()


def _fits_other_channels(mine: Tensor, theirs: Tensor) -> bool:
    """Whether two first convolutions differ in the channels they look at and in nothing else."""
    return (
        theirs.ndim == 4
        and mine.shape[1] != theirs.shape[1]
        and (mine.shape[0], *mine.shape[2:]) == (theirs.shape[0], *theirs.shape[2:])
    )


def _some(names: list[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
