"""Pictures of a training on disk: the same numbers, no copy of all of them, and a full disk is told."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from il_core.errors import EpisodeError
from il_policy.pictures import on_disk
from il_policy.windows import EpisodeArrays, WindowSet


def made(rng: np.random.Generator, name: str, n: int, side: int = 5) -> EpisodeArrays:
    pixels = {
        "rgb.eye": rng.integers(0, 255, (n, 3, side, side), np.uint8),
        "points": rng.random((n, 7, 3), np.float32),
    }
    zeros = np.zeros((n, 2, 4))
    return EpisodeArrays(name, rng.random((n, 3)), np.zeros((n, 3)), zeros, zeros[..., 0] > 1, pixels)


def anonymous_mb() -> float:
    """Memory of this process that no file stands behind."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def test_episodes_keep_their_numbers_and_their_digest(rng: np.random.Generator) -> None:
    memory, disk = WindowSet(), WindowSet()
    memory.arrays = [made(rng, f"e{k}", 3 + k) for k in range(4)]
    disk.arrays = on_disk(iter(memory.arrays))
    assert disk.digest() == memory.digest()
    for one, other in zip(memory.arrays, disk.arrays, strict=True):
        for name, expected in one.pixels.items():
            np.testing.assert_array_equal(other.pixels[name], expected)
            assert other.pixels[name].dtype == expected.dtype
            assert not other.pixels[name].flags.writeable


def test_rows_that_are_taken_are_those_of_all_episodes_stacked(rng: np.random.Generator) -> None:
    data = WindowSet()
    data.arrays = on_disk(made(rng, f"e{k}", 2 + k) for k in range(4))
    pool = data.pool([0, 3, 1])
    chosen = torch.tensor([9, 0, 1, 2, 6, 7, 9])
    for name in ("rgb.eye", "points"):
        stacked = np.concatenate([data.arrays[k].pixels[name] for k in (0, 3, 1)])
        assert len(stacked) == 10
        np.testing.assert_array_equal(pool.take(chosen).pixels[name], stacked[chosen.numpy()])
        np.testing.assert_array_equal(pool.take(slice(4, 20)).pixels[name], stacked[4:])
        np.testing.assert_array_equal(data.batch([0, 3, 1]).pixels[name], stacked)
    torch.testing.assert_close(pool.take(chosen).inputs, pool.inputs[chosen])


def test_episodes_without_pictures_need_no_file(rng: np.random.Generator, tmp_path: Path) -> None:
    plain = replace(made(rng, "e", 3), pixels={})
    assert on_disk([plain])[0].pixels == {}
    assert on_disk([]) == []


def test_two_hundred_megabytes_of_pictures_take_no_memory(rng: np.random.Generator) -> None:
    before = anonymous_mb()
    data = WindowSet()
    data.arrays = on_disk(made(rng, f"e{k}", 100, side=146) for k in range(32))
    size = sum(a.pixels["rgb.eye"].nbytes for a in data.arrays) / 1e6
    assert size > 200
    pool = data.pool(range(32))
    assert pool.take(torch.arange(0, 3200, 50)).pixels["rgb.eye"].shape == (64, 3, 146, 146)
    assert anonymous_mb() - before < 0.25 * size


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Files may be no larger than so many bytes."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, usual[1]))
    yield 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("episodes", [1, 9])
def test_a_full_disk_is_told_with_what_to_do(rng: np.random.Generator, episodes: int) -> None:
    with pytest.raises(EpisodeError, match="MB of pictures do not fit into .*; let TMPDIR name a folder with room"):
        on_disk(made(rng, f"e{k}", 200 // episodes, side=20) for k in range(episodes))
