"""An export is what LeRobot's own writer would have made, comes back as it was, and survives being stopped."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import HEIGHT, WIDTH, assert_alike, make_episode, make_store, world_setup  # noqa: E402 - needs the path

from il_core.errors import ConfigError, EpisodeError  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.store.video import read_frames  # noqa: E402
from il_core.types import CameraFrame  # noqa: E402
from il_teleop.dataset import lerobot_format as lr  # noqa: E402
from il_teleop.dataset.import_foreign import import_episodes, open_lerobot  # noqa: E402
from il_teleop.dataset.lerobot_out import ExportOptions, export_lerobot  # noqa: E402

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "lerobot_v3_sample" / "written_by_lerobot_0.6.2"
needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason=f"{SAMPLE} is missing: LeRobot's own sample lies beside the repository"
)
LOSSLESS = ExportOptions(rgb="png", depth="png")


@pytest.fixture
def setup(make_setup):
    return world_setup(make_setup)


@pytest.fixture
def store(tmp_path, setup, rng):
    return make_store(tmp_path / "ds", setup, rng)


def table(root, name):
    return pq.read_table(root / name)


def features(root):
    return json.loads((root / lr.INFO).read_text())["features"]


@needs_sample
def test_files_and_their_columns_are_of_the_kinds_lerobots_writer_makes(store, tmp_path):
    export_lerobot(store, tmp_path / "lr", ExportOptions("av1", "video"))
    ours, theirs = (json.loads((root / lr.INFO).read_text()) for root in (tmp_path / "lr", SAMPLE))
    assert list(ours) == list(theirs)
    assert {k: ours[k] for k in ("data_path", "video_path", "chunks_size", "codebase_version")} == {
        k: theirs[k] for k in ("data_path", "video_path", "chunks_size", "codebase_version")
    }
    camera = ours["features"]["observation.images.eye"], theirs["features"]["observation.images.wrist"]
    assert [list(f) for f in camera][0] == list(camera[1])
    assert list(camera[0]["info"]) == list(camera[1]["info"])
    depth = ours["features"]["observation.images.eye_depth"], theirs["features"]["observation.images.wrist_depth"]
    assert set(depth[0]["info"]) == set(depth[1]["info"])
    for name in ("data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"):
        a, b = (table(root, name).schema for root in (tmp_path / "lr", SAMPLE))
        twin = {"observation.images.eye": "observation.images.wrist"}
        for field in a:
            known = field.name.replace(*next(iter(twin.items())))
            if known in b.names and field.name not in ("observation.state", "action"):
                assert str(b.field(known).type) == str(field.type), field.name
        assert [c for c in b.names if c in a.names and "stats" not in c] == [
            c for c in a.names if c in b.names and "stats" not in c
        ]
    meta = [table(root, lr.TASKS) for root in (tmp_path / "lr", SAMPLE)]
    pandas = [json.loads(t.schema.metadata[b"pandas"]) for t in meta]
    assert pandas[0]["index_columns"] == pandas[1]["index_columns"] == ["task"]


@needs_sample
def test_pooled_statistics_are_those_of_lerobots_writer():
    rows = table(SAMPLE, "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    for feature, wanted in json.loads((SAMPLE / lr.STATS).read_text()).items():
        parts = [{k: np.array(r[f"stats/{feature}/{k}"]) for k in lr.STATISTICS} for r in rows]
        for key, value in lr.pooled(parts).items():
            assert np.allclose(value, wanted[key], rtol=1e-5, atol=1e-6), (feature, key)


def test_an_independent_reader_finds_every_row_picture_and_stamp(store, tmp_path):
    export_lerobot(store, tmp_path / "lr")
    rows = [r for i in range(3) for r in table(tmp_path / "lr", f"data/chunk-000/file-00{i}.parquet").to_pylist()]
    observations = [o for i in range(3) for o in store.episode(i).observations]
    assert [r["index"] for r in rows] == list(range(19))
    assert [r["frame_index"] for r in rows] == [*range(6), *range(9), *range(4)]
    assert np.allclose([r["timestamp"] for r in rows], np.array([r["frame_index"] for r in rows]) / 10)
    assert [r["stamp_ns.tick"] for r in rows] == [o.tick_ns for o in observations]
    assert [r["stamp_ns.camera.eye"] for r in rows] == [o.images["eye"].stamp_ns for o in observations]
    assert [r["next.success"] for r in rows] == [k in (5, 14) for k in range(19)]
    assert [r["next.done"] for r in rows] == [k in (5, 14, 18) for k in range(19)]
    assert [r["task_index"] for r in rows] == [0] * 15 + [1] * 4
    assert table(tmp_path / "lr", lr.TASKS).column("task").to_pylist() == ["pick it", "place it"]
    for i, n in enumerate((6, 9, 4)):
        frames = list(read_frames(tmp_path / "lr" / f"videos/observation.images.eye/chunk-000/file-00{i}.mp4"))
        assert [round(at, 6) for at, _ in frames] == [k / 10 for k in range(n)]
        assert frames[0][1].shape == (HEIGHT, WIDTH, 3)


def test_the_quaternions_of_an_episode_never_jump_to_their_negative(store, tmp_path):
    export_lerobot(store, tmp_path / "lr", LOSSLESS)
    for name in ("action", "observation.ee_pose"):
        q = np.array(table(tmp_path / "lr", "data/chunk-000/file-001.parquet").column(name).to_pylist())[:, 3:7]
        assert ((q[1:] * q[:-1]).sum(axis=1) > 0).all()


def test_export_and_import_give_the_dataset_back(store, tmp_path, setup):
    export_lerobot(store, tmp_path / "lr", LOSSLESS)
    report = import_episodes(open_lerobot(tmp_path / "lr", None), None, setup, tmp_path / "back")
    assert report.rejected == {}
    back = EpisodeStore.open(tmp_path / "back", setup.digest)
    for i in range(3):
        assert_alike(store.episode(i), back.episode(i), atol=2e-7, depth_atol_m=1e-7)
        assert back.header.episodes[i].instruction == store.header.episodes[i].instruction
        assert back.header.episodes[i].source == store.header.episodes[i].source


@pytest.mark.parametrize("rgb", ["av1", "h264"])
def test_videos_come_back_within_their_loss(store, tmp_path, setup, rgb):
    export_lerobot(store, tmp_path / "lr", ExportOptions(rgb, "video"))
    import_episodes(open_lerobot(tmp_path / "lr", None), None, setup, tmp_path / "back")
    back = EpisodeStore.open(tmp_path / "back")
    for i in range(3):
        assert_alike(store.episode(i), back.episode(i), atol=2e-7, rgb_atol=24, depth_atol_m=1.5e-3)


def test_columns_nobody_could_fill_are_left_out_and_named(tmp_path, setup, rng):
    store = make_store(tmp_path / "ds", setup, rng, labelled=False, known=False)
    report = export_lerobot(store, tmp_path / "lr", LOSSLESS)
    assert [line.split(":")[0] for line in report.left_out] == ["next.success", "intervention"]
    assert not {"next.success", "intervention"} & set(features(tmp_path / "lr"))


@pytest.fixture
def felt(tmp_path, felt_setup, rng):
    """A dataset with a wrench and a stiffness at every tick: its setup and its store."""
    action = replace(felt_setup.task.action, stiffness=True)
    setup = world_setup(lambda: replace(felt_setup, task=replace(felt_setup.task, action=action)))
    store = EpisodeStore.create(tmp_path / "ds", setup)
    for i in range(2):
        episode = make_episode(setup, rng, f"demo_{i}")
        seen = [
            replace(o, wrench=rng.normal(size=6), age_ns={**o.age_ns, "wrench": 1_000_000 + k})
            for k, o in enumerate(episode.observations)
        ]
        store.add(replace(episode, observations=tuple(seen), k_p_des=rng.uniform(10, 900, size=(len(seen), 6))))
    return setup, store


def test_wrench_and_stiffness_are_features_of_their_own_and_come_back(felt, tmp_path):
    setup, store = felt
    export_lerobot(store, tmp_path / "lr", LOSSLESS)
    found = features(tmp_path / "lr")
    assert found["observation.wrench"]["names"] == ["fx", "fy", "fz", "tx", "ty", "tz"]
    assert found["stiffness"]["names"] == ["kx", "ky", "kz", "krx", "kry", "krz"]
    assert {found[key]["dtype"] for key in ("observation.wrench", "stiffness")} == {"float32"}
    assert found["action"]["shape"] == [8], "the action stays what other readers take it for"
    rows = table(tmp_path / "lr", "data/chunk-000/file-001.parquet")
    assert np.allclose(rows.column("stiffness").to_pylist(), store.episode(1).k_p_des, rtol=1e-6)
    assert rows.column("stamp_ns.wrench").to_pylist() == [
        o.tick_ns - o.age_ns["wrench"] for o in store.episode(1).observations
    ]
    report = import_episodes(open_lerobot(tmp_path / "lr", None), None, setup, tmp_path / "back")
    assert report.rejected == {}
    back = EpisodeStore.open(tmp_path / "back", setup.digest)
    for i in range(2):
        assert_alike(store.episode(i), back.episode(i), atol=2e-7, depth_atol_m=1e-7)


def test_a_column_that_only_some_episodes_have_is_left_out_and_cannot_be_imported_for_a_task_that_needs_it(
    felt, tmp_path, rng
):
    setup, store = felt
    store.add(replace(store.episode(0), name="soft", k_p_des=None))
    report = export_lerobot(store, tmp_path / "lr", LOSSLESS)
    assert "stiffness: only 2 of 3 episodes have it; export them separately to keep it" in report.left_out
    assert "stiffness" not in features(tmp_path / "lr") and "observation.wrench" in features(tmp_path / "lr")
    with pytest.raises(ConfigError, match="task 'tiny_pick' also needs stiffness"):
        import_episodes(open_lerobot(tmp_path / "lr", None), None, setup, tmp_path / "back")


class _StoppedError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("renames", [1, 3, 4, 7, 8, 13, 19])
def test_stopped_at_any_rename_it_holds_what_it_counts_and_goes_on_to_the_same_end(
    store, tmp_path, setup, monkeypatch, renames
):
    done = iter(range(renames))
    whole = os.replace

    def rename(a, b):
        if next(done, None) is None:
            raise _StoppedError
        whole(a, b)

    monkeypatch.setattr(os, "replace", rename)
    with pytest.raises(_StoppedError):
        export_lerobot(store, tmp_path / "lr", ExportOptions("h264"))
    monkeypatch.undo()
    info = tmp_path / "lr" / lr.INFO
    count = json.loads(info.read_text())["total_episodes"] if info.exists() else 0
    assert count == max(0, renames - 2) // 6  # per episode: video, data, episodes, tasks, statistics, info
    folder = open_lerobot(tmp_path / "lr", None) if count else ()
    assert len(folder) == count
    for i in range(count):
        raw = folder.episode(i)
        assert len(list(raw.rgb("observation.images.eye"))) == raw.length == (6, 9, 4)[i]
    export_lerobot(store, tmp_path / "lr", ExportOptions("h264", resume=True))
    export_lerobot(store, tmp_path / "undisturbed", ExportOptions("h264"))
    assert files(tmp_path / "lr") == files(tmp_path / "undisturbed")


def files(root):
    """Content of every finished file; of videos the pictures, an encoder may vary."""
    found = [p for p in root.rglob("*") if p.is_file() and p.suffix != ".new"]
    return {p.relative_to(root): len(list(read_frames(p))) if p.suffix == ".mp4" else p.read_bytes() for p in found}


def test_going_on_with_another_dataset_or_other_options_is_refused(store, tmp_path):
    export_lerobot(store, tmp_path / "lr", LOSSLESS)
    with pytest.raises(EpisodeError, match="is an export of another dataset or of other options; write it anew"):
        export_lerobot(store, tmp_path / "lr", ExportOptions("h264", resume=True))
    with pytest.raises(EpisodeError, match="exists and is not empty; choose another folder, or --resume an export"):
        export_lerobot(store, tmp_path / "lr", LOSSLESS)


def test_an_unknown_kind_of_picture_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="--rgb: no kind 'h265'; did you mean 'h264'"):
        ExportOptions(rgb="h265")


def test_a_video_of_odd_size_is_refused_and_png_takes_it(tmp_path, make_setup, rng):
    setup = world_setup(make_setup)
    episode = make_episode(setup, rng)
    i = replace(setup.robot.cameras[0].intrinsics, width=31)
    cut = []
    for o in episode.observations:
        f = o.images["eye"]
        frame = CameraFrame(f.stamp_ns, "eye", f.rgb[:, :31].copy(), f.depth_m[:, :31].copy(), i)
        cut.append(replace(o, images={"eye": frame}))
    store = EpisodeStore.create(tmp_path / "ds", setup)
    store.add(replace(episode, observations=tuple(cut)))
    with pytest.raises(EpisodeError, match="a video needs even sizes, the camera has 31x24; choose png"):
        export_lerobot(store, tmp_path / "lr")
    assert export_lerobot(store, tmp_path / "lr", LOSSLESS).episodes == 1


def test_picture_statistics_are_those_of_all_pixels(rng):
    pictures = rng.integers(0, 256, (5, 7, 9, 3), dtype=np.uint8)
    tally = lr.PictureStats(3, 256, 1 / 255)
    for p in pictures:
        tally.add(p)
    pixels, stats = pictures.reshape(-1, 3) / 255, tally.stats()
    assert stats["count"].tolist() == [5]
    for key, wanted in (
        ("min", pixels.min(0)),
        ("max", pixels.max(0)),
        ("mean", pixels.mean(0)),
        ("std", pixels.std(0)),
    ):
        assert np.allclose(stats[key].ravel(), wanted)
    for key, q in lr.QUANTILES.items():
        assert np.allclose(stats[key].ravel(), np.quantile(pixels, q, axis=0, method="inverted_cdf")), key


def test_pooling_is_the_statistics_of_all_rows_but_for_quantiles(rng):
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(4, 3))
    both, pooled = lr.vector_stats(np.concatenate([a, b])), lr.pooled([lr.vector_stats(a), lr.vector_stats(b)])
    for key in ("min", "max", "mean", "std", "count"):
        assert np.allclose(pooled[key], both[key]), key
    assert (pooled["q01"] <= both["q01"] + 1e-9).all()
    assert (pooled["q99"] >= both["q99"] - 1e-9).all()


def test_the_depth_code_keeps_its_steps_and_its_missing_pixels():
    mm = np.arange(0, 10_001, dtype=np.uint16)[None]
    back = 1e3 * lr.depth_m_from_codes(lr.depth_codes(mm), {})
    assert back[0, 0] == 0
    error = np.abs(back - mm)[0]
    assert error[11:1000].max() < 0.8  # half a step: 1.25 mm at 0.3 m, 1.5 mm at 1 m
    assert error[11:].max() < 2.5
