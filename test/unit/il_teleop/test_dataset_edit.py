"""Merging, splitting and filtering make new datasets whole or not at all, and never touch what they read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import make_episode, make_store, world_setup  # noqa: E402

from il_core.errors import EpisodeError, SpecMismatchError  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.types import Outcome  # noqa: E402
from il_teleop.dataset import edit  # noqa: E402
from il_teleop.dataset.overview import overview  # noqa: E402


@pytest.fixture
def setup(make_setup):
    return world_setup(make_setup)


@pytest.fixture
def week(tmp_path_factory, setup):
    """Ten episodes of five recordings, two parts of each; made once, and no test may change it."""
    path = tmp_path_factory.getbasetemp() / "week_of_dataset_edit"
    if not path.exists():
        store, rng = EpisodeStore.create(path, setup), np.random.default_rng(20)
        for i in range(10):
            store.add(make_episode(setup, rng, f"demo_{i // 2}.{i % 2 + 1}", 4 + i), source=f"rec_{i // 2}")
    before = tree(path)
    yield path
    assert tree(path) == before


def tree(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def content(path):
    """Digest of every episode by name."""
    return {e.name: e.file_sha256 for e in EpisodeStore.open(path).header.episodes}


def test_a_merge_holds_all_episodes_byte_for_byte_and_leaves_its_inputs(tmp_path, setup, rng, week):
    more = make_store(tmp_path / "more", setup, rng)
    more.reject("bad", "it was cut short")
    before = tree(week), tree(more.path)
    assert edit.merge([week, more.path], tmp_path / "all") == 13
    assert (tree(week), tree(more.path)) == before
    merged = EpisodeStore.open(tmp_path / "all", setup.digest)
    assert content(tmp_path / "all") == content(week) | content(more.path)
    assert all(merged.is_intact(i) for i in range(13))
    assert merged.header.rejected == {"bad": "it was cut short"}
    assert merged.header.episodes[-1].instruction == "place it"


def test_merging_the_parts_of_a_split_gives_the_whole_again(tmp_path, week):
    counts = edit.split(week, {tmp_path / "a": 0.6, tmp_path / "b": 0.4}, seed=3)
    assert counts == {tmp_path / "a": 6, tmp_path / "b": 4}
    edit.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "again")
    assert content(tmp_path / "again") == content(week)


@pytest.mark.parametrize("seed", range(5))
def test_a_split_never_parts_a_recording(tmp_path, week, seed):
    edit.split(week, {tmp_path / "a": 0.5, tmp_path / "b": 0.5}, seed)
    sources = [{e.source for e in EpisodeStore.open(tmp_path / n).header.episodes} for n in "ab"]
    assert not sources[0] & sources[1]
    assert sources[0] | sources[1] == {f"rec_{i}" for i in range(5)}


def test_a_split_is_the_same_for_the_same_seed_only(tmp_path, week):
    parts = []
    for n, seed in enumerate((1, 1, 2)):
        edit.split(week, {tmp_path / f"a{n}": 0.4, tmp_path / f"b{n}": 0.6}, seed)
        parts.append(content(tmp_path / f"a{n}"))
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6), (1.2, -0.2), (0.99, 0.01)])
def test_senseless_shares_are_refused_and_nothing_is_written(tmp_path, week, shares):
    with pytest.raises(EpisodeError, match="must be positive and sum to 1|would get none of 5 recordings"):
        edit.split(week, {tmp_path / f"p{i}": s for i, s in enumerate(shares)})
    assert not list(tmp_path.iterdir())


def test_names_that_collide_are_refused_or_renamed_and_copies_are_refused(tmp_path, setup, rng, week):
    twin = make_store(tmp_path / "twin", setup, rng, (5,))
    other = EpisodeStore.create(tmp_path / "other", setup)
    other.add(make_episode(setup, rng, "demo_0", 7))
    with pytest.raises(EpisodeError, match="'demo_0': is in .*with different content; give --rename"):
        edit.merge([twin.path, other.path], tmp_path / "all")
    assert edit.merge([twin.path, other.path], tmp_path / "all", rename=True) == 2
    assert set(content(tmp_path / "all")) == {"demo_0", "demo_0_2"}
    with pytest.raises(EpisodeError, match="leave it out of one with `il dataset filter`"):
        edit.merge([week, week], tmp_path / "twice", rename=True)


def test_datasets_of_another_task_are_not_merged(tmp_path, make_setup, rng, week):
    other = make_store(tmp_path / "other", world_setup(make_setup, n_obs=1), rng)
    with pytest.raises(SpecMismatchError, match="only datasets of one robot and task file can be merged"):
        edit.merge([week, other.path], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_damaged_input_leaves_nothing_behind(tmp_path, setup, rng, week):
    more = make_store(tmp_path / "more", setup, rng)
    data = bytearray(more.file(1).read_bytes())
    data[200] ^= 1
    more.file(1).write_bytes(data)
    with pytest.raises(EpisodeError, match="'demo_1': its file changed since it was written"):
        edit.merge([week, more.path], tmp_path / "all")
    assert [p.name for p in tmp_path.iterdir()] == ["more"]


def test_a_folder_in_use_is_never_written_over(tmp_path, week):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(EpisodeError, match="exists and is not empty"):
        edit.recompute(week, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (edit.Wanted(names=("demo_[01].*",)), 4),
        (edit.Wanted(without=("*.2",)), 5),
        (edit.Wanted(min_s=0.8, max_s=1.0), 3),
        (edit.Wanted(outcomes=(Outcome.SUCCESS,), notes=(("operator", "ada"),), instruction="pick it"), 10),
        (edit.Wanted(names=("demo_0.*",), min_s=0.5), 1),
    ],
)
def test_a_filter_keeps_what_all_its_rules_want_and_says_why_the_rest_went(tmp_path, week, wanted, left):
    gone = edit.filter_episodes(week, tmp_path / "out", wanted)
    out = EpisodeStore.open(tmp_path / "out")
    assert (len(out), len(gone)) == (left, 10 - left)
    assert out.header.rejected == gone
    assert content(tmp_path / "out").items() <= content(week).items()
    assert all(reason.startswith("it") for reason in gone.values())


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (edit.Wanted(names=("dmo*",)), "no episode is called 'dmo\\*'"),
        (edit.Wanted(outcomes=(Outcome.FAILURE,)), "no episode is left: demo_0.1: its outcome is success"),
        (edit.Wanted(notes=(("operator", "bob"),)), "its operator is 'ada'"),
        (edit.Wanted(max_age_ms=-1.0), "its oldest sample is 0 ms old"),
    ],
)
def test_a_filter_that_leaves_nothing_is_refused(tmp_path, week, wanted, sentence):
    with pytest.raises(EpisodeError, match=sentence):
        edit.filter_episodes(week, tmp_path / "out", wanted)
    assert not (tmp_path / "out").exists()


def test_renaming_the_task_changes_words_only(tmp_path, setup, rng):
    store = make_store(tmp_path / "ds", setup, rng)
    assert edit.rename_task(store.path, tmp_path / "out", "grasp it", old="pick it") == 2
    out = EpisodeStore.open(tmp_path / "out", setup.digest)
    assert [e.instruction for e in out.header.episodes] == ["grasp it", "grasp it", "place it"]
    assert content(tmp_path / "out") == content(store.path)
    with pytest.raises(EpisodeError, match=r"no episode's task is 'pock it'; there are \['pick it', 'place it'\]"):
        edit.rename_task(store.path, tmp_path / "no", "x", old="pock it")


def test_statistics_are_computed_from_the_ticks(tmp_path, setup, rng):
    store = make_store(tmp_path / "ds", setup, rng)
    edit.recompute(store.path, tmp_path / "out")
    entry, episode = EpisodeStore.open(tmp_path / "out").header.episodes[1], store.episode(1)
    p = np.array([o.T_base_ee[:3, 3] for o in episode.observations])
    assert entry.statistics["path_m"] == pytest.approx(np.linalg.norm(np.diff(p, axis=0), axis=1).sum())
    assert entry.statistics["seconds"] == 0.9
    assert entry.statistics["age_max_ms.camera/eye"] == pytest.approx(7.000008)
    assert edit.recompute(tmp_path / "out", tmp_path / "same") == 0


def test_killed_halfway_the_result_has_no_name_and_the_next_try_succeeds(tmp_path, week):
    class KilledError(BaseException):
        pass

    def die(done, total, name):
        if done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        edit.recompute(week, tmp_path / "out", die)
    (tmp_path / "out.partial").mkdir()  # what SIGKILL leaves: no `finally` ran
    (tmp_path / "out.partial" / "dataset.json").write_text("{")
    assert not (tmp_path / "out").exists()
    edit.recompute(week, tmp_path / "out")
    assert content(tmp_path / "out") == content(week)


def test_the_overview_counts_and_finds_what_is_odd(tmp_path, setup, rng):
    store = make_store(tmp_path / "ds", setup, rng, (6, 6, 6, 6, 80))
    edit.recompute(store.path, tmp_path / "counted")
    seen = overview(EpisodeStore.open(tmp_path / "counted"), every_byte=True)
    facts = dict(seen.facts)
    assert facts["episodes"] == "5 with 104 ticks, 0 left out"
    assert facts["outcomes"] == "4 x success, 1 x failure"
    assert facts["tasks in words"] == "4 x pick it, 1 x place it"
    assert seen.cameras[0][:2] == ("eye", "32x24")
    assert seen.health == ("episode 'demo_4': lasts 8.0 s, the median is 0.6 s",)
    numbers = {n.name: n for n in seen.numbers}
    q = np.concatenate([[o.arm.q[1] for o in store.episode(i).observations] for i in range(5)])
    assert numbers["b [rad]"].mean == pytest.approx(q.mean())
    assert numbers["b [rad]"].max == q.max()
    assert numbers["age arm [ms]"].max == 2.0


def test_the_overview_names_a_changed_file(tmp_path, setup, rng):
    store = make_store(tmp_path / "ds", setup, rng)
    data = bytearray(store.file(0).read_bytes())
    data[60] ^= 1
    store.file(0).write_bytes(data)
    health = overview(EpisodeStore.open(store.path), every_byte=True).health
    assert any("demo_0" in line for line in health)
    assert not any("demo_1" in line for line in health)
