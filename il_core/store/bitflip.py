"""Finds the one flipped bit of a file from the difference of two CRC-32 sums."""

from __future__ import annotations

import zlib

_POLYNOMIAL = 0xEDB88320  # CRC-32 of zlib and PNG, reflected; primitive, so its powers repeat after 2^32 - 1 bits
_ORDER = (1 << 32) - 1
_STRIDE = 1 << 16


def _shift(c: int) -> int:
    """Multiply by x."""
    return (c >> 1) ^ (_POLYNOMIAL if c & 1 else 0)


def _giant() -> list[list[int]]:
    """Tables that multiply by x^STRIDE, a byte of the operand at a time."""
    images = []
    for bit in range(32):
        c = 1 << bit
        for _ in range(_STRIDE):
            c = _shift(c)
        images.append(c)
    tables = []
    for byte in range(4):
        row = [0] * 256
        for value in range(1, 256):
            low = value & -value
            row[value] = row[value ^ low] ^ images[8 * byte + low.bit_length() - 1]
        tables.append(row)
    return tables


_tables: list[list[int]] = []


def flip_distance(syndrome: int, limit_bits: int) -> int | None:
    """Bits from a flipped one to the end of the data, itself included.

    A flip ``m`` bits before the end changes the CRC by ``x^m mod P``. The exponent is found as the meeting of
    ``x^b * syndrome`` and ``x^(a * 2^16)`` (Shanks, "Class number, a theory of factorization, and genera", 1971).

    Args:
        syndrome: CRC-32 of the damaged data xor that of the whole data.
        limit_bits: Length of the data [bit].

    Returns:
        The distance, or None if no single flip in data of that length explains the difference.
    """
    if not 0 < syndrome <= _ORDER:
        return None
    if not _tables:
        _tables.extend(_giant())
    near: dict[int, int] = {}
    c = syndrome
    for b in range(_STRIDE):
        near.setdefault(c, b)
        c = _shift(c)
    t0, t1, t2, t3 = _tables
    c = 1
    for a in range(1, min(limit_bits, _ORDER) // _STRIDE + 2):
        c = t0[c & 255] ^ t1[c >> 8 & 255] ^ t2[c >> 16 & 255] ^ t3[c >> 24]
        if c in near:
            distance = a * _STRIDE - near[c]
            return distance if distance <= limit_bits else None
    return None


def locate_flip(data: bytes | memoryview, crc32: int) -> int | None:
    """Index of the single flipped bit that explains why a CRC-32 differs, counted from the start, LSB first.

    Data longer than 512 MiB may hold two such bits; the one nearer the end is told. Any answer must be checked
    by a second sum: damage of many bits can look like one flip by chance.

    Args:
        data: The damaged data.
        crc32: Sum of the data as it was written.
    """
    distance = flip_distance(zlib.crc32(data) ^ crc32, 8 * len(data))
    return None if distance is None else 8 * len(data) - distance
