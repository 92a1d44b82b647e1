"""Rows of tool targets <-> numbers a network predicts."""

from __future__ import annotations

import numpy as np

from il_core.errors import EpisodeError, ShapeError
from il_core.geometry import Array, matrix_from_quat_xyzw, matrix_from_rotation_6d, rotation_6d_from_matrix
from il_core.spec import TaskSpec
from il_policy.action_numbers import ActionNumber, openings, positions, rotations, stiffnesses
from il_policy.data_config import ActionEncoding

STIFFNESSES = 6  # along and about three axes
MOST_STIFFNESS_LN = 12.0  # 160 kN/m: no finite number of a network shall become infinite


class ActionCodec:
    """Rows of tool targets <-> numbers a network predicts: position, 6-D rotation, stiffness, gripper.

    Position is relative to the tool at the observation or absolute, see ``ActionEncoding``; the others are
    there if ``TaskSpec.action`` says so. Without rotation the tool keeps the task's own. Stiffness is encoded
    as ln(1 + k): it spans decades, and is never negative.
    """

    def __init__(self, task: TaskSpec, encoding: ActionEncoding) -> None:
        """Take the layout from the task."""
        self.task, self.encoding = task, encoding
        self._R_base_ee = matrix_from_quat_xyzw(task.quat_xyzw_tool)

    @property
    def dim(self) -> int:
        """Numbers per row."""
        action = self.task.action
        return 3 + 6 * action.rotation + STIFFNESSES * action.stiffness + int(action.gripper)

    @property
    def numbers(self) -> tuple[ActionNumber, ...]:
        """What the numbers of a row are called."""
        action, named = self.task.action, positions()
        named += rotations() if action.rotation else []
        named += stiffnesses() if action.stiffness else []
        return (*named, *(openings() if action.gripper else []))

    @property
    def is_relative(self) -> bool:
        """Whether a displaced tool changes the encoded positions."""
        return self.encoding is ActionEncoding.RELATIVE_V1

    def _origin(self, p_base_ee: Array) -> Array:
        return p_base_ee if self.is_relative else np.zeros(3)

    def encode(self, T_base_ee_des: Array, gripper_des: Array, p_base_ee: Array, k_p: Array | None = None) -> Array:
        """Targets (..., 4, 4), openings (...,) and stiffnesses (..., 6) seen from a tool at ``p_base_ee`` -> (..., D).

        Raises:
            EpisodeError: the task's action has a stiffness and there is none.
        """
        parts = [T_base_ee_des[..., :3, 3] - self._origin(p_base_ee)]
        if self.task.action.rotation:
            parts.append(rotation_6d_from_matrix(T_base_ee_des[..., :3, :3]))
        if self.task.action.stiffness:
            if k_p is None:
                problem = "its action has a stiffness and the data have none; record control/stiffness"
                raise EpisodeError(f"task '{self.task.name}'", problem)
            parts.append(np.log1p(k_p))
        if self.task.action.gripper:
            parts.append(np.asarray(gripper_des)[..., None])
        return np.concatenate(parts, axis=-1)

    def decode(self, rows: Array, p_base_ee: Array) -> tuple[Array, Array | None]:
        """Inverse of :meth:`encode`: poses (H, 4, 4), and openings (H,) in [0, 1] or None."""
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ShapeError("action rows", expected=f"(H, {self.dim})", got=rows.shape)
        T = np.tile(np.eye(4), (len(rows), 1, 1))
        T[:, :3, 3] = rows[:, :3] + self._origin(p_base_ee)
        T[:, :3, :3] = self._R_base_ee
        if self.task.action.rotation:
            T[:, :3, :3] = matrix_from_rotation_6d(rows[:, 3:9])
        return T, np.clip(rows[:, -1], 0.0, 1.0) if self.task.action.gripper else None

    def stiffness(self, rows: Array) -> Array | None:
        """Stiffness along and about the axes of base in rows (H, D), (H, 6) [N/m, N·m/rad]; None without one."""
        if not self.task.action.stiffness:
            return None
        first = 3 + 6 * self.task.action.rotation
        return np.expm1(np.clip(rows[:, first : first + STIFFNESSES], 0.0, MOST_STIFFNESS_LN))
