"""A dataset gives back what was put in, and refuses what is damaged, foreign or half written."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from il_core.errors import EpisodeError, SpecMismatchError
from il_core.geometry import matrix_from_rotvec, pose
from il_core.store.episode_table import encode_episode
from il_core.store.episodes import DATASET_FILE, EpisodeStore
from il_core.types import ArmState, CameraFrame, Episode, Observation, Outcome

MS = 1_000_000
T0 = 1_700_000_000_000_000_000
GOLDEN = Path(__file__).parents[2] / "data" / "dataset_v1"


def make_episode(setup, rng, name="one", n=5, *, with_arm=True, with_camera=True):
    i = setup.robot.cameras[0].intrinsics
    observations = []
    for k in range(n):
        t = T0 + k * 100 * MS
        T = pose(rng.normal(size=3), matrix_from_rotvec(rng.normal(size=3)))
        age = {"ee_pose": 3 * MS}
        arm, images = None, {}
        if with_arm:
            arm = ArmState(t - 2 * MS, *rng.normal(size=(3, 2)), float(rng.uniform()))
            age["arm"] = 2 * MS
        if with_camera:
            rgb = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            mm = rng.integers(0, 65536, (6, 8)).astype(np.float32)
            images = {"eye": CameraFrame(t - 7 * MS, "eye", rgb, mm * np.float32(1e-3), i)}
            age["camera/eye"] = 7 * MS
        observations.append(Observation(t, T, arm, images, age))
    T_des = np.array([pose(rng.normal(size=3), matrix_from_rotvec(rng.normal(size=3))) for _ in range(n)])
    return Episode(name, tuple(observations), T_des, rng.uniform(size=n), Outcome.SUCCESS, 10, {"who": "ada"})


def assert_same(a, b, *, pose_atol=0.0):
    """Equal bit for bit; poses within ``pose_atol`` where one side was computed by another machine's BLAS."""
    assert (a.name, a.outcome, a.rate_hz, a.notes) == (b.name, b.outcome, b.rate_hz, b.notes)
    assert np.allclose(a.T_base_ee_des, b.T_base_ee_des, rtol=0, atol=pose_atol)
    assert np.array_equal(a.gripper_des, b.gripper_des)
    for x, y in zip(a.observations, b.observations, strict=True):
        assert (x.tick_ns, dict(x.age_ns)) == (y.tick_ns, dict(y.age_ns))
        assert np.allclose(x.T_base_ee, y.T_base_ee, rtol=0, atol=pose_atol)
        assert (x.wrench is None) == (y.wrench is None)
        assert x.wrench is None or np.array_equal(x.wrench, y.wrench)
        assert (x.arm is None) == (y.arm is None)
        if x.arm is not None:
            assert (x.arm.stamp_ns, x.arm.gripper) == (y.arm.stamp_ns, y.arm.gripper)
            assert all(np.array_equal(getattr(x.arm, f), getattr(y.arm, f)) for f in ("q", "v", "tau"))
        assert sorted(x.images) == sorted(y.images)
        for name, frame in x.images.items():
            other = y.images[name]
            assert (frame.stamp_ns, frame.intrinsics) == (other.stamp_ns, other.intrinsics)
            assert np.array_equal(frame.rgb, other.rgb)
            assert np.array_equal(frame.depth_m, other.depth_m)


@pytest.fixture
def store(tmp_path, tiny_setup, rng):
    store = EpisodeStore.create(tmp_path / "ds", tiny_setup)
    store.add(make_episode(tiny_setup, rng), source="rec/one", statistics={"path_m": 1.5})
    store.add(replace(make_episode(tiny_setup, rng, "two"), outcome=Outcome.FAILURE))
    return store


@pytest.mark.parametrize(("with_arm", "with_camera"), [(True, True), (False, False), (True, False)])
def test_an_episode_comes_back_bit_for_bit(tmp_path, tiny_setup, rng, with_arm, with_camera):
    episode = make_episode(tiny_setup, rng, with_arm=with_arm, with_camera=with_camera)
    EpisodeStore.create(tmp_path / "ds", tiny_setup).add(episode)
    assert_same(EpisodeStore.open(tmp_path / "ds", tiny_setup.digest).episode(0), episode)


