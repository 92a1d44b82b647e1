"""Which columns an episode has in LeRobot's format, and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.align import ARM, EE_POSE, WRENCH, camera_stream
from il_core.errors import EpisodeError
from il_core.geometry import Array, quat_xyzw_from_matrix
from il_core.store.episodes import EpisodeStore
from il_core.store.tables import TableFile
from il_core.store.video import RGB_ENCODERS
from il_core.types import Episode, Outcome
from il_teleop.dataset import lerobot_format as lr

POSE_NAMES = ("x", "y", "z", "qx", "qy", "qz", "qw")
STATE, POSE, ACTION = "observation.state", "observation.ee_pose", "action"
VELOCITY, EFFORT = "observation.velocity", "observation.effort"
WRENCH_KEY, WRENCH_NAMES = "observation.wrench", ("fx", "fy", "fz", "tx", "ty", "tz")
STIFFNESS, STIFFNESS_NAMES = "stiffness", ("kx", "ky", "kz", "krx", "kry", "krz")
DONE, SUCCESS, INTERVENTION = "next.done", "next.success", "intervention"
STAMP = "stamp_ns."


def camera_key(camera: str, *, depth: bool = False) -> str:
    """Feature of a camera's pictures."""
    return f"observation.images.{camera}{'_depth' if depth else ''}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns all episodes of a dataset share.

    Attributes:
        features: ``features`` of info.json, without the five default ones.
        pictures: Key, camera, and whether it is depth, of every picture column.
        left_out: Columns that not every episode could fill, and why.
    """

    features: dict[str, lr.Feature]
    pictures: tuple[tuple[str, str, bool], ...]
    left_out: tuple[str, ...]


def layout_of(store: EpisodeStore, rgb: str, depth: str) -> Layout:
    """Columns of a dataset.

    Raises:
        EpisodeError: episodes differ in what they hold, or a picture size fits no video.
    """
    header, first = store.header, store.episode(0)
    robot = header.robot
    features: dict[str, lr.Feature] = {}
    if first.observations[0].arm is not None:
        joints = list(robot.joint_names)
        features[STATE] = lr.number_feature("float32", robot.nq + 1, [*joints, "gripper"])
        features[VELOCITY] = lr.number_feature("float32", robot.nq, joints)
        features[EFFORT] = lr.number_feature("float32", robot.nq, joints)
    else:
        features[STATE] = lr.number_feature("float32", 7, POSE_NAMES)
    features[POSE] = lr.number_feature("float32", 7, POSE_NAMES)
    names = [*POSE_NAMES, *(["gripper"] if header.task.action.gripper else [])]
    features[ACTION] = lr.number_feature("float32", len(names), names)
    features[DONE] = lr.number_feature("bool", 1)
    left_out = _judgements(store, features) + _felt(store, features)
    for stream in ("tick", *sorted(first.observations[0].age_ns)):
        features[STAMP + stream.replace("/", ".")] = lr.number_feature("int64", 1)
    pictures = []
    for camera, i in sorted(header.episodes[0].intrinsics.items()):
        for is_depth in (False, True):
            key = camera_key(camera, depth=is_depth)
            kind = depth if is_depth else rgb
            features[key] = _picture(i.height, i.width, header.task.rate_hz, is_depth, kind)
            pictures.append((key, camera, is_depth))
    return Layout(features, tuple(pictures), tuple(left_out))


def _judgements(store: EpisodeStore, features: dict[str, lr.Feature]) -> list[str]:
    """Add the columns that need a person's word; say which are left out for want of it."""
    left_out = []
    labels = {e.outcome for e in store.header.episodes}
    if labels <= {Outcome.SUCCESS, Outcome.FAILURE}:
        features[SUCCESS] = lr.number_feature("bool", 1)
    else:
        left_out.append(f"{SUCCESS}: not every episode is labelled success or failure")
    if all(INTERVENTION in TableFile(store.file(i)).kinds for i in range(len(store))):
        features[INTERVENTION] = lr.number_feature("bool", 1)
    else:
        left_out.append(f"{INTERVENTION}: not every recording says who drove the arm")
    return left_out


