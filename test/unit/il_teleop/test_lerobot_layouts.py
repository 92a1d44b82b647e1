"""Every version and layout of a LeRobot directory, whole or damaged: ours, version 2, and LeRobot's own."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import assert_alike, make_store, picture, world_setup  # noqa: E402
from lerobot_world import N, imported, mapping, write_odd  # noqa: E402 - needs the path

from il_core.errors import ConfigError, EpisodeError, SpecMismatchError  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.store.video import write_rgb  # noqa: E402
from il_teleop.dataset import lerobot_format as lr  # noqa: E402
from il_teleop.dataset.import_foreign import import_episodes, open_lerobot  # noqa: E402
from il_teleop.dataset.lerobot_out import ExportOptions, export_lerobot  # noqa: E402

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "lerobot_v3_sample" / "written_by_lerobot_0.6.2"


@pytest.fixture
def setup(make_setup):
    return world_setup(make_setup)


def test_a_video_that_lacks_pictures_rejects_its_episode_and_no_other(tmp_path, setup):
    root = write_odd(tmp_path / "odd")
    write_rgb(root / "videos/chunk-000/top/episode_000001.mp4", [picture(k) for k in range(N - 1)], 10, "h264")
    store, report = imported(root, setup, tmp_path / "ds", mapping())
    assert report.episodes == ("episode_000000",)
    assert "has 11 pictures for the 12 rows of episode 1" in report.rejected["episode_000001"]
    assert store.header.rejected == report.rejected


def test_truncated_files_are_refused_with_their_name(tmp_path, setup):
    root = write_odd(tmp_path / "odd")
    file = root / "data/chunk-000/episode_000001.parquet"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(EpisodeError, match="episode_000001.parquet: is no readable Parquet file"):
        open_lerobot(root, None)
    shutil.rmtree(root)
    with pytest.raises(EpisodeError, match="no such folder; give the root of a LeRobot dataset"):
        open_lerobot(root, None)
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text('{"codebase_version": "v1.6"}')
    with pytest.raises(EpisodeError, match="is of version v1.6, this reads v2 and v3"):
        open_lerobot(root, None)


def test_our_export_for_another_task_is_refused_unless_mapped(tmp_path, setup, make_setup, rng):
    export_lerobot(make_store(tmp_path / "ds", setup, rng), tmp_path / "lr", ExportOptions("png"))
    other = world_setup(make_setup, n_obs=1)
    with pytest.raises(SpecMismatchError, match="import it for that task, or give --map"):
        import_episodes(open_lerobot(tmp_path / "lr", None), None, other, tmp_path / "back")


def test_our_export_merged_into_one_file_is_still_read(tmp_path, setup, rng):
    """As LeRobot's own tools leave it after an edit: several episodes in a table and in a video."""
    store = make_store(tmp_path / "ds", setup, rng, (6, 9))
    export_lerobot(store, tmp_path / "lr", ExportOptions("png"))
    tables = [tmp_path / "lr" / f"data/chunk-000/file-00{i}.parquet" for i in range(2)]
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.concat_tables([pq.read_table(t) for t in tables])
    pq.write_table(whole, tables[0])
    tables[1].unlink()
    meta = tmp_path / "lr/meta/episodes/chunk-000/file-001.parquet"
    row = pq.read_table(meta)
    at = row.schema.get_field_index("data/file_index")
    pq.write_table(row.set_column(at, "data/file_index", pa.array([0])), meta)
    import_episodes(open_lerobot(tmp_path / "lr", None), None, setup, tmp_path / "back")
    back = EpisodeStore.open(tmp_path / "back")
    for i in range(2):
        assert_alike(store.episode(i), back.episode(i), atol=2e-7, depth_atol_m=1e-7)


def test_version_2_directories_are_read_by_their_own_paths(tmp_path, setup):
    root = write_odd(tmp_path / "odd")
    info = {
        "codebase_version": "v2.1",
        "fps": 10,
        "features": {"top": {"dtype": "video"}},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / "meta/tasks.parquet").unlink()
    (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "stack"}\n')
    store, _ = imported(root, setup, tmp_path / "ds", mapping(video_path=""))
    assert [e.instruction for e in store.header.episodes] == ["stack", "stack"]


@pytest.mark.parametrize("kind", ["table", "video", "info"])
def test_flipped_bits_give_an_episode_a_reason_or_nothing_worse(tmp_path, setup, rng, kind):
    root = write_odd(tmp_path / "odd")
    names = {"table": "data/chunk-000/episode_000000.parquet", "info": "meta/info.json"}
    file = root / names.get(kind, "videos/chunk-000/top/episode_000000.mp4")
    whole = file.read_bytes()
    for n in range(15):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] ^= 1 << int(rng.integers(0, 8))
        file.write_bytes(data)
        try:
            store, report = imported(root, setup, tmp_path / f"ds{n}", mapping())
            assert len(store) + len(report.rejected) == 2
        except (EpisodeError, ConfigError) as error:
            assert len(str(error)) > 20


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"{SAMPLE} is missing: LeRobot's own sample lies beside the repository")
def test_lerobots_own_files_come_in_with_several_episodes_in_a_video(tmp_path, setup):
    i = {"width": 128, "height": 96, "fx": 90.0, "fy": 90.0, "cx": 63.5, "cy": 47.5}
    setup = replace(setup, task=replace(setup.task, rate_hz=30))
    chosen = mapping(
        q={"columns": ["observation.state"], "select": [0, 1]},
        gripper={"columns": ["observation.force"], "scale": [0.5]},
        action={"columns": ["action"], "select": [0, 1], "means": "joints"},
        gripper_action={"columns": ["next.success"]},
        cameras={
            "eye": {"rgb": "observation.images.wrist", "depth": "observation.images.wrist_depth", "intrinsics": i}
        },
        success={"columns": ["next.success"]},
        video_path="",
    )
    store, report = imported(SAMPLE, setup, tmp_path / "ds", chosen)
    assert [e.length for e in store.header.episodes] == [20, 21, 22]
    assert [e.instruction for e in store.header.episodes] == ["pick", "pick", "place"]
    for k in range(3):
        frame = store.episode(k).observations[-1].images["eye"]
        assert frame.rgb.shape == (96, 128, 3)
        assert frame.depth_m.max() == pytest.approx(2.0, abs=0.002)
    assert json.loads((SAMPLE / lr.INFO).read_text())["total_frames"] == sum(e.length for e in store.header.episodes)
