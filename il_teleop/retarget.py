"""From how far a person pushes to where the tool should go: clutch, scaling, limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from il_core.errors import ConfigError
from il_core.geometry import Array, matrix_from_rotvec, pose, rotvec_from_matrix
from il_core.parameters import limits
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
        T_base_device: Pose of what the person holds, (4, 4) [m] in axes of base, for devices that are
            followed rather than deflected. Its origin is the base's only if the device's ``feel`` says
            that it is followed absolutely. None for sticks.
    """

    linear: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angular: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_engaged: bool = False
    gripper_des: float | None = None
    fault: str = ""
    T_base_device: Array | None = None


@dataclass(frozen=True, slots=True)
class Feel:
    """How one kind of device is felt; part of its file in config/teleop/.

    Attributes:
        dead_zone: Deflection below which an axis counts as centred, in [0, 1).
        scale_linear: Factor along x, y, z of base, (3,); negative turns an axis round.
        scale_angular: Factor about x, y, z of base, (3,).
        is_absolute: Whether the tool goes where the device is (a leader arm), rather than as far as it
            was moved since the clutch closed.
        soft_start_s: Time in which a followed device's speed limit grows from nothing to full [s].
    """

    dead_zone: float = 0.0
    scale_linear: tuple[float, ...] = (1.0, 1.0, 1.0)
    scale_angular: tuple[float, ...] = (1.0, 1.0, 1.0)
    is_absolute: bool = False
    soft_start_s: float = 0.0

    def __post_init__(self) -> None:
        """Reject what cannot be felt."""
        if not 0.0 <= self.dead_zone < 1.0 or self.soft_start_s < 0:
            raise ConfigError("device feel", "need 0 <= dead_zone < 1 and soft_start_s >= 0")
        if len(self.scale_linear) != 3 or len(self.scale_angular) != 3:
            raise ConfigError("device feel", "scale_linear and scale_angular need three values each")
        if self.is_absolute and (set(self.scale_linear) | set(self.scale_angular)) != {1.0}:
            raise ConfigError("device feel", "what is followed absolutely cannot be scaled")


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

    max_speed_m_s: float = field(metadata=limits(0.001, 10.0, is_dynamic=True))
    max_rotation_speed_rad_s: float = field(metadata=limits(0.001, 10.0, is_dynamic=True))
    workspace_min_m: tuple[float, ...]
    workspace_max_m: tuple[float, ...]
    max_lead_m: float
    max_lead_rad: float
    max_pose_age_ms: float

    def __post_init__(self) -> None:
        """Reject limits that leave no room."""
        largest = (self.max_speed_m_s, self.max_rotation_speed_rad_s, self.max_lead_m, self.max_lead_rad)
        if min(*largest, self.max_pose_age_ms) <= 0:
            raise ConfigError("retarget", "speeds, leads and max_pose_age_ms must be positive")
        corners = (self.workspace_min_m, self.workspace_max_m)
        if {len(c) for c in corners} != {3} or not all(lo < hi for lo, hi in zip(*corners, strict=True)):
            raise ConfigError("retarget", f"workspace needs two corners, lower < upper, got {corners}")


