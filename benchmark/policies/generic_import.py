"""robomimic HDF5 files and LeRobot v3 folders of several sizes: trained and tried without ROS, in a process of its own.

The world is a point that its actions move: D coordinates, a goal, and numbers that mean nothing. Its demonstrator
goes half of the way at each step.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.figures import Figure, figure
from benchmark.policies.keep import Keeper, Values

NAMES = {"robomimic": ("obs/self", "obs/world"), "lerobot": ("observation.state", "observation.environment_state")}
CASES = (
    ("robomimic", 3, 8, "bc"),
    ("robomimic", 14, 40, "diffusion"),
    ("lerobot", 2, 0, "flow"),
    ("lerobot", 7, 20, "bc"),
)
DEMONSTRATIONS, STEPS, GAIN, RATE_HZ = 100, 14, 0.5, 20
TRIALS, QUICK_TRIALS, MAX_STEPS = 50, 20, 40
BOUND = 95
NO_ROS = ("rclpy", "builtin_interfaces", "sensor_msgs")


class PointWorld:
    """A point that shall come to a goal; fills the part of Gymnasium's interface that is needed."""

    def __init__(self, names: tuple[str, str], size: int, noise: int) -> None:
        """Choose the sizes."""
        self._names, self._size, self._noise = names, size, noise
        self._near = 0.1 * math.sqrt(size)

    def reset(self, *, seed: int | None = None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Point and goal anywhere."""
        self._rng = np.random.default_rng(seed)
        self.p, self.goal = self._rng.uniform(-1, 1, (2, self._size))
        self._steps = 0
        return self._seen(), {}

    def step(self, action: Any, /) -> tuple[Mapping[str, Any], float, bool, bool, Mapping[str, Any]]:  # noqa: ANN401
        """Move."""
        self.p, self._steps = self.p + np.clip(action, -1, 1), self._steps + 1
        is_there = bool(np.linalg.norm(self.p - self.goal) < self._near)
        return self._seen(), float(is_there), is_there, self._steps >= MAX_STEPS, {"is_success": is_there}

    def _seen(self) -> dict[str, Any]:
        world = np.concatenate([self.goal, self._rng.normal(size=self._noise)])
        return {self._names[0]: self.p.copy(), self._names[1]: world}


def demonstrations(world: PointWorld, names: tuple[str, str]) -> list[dict[str, Any]]:
    """Columns of each demonstration."""
    shown = []
    for seed in range(DEMONSTRATIONS):
        seen, _ = world.reset(seed=10_000 + seed)
        rows: dict[str, list[Any]] = {name: [] for name in (*names, "action")}
        for _ in range(STEPS):
            action = np.clip(GAIN * (world.goal - world.p), -1, 1)
            for name, value in (*seen.items(), ("action", action)):
                rows[name].append(value)
            seen, *_ = world.step(action)
        shown.append({name: np.array(values, np.float32) for name, values in rows.items()})
    return shown


def write_robomimic(path: Path, shown: list[dict[str, Any]]) -> Path:
    """One HDF5 file, laid out as robomimic's."""
    import h5py

    with h5py.File(path, "w") as out:
        out.create_group("data").attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": RATE_HZ}})
        for i, rows in enumerate(shown):
            demo = out.create_group(f"data/demo_{i}")
            for name in NAMES["robomimic"]:
                demo.create_dataset(name, data=rows[name])
            demo.create_dataset("actions", data=rows["action"])
            demo.create_dataset("rewards", data=np.eye(1, STEPS, STEPS - 1)[0])
    return path


def write_lerobot(root: Path, shown: list[dict[str, Any]]) -> Path:
    """A folder, laid out as LeRobot v3's."""
    from il_core.store.tables import parquet_bytes

    names, n = NAMES["lerobot"], len(shown)
    lengths = [len(rows["action"]) for rows in shown]
    ends = np.cumsum(lengths)
    table = {name: np.concatenate([rows[name] for rows in shown]) for name in (*names, "action")}
    table |= {"episode_index": np.repeat(np.arange(n), lengths), "task_index": np.zeros(sum(lengths), np.int64)}
    places = {"episode_index": np.arange(n), "dataset_from_index": ends - lengths, "dataset_to_index": ends}
    places |= {f"data/{key}": np.zeros(n, np.int64) for key in ("chunk_index", "file_index")}
    features = {k: {"dtype": "float32", "shape": [table[k].shape[1]], "names": None} for k in (*names, "action")}
    info = {"codebase_version": "v3.0", "fps": RATE_HZ, "total_episodes": n, "features": features}
    files = {
        "data/chunk-000/file-000.parquet": table,
        "meta/episodes/chunk-000/file-000.parquet": places,
        "meta/tasks.parquet": {"task_index": np.zeros(1, np.int64), "task": ["go there"]},
    }
    for name, columns in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(parquet_bytes(columns))
    info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    (root / "meta" / "info.json").write_text(json.dumps(info))
    return root


def one_case(kind: str, size: int, noise: int, recipe: str, trials: int) -> Values:
    """Write, read, train and try, in this process."""
    from il_policy import generic
    from il_policy.config import load_train_config
    from il_teleop.dataset.columns import read_columns

    world = PointWorld(NAMES[kind], size, noise)
    shown = demonstrations(world, NAMES[kind])
    config = load_train_config(recipe, ("network.width=256", "hold_at_end=false"))
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        path = folder / "data.hdf5" if kind == "robomimic" else folder / "data"
        (write_robomimic if kind == "robomimic" else write_lerobot)(path, shown)
        episodes = read_columns(path)
        result = generic.train(episodes, config, folder / "policy")
        policy = generic.load(folder / "policy")
        found = generic.evaluate(policy, lambda: world, trials, max_steps=MAX_STEPS)
    seen = sum(column.size for column in policy.spec.columns)
    return {"seen": seen, "action": policy.spec.action_dim, "successes": found.successes, "train_s": result.seconds}


def figures(keeper: Keeper, *, quick: bool) -> list[Figure]:
    """Every case in a process that cannot import ROS."""
    out = []
    for kind, size, noise, recipe in CASES:
        trials = QUICK_TRIALS if quick else TRIALS
        arguments = [kind, str(size), str(noise), recipe, str(trials)]
        blocked = f"import sys; sys.modules.update(dict.fromkeys({NO_ROS}))"
        code = f"{blocked}; from benchmark.policies.generic_import import main; main({arguments})"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(f"{kind} of {size}: {run.stderr.strip().splitlines()[-1:]}")
        found = json.loads(run.stdout.splitlines()[-1])
        name = f"{kind}, {found['seen']} numbers seen, {found['action']} done, {recipe}, no ROS: success"
        out.append(figure(name, 100.0 * found["successes"] / trials, "%", f">= {BOUND}"))
    return out


def main(arguments: list[str]) -> None:
    """One case, its result as JSON on the last line."""
    kind, size, noise, recipe, trials = arguments
    print(json.dumps(one_case(kind, int(size), int(noise), recipe, int(trials))))
