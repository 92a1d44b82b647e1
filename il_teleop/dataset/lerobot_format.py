"""What LeRobotDataset v3.0 asks of files and numbers: names, features, statistics and the depth code.

Source: huggingface/lerobot, ``src/lerobot/datasets`` of release 0.6; checked against files its writer made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import EpisodeError

VERSION = "v3.0"
CHUNK = 1000  # files in one folder
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
OURS = "meta/il_robot.json"  # what LeRobot has no place for; other readers pass over it
DEFAULTS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
STATISTICS = ("min", "max", "mean", "std", "count", *QUANTILES)
DEPTH_MIN_M, DEPTH_MAX_M, DEPTH_SHIFT_M, DEPTH_CODES = 0.01, 10.0, 3.5, 4095

Stats = dict[str, NDArray[Any]]
Feature = dict[str, Any]


def number_feature(kind: str, width: int, names: Sequence[str] | None = None) -> Feature:
    """Entry of ``features`` for a column of numbers or flags."""
    return {"dtype": kind, "shape": [width], "names": list(names) if names else None}


def default_features() -> dict[str, Feature]:
    """The five columns every dataset ends with."""
    return {name: number_feature("float32" if name == "timestamp" else "int64", 1) for name in DEFAULTS}


def picture_feature(height: int, width: int, channels: int, info: Feature, *, is_video: bool) -> Feature:
    """Entry of ``features`` for a camera."""
    shape = [height, width, channels]
    names = ["height", "width", "channels"]
    return {"dtype": "video" if is_video else "image", "shape": shape, "names": names, "info": info}


def rgb_video_info(height: int, width: int, fps: int, codec: str, options: Mapping[str, str]) -> Feature:
    """``info`` of a colour video."""
    preset = options.get("preset")
    return {
        "is_depth_map": False,
        **_video_info(height, width, fps, codec, "yuv420p", 3),
        "video.g": int(options["g"]),
        "video.crf": int(options["crf"]),
        "video.preset": int(preset) if preset and preset.isdigit() else preset,
        "video.fast_decode": 0,
        "video.video_backend": "pyav",
        "video.extra_options": {},
    }


def depth_video_info(height: int, width: int, fps: int, parameters: str) -> Feature:
    """``info`` of a depth video of 12-bit codes, see :func:`depth_codes`."""
    return {
        "is_depth_map": True,
        "depth_unit": "mm",
        **_video_info(height, width, fps, "hevc", "gray12le", 1),
        "video.g": 1,
        "video.crf": None,
        "video.preset": None,
        "video.fast_decode": 0,
        "video.video_backend": "pyav",
        "video.extra_options": {"x265-params": parameters},
        "video.depth_min": DEPTH_MIN_M,
        "video.depth_max": DEPTH_MAX_M,
        "video.shift": DEPTH_SHIFT_M,
        "video.use_log": True,
    }


def _video_info(height: int, width: int, fps: int, codec: str, pixels: str, channels: int) -> Feature:
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": codec,
        "video.pix_fmt": pixels,
        "video.fps": fps,
        "video.channels": channels,
        "has_audio": False,
    }


def info(fps: int, robot: str, features: Mapping[str, Feature], totals: tuple[int, int, int]) -> Feature:
    """Content of meta/info.json in the order LeRobot writes it.

    Args:
        fps: Ticks per second.
        robot: Name of the robot.
        features: User features; the default ones are added.
        totals: Episodes, ticks and tasks.
    """
    all_features = {**features, **default_features()}
    has_video = any(f["dtype"] == "video" for f in features.values())
    return {
        "codebase_version": VERSION,
        "fps": fps,
        "features": all_features,
        "total_episodes": totals[0],
        "total_frames": totals[1],
        "total_tasks": totals[2],
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if has_video else None,
        "robot_type": robot,
        "splits": {"train": f"0:{totals[0]}"},
    }


def as_json(value: object) -> str:
    """JSON as LeRobot lays it out."""
    return json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False)


def depth_codes(mm: NDArray[np.uint16]) -> NDArray[np.uint16]:
    r"""LeRobot's 12-bit logarithmic code of a depth picture [mm]; 0 (no measurement) shares code 0 with 10 mm.

    .. math:: c = \mathrm{round}\left(4095 \frac{\ln(d + s) - \ln(d_{min} + s)}
              {\ln(d_{max} + s) - \ln(d_{min} + s)}\right), \quad s = 3.5\,m
    """
    low, high = np.log(DEPTH_MIN_M + DEPTH_SHIFT_M), np.log(DEPTH_MAX_M + DEPTH_SHIFT_M)
    ratio = (np.log(mm.astype(np.float64) * 1e-3 + DEPTH_SHIFT_M) - low) / (high - low)
    return np.clip(np.rint(ratio * DEPTH_CODES), 0, DEPTH_CODES).astype(np.uint16)


def depth_m_from_codes(codes: NDArray[np.uint16], parameters: Mapping[str, Any]) -> NDArray[np.float32]:
    """Depth [m] of 12-bit codes, (H, W) float32; code 0 becomes 0, no measurement.

    Args:
        codes: The codes.
        parameters: ``info`` of the feature.

    Raises:
        EpisodeError: the parameters make no code.
    """
    low_m = float(parameters.get("video.depth_min", DEPTH_MIN_M))
    high_m = float(parameters.get("video.depth_max", DEPTH_MAX_M))
    shift_m = float(parameters.get("video.shift", DEPTH_SHIFT_M)) if parameters.get("video.use_log", True) else None
    if not low_m < high_m < 1e4 or (shift_m is not None and low_m + shift_m <= 0):
        raise EpisodeError("depth video", f"depth_min {low_m}, depth_max {high_m}, shift {shift_m} make no code")
    ratio = np.arange(DEPTH_CODES + 1) / DEPTH_CODES
    if shift_m is None:
        table = low_m + ratio * (high_m - low_m)
    else:
        low, high = np.log(low_m + shift_m), np.log(high_m + shift_m)
        table = np.exp(low + ratio * (high - low)) - shift_m
    table[0] = 0.0
    return table.astype(np.float32)[np.minimum(codes, DEPTH_CODES)]


def vector_stats(rows: NDArray[Any]) -> Stats:
    """Statistics of a column, per dimension; ``rows`` is (N,) or (N, D)."""
    x = np.atleast_2d(rows.astype(np.float64).T).T  # (N, D)
    quantiles = np.quantile(x, list(QUANTILES.values()), axis=0)
    return {
        "min": x.min(axis=0),
        "max": x.max(axis=0),
        "mean": x.mean(axis=0),
        "std": x.std(axis=0),
        "count": np.array([len(x)]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


class PictureStats:
    """Exact statistics of all pixels of an episode, from a histogram per channel."""

    def __init__(self, channels: int, levels: int, unit: float) -> None:
        """Begin empty.

        Args:
            channels: 3 for colour, 1 for depth.
            levels: Number of possible values of a pixel.
            unit: What one level is worth in the statistics.
        """
        self._counts = np.zeros((channels, levels), dtype=np.int64)
        self._unit, self._pictures = unit, 0

    def add(self, picture: NDArray[Any]) -> None:
        """Count the pixels of a picture, (H, W) or (H, W, C)."""
        pixels = picture.reshape(-1, len(self._counts))
        levels = self._counts.shape[1]
        for channel in range(len(self._counts)):
            self._counts[channel] += np.bincount(pixels[:, channel], minlength=levels)
        self._pictures += 1

    def stats(self) -> Stats:
        """Statistics per channel, each (C, 1, 1)."""
        found = [self._channel(counts) for counts in self._counts]
        joined = {key: np.array([f[key] for f in found]).reshape(-1, 1, 1) for key in found[0]}
        return {key: np.array([self._pictures]) if key == "count" else joined[key] for key in STATISTICS}

    def _channel(self, counts: NDArray[np.int64]) -> dict[str, float]:
        values = np.arange(len(counts)) * self._unit
        total, cumulated = counts.sum(), np.cumsum(counts)
        present = np.flatnonzero(counts)
        mean = float((values * counts).sum() / total)
        variance = float(((values - mean) ** 2 * counts).sum() / total)
        quantiles = {
            key: float(values[np.searchsorted(cumulated, max(1, np.ceil(q * total)))]) for key, q in QUANTILES.items()
        }
        ends = {"min": float(values[present[0]]), "max": float(values[present[-1]])}
        return {**ends, "mean": mean, "std": variance**0.5, **quantiles}


def pooled(parts: Iterable[Stats]) -> Stats:
    """Statistics of several episodes together: mean and spread exact, quantiles as their outer envelope."""
    stats = list(parts)
    shape = (-1,) + (1,) * stats[0]["mean"].ndim
    counts = np.array([s["count"][0] for s in stats], dtype=np.int64)
    weights = (counts / counts.sum()).reshape(shape)
    means = np.stack([s["mean"] for s in stats])
    mean = (means * weights).sum(axis=0)
    variance = ((np.stack([s["std"] for s in stats]) ** 2 + (means - mean) ** 2) * weights).sum(axis=0)
    low, high = ("min", "q01", "q10", "q50"), ("max", "q90", "q99")
    result = {key: np.min(np.stack([s[key] for s in stats]), axis=0) for key in low}
    result |= {key: np.max(np.stack([s[key] for s in stats]), axis=0) for key in high}
    result |= {"mean": mean, "std": np.sqrt(variance), "count": np.array([counts.sum()])}
    return {key: result[key] for key in STATISTICS}
