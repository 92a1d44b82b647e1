"""JSON files that carry their own digest: a flip of any bit of the text is noticed, and a single one is mended."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from il_core.config import from_mapping
from il_core.errors import ConfigError
from il_core.store.bitflip import locate_flip

DIGEST = "digest"  # CRC-32 and SHA-256 of the text without this line, hex, joined by "-"
T = TypeVar("T")
_LINE = re.compile(rb'\n "digest": "([0-9a-f]{8})-([0-9a-f]{64})",?(?=\n)')


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed text, opened.

    Attributes:
        values: What it says, without the digest.
        has_digest: Whether it carries one; files of release 0.1 do not.
        problem: Why it is not what was written; empty if it is, or if it has no digest.
    """

    values: dict[str, Any]
    has_digest: bool
    problem: str = ""


def _render(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def seal(values: Mapping[str, Any]) -> str:
    """JSON text with the digest of itself; the same values give the same text."""
    plain = _render(values).encode()
    return _render({**values, DIGEST: f"{zlib.crc32(plain):08x}-{hashlib.sha256(plain).hexdigest()}"})


@dataclass(frozen=True, slots=True)
class Reading:
    """How a sealed file is read.

    Attributes:
        version: The ``format_version`` this release reads.
        source: The file, for messages about its keys.
        fail: Makes the error of a problem.
        mend: What to do about damage.
        other_version: What to do about another version.
    """

    version: int
    source: str
    fail: Callable[[str], Exception]
    mend: str
    other_version: str


def read_sealed(data: bytes, kind: type[T], reading: Reading) -> T:
    """A dataclass from the text of :func:`seal`, or of release 0.1, which had no digest.

    Raises:
        Exception: what ``reading.fail`` makes: not JSON, of another version, changed, or with impossible values.
    """
    try:
        sealed = unseal(data)
    except ValueError as error:
        raise reading.fail(f"is unreadable ({error}); {reading.mend}") from error
    version = sealed.values.get("format_version")
    if version != reading.version:
        got = f"format_version is {version!r}, this release reads {reading.version}"
        raise reading.fail(f"{got}; {reading.other_version}")
    try:
        found = from_mapping(kind, sealed.values, reading.source)
    except ConfigError as error:
        raise reading.fail(f"is damaged: {error}; {reading.mend}") from error
    if sealed.problem:
        raise reading.fail(f"is damaged: {sealed.problem}; {reading.mend}")
    return found


def unseal(data: bytes) -> Sealed:
    """Parse a text and compare it, byte for byte, with what its digest promises.

    Raises:
        ValueError: no JSON, or no mapping.
    """
    try:
        values = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(values, dict):
        raise ValueError(f"holds a {type(values).__name__}, not a mapping")
    digest = values.pop(DIGEST, None)
    if digest is None:
        return Sealed(values, has_digest=False)
    try:
        is_same = seal(values).encode() == data
    except (ValueError, RecursionError):  # numbers or texts that no JSON writer makes
        is_same = False
    return Sealed(values, True, "" if is_same else "it was changed after it was written (its digest differs)")


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def mended_text(data: bytes) -> bytes | None:
    """The text as it was sealed, if a single flipped bit explains the damage; None otherwise.

    The CRC finds the bit, the SHA-256 confirms it; a flip inside the digest itself is mended by sealing again.
    """
    match = _LINE.search(data)
    if match is not None:
        rest = data[: match.start()] + data[match.end() :]
        crc, sha = int(match.group(1), 16), match.group(2).decode()
        fixed = _fixed(rest, crc, sha)
    else:  # the flip may have hit the line that holds the digest
        fixed = _without_digest(data)
    if fixed is None:
        return None
    try:
        sealed = seal(json.loads(fixed, parse_constant=_refuse)).encode()
    except (ValueError, RecursionError):
        return None
    # What is written must differ from what was found by one bit and no more.
    difference = int.from_bytes(sealed, "little") ^ int.from_bytes(data, "little")
    return sealed if len(sealed) == len(data) and difference.bit_count() == 1 else None


def _fixed(rest: bytes, crc: int, sha: str) -> bytes | None:
    if zlib.crc32(rest) == crc or hashlib.sha256(rest).hexdigest() == sha:
        return rest  # the other half of the digest was hit
    flip = locate_flip(rest, crc)
    if flip is None:
        return None
    fixed = bytearray(rest)
    fixed[flip // 8] ^= 1 << flip % 8
    return bytes(fixed) if hashlib.sha256(fixed).hexdigest() == sha else None


def _without_digest(data: bytes) -> bytes | None:
    """Text without the line that looks most like the digest's."""
    lines = data.split(b"\n")
    near = [i for i, line in enumerate(lines) if len(line) in (87, 88) and b"-" in line and line.count(b'"') >= 3]
    if len(near) != 1:
        return None
    return b"\n".join(lines[: near[0]] + lines[near[0] + 1 :])
