"""One episode of somebody else's data into one of ours, by an explicit mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core import codec
from il_core.align import ARM, EE_POSE, WRENCH, camera_stream, streams_of
from il_core.clock import tick_ns
from il_core.config import Setup
from il_core.errors import EpisodeError
from il_core.frozen import frozen
from il_core.geometry import Array, pose
from il_core.types import ArmState, CameraFrame, Episode, Intrinsics, Observation, Outcome
from il_teleop.dataset import mapping as m

Forward = Callable[[Array], Array]  # q (nq,) [rad] -> T_base_ee (4, 4)
_SLACK = 0.05  # how far an opening may leave [0, 1]: sensor play, not a unit error


@dataclass(frozen=True, slots=True)
class RawEpisode:
    """One episode as its format holds it.

    Attributes:
        name: Name it shall have.
        length: Number of rows.
        rate_hz: Rows per second, None if the data do not say [Hz].
        instruction: The task in words; empty if unknown.
        outcome: How it ended, if the format says so.
        numbers: Gives a column of numbers, (N,) or (N, D).
        rgb: Gives colour pictures (H, W, 3) uint8 in order.
        depth: Gives depth pictures (H, W) float32 in order [m], from key and unit [m].
    """

    name: str
    length: int
    rate_hz: float | None
    instruction: str
    outcome: Outcome
    numbers: Callable[[str], NDArray[Any]]
    rgb: Callable[[str], Iterator[NDArray[np.uint8]]]
    depth: Callable[[str, float], Iterator[NDArray[np.float32]]]


def episode_from(raw: RawEpisode, mapping: m.Mapping, setup: Setup, forward: Forward | None = None) -> Episode:
    """Convert an episode.

    Rows become ticks. Rows that come n times as often as the task's ticks are thinned to every n-th; the
    action of a tick is then the last one asked for before the next tick. What the data lack and a policy
    of the task does not use is noted in the episode: instants without stamps count from 1970 with age 0,
    torques without a column are zero, depth without a column is "no measurement".

    Args:
        raw: The episode.
        mapping: What its columns mean.
        setup: Robot and task.
        forward: Forward kinematics of the robot, for data that hold joints only.

    Raises:
        EpisodeError: a column is missing or senseless; says which and what to do.
    """
    try:
        return _Conversion(raw, mapping, setup, forward).episode()
    except EpisodeError as error:
        raise EpisodeError(f"episode '{raw.name}'", str(error)) from error


class _Conversion:
    def __init__(self, raw: RawEpisode, mapping: m.Mapping, setup: Setup, forward: Forward | None) -> None:
        self._raw, self._map, self._setup, self._forward = raw, mapping, setup, forward
        self._notes: dict[str, str] = {}
        self._step = self._thinning()

    def _thinning(self) -> int:
        rate, wanted = self._map.rate_hz or self._raw.rate_hz, self._setup.task.rate_hz
        if not rate:
            raise EpisodeError("rate", "the data do not say how many rows a second has; give 'rate_hz' in the mapping")
        step = round(rate / wanted)
        if step < 1 or abs(rate / wanted - step) > 1e-6:
            problem = f"{rate:g} rows a second give no ticks at {wanted} Hz"
            raise EpisodeError("rate", f"{problem}; use a task whose rate_hz divides {rate:g}")
        return step

    def episode(self) -> Episode:
        raw, mapping, task = self._raw, self._map, self._setup.task
        rows = np.arange(0, raw.length - self._step + 1, self._step)
        if not len(rows):
            raise EpisodeError("rows", f"there are {raw.length}, one tick needs {self._step}")
        q = mapping.q.read(raw.numbers, "q", self._setup.robot.nq) if mapping.q else None
        T = self._measured(q)
        T_des = self._wanted(T, q)[rows + self._step - 1]
        gripper_des = self._opening(mapping.gripper_action, "gripper_action")
        arms = self._arms(q) if ARM in streams_of(task) or (q is not None and mapping.gripper) else None
        ticks = self._ticks(rows)
        felt = mapping.wrench.read(raw.numbers, "wrench", 6) if mapping.wrench else None
        observations = self._observations(rows, ticks, T, arms, self._pictures(rows), felt)
        flags = mapping.intervention
        intervention = flags.read(raw.numbers, "intervention", 1)[rows, 0] > 0.5 if flags else None
        openings = gripper_des[rows + self._step - 1] if gripper_des is not None else np.zeros(len(rows))
        k_p = mapping.stiffness.read(raw.numbers, "stiffness", 6)[rows + self._step - 1] if mapping.stiffness else None
        told = self._outcome(), task.rate_hz, self._notes, intervention, k_p
        return Episode(raw.name, tuple(observations), T_des, openings, *told)

    def _outcome(self) -> Outcome:
        if self._map.success is None or self._raw.outcome is not Outcome.UNLABELLED:
            return self._raw.outcome
        flags = self._map.success.read(self._raw.numbers, "success", 1)
        return Outcome.SUCCESS if (flags > 0.5).any() else Outcome.FAILURE

    def _measured(self, q: Array | None) -> Array:
        """Measured tool poses, (N, 4, 4)."""
        if self._map.ee_pose is not None:
            return self._map.ee_pose.poses(self._raw.numbers, "ee_pose", self._setup.task)
        return self._kinematics("ee_pose", q)

    def _kinematics(self, meaning: str, q: Array | None) -> Array:
        if q is None or self._forward is None:
            raise EpisodeError(meaning, "needs joints and the robot's kinematics; map a column of poses instead")
        return np.array([self._forward(row) for row in q])

    def _wanted(self, T: Array, q: Array | None) -> Array:
        """Wanted tool poses per row, absolute in base, (N, 4, 4)."""
        action, numbers = self._map.action, self._raw.numbers
        if action.means is m.Means.JOINTS:
            q_des = action.read(numbers, "action", self._setup.robot.nq)
            if action.reference is not m.Reference.ABSOLUTE:
                if q is None:
                    raise EpisodeError("action", "is relative to the joints, and 'q' is not mapped")
                q_des = q + q_des
            return self._kinematics("action", q_des)
        if action.reference is m.Reference.ABSOLUTE:
            return action.poses(numbers, "action", self._setup.task)
        if action.rotation is m.Rotation.NONE:  # a step of the position only
            steps = np.array([pose(d) for d in action.read(numbers, "action", 3)])
        else:
            steps = action.poses(numbers, "action", self._setup.task)
        if action.reference is m.Reference.MEASURED_TOOL:
            return np.asarray(T @ steps)
        wanted = T.copy()
        wanted[:, :3, :3] = steps[:, :3, :3] @ T[:, :3, :3]
        wanted[:, :3, 3] += steps[:, :3, 3]
        return wanted

    def _opening(self, column: m.Field | None, meaning: str) -> Array | None:
        if column is None:
            return None
        x = column.read(self._raw.numbers, meaning, 1)[:, 0]
        if x.min() < -_SLACK or x.max() > 1 + _SLACK:
            problem = f"runs from {x.min():.4g} to {x.max():.4g}, expected 0 (closed) to 1 (open)"
            raise EpisodeError(meaning, f"{problem}; give 'scale' and 'offset' in the mapping")
        return np.clip(x, 0.0, 1.0)

    def _arms(self, q: Array | None) -> list[tuple[Array, Array, Array, float]]:
        """Joint positions, velocities, torques and opening per row."""
        if q is None:
            raise EpisodeError("q", "the task needs joint states, and 'q' is not mapped")
        raw, nq = self._raw, self._setup.robot.nq
        rate = self._step * self._setup.task.rate_hz
        if self._map.v:
            v = self._map.v.read(raw.numbers, "v", nq)
        else:
            v = np.gradient(q, 1 / rate, axis=0) if len(q) > 1 else np.zeros_like(q)
            self._notes["v"] = "differences of q"
        if self._map.tau:
            tau = self._map.tau.read(raw.numbers, "tau", nq)
        else:
            tau = np.zeros_like(q)
            self._notes["tau"] = "not recorded, stored as 0"
        opening = self._opening(self._map.gripper, "gripper")
        if opening is None:
            opening = np.ones(len(q))
            self._notes["gripper"] = "not recorded, counts as open"
        return [(q[k], v[k], tau[k], float(opening[k])) for k in range(len(q))]

    def _ticks(self, rows: NDArray[np.int64]) -> list[int]:
        """Instants of the ticks [ns], on the task's grid."""
        rate = self._setup.task.rate_hz
        if self._map.tick_stamp is None:
            self._notes["clock"] = "no stamps; ticks are counted from 1970, samples have age 0"
            return [tick_ns(0, k, rate) for k in range(len(rows))]
        stamps = _stamps(self._raw, self._map.tick_stamp, "tick_stamp")[rows]
        off = np.abs(np.diff(stamps) * rate - 1_000_000_000)
        if len(off) and off.max() >= rate:
            problem = f"ticks are up to {off.max() / rate / 1e6:.3f} ms off a grid of {rate} Hz"
            raise EpisodeError("tick_stamp", f"{problem}; leave it out to take rows as ticks")
        return [int(t) for t in stamps]

    def _pictures(self, rows: NDArray[np.int64]) -> dict[str, tuple[list[bytes], list[bytes], Intrinsics]]:
        return {c: self._camera(c, self._map.cameras[c], rows) for c in self._setup.task.cameras}

    def _camera(
        self, name: str, column: m.CameraField, rows: NDArray[np.int64]
    ) -> tuple[list[bytes], list[bytes], Intrinsics]:
        """Encoded colour and depth pictures at the ticks; encoded, since an episode of pixels may not fit."""
        wanted = set(rows.tolist())
        rgb = [codec.encode_rgb(x) for k, x in enumerate(self._raw.rgb(column.rgb)) if k in wanted]
        if len(rgb) != len(rows):
            raise EpisodeError(f"camera '{name}'", f"'{column.rgb}' has {len(rgb)} pictures for {len(rows)} ticks")
        height, width = codec.decode_rgb(rgb[0]).shape[:2]
        i = column.intrinsics or self._setup.robot.camera(name).intrinsics
        if (i.width, i.height) != (width, height):
            problem = f"pictures are {width}x{height}, the robot's camera has {i.width}x{i.height}"
            raise EpisodeError(f"camera '{name}'", f"{problem}; give 'intrinsics' of these pictures in the mapping")
        if not column.depth:
            self._notes[f"depth.{name}"] = "not recorded, stored as no measurement"
            return rgb, [codec.encode_depth(np.zeros((height, width), np.float32))] * len(rows), i
        pictures = enumerate(self._raw.depth(column.depth, column.depth_unit_m))
        depth = [codec.encode_depth(x) for k, x in pictures if k in wanted]
        if len(depth) != len(rows):
            raise EpisodeError(f"camera '{name}'", f"'{column.depth}' has {len(depth)} pictures for {len(rows)} ticks")
        return rgb, depth, i

    def _observations(
        self,
        rows: NDArray[np.int64],
        ticks: list[int],
        T: Array,
        arms: list[tuple[Array, Array, Array, float]] | None,
        pictures: dict[str, tuple[list[bytes], list[bytes], Intrinsics]],
        felt: Array | None,
    ) -> list[Observation]:
        streams = [EE_POSE, *([ARM] if arms else []), *(camera_stream(c) for c in pictures)]
        streams += [] if felt is None else [WRENCH]
        stamps = {s: _stamps(self._raw, f, f"stamps.{s}")[rows] for s, f in self._map.stamps.items() if s in streams}
        out = []
        for n, (row, tick) in enumerate(zip(rows.tolist(), ticks, strict=True)):
            at = {s: int(stamps[s][n]) if s in stamps else tick for s in streams}
            if late := [s for s, t in at.items() if t > tick]:
                raise EpisodeError(f"stamps.{late[0]}", f"row {row} is stamped after its tick; the columns do not fit")
            arm = ArmState(at[ARM], *arms[row]) if arms else None
            images = _Pictures(n, pictures, {c: at[camera_stream(c)] for c in pictures})
            wrench = None if felt is None else frozen("wrench", felt[row], ndim=1)
            out.append(Observation(tick, T[row], arm, images, {s: tick - t for s, t in at.items()}, wrench))
        return out


