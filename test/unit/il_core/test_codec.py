"""Pictures survive the codec bit for bit; what is no picture is refused."""

from __future__ import annotations

import numpy as np
import pytest

from il_core import codec
from il_core.errors import EpisodeError, ShapeError


def test_colour_survives_bit_for_bit(rng):
    rgb = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    assert np.array_equal(codec.decode_rgb(codec.encode_rgb(rgb)), rgb)


def test_red_stays_red():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert codec.decode_rgb(codec.encode_rgb(red))[0, 0].tolist() == [255, 0, 0]


def test_every_millimetre_survives_bit_for_bit():
    mm = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    depth_m = mm.astype(np.float32) * np.float32(1e-3)  # as wire.depth_m_from makes it
    assert np.array_equal(codec.decode_depth(codec.encode_depth(depth_m)), depth_m)


def test_depth_beyond_16_bits_becomes_no_measurement():
    depth_m = np.array([[65.5, 65.6, 1000.0, 0.0]], np.float32)
    assert codec.decode_depth(codec.encode_depth(depth_m))[0].tolist() == [pytest.approx(65.5), 0.0, 0.0, 0.0]


def test_the_same_picture_gives_the_same_bytes(rng):
    rgb = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    assert codec.encode_rgb(rgb) == codec.encode_rgb(rgb.copy())


@pytest.mark.parametrize("data", [b"", b"no picture", codec.encode_rgb(np.zeros((9, 9, 3), np.uint8))[:20]])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(EpisodeError, match="rebuild the dataset"):
        codec.decode_rgb(data)


def test_colour_and_depth_are_not_mistaken_for_each_other():
    with pytest.raises(EpisodeError, match="expected .H, W. uint16"):
        codec.decode_depth(codec.encode_rgb(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(EpisodeError, match="expected .H, W, 3. uint8"):
        codec.decode_rgb(codec.encode_depth(np.zeros((4, 4), np.float32)))


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match="rgb: expected shape .H, W, 3. uint8"):
        codec.encode_rgb(np.zeros((4, 4), np.uint8))
    with pytest.raises(ShapeError, match="depth_m: expected shape .H, W. float32"):
        codec.encode_depth(np.zeros((4, 4)))
