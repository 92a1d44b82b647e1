"""LeRobot directories with odd keys, and their import by a mapping."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import forward, picture  # noqa: E402

from il_core import codec  # noqa: E402
from il_core.config import from_mapping  # noqa: E402
from il_core.store.episodes import EpisodeStore  # noqa: E402
from il_core.store.tables import parquet_bytes  # noqa: E402
from il_core.store.video import write_rgb  # noqa: E402
from il_teleop.dataset.import_foreign import import_episodes, open_lerobot  # noqa: E402
from il_teleop.dataset.mapping import Mapping  # noqa: E402

N = 12


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
