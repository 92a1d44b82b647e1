"""Which columns of somebody else's data mean what: a YAML file, checked before anything is read.

Example::

    q: {columns: [state], select: [0, 1, 2, 3, 4, 5, 6]}
    gripper: {columns: [state], select: [7], scale: [12.5]}      # metres to 0..1
    action: {columns: [actions], select: [0, 1, 2, 3, 4, 5], rotation: rotvec, reference: measured_base}
    gripper_action: {columns: [actions], select: [6]}
    cameras: {wrist: {rgb: wrist_image}}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ConfigError, EpisodeError
from il_core.geometry import Array, matrix_from_quat_xyzw, matrix_from_rotation_6d, matrix_from_rotvec, pose
from il_core.spec import TaskSpec
from il_core.types import Intrinsics

Numbers = Callable[[str], NDArray[np.generic]]  # column -> (N,) or (N, D)


class Rotation(str, Enum):
    """How the rotation follows the position in a pose column."""

    NONE = "none"  # position only; the task's tool orientation
    QUAT_XYZW = "quat_xyzw"
    QUAT_WXYZ = "quat_wxyz"
    ROTVEC = "rotvec"  # axis times angle [rad]
    RPY = "rpy"  # fixed axes x, y, z [rad]
    SIX = "rotation_6d"  # first two columns of the matrix
    MATRIX = "matrix"  # all 16 numbers of the pose, row-major


WIDTH = {
    Rotation.NONE: 3,
    Rotation.QUAT_XYZW: 7,
    Rotation.QUAT_WXYZ: 7,
    Rotation.ROTVEC: 6,
    Rotation.RPY: 6,
    Rotation.SIX: 9,
    Rotation.MATRIX: 16,
}


class Means(str, Enum):
    """What an action is made of."""

    POSE = "pose"  # of the end effector
    JOINTS = "joints"  # [rad]; the URDF says where the end effector is then


class Reference(str, Enum):
    """What an action is counted from."""

    ABSOLUTE = "absolute"
    MEASURED_BASE = "measured_base"  # added to the measured pose, axes of base; joints: added to q
    MEASURED_TOOL = "measured_tool"  # appended to the measured pose, axes of the tool


@dataclass(frozen=True, slots=True)
class Field:
    """Numbers of one meaning.

    Attributes:
        columns: Columns, put side by side.
        select: Which of their numbers, from 0; all if empty.
        scale: Factor, one for all or one each.
        offset: Added after scaling, one for all or one each.
        rotation: How rotations are written, for poses.
    """

    columns: tuple[str, ...]
    select: tuple[int, ...] = ()
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    rotation: Rotation = Rotation.QUAT_XYZW

    def read(self, numbers: Numbers, meaning: str, width: int | None = None) -> Array:
        """Numbers of all ticks, (N, D).

        Args:
            numbers: Gives a column.
            meaning: For messages.
            width: Numbers wanted per tick.

        Raises:
            EpisodeError: a column is missing, or gives another number of values, or one not finite.
        """
        parts = [np.asarray(numbers(c), dtype=np.float64) for c in self.columns]
        x = np.column_stack([p.reshape(len(p), -1) for p in parts])
        if self.select and not all(0 <= i < x.shape[1] for i in self.select):
            raise EpisodeError(meaning, f"select {list(self.select)} of {list(self.columns)}, which have {x.shape[1]}")
        x = x[:, list(self.select)] if self.select else x
        if width is not None and x.shape[1] != width:
            problem = f"{list(self.columns)} give {x.shape[1]} numbers a tick, expected {width}"
            raise EpisodeError(meaning, f"{problem}; name them with 'select'")
        if any(len(s) not in (1, x.shape[1]) for s in (self.scale, self.offset)):
            raise EpisodeError(meaning, f"scale and offset need 1 or {x.shape[1]} numbers")
        x = x * np.array(self.scale) + np.array(self.offset)
        if not np.isfinite(x).all():
            raise EpisodeError(
                meaning, f"tick {int(np.argwhere(~np.isfinite(x))[0, 0])} of {list(self.columns)} is NaN"
            )
        return np.asarray(x)

    def poses(self, numbers: Numbers, meaning: str, task: TaskSpec) -> Array:
        """Poses of all ticks, (N, 4, 4) [m].

        Raises:
            EpisodeError: as :meth:`read`, or a rotation that is none.
        """
        rows = self.read(numbers, meaning, WIDTH[self.rotation])
        try:
            return np.array([_pose(row, self.rotation, task) for row in rows])
        except ValueError as error:
            raise EpisodeError(meaning, f"{error}; is 'rotation: {self.rotation.value}' right?") from error


def _pose(row: Array, rotation: Rotation, task: TaskSpec) -> Array:
    if rotation is Rotation.MATRIX:
        return np.asarray(row.reshape(4, 4))
    if rotation is Rotation.NONE:
        return pose(row[:3], matrix_from_quat_xyzw(task.quat_xyzw_tool))
    return pose(row[:3], _READERS[rotation](row[3:]))


def _from_rpy(rpy: Array) -> Array:
    x, y, z = (matrix_from_rotvec(axis * angle) for axis, angle in zip(np.eye(3), rpy, strict=True))
    return np.asarray(z @ y @ x)


_READERS: dict[Rotation, Callable[[Array], Array]] = {
    Rotation.QUAT_XYZW: matrix_from_quat_xyzw,
    Rotation.QUAT_WXYZ: lambda r: matrix_from_quat_xyzw(r[[1, 2, 3, 0]]),
    Rotation.ROTVEC: matrix_from_rotvec,
    Rotation.RPY: _from_rpy,
    Rotation.SIX: matrix_from_rotation_6d,
}


@dataclass(frozen=True, slots=True)
class ActionField(Field):
    """What was asked of the arm.

    Attributes:
        means: Pose or joints.
        reference: What it is counted from.
    """

    means: Means = Means.POSE
    reference: Reference = Reference.ABSOLUTE


@dataclass(frozen=True, slots=True)
class CameraField:
    """Pictures of one camera.

    Attributes:
        rgb: Column, or key of the video.
        depth: The same for depth aligned to colour; empty without.
        depth_unit_m: What one unit of a depth picture is [m].
        intrinsics: Pinhole parameters, if others than the robot file's.
    """

    rgb: str
    depth: str = ""
    depth_unit_m: float = 0.001
    intrinsics: Intrinsics | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """Everything an episode needs, by the columns that hold it.

    Attributes:
        action: What was asked of the arm.
        q: Joint positions [rad].
        v: Joint velocities [rad/s]; differences of ``q`` if not given.
        tau: Joint torques [N·m].
        gripper: Measured opening [0..1].
        ee_pose: Measured tool pose in base; from ``q`` and the URDF if not given.
        gripper_action: Wanted opening [0..1].
        wrench: Force and torque on the tool about its own point, along the axes of base [N, N·m].
        stiffness: Stiffness in force with each action, along and about the axes of base [N/m, N·m/rad].
        cameras: Pictures by the task's camera names.
        success: Flag that is true somewhere in an episode that succeeded.
        intervention: Flag of ticks where a person corrected a policy.
        tick_stamp: Instant of each tick [ns].
        stamps: Instant of the sample used, per stream [ns].
        rate_hz: Rows per second, where the data do not say so [Hz].
        data_path: Where an episode's table lies, if not as info.json says.
        video_path: Where an episode's video lies, if not as info.json says.
    """

    action: ActionField
    q: Field | None = None
    v: Field | None = None
    tau: Field | None = None
    gripper: Field | None = None
    ee_pose: Field | None = None
    gripper_action: Field | None = None
    wrench: Field | None = None
    stiffness: Field | None = None
    cameras: dict[str, CameraField] = field(default_factory=dict)
    success: Field | None = None
    intervention: Field | None = None
    tick_stamp: Field | None = None
    stamps: dict[str, Field] = field(default_factory=dict)
    rate_hz: int | None = None
    data_path: str = ""
    video_path: str = ""

    def check(self, task: TaskSpec) -> None:
        """Check that it gives all a task needs.

        Raises:
            ConfigError: something is missing; names it.
        """
        missing = [f"cameras.{c}" for c in task.cameras if c not in self.cameras]
        if self.q is None and self.ee_pose is None:
            missing.append("ee_pose (or q, for the URDF)")
        if {"q", "gripper"} & set(task.state) and self.q is None:
            missing.append("q")
        if "gripper" in task.state and self.gripper is None:
            missing.append("gripper")
        if task.action.gripper and self.gripper_action is None:
            missing.append("gripper_action")
        if task.wrench and self.wrench is None:
            missing.append("wrench")
        if task.action.stiffness and self.stiffness is None:
            missing.append("stiffness")
        if missing:
            raise ConfigError("mapping", f"task '{task.name}' also needs {', '.join(missing)}")