def _stamps(raw: RawEpisode, column: m.Field, meaning: str) -> NDArray[np.int64]:
    """Instants of all rows [ns]; whole nanoseconds stay whole."""
    if column.scale == (1.0,) and column.offset == (0.0,) and len(column.columns) == 1 and not column.select:
        values = raw.numbers(column.columns[0])
        if values.ndim == 1 and values.dtype.kind in "iu":
            return values.astype(np.int64)
    return np.rint(column.read(raw.numbers, meaning, 1)[:, 0]).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Pictures(Mapping[str, CameraFrame]):
    """Pictures of one tick, decoded when they are looked at."""

    row: int
    encoded: dict[str, tuple[list[bytes], list[bytes], Intrinsics]]
    stamps_ns: dict[str, int]

    def __getitem__(self, camera: str) -> CameraFrame:
        rgb, depth, intrinsics = self.encoded[camera]
        pictures = codec.decode_rgb(rgb[self.row]), codec.decode_depth(depth[self.row])
        return CameraFrame(self.stamps_ns[camera], camera, *pictures, intrinsics)

    def __contains__(self, camera: object) -> bool:
        return camera in self.encoded

    def __iter__(self) -> Iterator[str]:
        return iter(self.encoded)

    def __len__(self) -> int:
        return len(self.encoded)