def feeling(episode, rng):
    """The same episode with a wrench at every tick."""
    seen = [replace(o, wrench=rng.normal(size=6), age_ns={**o.age_ns, "wrench": MS}) for o in episode.observations]
    return replace(episode, observations=tuple(seen))


def test_a_wrench_comes_back_and_changes_nothing_of_what_is_stored_beside_it(tmp_path, tiny_setup, rng):
    plain = make_episode(tiny_setup, rng)
    felt = feeling(plain, rng)
    store = EpisodeStore.create(tmp_path / "ds", tiny_setup)
    store.add(felt)
    assert_same(EpisodeStore.open(store.path).episode(0), felt)
    assert not EpisodeStore.open(store.path).episode(0).observations[0].wrench.flags.writeable
    with_it, without = (pq.read_table(io.BytesIO(encode_episode(e)[0])) for e in (felt, plain))
    assert set(with_it.column_names) - set(without.column_names) == {"wrench", "age_ns.wrench"}
    assert without.equals(with_it.select(without.column_names))


def test_datasets_without_a_force_sensor_say_nothing_of_it(store, felt_setup, tmp_path):
    assert "wrench" not in (store.path / DATASET_FILE).read_text()
    felt = EpisodeStore.create(tmp_path / "felt", felt_setup)
    assert EpisodeStore.open(felt.path).header.robot == felt_setup.robot
    assert EpisodeStore.open(felt.path).header.task == felt_setup.task


def test_a_wrench_that_comes_and_goes_or_has_no_age_is_refused(tmp_path, tiny_setup, rng):
    felt = feeling(make_episode(tiny_setup, rng), rng)
    first, *rest = felt.observations
    with pytest.raises(EpisodeError, match="tick .* has other streams, cameras or calibration"):
        encode_episode(replace(felt, observations=(replace(first, wrench=None), *rest)))
    ageless = [replace(o, age_ns={"ee_pose": 3 * MS, "arm": 2 * MS, "camera/eye": 7 * MS}) for o in felt.observations]
    with pytest.raises(EpisodeError, match="has a wrench without its age; make observations with il_core.align"):
        encode_episode(replace(felt, observations=tuple(ageless)))


def test_the_header_comes_back(store, tiny_setup):
    store.reject("three", "because")
    again = EpisodeStore.open(store.path)
    assert again.header == store.header
    assert (again.names, len(again), again.outcome(1)) == (("one", "two"), 2, Outcome.FAILURE)
    assert again.header.robot == tiny_setup.robot
    assert again.header.task == tiny_setup.task
    assert again.header.rejected == {"three": "because"}
    assert again.header.episodes[0].statistics == {"path_m": 1.5}


def test_the_same_episodes_give_the_same_bytes(store, tmp_path, tiny_setup):
    copy = EpisodeStore.create(tmp_path / "copy", tiny_setup)
    copy.add(store.episode(0), source="rec/one", statistics={"path_m": 1.5})
    copy.add(store.episode(1))
    for name in (DATASET_FILE, "episodes/one.parquet", "episodes/two.parquet"):
        assert (copy.path / name).read_bytes() == (store.path / name).read_bytes()


def test_a_dataset_of_another_robot_is_refused(store):
    with pytest.raises(SpecMismatchError, match="robot 'tiny', task 'tiny_pick'.* was made for spec .*build it again"):
        EpisodeStore.open(store.path, "f" * 64)


def test_a_missing_dataset_is_refused(tmp_path):
    with pytest.raises(EpisodeError, match="no such folder; make a dataset with `il dataset build`"):
        EpisodeStore.open(tmp_path / "none")
    with pytest.raises(EpisodeError, match="holds no dataset.json"):
        EpisodeStore.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is unreadable"),
        ("[]", "holds a list, not a mapping"),
        ('{"format_version": 99}', "format_version is 99, this release reads 1"),
        ('{"format_version": 1}', "is damaged: .*missing key 'spec_digest'"),
    ],
)
def test_a_damaged_header_is_refused(store, text, problem):
    (store.path / DATASET_FILE).write_text(text)
    with pytest.raises(EpisodeError, match=problem):
        EpisodeStore.open(store.path)