def _felt(store: EpisodeStore, features: dict[str, lr.Feature]) -> list[str]:
    """Add wrench and stiffness where every episode has them; say which only some have."""
    kinds, left_out = [TableFile(store.file(i)).kinds for i in range(len(store))], []
    for column, key, names in (("wrench", WRENCH_KEY, WRENCH_NAMES), ("k_p_des", STIFFNESS, STIFFNESS_NAMES)):
        have = sum(column in k for k in kinds)
        if have == len(kinds):
            features[key] = lr.number_feature("float32", 6, names)
        elif have:
            left_out.append(f"{key}: only {have} of {len(kinds)} episodes have it; export them separately to keep it")
    return left_out


def _picture(height: int, width: int, fps: int, is_depth: bool, kind: str) -> lr.Feature:
    channels = 1 if is_depth else 3
    if kind == "png":
        info = {"is_depth_map": True, "depth_unit": "mm"} if is_depth else {"is_depth_map": False}
        return lr.picture_feature(height, width, channels, info, is_video=False)
    if height % 2 or width % 2:
        raise EpisodeError("export", f"a video needs even sizes, the camera has {width}x{height}; choose png")
    if is_depth:
        return lr.picture_feature(
            height, width, 1, lr.depth_video_info(height, width, fps, "lossless=1"), is_video=True
        )
    info = lr.rgb_video_info(height, width, fps, kind, RGB_ENCODERS[kind][2])
    return lr.picture_feature(height, width, 3, info, is_video=True)


def numbers_of(episode: Episode, layout: Layout) -> dict[str, NDArray[Any]]:
    """Columns of numbers and flags of one episode.

    Raises:
        EpisodeError: the episode lacks what the layout promises.
    """
    n, observations = len(episode.observations), episode.observations
    poses = _poses(np.array([o.T_base_ee for o in observations]))
    arms = [o.arm for o in observations]
    makers: dict[str, Callable[[], NDArray[Any]]] = {
        POSE: lambda: poses,
        DONE: lambda: np.arange(n) == n - 1,
        SUCCESS: lambda: (np.arange(n) == n - 1) & (episode.outcome is Outcome.SUCCESS),
        STATE: lambda: poses if arms[0] is None else np.array([[*a.q, a.gripper] for a in arms if a]),
        VELOCITY: lambda: np.array([a.v for a in arms if a]),
        EFFORT: lambda: np.array([a.tau for a in arms if a]),
        ACTION: lambda: np.column_stack([_poses(episode.T_base_ee_des), episode.gripper_des]),
        INTERVENTION: lambda: np.asarray(episode.intervention),
        WRENCH_KEY: lambda: np.array([o.wrench for o in observations if o.wrench is not None]),
        STIFFNESS: lambda: np.empty((0, 6)) if episode.k_p_des is None else episode.k_p_des,
    }
    stamps = {STAMP + "tick": np.array([o.tick_ns for o in observations], dtype=np.int64)}
    for stream in observations[0].age_ns:
        name = STAMP + stream.replace("/", ".")
        stamps[name] = np.array([o.tick_ns - o.age_ns[stream] for o in observations], dtype=np.int64)
    columns = {}
    for key, feature in layout.features.items():
        if feature["dtype"] in ("video", "image"):
            continue
        values = stamps.get(key) if key.startswith(STAMP) else makers[key]()
        width = feature["shape"][0]
        if values is None or len(values) != n or (values.ndim == 2 and values.shape[1] < width):
            raise EpisodeError(f"episode '{episode.name}'", f"has no '{key}' like the others; export it separately")
        values = values[:, :width] if values.ndim == 2 else values
        columns[key] = np.ascontiguousarray(values, dtype=feature["dtype"])
    return columns


def _poses(T: Array) -> Array:
    """Positions and quaternions of poses (N, 4, 4), (N, 7); neighbours in one hemisphere."""
    quats = np.array([quat_xyzw_from_matrix(R) for R in T[:, :3, :3]])
    # Only signs change, never a rotation: a jump from q to -q is no motion, but a network sees one.
    flips = np.cumprod(np.where((quats[1:] * quats[:-1]).sum(axis=1) < 0, -1.0, 1.0))
    quats[1:] *= flips[:, None]
    return np.column_stack([T[:, :3, 3], quats])


def streams_of_stamps(columns: Mapping[str, object]) -> dict[str, str]:
    """Stream of each stamp column of an export, by column: the inverse of the names above."""
    found = {}
    for column in columns:
        name = column.removeprefix(STAMP)
        if column.startswith(STAMP) and name != "tick":
            found[column] = name if name in (ARM, EE_POSE, WRENCH) else camera_stream(name.removeprefix("camera."))
    return found
