"""LeRobot directories as people have them come in by an explicit mapping, and refuse with a list of what was found."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import HEIGHT, WIDTH, assert_alike, forward, make_store, picture, world_setup  # noqa: E402

from il_core import codec  # noqa: E402
from il_core.config import from_mapping  # noqa: E402
from il_core.errors import ConfigError, EpisodeError, SpecMismatchError  # noqa: E402
from il_core.geometry import inverse, quat_xyzw_from_matrix, rotvec_from_matrix  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.store.tables import parquet_bytes  # noqa: E402
from il_core.store.video import write_rgb  # noqa: E402
from il_core.types import Outcome  # noqa: E402
from il_teleop.dataset import lerobot_format as lr  # noqa: E402
from il_teleop.dataset.import_foreign import import_episodes, open_lerobot  # noqa: E402
from il_teleop.dataset.lerobot_out import ExportOptions, export_lerobot  # noqa: E402
from il_teleop.dataset.mapping import Mapping  # noqa: E402
from il_teleop.dataset.suggest import suggestion  # noqa: E402

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "lerobot_v3_sample" / "written_by_lerobot_0.6.2"
N = 12


@pytest.fixture
def setup(make_setup):
    return world_setup(make_setup)


def joints(episode):
    """Joint positions of an episode's rows and the row after, (N + 1, 2)."""
    return np.cumsum(np.random.default_rng(episode).normal(scale=0.05, size=(N + 1, 2)), axis=0)


def write_odd(root, *, joined=False, video=True, actions=None):
    """Two episodes with the keys `state` and `actions`, no meta/episodes, and a video called `top`."""
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v3.0", "fps": 10, "features": {}}))
    rows = []
    for e in range(2):
        q = joints(e)
        act = actions(q) if actions else q[1:]
        opening = np.linspace(0, 0.08, N)[:, None]
        row = {
            "state": np.column_stack([q[:-1], opening]).astype(np.float32),
            "actions": np.column_stack([act, opening[::-1]]).astype(np.float64),
            "success": np.arange(N) == (N - 1 if e == 0 else N),
            "episode_index": np.full(N, e),
            "task_index": np.zeros(N, dtype=np.int64),
        }
        if not video:
            row["wrist_image"] = [codec.encode_rgb(picture(k)) for k in range(N)]
        rows.append(row)
        if not joined:
            path = root / f"data/chunk-000/episode_{e:06d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(parquet_bytes(row))
        if video:
            path = root / f"videos/chunk-000/top/episode_{e:06d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_rgb(path, [picture(k) for k in range(N)], 10, "h264")
    if joined:
        whole = {k: np.concatenate([r[k] for r in rows]) for k in rows[0] if isinstance(rows[0][k], np.ndarray)}
        if not video:
            whole["wrist_image"] = [x for r in rows for x in r["wrist_image"]]
        (root / "data").mkdir()
        (root / "data" / "all.parquet").write_bytes(parquet_bytes(whole))
    (root / "meta" / "tasks.parquet").write_bytes(
        parquet_bytes({"task_index": np.array([0]), "task": ["stack"]}, pandas_index="task")
    )
    return root


ODD = {
    "q": {"columns": ["state"], "select": [0, 1]},
    "gripper": {"columns": ["state"], "select": [2], "scale": [12.5]},
    "action": {"columns": ["actions"], "select": [0, 1], "means": "joints"},
    "gripper_action": {"columns": ["actions"], "select": [2], "scale": [12.5]},
    "cameras": {"eye": {"rgb": "top"}},
    "success": {"columns": ["success"]},
    "video_path": "videos/chunk-000/{video_key}/episode_{episode_index:06d}.mp4",
}


def mapping(**changes):
    return from_mapping(Mapping, {**ODD, **changes}, "map.yaml")


