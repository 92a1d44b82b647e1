"""A damaged dataset is recognised whatever was hit, and what can be saved is saved with a word about the rest."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from il_core.errors import EpisodeError
from il_core.store.episodes import EpisodeStore
from il_core.types import ArmState, CameraFrame, Episode, Observation, Outcome
from il_teleop.dataset.repair import inspect_dataset, repair_dataset

T0 = 1_700_000_000_000_000_000
NAMES = ("one", "two", "three")


def make_episode(setup, rng, name):
    intrinsics = setup.robot.cameras[0].intrinsics
    seen = []
    for k in range(4):
        t = T0 + k * 100_000_000
        frame = CameraFrame(t, "eye", rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((6, 8), "f4"), intrinsics)
        arm = ArmState(t, *rng.normal(size=(3, 2)), 0.5)
        seen.append(Observation(t, np.eye(4), arm, {"eye": frame}, {"arm": 0, "camera/eye": 0}))
    return Episode(name, tuple(seen), np.tile(np.eye(4), (4, 1, 1)), np.zeros(4), Outcome.SUCCESS, 10)


@pytest.fixture
def dataset(tmp_path, tiny_setup, rng):
    store = EpisodeStore.create(tmp_path / "ds", tiny_setup, {"rate": "10"})
    for name in NAMES:
        store.add(make_episode(tiny_setup, rng, name), source=f"rec/{name}")
    store.reject("four", "no success")
    return store.path


def flip(file, rng, times=1):
    data = bytearray(file.read_bytes())
    for bit in rng.choice(8 * len(data), times, replace=False):
        data[bit // 8] ^= 1 << int(bit) % 8
    file.write_bytes(data)


def test_a_whole_dataset_passes_and_is_not_repaired(dataset):
    found = inspect_dataset(dataset)
    assert (found.problems, found.warnings) == ((), ())
    with pytest.raises(EpisodeError, match="is whole; there is nothing to repair"):
        repair_dataset(dataset)


@pytest.mark.parametrize("name", ["dataset.json", "dataset.copy.json", "episodes/two.parquet"])
def test_every_single_flip_is_noticed_and_mended_without_loss(dataset, tmp_path, rng, name):
    before = {e: (dataset / e).read_bytes() for e in ("dataset.json", "episodes/one.parquet", "episodes/two.parquet")}
    for _ in range(6):
        copy = shutil.copytree(dataset, tmp_path / "copy")
        flip(copy / name, rng)
        assert inspect_dataset(copy).problems
        done = repair_dataset(copy)
        assert {e: (done.path / e).read_bytes() for e in before} == before
        assert inspect_dataset(done.path).problems == ()
        assert (done.lost, done.set_aside.name) == ({}, "copy.damaged")
        shutil.rmtree(tmp_path / "copy")
        shutil.rmtree(tmp_path / "copy.damaged")


def test_an_episode_beyond_repair_is_left_out_with_the_way_to_get_it_back(dataset, rng):
    flip(dataset / "episodes/two.parquet", rng, 9)
    damaged = (dataset / "episodes/two.parquet").read_bytes()
    (dataset / "episodes/three.parquet").unlink()
    done = repair_dataset(dataset)
    store = EpisodeStore.open(done.path)
    assert store.names == ("one",)
    assert "changed since it was written; build it again from rec/two" in done.lost["two"]
    assert "cannot be read (No such file or directory)" in done.lost["three"]
    assert store.header.rejected["two"] == f"left out by a repair: {done.lost['two']}"
    assert store.header.rejected["four"] == "no success"
    assert store.header.options == {"rate": "10"}
    assert (done.set_aside / "episodes/two.parquet").read_bytes() == damaged


def test_a_lost_list_comes_from_its_copy_and_an_orphan_is_named(dataset, tmp_path):
    (dataset / "dataset.json").write_text("")
    (dataset / "episodes/stray.parquet").write_bytes(b"x")
    assert any("stray.parquet is not in dataset.json" in w for w in inspect_dataset(dataset).warnings)
    done = repair_dataset(dataset, tmp_path / "new")
    assert EpisodeStore.open(done.path).names == NAMES
    assert done.how == ("dataset.json written again from dataset.copy.json",)
    assert done.set_aside == dataset


def test_without_any_list_there_is_nothing_to_go_by(dataset):
    (dataset / "dataset.json").write_text("{")
    (dataset / "dataset.copy.json").unlink()
    with pytest.raises(EpisodeError, match=r"neither dataset.json nor .* can be mended; build the dataset again"):
        repair_dataset(dataset)
    with pytest.raises(EpisodeError, match=r"holds no dataset.json; make a dataset"):
        inspect_dataset(dataset.parent)


def test_a_reader_does_not_take_a_changed_episode(dataset, rng):
    flip(dataset / "episodes/two.parquet", rng)
    store = EpisodeStore.open(dataset)
    store.episode(0)
    with pytest.raises(EpisodeError, match="cannot be read .*it changed since it was written"):
        store.episode(1)


def test_a_copy_that_is_one_episode_behind_is_no_damage(dataset, tiny_setup, rng):
    old = (dataset / "dataset.copy.json").read_bytes()
    EpisodeStore.open(dataset).add(make_episode(tiny_setup, rng, "five"))
    (dataset / "dataset.copy.json").write_bytes(old)
    found = inspect_dataset(dataset)
    assert found.problems == ()
    assert "is older than dataset.json" in found.warnings[0]
