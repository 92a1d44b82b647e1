"""robomimic files come in by a mapping; what points outside the file or claims absurd sizes is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import depth_mm, forward, picture, world_setup  # noqa: E402

from il_core.config import from_mapping  # noqa: E402
from il_core.errors import ConfigError, EpisodeError  # noqa: E402
from il_core.geometry import quat_xyzw_from_matrix, rotvec_from_matrix  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.types import Outcome  # noqa: E402
from il_teleop.dataset.import_foreign import import_episodes  # noqa: E402
from il_teleop.dataset.mapping import Mapping  # noqa: E402
from il_teleop.dataset.robomimic import RobomimicFile  # noqa: E402

h5py = pytest.importorskip("h5py")
N = 8
MAP = {
    "q": {"columns": ["obs/robot0_joint_pos"]},
    "gripper": {"columns": ["obs/robot0_gripper_qpos"], "select": [0], "scale": [25.0]},
    "ee_pose": {"columns": ["obs/robot0_eef_pos", "obs/robot0_eef_quat"]},
    "action": {
        "columns": ["actions"],
        "select": [0, 1, 2, 3, 4, 5],
        "rotation": "rotvec",
        "reference": "measured_base",
        "scale": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5],
    },
    "gripper_action": {"columns": ["actions"], "select": [6], "scale": [-0.5], "offset": [0.5]},
    "cameras": {"eye": {"rgb": "obs/agentview_image", "depth": "obs/agentview_depth"}},
}


@pytest.fixture
def setup(make_setup):
    return world_setup(make_setup)


def joints(demo):
    return np.cumsum(np.random.default_rng(demo).normal(scale=0.05, size=(N + 1, 2)), axis=0)


@pytest.fixture
def file(tmp_path):
    """Two demonstrations as robosuite stores them: scaled steps, gripper -1 open to 1 closed."""
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as out:
        data = out.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_kwargs": {"control_freq": 10}})
        for d in range(2):
            T = np.array([forward(q) for q in joints(d)])
            demo, obs = data.create_group(f"demo_{d}"), data.create_group(f"demo_{d}/obs")
            R = [b @ a.T for a, b in zip(T[:-1, :3, :3], T[1:, :3, :3], strict=True)]
            steps = np.column_stack([np.diff(T[:, :3, 3], axis=0) / 0.05, [rotvec_from_matrix(r) / 0.5 for r in R]])
            demo["actions"] = np.column_stack([steps, np.linspace(-1, 1, N)])
            demo["rewards"] = np.arange(N) == (N - 1 if d == 0 else N)
            obs["robot0_joint_pos"] = joints(d)[:-1]
            obs["robot0_gripper_qpos"] = np.linspace(0, 0.04, N)[:, None] * [1, -1]
            obs["robot0_eef_pos"] = T[:-1, :3, 3]
            obs["robot0_eef_quat"] = [quat_xyzw_from_matrix(r) for r in T[:-1, :3, :3]]
            obs.create_dataset("agentview_image", data=np.array([picture(k) for k in range(N)]), compression="gzip")
            obs["agentview_depth"] = np.array([depth_mm(k) * 1e-3 for k in range(N)], dtype=np.float32)[..., None]
    return path


def test_demonstrations_come_in_with_absolute_actions_pictures_and_labels(file, tmp_path, setup):
    report = import_episodes(RobomimicFile(file), from_mapping(Mapping, MAP, "map"), setup, tmp_path / "ds")
    assert report.episodes == ("demo_0", "demo_1")
    store = EpisodeStore.open(tmp_path / "ds", setup.digest)
    assert [store.outcome(i) for i in range(2)] == [Outcome.SUCCESS, Outcome.UNLABELLED]
    for d in range(2):
        episode, T = store.episode(d), np.array([forward(q) for q in joints(d)])
        assert np.allclose(episode.T_base_ee_des, T[1:], atol=1e-9)
        assert np.allclose(episode.gripper_des, np.linspace(1, 0, N))
        for k, o in enumerate(episode.observations):
            assert np.allclose(o.T_base_ee, T[k], atol=1e-9)
            assert o.arm.gripper == pytest.approx(k / (N - 1))
            assert np.array_equal(o.images["eye"].rgb, picture(k))
            assert np.allclose(o.images["eye"].depth_m, depth_mm(k) * 1e-3, atol=1e-6)


def test_without_a_mapping_the_columns_are_listed(file, tmp_path, setup):
    with pytest.raises(ConfigError, match="found 2 episodes with") as caught:
        import_episodes(RobomimicFile(file), None, setup, tmp_path / "ds")
    text = str(caught.value)
    assert "obs/robot0_eef_quat: 4 numbers" in text
    assert "obs/agentview_image: pictures" in text
    assert "columns: [obs/robot0_eef_pos, obs/robot0_eef_quat]" in text


def external_link(out):
    out["data/demo_0/obs/robot0_joint_pos"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(out):
    out["data/demo_0/obs/robot0_joint_pos"] = h5py.SoftLink("/data/demo_0")


def huge_array(out):
    shape = (N, 1 << 20, 1 << 20)
    out["data/demo_0/obs"].create_dataset("robot0_joint_pos", shape=shape, dtype="f8", chunks=(1, 64, 64))


def endless_rows(out):
    out["data/demo_0/obs"].create_dataset("robot0_joint_pos", shape=(1 << 40,), dtype="u1", chunks=(64,))


def objects(out):
    out["data/demo_0/obs"].create_dataset("robot0_joint_pos", (N,), dtype=h5py.string_dtype())


def stored_elsewhere(out):
    place = [("/etc/passwd", 0, N * 16)]
    out["data/demo_0/obs"].create_dataset("robot0_joint_pos", (N, 2), dtype="f8", external=place)


def virtual(out):
    layout = h5py.VirtualLayout(shape=(N, 2), dtype="f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(N, 2))
    out["data/demo_0/obs"].create_virtual_dataset("robot0_joint_pos", layout)


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (external_link, "is a ExternalLink, which may lead elsewhere; refused"),
        (soft_link, "is a SoftLink, which may lead elsewhere; refused"),
        (huge_array, "claims .* GB; refused"),
        (endless_rows, "claims .* GB; refused"),
        (objects, "holds object, expected numbers; refused"),
        (stored_elsewhere, "is stored in other files; refused"),
        (virtual, "is stored in other files; refused"),
    ],
)
def test_hostile_files_are_refused_before_anything_is_read(file, plant, sentence):
    with h5py.File(file, "a") as out:
        del out["data/demo_0/obs/robot0_joint_pos"]
        plant(out)
    with pytest.raises(EpisodeError, match=sentence):
        RobomimicFile(file)


def test_hostile_parts_of_later_demonstrations_are_found_when_they_are_read(file, tmp_path, setup):
    with h5py.File(file, "a") as out:
        del out["data/demo_1/obs/robot0_joint_pos"]
        out["data/demo_1/obs/robot0_joint_pos"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(EpisodeError, match="ExternalLink"):
        import_episodes(RobomimicFile(file), from_mapping(Mapping, MAP, "map"), setup, tmp_path / "ds")
    assert not (tmp_path / "ds").exists()


def test_what_is_no_robomimic_file_is_said_in_words(file, tmp_path):
    with pytest.raises(EpisodeError, match="no such file; give a robomimic .hdf5"):
        RobomimicFile(tmp_path / "no.hdf5")
    (tmp_path / "text.hdf5").write_text("hello")
    with pytest.raises(EpisodeError, match="is no readable HDF5 file"):
        RobomimicFile(tmp_path / "text.hdf5")
    with h5py.File(tmp_path / "other.hdf5", "w") as out:
        out["observations"] = np.zeros(3)
    with pytest.raises(EpisodeError, match="has no 'data' in /; .*observations"):
        RobomimicFile(tmp_path / "other.hdf5")
    with h5py.File(file, "a") as out:
        del out["data/demo_0/rewards"]
        out["data/demo_0/rewards"] = np.zeros(3)
    with pytest.raises(EpisodeError, match="demo_0: arrays differ in length"):
        RobomimicFile(file).episode(0)


def test_truncated_files_are_refused_or_give_what_was_in_them(file, tmp_path, setup):
    data = file.read_bytes()
    for size in range(0, len(data), max(1, len(data) // 40)):
        file.write_bytes(data[:size])
        with pytest.raises(EpisodeError):
            import_episodes(RobomimicFile(file), from_mapping(Mapping, MAP, "map"), setup, tmp_path / "ds")