def imported(root, setup, out, chosen):
    report = import_episodes(open_lerobot(root, chosen), chosen, setup, out, forward)
    return EpisodeStore.open(out, setup.digest), report


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("video", [False, True])
def test_odd_keys_come_in_by_the_mapping_from_one_file_or_many(tmp_path, setup, joined, video):
    root = write_odd(tmp_path / "odd", joined=joined, video=video)
    chosen = mapping() if video else mapping(cameras={"eye": {"rgb": "wrist_image"}})
    store, report = imported(root, setup, tmp_path / "ds", chosen)
    assert report.episodes == ("episode_000000", "episode_000001")
    assert [store.outcome(i) for i in range(2)] == [Outcome.SUCCESS, Outcome.FAILURE]
    assert {e.instruction for e in store.header.episodes} == {"stack"}
    for i in range(2):
        episode, q = store.episode(i), joints(i)
        for k, o in enumerate(episode.observations):
            assert np.allclose(o.arm.q, q[k], atol=1e-6)
            assert np.allclose(o.T_base_ee, forward(q[k]), atol=1e-6)
            assert np.allclose(episode.T_base_ee_des[k], forward(q[k + 1]), atol=1e-12)
            assert o.arm.gripper == pytest.approx(k / (N - 1), abs=1e-6)
            assert episode.gripper_des[k] == pytest.approx(1 - k / (N - 1))
            assert np.abs(o.images["eye"].rgb.astype(int) - picture(k)).max() <= (24 if video else 0)
            assert not o.images["eye"].depth_m.any()
        assert episode.notes["depth.eye"] == "not recorded, stored as no measurement"
        assert episode.notes["tau"] == "not recorded, stored as 0"
        assert episode.notes["clock"].startswith("no stamps")


@pytest.mark.parametrize("reference", ["measured_base", "measured_tool"])
def test_relative_actions_mean_the_same_as_absolute_ones(tmp_path, setup, reference):
    def steps(q):
        """What has to be added to the measured pose to get the next one."""
        T = np.array([forward(row) for row in q])
        out = []
        for a, b in zip(T[:-1], T[1:], strict=True):
            step = inverse(a) @ b
            R = b[:3, :3] @ a[:3, :3].T if reference == "measured_base" else step[:3, :3]
            p = b[:3, 3] - a[:3, 3] if reference == "measured_base" else step[:3, 3]
            out.append([*(p / 0.05), *(rotvec_from_matrix(R) / 0.5)])
        return np.array(out)

    root = write_odd(tmp_path / "odd", actions=steps)
    action = {"columns": ["actions"], "select": [0, 1, 2, 3, 4, 5], "rotation": "rotvec", "reference": reference}
    chosen = mapping(
        action={**action, "scale": [0.05] * 3 + [0.5] * 3},
        gripper_action={"columns": ["actions"], "select": [6], "scale": [12.5]},
    )
    store, _ = imported(root, setup, tmp_path / "ds", chosen)
    for i in range(2):
        wanted = np.array([forward(q) for q in joints(i)[1:]])
        assert np.allclose(store.episode(i).T_base_ee_des, wanted, atol=1e-6)


def test_every_way_to_write_a_pose_gives_the_same_pose(setup):
    from il_core.geometry import rotation_6d_from_matrix
    from il_teleop.dataset.mapping import Field, Rotation

    T = np.array([forward(q) for q in joints(0)])
    p, R = T[:, :3, 3], T[:, :3, :3]
    quat = np.array([quat_xyzw_from_matrix(r) for r in R])
    pitch = -np.arcsin(R[:, 2, 0])
    rpy = np.column_stack([np.arctan2(R[:, 2, 1], R[:, 2, 2]), pitch, np.arctan2(R[:, 1, 0], R[:, 0, 0])])
    forms = {
        Rotation.QUAT_XYZW: quat,
        Rotation.QUAT_WXYZ: quat[:, [3, 0, 1, 2]],
        Rotation.ROTVEC: np.array([rotvec_from_matrix(r) for r in R]),
        Rotation.RPY: rpy,
        Rotation.SIX: rotation_6d_from_matrix(R),
    }
    for rotation, rows in forms.items():
        found = Field(("p", "r"), rotation=rotation).poses({"p": p, "r": rows}.get, "ee_pose", setup.task)
        assert np.allclose(found, T, atol=1e-9), rotation
    whole = Field(("T",), rotation=Rotation.MATRIX).poses({"T": T.reshape(-1, 16)}.get, "ee_pose", setup.task)
    assert np.array_equal(whole, T)


