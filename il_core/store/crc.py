"""CRC-32 of bytes whose parts' sums are known, so that a picture is summed once however often it is protected."""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0xEDB88320  # CRC-32 of zlib and MCAP, lowest power in the highest bit
_ONE, _X_TO_8 = 1 << 31, 1 << 23


def crc32_of_both(first: int, second: int, second_bytes: int) -> int:
    r"""CRC-32 of two pieces in a row.

    .. math:: c_{ab} = c_a\,x^{8 n_b} \bmod P \;\oplus\; c_b

    With P the generator of CRC-32 over GF(2), as a CRC is the remainder of a division by it; zlib calls this
    ``crc32_combine``.

    Args:
        first: CRC of the first piece.
        second: CRC of the second.
        second_bytes: Length of the second; a new one costs a millisecond, a known one microseconds.
    """
    return _product(_power(second_bytes), first) ^ second


def _product(a: int, b: int) -> int:
    """A b mod P."""
    product, bit = 0, _ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=256)
def _power(count: int) -> int:
    """x^(8 count) mod P, by squaring."""
    power, square = _ONE, _X_TO_8
    while count:
        if count & 1:
            power = _product(square, power)
        square = _product(square, square)
        count >>= 1
    return power
