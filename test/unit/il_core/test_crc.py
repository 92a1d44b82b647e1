"""The sum of two pieces is that of the whole."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from il_core.store.crc import crc32_of_both


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_sum_of_two_pieces_is_that_of_the_whole(first: bytes, second: bytes):
    both = crc32_of_both(zlib.crc32(first), zlib.crc32(second), len(second))
    assert both == zlib.crc32(first + second)


def test_long_pieces_too():
    first, second = bytes(range(256)) * 4000, bytes(921_700)
    assert crc32_of_both(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)
