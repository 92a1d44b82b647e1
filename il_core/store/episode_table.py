"""One episode as a Parquet table and back: a row per tick, pictures as PNG, the same bytes every time.

| column | content |
|---|---|
| tick_ns | instant of the tick [ns] |
| T_base_ee, T_base_ee_des | measured and wanted tool pose in base, row-major 4x4 [m] |
| q, v, tau, gripper | joint state [rad, rad/s, N·m, 0..1]; null where the recording has none |
| gripper_des | wanted opening [0..1] |
| intervention | whether a person corrected a running policy; no column where nobody wrote it down |
| k_p_des | stiffness of the tool in force, along and about the axes of base [N/m, N·m/rad]; no column without |
| wrench | force and torque on the tool about its own point, axes of base [N, N·m]; no column without |
| age_ns.<stream> | age of the sample used [ns]; its stamp is tick_ns minus this |
| rgb.<camera>, depth.<camera> | PNG, 8-bit RGB and 16-bit millimetres |
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from il_core import codec
from il_core.align import ARM, WRENCH, camera_stream
from il_core.errors import EpisodeError
from il_core.frozen import frozen
from il_core.types import ArmState, CameraFrame, Episode, Intrinsics, Observation, Outcome

_POSE = pa.list_(pa.float64(), 16)
_VECTOR = pa.list_(pa.float64())
_SIX = pa.list_(pa.float64(), 6)
_AGE, _RGB, _DEPTH = "age_ns.", "rgb.", "depth."
_ROW_GROUP = 64  # ticks decompressed at once


def encode_episode(episode: Episode) -> tuple[bytes, dict[str, Intrinsics]]:
    """Parquet bytes of an episode, and the intrinsics of its cameras.

    Raises:
        EpisodeError: ticks differ in their streams, cameras or calibration.
    """
    first = episode.observations[0]
    intrinsics = {name: frame.intrinsics for name, frame in first.images.items()}
    for o in episode.observations:
        same = {name: frame.intrinsics for name, frame in o.images.items()} == intrinsics
        same = same and (o.arm is None, o.wrench is None) == (first.arm is None, first.wrench is None)
        if not same or set(o.age_ns) != set(first.age_ns):
            where = f"episode '{episode.name}'"
            raise EpisodeError(where, f"tick {o.tick_ns} has other streams, cameras or calibration; record it again")
        _check_stamps(episode.name, o)
    columns = {**_state_columns(episode), **_picture_columns(episode, intrinsics)}
    sink = io.BytesIO()
    table = pa.table(columns)
    # PNG does not shrink further; dictionaries would only cost time on numbers that never repeat.
    compression = {name: "none" if name.startswith((_RGB, _DEPTH)) else "zstd" for name in columns}
    pq.write_table(table, sink, compression=compression, use_dictionary=False, row_group_size=_ROW_GROUP)
    return sink.getvalue(), intrinsics


def _check_stamps(name: str, o: Observation) -> None:
    """Refuse ages that do not tell the stamps, since only the ages are stored."""
    if o.wrench is not None and WRENCH not in o.age_ns:
        problem = f"tick {o.tick_ns} has a wrench without its age; make observations with il_core.align"
        raise EpisodeError(f"episode '{name}'", problem)
    stamps_ns = {camera_stream(name): frame.stamp_ns for name, frame in o.images.items()}
    if o.arm is not None:
        stamps_ns[ARM] = o.arm.stamp_ns
    for stream, stamp_ns in stamps_ns.items():
        if o.age_ns.get(stream) != o.tick_ns - stamp_ns:
            got, expected = o.age_ns.get(stream), o.tick_ns - stamp_ns
            problem = f"age of stream '{stream}' is {got} ns, its stamp says {expected} ns"
            raise EpisodeError(
                f"episode '{name}'", f"tick {o.tick_ns}: {problem}; make observations with il_core.align"
            )


def _state_columns(episode: Episode) -> dict[str, pa.Array]:
    observations = episode.observations
    arms = [o.arm for o in observations]

    def joints(field: str) -> pa.Array:
        return pa.array([None if a is None else getattr(a, field) for a in arms], _VECTOR)

    columns = {
        "tick_ns": pa.array([o.tick_ns for o in observations], pa.int64()),
        "T_base_ee": pa.array([o.T_base_ee.ravel() for o in observations], _POSE),
        "q": joints("q"),
        "v": joints("v"),
        "tau": joints("tau"),
        "gripper": pa.array([None if a is None else a.gripper for a in arms], pa.float64()),
        "T_base_ee_des": pa.array([T.ravel() for T in episode.T_base_ee_des], _POSE),
        "gripper_des": pa.array(episode.gripper_des, pa.float64()),
    }
    for stream in sorted(observations[0].age_ns):
        columns[_AGE + stream] = pa.array([o.age_ns[stream] for o in observations], pa.int64())
    if episode.intervention is not None:
        columns["intervention"] = pa.array(episode.intervention, pa.bool_())
    if episode.k_p_des is not None:
        columns["k_p_des"] = pa.array(list(episode.k_p_des), _SIX)
    if observations[0].wrench is not None:
        columns["wrench"] = pa.array([o.wrench for o in observations], _SIX)
    return columns


def _picture_columns(episode: Episode, cameras: Mapping[str, Intrinsics]) -> dict[str, pa.Array]:
    columns = {}
    for camera in sorted(cameras):
        frames = [o.images[camera] for o in episode.observations]
        columns[_RGB + camera] = pa.array([codec.encode_rgb(f.rgb) for f in frames], pa.binary())
        columns[_DEPTH + camera] = pa.array([codec.encode_depth(f.depth_m) for f in frames], pa.binary())
    return columns


@dataclass(frozen=True, slots=True, eq=False)
class LazyImages(Mapping[str, CameraFrame]):
    """Pictures of one tick, decoded each time they are looked at; a dataset need not fit in memory.

    Attributes:
        table: The episode.
        row: The tick.
        stamps_ns: Stamp per camera [ns].
        intrinsics: Pinhole parameters per camera.
    """

    table: pa.Table
    row: int
    stamps_ns: Mapping[str, int]
    intrinsics: Mapping[str, Intrinsics]

    def __getitem__(self, camera: str) -> CameraFrame:
        """Decode the picture of a camera."""
        stamp_ns, intrinsics = self.stamps_ns[camera], self.intrinsics[camera]
        rgb = codec.decode_rgb(self.table.column(_RGB + camera)[self.row].as_py())
        depth_m = codec.decode_depth(self.table.column(_DEPTH + camera)[self.row].as_py())
        return CameraFrame(stamp_ns, camera, rgb, depth_m, intrinsics)

    def __contains__(self, camera: object) -> bool:
        """Whether there is a picture of a camera; decodes nothing."""
        return camera in self.intrinsics

    def __iter__(self) -> Iterator[str]:
        """Names of the cameras."""
        return iter(self.intrinsics)

    def __len__(self) -> int:
        """Number of cameras."""
        return len(self.intrinsics)


def decode_episode(
    data: bytes,
    name: str,
    outcome: Outcome,
    rate_hz: int,
    intrinsics: Mapping[str, Intrinsics],
    notes: Mapping[str, str],
) -> Episode:
    """Inverse of :func:`encode_episode`.

    Raises:
        pyarrow.ArrowException, KeyError, ValueError: the bytes are damaged or no such table.
    """
    table = pq.read_table(io.BytesIO(data), use_threads=False)
    plain = table.drop_columns([c for c in table.column_names if c.startswith((_RGB, _DEPTH))])
    columns: dict[str, list[Any]] = plain.to_pydict()
    return Episode(
        name=name,
        observations=tuple(_observation(columns, table, k, intrinsics) for k in range(table.num_rows)),
        T_base_ee_des=np.reshape(columns["T_base_ee_des"], (-1, 4, 4)),
        gripper_des=np.array(columns["gripper_des"]),
        outcome=outcome,
        rate_hz=rate_hz,
        notes=dict(notes),
        intervention=np.array(columns["intervention"]) if "intervention" in columns else None,
        k_p_des=np.array(columns["k_p_des"]) if "k_p_des" in columns else None,
    )


def _observation(
    columns: dict[str, list[Any]], table: pa.Table, k: int, intrinsics: Mapping[str, Intrinsics]
) -> Observation:
    tick_ns = columns["tick_ns"][k]
    age_ns = {c.removeprefix(_AGE): values[k] for c, values in columns.items() if c.startswith(_AGE)}
    arm = None
    if columns["q"][k] is not None:
        q, v, tau = (np.array(columns[c][k]) for c in ("q", "v", "tau"))
        arm = ArmState(tick_ns - age_ns[ARM], q, v, tau, columns["gripper"][k])
    stamps_ns = {camera: tick_ns - age_ns[camera_stream(camera)] for camera in intrinsics}
    T_base_ee = np.reshape(columns["T_base_ee"][k], (4, 4))
    T_base_ee.setflags(write=False)
    wrench = frozen("wrench", columns["wrench"][k], ndim=1) if "wrench" in columns else None
    return Observation(tick_ns, T_base_ee, arm, LazyImages(table, k, stamps_ns, intrinsics), age_ns, wrench)
