"""From how far a person pushes to where the tool should go: clutch, scaling, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from il_core.errors import ConfigError
from il_core.geometry import Array, matrix_from_rotvec, pose, rotvec_from_matrix
from il_core.types import ArmCommand, EePose

MAX_STEP_S = 0.1  # a longer pause is not integrated: the target would leap when a stalled device returns


@dataclass(frozen=True, slots=True)
class Motion:
    """What a device says at one instant.

    Attributes:
        linear: Deflection along x, y, z of base, each in [-1, 1].
        angular: Deflection about x, y, z of base, each in [-1, 1].
        is_engaged: Whether the person holds the clutch.
        gripper_des: Wanted opening in [0, 1], or None to leave the gripper as it is.
        fault: Why the device cannot be trusted now; empty if it can.
    """

    linear: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angular: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_engaged: bool = False
    gripper_des: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class RetargetConfig:
    """Scaling and limits of the target.

    Attributes:
        max_speed_m_s: Speed at full deflection.
        max_rotation_speed_rad_s: Rotation speed at full deflection.
        workspace_min_m: Lower corner of the box the target stays in, (3,) in base.
        workspace_max_m: Upper corner, (3,) in base.
        max_lead_m: Farthest the target may be from the measured tool.
        max_lead_rad: Largest angle between target and measured tool.
        max_pose_age_ms: Oldest tool pose that may be steered by.
    """

    max_speed_m_s: float
    max_rotation_speed_rad_s: float
    workspace_min_m: tuple[float, ...]
    workspace_max_m: tuple[float, ...]
    max_lead_m: float
    max_lead_rad: float
    max_pose_age_ms: float

    def __post_init__(self) -> None:
        """Reject limits that leave no room."""
        limits = (self.max_speed_m_s, self.max_rotation_speed_rad_s, self.max_lead_m, self.max_lead_rad)
        if min(*limits, self.max_pose_age_ms) <= 0:
            raise ConfigError("retarget", "speeds, leads and max_pose_age_ms must be positive")
        corners = (self.workspace_min_m, self.workspace_max_m)
        if {len(c) for c in corners} != {3} or not all(lo < hi for lo, hi in zip(*corners, strict=True)):
            raise ConfigError("retarget", f"workspace needs two corners, lower < upper, got {corners}")


class Retargeter:
    """Integrates deflections to a target pose that starts at the tool and stays near it."""

    def __init__(self, config: RetargetConfig) -> None:
        """Start disengaged."""
        self._config = config
        self._T_base_des: Array | None = None
        self._last_ns = 0

    @property
    def is_engaged(self) -> bool:
        """Whether a target is being moved."""
        return self._T_base_des is not None

    def release(self) -> None:
        """Forget the target; the next step starts again from the measured tool."""
        self._T_base_des = None

    def step(self, now_ns: int, motion: Motion, T_base_ee: Array) -> Array:
        r"""Move the target for the time since the last step.

        .. math:: p \leftarrow p + v\,\Delta t, \qquad R \leftarrow \exp([\omega]_\times \Delta t)\, R

        with :math:`v, \omega` in base. The first step after :meth:`release` returns the measured
        pose, so that engaging never moves the arm.

        Args:
            now_ns: Instant of this step [ns].
            motion: Deflections; a vector longer than 1 is shortened to full speed.
            T_base_ee: Measured tool pose, (4, 4).

        Returns:
            Target pose, (4, 4): inside the workspace, as far as the tool is, and near the tool.
        """
        elapsed_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if self._T_base_des is None:
            self._T_base_des = T_base_ee.copy()
            return self._T_base_des
        dt = min(max(elapsed_ns, 0) / 1e9, MAX_STEP_S)
        T, config = self._T_base_des, self._config
        p = T[:3, 3] + config.max_speed_m_s * dt * _shorten(np.array(motion.linear), 1.0)
        w = config.max_rotation_speed_rad_s * dt * _shorten(np.array(motion.angular), 1.0)
        R = matrix_from_rotvec(w) @ T[:3, :3]
        self._T_base_des = pose(self._near_position(p, T_base_ee), self._near_rotation(R, T_base_ee))
        return self._T_base_des

    def _near_position(self, p: Array, T_base_ee: Array) -> Array:
        """Closest allowed position: in the box if the tool is, else not further out than the tool."""
        p_ee, config = T_base_ee[:3, 3], self._config
        lower = np.minimum(config.workspace_min_m, p_ee)
        upper = np.maximum(config.workspace_max_m, p_ee)
        return p_ee + _shorten(np.clip(p, lower, upper) - p_ee, config.max_lead_m)

    def _near_rotation(self, R: Array, T_base_ee: Array) -> Array:
        R_ee = T_base_ee[:3, :3]
        lead = rotvec_from_matrix(R_ee.T @ R)
        if np.linalg.norm(lead) <= self._config.max_lead_rad:
            return R
        return np.asarray(R_ee @ matrix_from_rotvec(_shorten(lead, self._config.max_lead_rad)))


def _shorten(vector: Array, limit: float) -> Array:
    """The vector, scaled down to length ``limit`` if it is longer."""
    length = float(np.linalg.norm(vector))
    return vector if length <= limit else vector * (limit / length)


class MotionSource(Protocol):
    """A device before retargeting: keyboard, gamepad."""

    def motion(self, now_ns: int) -> Motion:
        """Return what the person does now."""
        ...


class RetargetedDevice:
    """A TeleopDevice made of a motion source and a retargeter.

    The clutch opens by itself when the device or the tool's pose cannot be trusted; it closes again
    only after the person let go of it.
    """

    def __init__(self, source: MotionSource, config: RetargetConfig) -> None:
        """Start with the clutch open and nothing known about the arm."""
        self._source = source
        self._retargeter = Retargeter(config)
        self._max_age_ns = int(config.max_pose_age_ms * 1e6)
        self._measured: EePose | None = None
        self._gripper = 1.0
        self._must_release = False
        self.reason = "clutch is open"

    def observe_pose(self, measured: EePose) -> None:
        """Take the newest measured tool pose."""
        self._measured = measured

    def observe_gripper(self, opening: float) -> None:
        """Take the opening in force, kept until the person asks for another."""
        self._gripper = opening

    def command(self, now_ns: int) -> ArmCommand | None:
        """Return the wish of this instant, or None while the clutch is open; ``reason`` says why."""
        motion = self._source.motion(now_ns)
        self.reason = self._why_open(motion, now_ns)
        if self.reason or self._measured is None:
            self._retargeter.release()
            return None
        T_base_ee_des = self._retargeter.step(now_ns, motion, self._measured.T_base_ee)
        gripper = self._gripper if motion.gripper_des is None else motion.gripper_des
        return ArmCommand(now_ns, T_base_ee_des, float(np.clip(gripper, 0.0, 1.0)))

    def _why_open(self, motion: Motion, now_ns: int) -> str:
        """Why the arm must not be moved now; empty if it may."""
        if not motion.is_engaged:
            self._must_release = False
            return motion.fault or "clutch is open"
        fault = motion.fault or self._pose_fault(now_ns)
        if fault:
            self._must_release = True
            return fault
        return "let go of the clutch, then hold it again" if self._must_release else ""

    def _pose_fault(self, now_ns: int) -> str:
        if self._measured is None:
            return "no tool pose yet: is controller_node running?"
        age_ns = now_ns - self._measured.stamp_ns
        if age_ns > self._max_age_ns:
            return f"tool pose is {age_ns / 1e6:.0f} ms old, limit {self._max_age_ns / 1e6:.0f} ms"
        return ""
