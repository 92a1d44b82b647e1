"""LeRobot directories as people have them come in by an explicit mapping, and refuse with a list of what was found."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import HEIGHT, WIDTH, forward, picture, world_setup  # noqa: E402
from lerobot_world import ODD, N, imported, joints, mapping, write_odd  # noqa: E402 - needs the path

from il_core.config import from_mapping  # noqa: E402
from il_core.errors import ConfigError, EpisodeError  # noqa: E402
from il_core.geometry import inverse, quat_xyzw_from_matrix, rotvec_from_matrix  # noqa: E402
from il_core.types import Outcome  # noqa: E402
from il_teleop.dataset.import_foreign import import_episodes, open_lerobot  # noqa: E402
from il_teleop.dataset.mapping import Mapping  # noqa: E402
from il_teleop.dataset.suggest import suggestion  # noqa: E402


@pytest.fixture
def setup(make_setup):
    return world_setup(make_setup)


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
    felt, stiff = ({"columns": ["state"], "select": [column] * 6} for column in (0, 2))
    store, _ = imported(write_odd(tmp_path / "odd"), setup, tmp_path / "ds", mapping(wrench=felt, stiffness=stiff))
    episode, q = store.episode(0), joints(0)
    assert len(episode.observations) == N // 2
    for k, o in enumerate(episode.observations):
        assert np.allclose(o.arm.q, q[2 * k], atol=1e-6)
        assert np.allclose(episode.T_base_ee_des[k], forward(q[2 * k + 2]), atol=1e-12)
        assert np.allclose(o.wrench, q[2 * k, 0], atol=1e-6), "a wrench is observed at its tick"
        assert np.allclose(episode.k_p_des[k], np.linspace(0, 0.08, N)[2 * k + 1]), "a stiffness goes with its action"


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
