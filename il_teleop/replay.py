"""The path of a recorded demonstration, and how to drive it again piece by piece: pure planning."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from il_core import topics, wire
from il_core.config import Setup
from il_core.errors import EpisodeError, SpecMismatchError
from il_core.geometry import Array, interpolate_pose, matrix_from_quat_xyzw
from il_core.store.recording import Recording
from il_core.types import ActionChunk, EePose

Stamps = NDArray[np.int64]

GAP_MAX_NS = 200_000_000  # a longer hole in the path would be crossed in a straight line that nobody showed
STEP_NS = 20_000_000  # rows of a chunk: an arm at 0.3 m/s and 2 m/s^2 leaves a chord by 0.1 mm
WINDOW_ROWS, SEND_EVERY_ROWS, LEAD_ROWS = 40, 10, 5  # 0.8 s long, every 0.2 s, 0.1 s ahead: three may be lost
REST_S = 0.6  # at the end, so that the arm arrives


@dataclass(frozen=True, slots=True, eq=False)
class ReplayPath:
    """Where the tool was in a recording.

    Attributes:
        name: Name of the recording.
        digest: SHA-256 of its data file, hex.
        stamps_ns: Instants since its first pose [ns], (N,), rising from 0.
        T_base_ee: Measured tool poses, (N, 4, 4) [m].
        gripper: Openings asked for, (N,) in [0, 1], or None if the recording has none.
        q_start: Joint positions at its beginning, (nq,) [rad], or None if it has none.
    """

    name: str
    digest: str
    stamps_ns: Stamps
    T_base_ee: Array
    gripper: Array | None
    q_start: Array | None

    @property
    def seconds(self) -> float:
        """Its length [s]."""
        return float(self.stamps_ns[-1]) / 1e9

    @property
    def notes(self) -> dict[str, str]:
        """What a recording of its replay is linked to it with."""
        return {"replay_of": self.name, "replay_of_sha256": self.digest}


def read_path(recording: Recording, setup: Setup) -> ReplayPath:
    """Read the way of the tool.

    A recording of this arm has the measured tool pose; an import of a hand-guided drawing has the tool's
    position, to which the task adds the orientation.

    Raises:
        SpecMismatchError: recorded for another robot or task.
        EpisodeError: no path in it, a hole of more than 0.2 s, or a path that never moves.
        RecordingError: the data are damaged.
    """
    header = recording.header
    if header.spec_digest != setup.digest:
        raise SpecMismatchError(
            f"recording {recording.path} (robot '{header.robot}', task '{header.task}')",
            got=header.spec_digest,
            expected=setup.digest,
            next_step="name its task and robot with --task and --robot",
        )
    have = recording.counts
    topic = next((t for t in (topics.EE_POSE, topics.HAND_POSITION) if have.get(t)), None)
    if topic is None:
        raise EpisodeError(
            header.name, f"has neither '{topics.EE_POSE}' nor '{topics.HAND_POSITION}': nothing to repeat"
        )
    R_tool = matrix_from_quat_xyzw(setup.task.quat_xyzw_tool)
    poses = _in_order([
        wire.ee_pose_from(msg) if topic == topics.EE_POSE else wire.ee_pose_from_point(msg, R_tool)
        for _, msg, _, _ in recording.messages([topic])
    ])  # fmt: skip
    if len(poses) < 2:
        raise EpisodeError(header.name, "has fewer than two tool poses; record a longer motion")
    stamps = np.array([p.stamp_ns for p in poses], dtype=np.int64)
    longest = int(np.diff(stamps).max())
    if longest > GAP_MAX_NS:
        raise EpisodeError(
            header.name, f"hole of {longest / 1e6:.0f} ms in the tool's path, limit {GAP_MAX_NS / 1e6:.0f} ms"
        )
    joints = wire.JointMap(setup.robot)
    return ReplayPath(
        header.name,
        sha256_of(recording.data_path),
        stamps - stamps[0],
        np.array([p.T_base_ee for p in poses]),
        _gripper(recording, joints, stamps) if have.get(topics.TARGET_GRIPPER) else None,
        _q_start(recording, joints) if have.get(topics.JOINT_STATES) else None,
    )


def _in_order(poses: list[EePose]) -> list[EePose]:
    """By stamp, each instant once."""
    return list({p.stamp_ns: p for p in sorted(poses, key=lambda p: p.stamp_ns)}.values())


def _gripper(recording: Recording, joints: wire.JointMap, stamps: Stamps) -> Array:
    """Opening in force at each stamp: the last one asked for before it, the first one before any."""
    asked = sorted(wire.opening_from(msg, joints) for _, msg, _, _ in recording.messages([topics.TARGET_GRIPPER]))
    at = np.searchsorted([t for t, _ in asked], stamps, side="right") - 1
    return np.array([g for _, g in asked])[np.maximum(at, 0)]


def _q_start(recording: Recording, joints: wire.JointMap) -> Array:
    for topic, data, _, _ in recording.raw_messages([topics.JOINT_STATES]):
        return wire.arm_state_from(recording.decode(topic, data), joints).q
    raise EpisodeError(recording.header.name, "its joint states cannot be read")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A path on a grid of 20 ms, as it is to be driven.

    Attributes:
        T_base_ee_des: Tool poses, (K, 4, 4) [m].
        gripper_des: Openings, (K,) in [0, 1], or None.
    """

    T_base_ee_des: Array
    gripper_des: Array | None

    @property
    def seconds(self) -> float:
        """Time it takes [s]."""
        return len(self.T_base_ee_des) * STEP_NS / 1e9


