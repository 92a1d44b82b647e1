"""Rows of joint targets <-> numbers a network predicts, beside the tool targets of ``transforms``."""

from __future__ import annotations

import numpy as np

from il_core.config import Setup
from il_core.errors import ConfigError, EpisodeError, ShapeError
from il_core.geometry import Array
from il_core.types import Episode, Observation
from il_policy.action_numbers import ActionNumber, joints, openings
from il_policy.data_config import ActionEncoding
from il_policy.tool_codec import ActionCodec


class JointCodec:
    """Joint postures, absolute or minus the one at the observation, and the gripper if the task has one.

    Attributes:
        is_difference: Whether rows are seen from the posture at the observation.
        numbers: What the numbers of a row are called.
    """

    is_relative = False  # a displaced tool changes no encoded number: joints are encoded apart from it

    def __init__(self, setup: Setup, encoding: ActionEncoding) -> None:
        """Take the layout from robot and task.

        Raises:
            ConfigError: the task's action has a stiffness, which belongs to a tool.
        """
        if setup.task.action.stiffness:
            problem = "its action has a stiffness of the tool; train it with action_encoding=relative_v1"
            raise ConfigError(f"task '{setup.task.name}'", problem)
        self.nq, self._has_gripper = setup.robot.nq, setup.task.action.gripper
        self.numbers: tuple[ActionNumber, ...] = (*joints(setup.robot.joint_names), *self._openings())
        self.is_difference = encoding is ActionEncoding.JOINT_RELATIVE_V1

    @property
    def dim(self) -> int:
        """Numbers per row."""
        return self.nq + int(self._has_gripper)

    def _openings(self) -> list[ActionNumber]:
        return openings() if self._has_gripper else []

    def encode(self, q_des: Array, gripper_des: Array, q: Array) -> Array:
        """Postures (..., nq) and openings (...,) seen from a posture ``q`` (..., nq) -> (..., D)."""
        parts = [q_des - q if self.is_difference else q_des]
        if self._has_gripper:
            parts.append(np.asarray(gripper_des)[..., None])
        return np.concatenate(parts, axis=-1)

    def decode(self, rows: Array, q: Array) -> tuple[Array, Array | None]:
        """Inverse of :meth:`encode`: postures (H, nq) [rad], and openings (H,) in [0, 1] or None.

        Raises:
            ShapeError: rows of another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ShapeError("action rows", expected=f"(H, {self.dim})", got=rows.shape)
        q_des = rows[:, : self.nq] + (q if self.is_difference else 0.0)
        return q_des, np.clip(rows[:, -1], 0.0, 1.0) if self._has_gripper else None


Codec = ActionCodec | JointCodec


def make_codec(setup: Setup, encoding: ActionEncoding) -> Codec:
    """Codec that an encoding names."""
    return JointCodec(setup, encoding) if encoding.is_joint else ActionCodec(setup.task, encoding)


def joint_posture(observation: Observation) -> Array:
    """Measured posture, (nq,) [rad].

    Raises:
        EpisodeError: the observation has no joint state.
    """
    if observation.arm is None:
        where = f"observation at {observation.tick_ns}"
        raise EpisodeError(where, "no joint state, but the actions are joint targets; record joint_states")
    return observation.arm.q


def joint_targets(episode: Episode, codec: JointCodec, horizon: int) -> Array:
    """Encoded targets as seen from each tick, (N, H, D): the posture measured one tick later, and so on.

    Raises:
        EpisodeError: an observation has no joint state.
    """
    q = np.array([joint_posture(o) for o in episode.observations])
    n = len(q)
    rows = np.arange(n)[:, None] + np.arange(horizon)  # row j of tick k is wanted at tick k + j + 1
    return codec.encode(q[np.minimum(rows + 1, n - 1)], episode.gripper_des[np.minimum(rows, n - 1)], q[:, None, :])