def test_a_missing_or_truncated_episode_is_refused(store):
    store.file(1).write_bytes(store.file(1).read_bytes()[:-9])
    with pytest.raises(EpisodeError, match="two.parquet: has .* bytes, .* were written; copy the dataset again"):
        EpisodeStore.open(store.path)
    store.file(1).unlink()
    with pytest.raises(EpisodeError, match="two.parquet: is missing"):
        EpisodeStore.open(store.path)


def test_a_changed_episode_is_refused(store):
    data = bytearray(store.file(0).read_bytes())
    assert store.is_intact(0)
    data[-20:] = bytes(20)
    store.file(0).write_bytes(data)
    assert not store.is_intact(0)
    with pytest.raises(EpisodeError, match="one.parquet: cannot be read .*build the dataset again"):
        EpisodeStore.open(store.path).episode(0)


def test_a_folder_in_use_is_not_overwritten(store, tiny_setup):
    with pytest.raises(EpisodeError, match="exists and is not empty; choose another folder"):
        EpisodeStore.create(store.path, tiny_setup)


@pytest.mark.parametrize("name", ["one", "", "../evil", ".hidden"])
def test_a_name_that_is_taken_or_no_file_name_is_refused(store, tiny_setup, rng, name):
    with pytest.raises(EpisodeError, match="is taken or no file name"):
        store.add(make_episode(tiny_setup, rng, name))


def test_ages_that_contradict_the_stamps_are_refused(store, tiny_setup, rng):
    episode = make_episode(tiny_setup, rng, "odd")
    wrong = replace(episode.observations[0], age_ns={"ee_pose": 0, "arm": 0, "camera/eye": 7 * MS})
    with pytest.raises(EpisodeError, match="age of stream 'arm' is 0 ns, its stamp says 2000000 ns"):
        store.add(replace(episode, observations=(wrong, *episode.observations[1:])))


def test_ticks_with_different_streams_are_refused(store, tiny_setup, rng):
    episode = make_episode(tiny_setup, rng, "odd")
    blind = replace(episode.observations[2], images={})
    with pytest.raises(EpisodeError, match="has other streams, cameras or calibration"):
        store.add(replace(episode, observations=(*episode.observations[:2], blind, *episode.observations[3:])))


def test_a_full_disk_leaves_earlier_episodes_whole(store, tiny_setup, rng):
    """In a child whose files may not grow beyond 2 kB, as on a disk without space."""
    big = make_episode(tiny_setup, rng, "big", n=60)
    before = (store.path / DATASET_FILE).read_bytes()
    pid = os.fork()
    if pid == 0:  # the child: exit code 7 = refused as promised
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
        try:
            store.add(big)
        except EpisodeError as error:
            os._exit(7 if "free space" in str(error) and "2 episodes written before are whole" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert (store.path / DATASET_FILE).read_bytes() == before
    assert sorted(p.name for p in (store.path / "episodes").iterdir()) == ["one.parquet", "two.parquet"]
    assert len(EpisodeStore.open(store.path)) == 2


def test_dataset_json_is_plain_text(store):
    values = json.loads((store.path / DATASET_FILE).read_text())
    assert values["format_version"] == 1
    assert values["episodes"][0]["source"] == "rec/one"


def test_the_first_format_version_stays_readable(tiny_setup):
    """Same numbers and pictures as the code that made the golden file makes today."""
    store = EpisodeStore.open(GOLDEN)
    assert store.header.format_version == 1
    assert store.is_intact(0)
    assert_same(store.episode(0), make_episode(tiny_setup, np.random.default_rng(1), "golden", 4), pose_atol=1e-14)
