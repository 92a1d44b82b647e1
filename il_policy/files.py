"""Files of checkpoints and exports: written whole or not at all, read in bounded size; needs no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from il_core.errors import CheckpointError
from il_core.store.seal import DIGEST, seal, unseal

MAX_JSON_BYTES = 4_000_000  # ours are a few kB; a larger one is not ours
MAX_BYTES = 4_000_000_000  # far above any policy meant for a robot's computer
FORMAT_VERSION = 2  # of all our JSON files; those of version 1 (release 0.1) carry no digest of themselves
READS = (1, FORMAT_VERSION)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file so that the old or the new one is there, whole, even after a power cut.

    Raises:
        CheckpointError: the disk is full or not writable.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        problem = f"cannot be written: {error.strerror}; free space or choose another --out"
        raise CheckpointError(path, problem) from error


def write_named(directory: Path, stem: str, suffix: str, data: bytes) -> tuple[str, str]:
    """Write bytes to ``<stem>-<start of their digest>.<suffix>``.

    Returns:
        File name and SHA-256, hex.

    Raises:
        CheckpointError: the disk is full or not writable.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{stem}-{sha256[:12]}.{suffix}"
    write_durably(directory / name, data)
    return name, sha256


def read_bounded(path: Path, max_bytes: int, again: str) -> bytes:
    """Read a file that is not larger than anything of ours.

    Args:
        path: The file.
        max_bytes: Larger ones are refused.
        again: How to make it anew, such as ``train again``.

    Raises:
        CheckpointError: missing, unreadable or too large.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise CheckpointError(path, f"{path.stat().st_size} bytes, over {max_bytes}; not ours")
        return path.read_bytes()
    except OSError as error:
        hint = f"give the directory that `il train` wrote, or {again}"
        raise CheckpointError(path, f"cannot be read: {error.strerror}; {hint}") from error


def read_checked(path: Path, sha256: str, again: str) -> bytes:
    """Read a file whose digest is known.

    Raises:
        CheckpointError: missing, or a byte differs from what was written.
    """
    data = read_bounded(path, MAX_BYTES, again)
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        problem = f"damaged: SHA-256 is {got[:12]}, expected {sha256[:12]}; copy it again or {again}"
        raise CheckpointError(path, problem)
    return data


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object of ours, with its version and the digest of itself, whole or not at all.

    Raises:
        CheckpointError: the disk is full or not writable, or a number is not finite.
    """
    try:
        text = seal({**values, "format_version": FORMAT_VERSION})
    except ValueError as error:
        raise CheckpointError(path, f"cannot be written: {error}; train again with a smaller learning_rate") from error
    write_durably(path, text.encode())


def read_sealed(path: Path, again: str, oldest: int = READS[0]) -> dict[str, Any]:
    """Read a JSON object that :func:`write_sealed` wrote, or release 0.1, which wrote no digest.

    The text must be, byte for byte, what was written. A digest that was cut out or whose name was changed does not
    help: a file without one is only read if it says that it is of version 1, and the digest covers that number too.

    Args:
        path: The file.
        again: How to make it anew, such as ``train again``.
        oldest: First version that this file has.

    Raises:
        CheckpointError: missing, too large, not a JSON object, of another version, or changed since.
    """
    data = read_bounded(path, MAX_JSON_BYTES, again)
    values = _object(path, data, again)
    version = values.get("format_version", READS[0])
    if version not in READS:
        raise CheckpointError(path, f"format_version is {version!r}, this release reads {_NAMES}; {again}")
    problem = ""
    if DIGEST in values:
        try:
            problem = unseal(data).problem
        except ValueError as error:
            problem = str(error)
    elif version != READS[0] or oldest > READS[0]:
        problem = f"it has no digest, as every file of version {FORMAT_VERSION} does"
    if problem:
        raise CheckpointError(path, f"damaged: {problem}; copy it again or {again}")
    return {key: value for key, value in values.items() if key != DIGEST}


def read_json(path: Path, again: str) -> dict[str, Any]:
    """Read a small JSON object of others, which carries no digest.

    Raises:
        CheckpointError: missing, too large, or not a JSON object.
    """
    return _object(path, read_bounded(path, MAX_JSON_BYTES, again), again)


_NAMES = " and ".join(map(str, READS))


def _object(path: Path, data: bytes, again: str) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"not valid JSON ({error}); copy it again or {again}") from error
    if not isinstance(values, dict):
        raise CheckpointError(path, f"holds a {type(values).__name__}, expected an object")
    return values
