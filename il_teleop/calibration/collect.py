"""Which pictures of the board are taken: the tool at rest, the board seen well, a view not had before."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from il_core.geometry import Array, interpolate_pose, inverse, rotvec_from_matrix
from il_core.types import EePose, Intrinsics
from il_teleop.calibration.board import Board
from il_teleop.calibration.config import CollectConfig
from il_teleop.calibration.solve import View

KEPT_POSES = 1000  # 10 s at 100 Hz: pictures come late, but not later
GAP_NS = 100_000_000  # tool poses further apart say nothing of what was between


class Verdict(Enum):
    """What became of a picture."""

    TAKEN = "taken"
    MOVING = "the tool moves"
    KNOWN = "like a view taken already"
    UNSEEN = "too little of the board in view"
    BLURRED = "the board does not fit the picture"
    NO_POSE = "no tool pose around it"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture of a camera.

    Attributes:
        rgb: (H, W, 3) uint8.
        lens: Its intrinsics, with the distortion of the lens.
    """

    rgb: NDArray[np.uint8]
    lens: Intrinsics


class Collector:
    """Takes views from a stream of tool poses and pictures on one clock; looks for the board only where it may count.

    Attributes:
        views: What was taken.
        counts: How many pictures met which end.
    """

    def __init__(self, board: Board, config: CollectConfig) -> None:
        """Start without views."""
        self.views: list[View] = []
        self.counts = Counter[Verdict]()
        self._board, self._config = board, config
        self._poses: deque[EePose] = deque(maxlen=KEPT_POSES)
        self._margin_ns = int(config.still_ms * 1e6)

    @property
    def is_full(self) -> bool:
        """Whether the wanted number of views is there."""
        return len(self.views) >= self._config.views

    def pose(self, pose: EePose) -> None:
        """Hear where the tool is; a pose older than the last begins another recording, or the clock was set."""
        if self._poses and pose.stamp_ns < self._poses[-1].stamp_ns:
            self._poses.clear()
        self._poses.append(pose)

    def knows(self, stamp_ns: int) -> bool:
        """Whether the tool poses reach far enough beyond an instant to judge a picture of it."""
        return bool(self._poses) and self._poses[-1].stamp_ns >= stamp_ns + self._margin_ns

    def offer(self, stamp_ns: int, read: Callable[[], Picture]) -> Verdict:
        """Take a picture if it says something new.

        Args:
            stamp_ns: Instant of the picture, for which :meth:`knows` holds [ns].
            read: Decodes it; called only where the tool rests at a new pose.

        Raises:
            DeviceError, ShapeError: what ``read`` finds wrong with the picture.
        """
        verdict = self._judge(stamp_ns, read)
        self.counts[verdict] += 1
        return verdict

    def _judge(self, stamp_ns: int, read: Callable[[], Picture]) -> Verdict:
        around = [p for p in self._poses if abs(p.stamp_ns - stamp_ns) <= self._margin_ns]
        stamps = [stamp_ns - self._margin_ns, *(p.stamp_ns for p in around), stamp_ns + self._margin_ns]
        if len(around) < 2 or max(np.diff(stamps)) > GAP_NS:
            return Verdict.NO_POSE
        T_base_ee = _pose_at(stamp_ns, around)
        if not all(
            self._is_near(T_base_ee, p.T_base_ee, self._config.still_mm, self._config.still_deg) for p in around
        ):
            return Verdict.MOVING
        c = self._config
        if any(self._is_near(T_base_ee, v.T_base_ee, c.apart_mm, c.apart_deg) for v in self.views):
            return Verdict.KNOWN
        picture = read()
        seen = self._board.find(picture.rgb, picture.lens, c.corners_min)
        if seen is None:
            return Verdict.UNSEEN
        if seen.rms_px > c.reprojection_max_px:
            return Verdict.BLURRED
        self.views.append(View(stamp_ns, T_base_ee, seen))
        return Verdict.TAKEN

    @staticmethod
    def _is_near(T_0: Array, T_1: Array, mm: float, deg: float) -> bool:
        T = inverse(T_0) @ T_1
        far = 1e3 * np.linalg.norm(T[:3, 3]), np.degrees(np.linalg.norm(rotvec_from_matrix(T[:3, :3])))
        return bool(far[0] < mm and far[1] < deg)

    def told(self) -> str:
        """What became of all pictures, for people."""
        total = sum(self.counts.values())
        parts = [f"{self.counts[v]} {v.value}" for v in Verdict if self.counts[v]]
        return f"{total} pictures: {', '.join(parts)}" if total else "no pictures"


def _pose_at(stamp_ns: int, around: Sequence[EePose]) -> Array:
    """Tool pose at one instant, between its neighbours; the nearest one beyond the ends."""
    after = next((k for k, p in enumerate(around) if p.stamp_ns >= stamp_ns), len(around) - 1)
    before = max(after - 1, 0)
    a, b = around[before], around[after]
    if b.stamp_ns == a.stamp_ns:
        return b.T_base_ee
    alpha = min(max((stamp_ns - a.stamp_ns) / (b.stamp_ns - a.stamp_ns), 0.0), 1.0)
    return interpolate_pose(a.T_base_ee, b.T_base_ee, alpha)
