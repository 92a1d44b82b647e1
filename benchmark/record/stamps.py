"""Capture times through a recording loop that is too slow, and the frame index over fps that LeRobot would store."""

from __future__ import annotations

import random
import struct
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np

from benchmark.figures import Figure, figure, not_taken
from benchmark.record.feed import HEADER, accounts, schedule, sources
from il_core.align import ARM, camera_stream
from il_core.clock import SystemClock
from il_core.config import load_setup
from il_core.store.episodes import EpisodeStore
from il_core.store.recording import Recording, RecordingWriter
from il_core.types import ArmState, CameraFrame, Episode, Intrinsics, Observation, Outcome
from il_teleop.take import Take

SECONDS, QUICK_SECONDS = 20.0, 4.0
MOST_MS = 1.0
DELAY_S = (0.0, 0.12)  # the loop sleeps this long after a picture: three times what it has at 30 Hz


def slowed(root: Path, seconds: float, rng: random.Random) -> tuple[Path, dict[str, list[int]]]:
    """Record messages whose capture times we chose, in a loop that falls ever further behind.

    Returns:
        The recording, and the capture times per topic [ns].
    """
    clock = SystemClock()
    found = tuple(s for s in sources(64, 48))
    waiting = deque(schedule(found, seconds, clock.now_ns() + 7_654_321))
    take = Take(RecordingWriter(root, HEADER, clock, "slow"), accounts(found), 10**9)
    captured: dict[str, list[int]] = {s.plan.name: [] for s in found}
    while waiting:
        due_ns, source = waiting.popleft()
        time.sleep(max(0, due_ns - clock.now_ns()) / 1e9)
        stamp_ns = due_ns + rng.randrange(-3_000_000, 3_000_000) * source.plan.is_image  # shutters jitter
        if source.plan.is_image:
            time.sleep(rng.uniform(*DELAY_S) / 4)  # four streams of pictures
        take.receive(source.plan.name, source.message(stamp_ns), clock.now_ns())
        captured[source.plan.name].append(stamp_ns)
    return take.commit(Outcome.SUCCESS).result(), captured


def through_a_dataset(root: Path, stamps_ns: list[int]) -> float:
    """Largest error of capture times that went through an episode on disk [ms]."""
    store = EpisodeStore.create(root / "dataset", load_setup("pick_place"))
    intrinsics = Intrinsics(8, 6, 10.0, 10.0, 4.0, 3.0)
    picture, depth = np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), np.float32)
    seen = []
    for k, stamp_ns in enumerate(stamps_ns):
        tick_ns = stamps_ns[0] + 10_000_000 + k * 10**9 // 30
        tick_ns = max(tick_ns, stamp_ns)
        age = {ARM: tick_ns - stamp_ns, camera_stream("front"): tick_ns - stamp_ns}
        arm = ArmState(stamp_ns, np.zeros(7), np.zeros(7), np.zeros(7), 0.0)
        frame = CameraFrame(stamp_ns, "front", picture, depth, intrinsics)
        seen.append(Observation(tick_ns, np.eye(4), arm, {"front": frame}, age))
    n = len(seen)
    store.add(Episode("slow", tuple(seen), np.tile(np.eye(4), (n, 1, 1)), np.zeros(n), Outcome.SUCCESS, 30))
    back = EpisodeStore.open(store.path).episode(0).observations
    errors = [abs(o.images["front"].stamp_ns - s) for o, s in zip(back, stamps_ns, strict=True)]
    return max(errors) / 1e6


def figures(*, quick: bool) -> list[Figure]:
    """Stamps that were injected, beside those that were stored.

    Args:
        quick: A fifth of the time.
    """
    seconds = QUICK_SECONDS if quick else SECONDS
    with tempfile.TemporaryDirectory(prefix="stamps_") as folder:
        root = Path(folder)
        path, captured = slowed(root, seconds, random.Random(0))
        stored: dict[str, list[int]] = {topic: [] for topic in captured}
        late_ms, inside_ms = 0.0, 0.0
        for topic, data, log_ns, stamp_ns in Recording.open(path).raw_messages():
            stored[topic].append(stamp_ns)
            late_ms = max(late_ms, (log_ns - stamp_ns) / 1e6)
            sec, nanosec = struct.unpack_from("<iI", data, 4)
            inside_ms = max(inside_ms, abs(sec * 10**9 + nanosec - stamp_ns) / 1e6)
        name = "slowed recording loop"
        count = sum(map(len, stored.values()))
        if {t: len(v) for t, v in stored.items()} != {t: len(v) for t, v in captured.items()}:
            return [not_taken(f"{name}: stored stamps off their capture time", "messages are missing", "ms", "<= 1")]
        error_ms = max(
            abs(a - b) / 1e6 for t in captured for a, b in zip(sorted(captured[t]), sorted(stored[t]), strict=True)
        )
        picture = next(t for t in captured if t.endswith("color/image_raw"))
        stamps_ns = sorted(captured[picture])
        dataset_ms = through_a_dataset(root, stamps_ns)
    # LeRobot's loop takes a picture when it comes round, and stores frame_index / fps (dataset_writer.py, add_frame).
    rng, t, peer_ms, k = random.Random(0), 0.0, 0.0, 0
    while t < seconds:
        peer_ms = max(peer_ms, 1e3 * abs(t - k / 30))
        t += max(1 / 30, rng.uniform(*DELAY_S))
        k += 1
    return [
        figure(f"{name}: stored stamps off their capture time, most", max(error_ms, inside_ms), "ms",
               f"<= {MOST_MS:.0f}", f"{count} messages, received up to {late_ms:.0f} ms late"),
        figure(f"{name}: the same through a dataset's episode", dataset_ms, "ms", f"<= {MOST_MS:.0f}"),
        figure(f"{name}: frame index over fps off the capture time, as LeRobot stores it", peer_ms, "ms", "",
               f"after {seconds:.0f} s of the same delays, computed"),
    ]  # fmt: skip