class Retargeter:
    """Moves a target pose that starts at the tool and stays near it, by deflections or by a device's pose."""

    def __init__(self, config: RetargetConfig, feel: Feel | None = None) -> None:
        """Start disengaged."""
        self._config = config
        self._feel = feel or Feel()
        self._T_base_des: Array | None = None
        self._T_wish = self._T_device = np.eye(4)
        self._last_ns = self._engaged_ns = 0

    @property
    def is_engaged(self) -> bool:
        """Whether a target is being moved."""
        return self._T_base_des is not None

    def release(self) -> None:
        """Forget the target; the next step starts again from the measured tool."""
        self._T_base_des = None

    def limit(self, config: RetargetConfig) -> None:
        """Change speeds and limits; they hold from the next step on."""
        self._config = config

    def step(self, now_ns: int, motion: Motion, T_base_ee: Array) -> Array:
        r"""Move the target for the time since the last step.

        Deflections are integrated, :math:`p \leftarrow p + v\,\Delta t`,
        :math:`R \leftarrow \exp([\omega]_\times \Delta t)\, R` with :math:`v, \omega` in base. A device
        that has a pose is followed, no faster than the same speeds: by what it moved since the clutch
        closed, each axis times its factor, or where it is if its feel is absolute.

        The first step after :meth:`release` returns the measured pose, so that engaging never moves
        the arm.

        Args:
            now_ns: Instant of this step [ns].
            motion: What the device says; a deflection longer than 1 is shortened to full speed.
            T_base_ee: Measured tool pose, (4, 4).

        Returns:
            Target pose, (4, 4): inside the workspace, as far as the tool is, and near the tool.
        """
        elapsed_ns, self._last_ns = now_ns - self._last_ns, now_ns
        T_device = motion.T_base_device
        if self._T_base_des is None:
            self._T_base_des, self._T_wish = T_base_ee.copy(), T_base_ee.copy()
            self._T_device = np.eye(4) if T_device is None else T_device
            self._engaged_ns = now_ns
            return self._T_base_des
        dt = min(max(elapsed_ns, 0) / 1e9, MAX_STEP_S)
        T, config, feel = self._T_base_des, self._config, self._feel
        if T_device is None:
            step_m, step_rad = (
                speed * dt * _shorten(_felt(deflection, feel.dead_zone, scale), 1.0)
                for speed, deflection, scale in (
                    (config.max_speed_m_s, motion.linear, feel.scale_linear),
                    (config.max_rotation_speed_rad_s, motion.angular, feel.scale_angular),
                )
            )
        else:
            step_m, step_rad = self._towards(T_device, T, dt * self._ramp(now_ns))
        p, R = T[:3, 3] + step_m, matrix_from_rotvec(step_rad) @ T[:3, :3]
        self._T_base_des = pose(self._near_position(p, T_base_ee), self._near_rotation(R, T_base_ee))
        return self._T_base_des

    def _towards(self, T_device: Array, T: Array, dt: float) -> tuple[Array, Array]:
        """Translation and rotation vector of the target for a device at a pose, (3,) each."""
        feel, config = self._feel, self._config
        if feel.is_absolute:
            self._T_wish = T_device
        else:  # in small steps, so that turns beyond half a revolution add up
            moved_m = T_device[:3, 3] - self._T_device[:3, 3]
            turned = rotvec_from_matrix(T_device[:3, :3] @ self._T_device[:3, :3].T)
            R = matrix_from_rotvec(np.array(feel.scale_angular) * turned) @ self._T_wish[:3, :3]
            self._T_wish = pose(self._T_wish[:3, 3] + np.array(feel.scale_linear) * moved_m, R)
            self._T_device = T_device
        way_m = self._T_wish[:3, 3] - T[:3, 3]
        way_rad = rotvec_from_matrix(self._T_wish[:3, :3] @ T[:3, :3].T)
        return _shorten(way_m, config.max_speed_m_s * dt), _shorten(way_rad, config.max_rotation_speed_rad_s * dt)

    def _ramp(self, now_ns: int) -> float:
        """Share of full speed that a soft start allows, in [0, 1]."""
        soft_ns = self._feel.soft_start_s * 1e9
        return 1.0 if soft_ns <= 0 else min(max((now_ns - self._engaged_ns) / soft_ns, 0.0), 1.0)

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


def _felt(deflection: Sequence[float], dead_zone: float, scale: Sequence[float]) -> Array:
    """Deflection without what lies in the dead zone, each axis times its factor, (3,)."""
    raw = np.array(deflection, dtype=np.float64)
    return np.where(np.abs(raw) > dead_zone, raw, 0.0) * np.array(scale)


def _shorten(vector: Array, limit: float) -> Array:
    """The vector, scaled down to length ``limit`` if it is longer."""
    length = float(np.linalg.norm(vector))
    return vector if length <= limit else vector * (limit / length)


class MotionSource(Protocol):
    """A device before retargeting: see :mod:`il_teleop.device`."""

    def motion(self, now_ns: int) -> Motion:
        """Return what the person does now."""
        ...


class RetargetedDevice:
    """A TeleopDevice made of a motion source and a retargeter.

    The clutch opens by itself when the device or the tool's pose cannot be trusted; it closes again
    only after the person let go of it.
    """

    def __init__(
        self, source: MotionSource, config: RetargetConfig, feel: Feel | None = None, *, is_sending: bool = True
    ) -> None:
        """Start with the clutch open and nothing known about the arm.

        Args:
            source: What the person moves.
            config: Speeds and limits.
            feel: How it is felt.
            is_sending: Whether targets come of it; hand guiding has only the clutch and the gripper.
        """
        self._is_sending = is_sending
        self._source = source
        self._retargeter = Retargeter(config, feel)
        self._max_age_ns = int(config.max_pose_age_ms * 1e6)
        self._measured: EePose | None = None
        self._gripper = 1.0
        self._must_release = False
        self.reason = "clutch is open"
        self.motion = Motion()

    def limit(self, config: RetargetConfig) -> None:
        """Change speeds and limits of the target; the clutch stays as it is."""
        self._retargeter.limit(config)
        self._max_age_ns = int(config.max_pose_age_ms * 1e6)

    def release(self) -> None:
        """Open the clutch; it closes again only after the person let go of it."""
        self._retargeter.release()
        self._must_release, self._measured = True, None

    def observe_pose(self, measured: EePose) -> None:
        """Take the newest measured tool pose."""
        self._measured = measured

    def observe_gripper(self, opening: float) -> None:
        """Take the opening in force, kept until the person asks for another."""
        self._gripper = opening

    def command(self, now_ns: int) -> ArmCommand | None:
        """Return the wish of this instant, or None while the clutch is open; ``reason`` says why."""
        motion = self.motion = self._source.motion(now_ns)
        self.reason = self._why_open(motion, now_ns)
        if self.reason or self._measured is None:
            self._retargeter.release()
            return None
        if not self._is_sending:
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
