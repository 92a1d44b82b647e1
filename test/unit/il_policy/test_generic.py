"""Demonstrations of any size, from robomimic and LeRobot files, train policies that act, without an arm or ROS."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import il_policy
from il_core.arrays import ArrayEpisode, LazyPictures
from il_core.errors import CheckpointError, ConfigError, EpisodeError, ShapeError
from il_core.store.tables import parquet_bytes
from il_policy import generic
from il_policy.array_data import ArrayDataset
from il_policy.arrays import spec_of
from il_policy.config import CurriculumConfig, Difficulty, Head, Language, NetworkConfig, ObserveConfig, TrainConfig
from il_policy.serving.config import Runtime, ServeConfig
from il_policy.serving.export import export
from il_policy.serving.loading import exportable
from il_teleop.dataset.columns import read_columns

h5py = pytest.importorskip("h5py")

REACH, GAIN = 0.15, 0.5
CONFIG = TrainConfig(
    "bc",
    Head.REGRESSION,
    NetworkConfig(width=64, depth=1),
    steps=300,
    batch_size=128,
    eval_every=300,
    learning_rate=5e-3,
)
SEEN = {"hdf5": ("obs/self", "obs/world"), "lerobot": ("observation.state", "observation.environment_state")}


class PointWorld:
    """A point in space that is moved by its action; it shall come to a goal. 5 + 11 numbers are seen, 3 done."""

    def __init__(self, names):
        self.names = names

    def seen(self):
        own = np.concatenate([self.p, [1.0, self.steps / 30]])
        return {self.names[0]: own, self.names[1]: np.concatenate([self.goal, self.rng.normal(size=8)])}

    def reset(self, *, seed=None):
        self.rng = np.random.default_rng(seed)
        self.p, self.goal, self.steps = self.rng.uniform(-1, 1, 3), self.rng.uniform(-1, 1, 3), 0
        return self.seen(), {}

    def step(self, action):
        self.p, self.steps = self.p + np.clip(action, -1, 1), self.steps + 1
        is_there = bool(np.linalg.norm(self.p - self.goal) < REACH)
        return self.seen(), float(is_there), is_there, self.steps >= 30, {"is_success": is_there}


def demonstrations(names, count=60):
    """Columns and actions of somebody who goes half of the way at each step."""
    world, shown = PointWorld(names), []
    for seed in range(count):
        seen, _ = world.reset(seed=1000 + seed)
        rows = {names[0]: [], names[1]: [], "action": []}
        for _ in range(14):
            action = GAIN * (world.goal - world.p)
            for name in names:
                rows[name].append(seen[name])
            rows["action"].append(action)
            seen, *_ = world.step(action)
        shown.append({name: np.array(values, np.float32) for name, values in rows.items()})
    return shown


def write_hdf5(path):
    names = SEEN["hdf5"]
    with h5py.File(path, "w") as out:
        out.create_group("data").attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 20}})
        for i, rows in enumerate(demonstrations(names)):
            demo = out.create_group(f"data/demo_{i}")
            for name in names:
                demo.create_dataset(name, data=rows[name])
            demo.create_dataset("actions", data=rows["action"])
            demo.create_dataset("rewards", data=np.eye(1, 14, 13)[0])
    return path


def write_lerobot(root):
    names, shown = SEEN["lerobot"], demonstrations(SEEN["lerobot"])
    lengths = [len(rows["action"]) for rows in shown]
    table = {name: np.concatenate([rows[name] for rows in shown]) for name in (*names, "action")}
    table["episode_index"] = np.repeat(np.arange(len(shown)), lengths)
    table["task_index"] = np.zeros(sum(lengths), np.int64)
    ends = np.cumsum(lengths)
    places = {"episode_index": np.arange(len(shown)), "dataset_from_index": ends - lengths, "dataset_to_index": ends}
    places |= {f"data/{n}": np.zeros(len(shown), np.int64) for n in ("chunk_index", "file_index")}
    features = {n: {"dtype": "float32", "shape": [table[n].shape[1]], "names": None} for n in (*names, "action")}
    info = {"codebase_version": "v3.0", "fps": 20, "total_episodes": len(shown), "features": features}
    info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    for name, columns in {
        "data/chunk-000/file-000.parquet": table,
        "meta/episodes/chunk-000/file-000.parquet": places,
        "meta/tasks.parquet": {"task_index": np.zeros(1, np.int64), "task": ["go there"]},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(parquet_bytes(columns))
    (root / "meta" / "info.json").write_text(json.dumps(info))
    return root


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    return {"hdf5": write_hdf5(folder / "demos.hdf5"), "lerobot": write_lerobot(folder / "dataset")}


@pytest.mark.parametrize("kind", ["hdf5", "lerobot"])
def test_files_of_any_size_train_a_policy_that_succeeds_where_an_untrained_one_fails(sources, kind, tmp_path):
    episodes = read_columns(sources[kind])
    assert len(episodes) == 60 and episodes[0].rate_hz == 20
    spec = spec_of(episodes, n_obs=2, horizon=5, n_execute=2)
    assert sorted(c.size for c in spec.columns) == [5, 11] and spec.action_dim == 3
    generic.train(episodes, replace(CONFIG, steps=1), tmp_path / "untrained", spec)
    result = generic.train(episodes, CONFIG, tmp_path / "trained", spec)
    assert result.is_complete and result.val is not None

    def try_out(folder):
        return generic.evaluate(generic.load(folder), lambda: PointWorld(SEEN[kind]), episodes=20, max_steps=30)

    before, after = try_out(tmp_path / "untrained"), try_out(tmp_path / "trained")
    assert before.successes <= 2
    assert after.successes >= 15 and after.wilson95[0] > before.wilson95[1]
    assert all(trial.steps < 30 for trial in after.trials if trial.success)


def pictured(n=6):
    """An episode of pictures and one number."""
    rng = np.random.default_rng(0)
    pictures = {"top": rng.integers(0, 255, (n, 20, 30, 3), dtype=np.uint8)}
    return ArrayEpisode("seen", {"x": np.arange(n) / n}, rng.normal(size=(n, 2)), pictures)


def test_pictures_of_a_file_are_read_one_set_at_a_time(tmp_path):
    shown = [np.random.default_rng(k).integers(0, 255, (30, 84, 84, 3), np.uint8) for k in range(40)]
    with h5py.File(tmp_path / "demos.hdf5", "w") as file:
        for k, pictures in enumerate(shown):
            demo = file.create_group(f"data/demo_{k}")
            demo["obs/eye_image"], demo["obs/x"], demo["actions"] = pictures, np.zeros((30, 1)), np.zeros((30, 2))
    episodes = read_columns(tmp_path / "demos.hdf5", ["obs/x"], pictures=["obs/eye_image"])
    assert dict(episodes[7].pictures).keys() == {"eye_image"}
    np.testing.assert_array_equal(episodes[7].pictures["eye_image"], shown[7])
    config = replace(CONFIG, observe=ObserveConfig(rgb=("eye_image",), side=16))
    tracemalloc.start()
    data = ArrayDataset(episodes, spec_of(episodes), config)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.4 * sum(pictures.nbytes for pictures in shown)
    assert data.batch([7]).pixels["rgb.eye_image"].shape == (30, 3, 16, 16)
    with pytest.raises(EpisodeError, match="has no pictures 'obs/eye_imag'; did you mean 'obs/eye_image'"):
        read_columns(tmp_path / "demos.hdf5", ["obs/x"], pictures=["obs/eye_imag"])


@pytest.mark.parametrize(
    ("pictures", "problem"),
    [
        (np.zeros((2, 5, 5, 3), np.uint8), "3 actions, but 2 pictures 'eye'"),
        (np.zeros((3, 5, 5), np.uint8), r"pictures 'eye' are \(3, 5, 5\) uint8, expected \(N, H, W, 3\) uint8"),
        (np.zeros((3, 5, 5, 3)), "pictures 'eye' are .* float64, expected"),
    ],
)
def test_wrong_pictures_are_told_when_they_are_read(pictures, problem):
    late = ArrayEpisode("seen", {}, np.zeros((3, 2)), LazyPictures(["eye"], lambda name: pictures))
    with pytest.raises(EpisodeError, match=problem):
        late.pictures["eye"]
    with pytest.raises(KeyError):
        late.pictures["ear"]


def test_pictures_noise_heads_and_exports_go_the_same_way_as_with_an_arm(tmp_path):
    observe = ObserveConfig(rgb=("top",), side=16, channels=(4, 8), keypoints=4)
    config = replace(CONFIG, head=Head.FLOW, observe=observe, steps=3, batch_size=4)
    spec = spec_of([pictured()], n_obs=1, horizon=4, n_execute=4)
    generic.train([pictured()], config, tmp_path, spec)
    seen = {"x": 0.5, "top": np.full((20, 30, 3), 90, np.uint8), "more": "does not matter"}
    in_torch = generic.load(tmp_path, seed=3).act(seen)
    assert in_torch.shape == (2,)
    artifact = export(tmp_path, ["onnx"], exportable(tmp_path))
    assert artifact.max_error["onnx"] <= 1e-4
    exported = generic.load(tmp_path, seed=3, config=replace(generic.WAITING, runtime=Runtime.ONNX))
    assert "onnx" in exported.runtime
    assert exported.act(seen) == pytest.approx(in_torch, abs=1e-4)
    with pytest.raises(EpisodeError, match=r"'top' is .* expected a picture"):
        exported.reset()
        exported.act({"x": 0.5})


def test_a_plan_is_followed_for_as_long_as_it_is_meant_to_be(sources, tmp_path):
    episodes = read_columns(sources["hdf5"])
    generic.train(episodes, replace(CONFIG, steps=2), tmp_path, spec_of(episodes, n_obs=1, horizon=4, n_execute=3))
    policy, made = generic.load(tmp_path), []
    plan = policy.predict
    policy.predict = lambda window: made.append(plan(window)) or made[-1]
    actions = [policy.act(dict.fromkeys(["obs/self"], np.full(5, k)) | {"obs/world": np.ones(11)}) for k in range(7)]
    assert len(made) == 3
    assert np.array_equal(actions[:3], made[0].rows[:3]) and np.array_equal(actions[6], made[2].rows[0])


class Balance:
    """A world that gives reward 1 for every step it goes on, four of them, and says nothing of success."""

    def reset(self, *, seed=None):
        self.left = 4
        return {"x": 0.5}, {}

    def step(self, action):
        self.left -= 1
        return {"x": 0.1 * self.left}, 1.0, self.left == 0, False, self.notes()

    def notes(self):
        return {}


class Noting(Balance):
    """The same, whose last note speaks of success; of every other attempt, none does."""

    attempt = -1

    def reset(self, *, seed=None):
        self.attempt += 1
        return super().reset(seed=seed)

    def notes(self):
        return {"success": True} if self.left == 0 and self.attempt % 2 == 0 else {}


def test_what_nobody_called_a_success_is_none(tmp_path):
    episode = ArrayEpisode("a", {"x": np.arange(6) / 6}, np.zeros((6, 1)))
    generic.train([episode], replace(CONFIG, steps=1), tmp_path)
    policy = generic.load(tmp_path)
    silent = generic.evaluate(policy, Balance, episodes=3)
    assert silent.successes is None and silent.wilson95 is None
    assert [(t.success, t.steps) for t in silent.trials] == [(None, 4)] * 3 and silent.return_mean == 4.0
    judged = generic.evaluate(policy, Balance, episodes=3, success=lambda reward, notes: reward > 0)
    assert judged.successes == 3 and judged.steps_mean == 1.0, "who says what a success is may say so"
    noted = generic.evaluate(policy, Noting, episodes=4)
    assert [t.success for t in noted.trials] == [True, None, True, None] and noted.successes == 2
    assert noted.wilson95 == generic.wilson95(2, 4) and noted.return_mean == 4.0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("quality_power", {"quality_power": 1.0}),
        ("curriculum.measure", {"curriculum": CurriculumConfig(0.5, measure=Difficulty.PATH)}),
        ("curriculum.measure", {"curriculum": CurriculumConfig(0.5, measure=Difficulty.NOTE)}),
        ("observe.depth", {"observe": ObserveConfig(depth=("front",))}),
        ("observe.points", {"observe": ObserveConfig(points=("front",))}),
        ("observe.torque, observe.wrench", {"observe": ObserveConfig(torque=True, wrench=True)}),
        ("observe.language", {"observe": ObserveConfig(language=Language.NGRAM)}),
    ],
)
def test_settings_that_columns_cannot_heed_are_refused_by_name(name, changes, tmp_path):
    with pytest.raises(ConfigError, match=f"^{name}: columns have no marks or notes of takes"):
        generic.train([pictured()], replace(CONFIG, **changes), tmp_path)


def test_easy_episodes_of_columns_are_the_short_ones():
    config = replace(CONFIG, curriculum=CurriculumConfig(0.5))
    shown = [pictured(n) for n in (9, 5)]
    assert [a.difficulty for a in ArrayDataset(shown, spec_of(shown), config).arrays] == [9.0, 5.0]


def test_columns_that_do_not_fit_are_refused_by_name(sources, tmp_path):
    with pytest.raises(EpisodeError, match="has no column 'obs/sefl'.*obs/self"):
        read_columns(sources["hdf5"], ["obs/sefl"])
    with pytest.raises(EpisodeError, match="column 'x' is not finite at step 1"):
        ArrayEpisode("a", {"x": np.array([0.0, np.nan])}, np.zeros((2, 1)))
    with pytest.raises(EpisodeError, match="3 actions for columns"):
        ArrayEpisode("a", {"x": np.zeros(2)}, np.zeros((3, 1)))
    with pytest.raises(EpisodeError, match="'b' has|b: has"):
        spec_of([ArrayEpisode(n, {"x": np.zeros((2, d))}, np.zeros((2, 1))) for n, d in (("a", 1), ("b", 2))])
    episodes = read_columns(sources["hdf5"], ["obs/self"])
    with pytest.raises(ConfigError, match="fits the path of a tool"):
        generic.train(episodes, replace(CONFIG, head=Head.DMP), tmp_path)
    generic.train(episodes, replace(CONFIG, steps=1), tmp_path)
    with pytest.raises(ShapeError, match="column 'obs/self'"):
        generic.load(tmp_path).act({"obs/self": np.zeros(4)})
    with pytest.raises(CheckpointError, match=r"use it through il_policy\.generic\.load"):
        il_policy.load(tmp_path, config=ServeConfig(runtime=Runtime.TORCH))