def test_rows_faster_than_the_ticks_are_thinned_to_the_last_action_before_the_next_tick(tmp_path, make_setup):
    setup = world_setup(make_setup, rate_hz=5)
    store, _ = imported(write_odd(tmp_path / "odd"), setup, tmp_path / "ds", mapping())
    episode, q = store.episode(0), joints(0)
    assert len(episode.observations) == N // 2
    for k, o in enumerate(episode.observations):
        assert np.allclose(o.arm.q, q[2 * k], atol=1e-6)
        assert np.allclose(episode.T_base_ee_des[k], forward(q[2 * k + 2]), atol=1e-12)


def test_without_a_mapping_the_error_lists_what_was_found_and_a_mapping_that_works(tmp_path, setup):
    root = write_odd(tmp_path / "odd", video=False)
    with pytest.raises(ConfigError, match="needs a mapping") as caught:
        import_episodes(open_lerobot(root, None), None, setup, tmp_path / "ds")
    text = str(caught.value)
    assert "found 2 episodes with" in text
    assert "state: 3 numbers (float32)" in text
    assert "wrist_image: pictures" in text
    guess = yaml.safe_load(text.split("(check every line of it):")[1])
    assert guess == suggestion(open_lerobot(root, None), setup)
    guess["gripper"]["scale"] = guess["gripper_action"]["scale"] = [12.5]  # what a person knows
    guess["action"] = ODD["action"]
    store, _ = imported(root, setup, tmp_path / "ds", from_mapping(Mapping, guess, "guess"))
    assert len(store) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"q": {"columns": ["stat"], "select": [0, 1]}}, "no 'stat'; did you mean 'state'"),
        ({"q": {"columns": ["state"]}}, r"\['state'\] give 3 numbers a tick, expected 2; name them with 'select'"),
        ({"q": {"columns": ["state"], "select": [0, 9]}}, r"select \[0, 9\] of \['state'\], which have 3"),
        ({"gripper": {"columns": ["state"], "select": [2], "scale": [100.0]}}, "runs from 0 to 8, expected 0"),
        ({"cameras": {"eye": {"rgb": "tob"}}}, "no video 'tob' of episode 0; did you mean 'top'"),
        ({"rate_hz": 15}, "15 rows a second give no ticks at 10 Hz"),
        ({"video_path": "../{video_key}.mp4"}, "leads out of the dataset; it is damaged or hostile"),
        ({"video_path": "videos/{video_key.__class__}.mp4"}, "no video 'top' of episode 0"),
        ({"video_path": "videos/{nonsense}.mp4"}, "path pattern 'videos/{nonsense}.mp4'"),
        ({"tick_stamp": {"columns": ["success"]}}, "off a grid of 10 Hz; leave it out to take rows as ticks"),
        ({"action": {"columns": ["actions"], "select": [0, 1, 2, 2, 2, 2, 2]}}, "'rotation: quat_xyzw' right"),
    ],
)
def test_a_senseless_mapping_is_refused_with_what_to_do(tmp_path, setup, change, sentence):
    root = write_odd(tmp_path / "odd")
    with pytest.raises(EpisodeError, match=sentence):
        imported(root, setup, tmp_path / "ds", mapping(**change))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["odd"]


def test_a_mapping_that_lacks_what_the_task_needs_is_refused_before_anything_is_read(tmp_path, setup):
    root = write_odd(tmp_path / "odd")
    chosen = from_mapping(Mapping, {"action": ODD["action"]}, "map")
    with pytest.raises(ConfigError, match="also needs cameras.eye, ee_pose .*gripper, gripper_action; found 2"):
        import_episodes(open_lerobot(root, chosen), chosen, setup, tmp_path / "ds", forward)


def test_pictures_of_another_size_need_their_own_intrinsics(tmp_path, make_setup):
    setup = make_setup()  # its camera has 8x6 pixels
    root = write_odd(tmp_path / "odd")
    with pytest.raises(EpisodeError, match="pictures are 32x24, the robot's camera has 8x6; give 'intrinsics'"):
        imported(root, setup, tmp_path / "ds", mapping())
    i = {"width": WIDTH, "height": HEIGHT, "fx": 20.0, "fy": 20.0, "cx": 15.5, "cy": 11.5}
    store, _ = imported(root, setup, tmp_path / "ds", mapping(cameras={"eye": {"rgb": "top", "intrinsics": i}}))
    assert store.episode(0).observations[0].images["eye"].intrinsics.fx == 20.0


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