def rows_of(path: ReplayPath, speed: float = 1.0) -> Rows:
    """Put a path on the grid, with a rest at its end.

    Args:
        path: The demonstration.
        speed: Share of the demonstration's own speed, in (0, 2].

    Raises:
        EpisodeError: the speed is out of range.
    """
    if not 0.0 < speed <= 2.0:
        raise EpisodeError(path.name, f"speed must be in (0, 2], got {speed:g}")
    end_ns = int(path.stamps_ns[-1])
    grid = np.minimum(np.arange(0, end_ns + int(STEP_NS * speed), STEP_NS * speed), end_ns)
    after = np.clip(np.searchsorted(path.stamps_ns, grid, side="right"), 1, len(path.stamps_ns) - 1)
    before = path.stamps_ns[after - 1]
    share = (grid - before) / (path.stamps_ns[after] - before)  # unitless
    T = np.array([
        interpolate_pose(path.T_base_ee[k - 1], path.T_base_ee[k], float(alpha))
        for k, alpha in zip(after, share, strict=True)
    ])  # fmt: skip
    rest = round(REST_S * 1e9 / STEP_NS)
    gripper = None if path.gripper is None else path.gripper[after - (share < 1.0)]
    return Rows(
        np.concatenate([T, np.repeat(T[-1:], rest, axis=0)]),
        None if gripper is None else np.concatenate([gripper, np.repeat(gripper[-1:], rest)]),
    )


def windows(rows: Rows, start_ns: int) -> Iterator[tuple[int, ActionChunk]]:
    """Pieces of a path that overlap, each with the instant at which it is to be sent.

    A controller decodes a chunk within its cycle, so a whole path at once would make it late; and a
    sender that dies leaves at most one window to be driven.

    Args:
        rows: The path.
        start_ns: Instant of its first row [ns].

    Yields:
        When to send it [ns], and the chunk; its observation is that instant.
    """
    n = len(rows.T_base_ee_des)
    for first in range(0, n - 1, SEND_EVERY_ROWS):
        last = min(first + WINDOW_ROWS, n)
        if last - first < 2:
            return
        send_ns = start_ns + (first - LEAD_ROWS) * STEP_NS
        gripper = None if rows.gripper_des is None else rows.gripper_des[first:last]
        yield (
            send_ns,
            ActionChunk(
                start_ns=start_ns + first * STEP_NS,
                dt_ns=STEP_NS,
                obs_ns=send_ns,
                T_base_ee_des=rows.T_base_ee_des[first:last],
                gripper_des=gripper,
            ),
        )
        if last == n:
            return


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two paths are.

    Attributes:
        rms_mm: Root mean square distance of the tool at equal times, the best delay taken out [mm].
        max_mm: Largest such distance [mm].
        rms_deg: Root mean square angle between the tools [deg].
        delay_s: By how much the replay lags [s].
    """

    rms_mm: float
    max_mm: float
    rms_deg: float
    delay_s: float


def likeness(path: ReplayPath, stamps_ns: Stamps, T_base_ee: Array, speed: float = 1.0) -> Likeness:
    """Compare a replay with its demonstration.

    Args:
        path: The demonstration.
        stamps_ns: Instants of the replay since its first row was wanted [ns], (M,), rising.
        T_base_ee: Tool poses of the replay, (M, 4, 4) [m].
        speed: As it was driven.
    """
    shown_s, replay_s = path.stamps_ns / 1e9 / speed, np.asarray(stamps_ns) / 1e9
    p, p_shown = T_base_ee[:, :3, 3], path.T_base_ee[:, :3, 3]

    def far(delay_s: float) -> Array:
        at = np.stack([np.interp(shown_s + delay_s, replay_s, p[:, k]) for k in range(3)], axis=1)
        return np.linalg.norm(at - p_shown, axis=1)

    delays = np.arange(0.0, 0.5, 0.005)
    delay_s = float(delays[int(np.argmin([np.mean(far(d) ** 2) for d in delays]))])
    distances = far(delay_s)
    nearest = np.clip(np.searchsorted(replay_s, shown_s + delay_s), 0, len(replay_s) - 1)
    R = np.einsum("nji,njk->nik", path.T_base_ee[:, :3, :3], T_base_ee[nearest, :3, :3])
    angles = np.arccos(np.clip((np.trace(R, axis1=1, axis2=2) - 1) / 2, -1.0, 1.0))
    rms = float(np.sqrt(np.mean(distances**2)))
    return Likeness(1e3 * rms, 1e3 * float(distances.max()), float(np.degrees(np.sqrt(np.mean(angles**2)))), delay_s)
