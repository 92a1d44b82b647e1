"""Settings of the safety gate: thresholds, the space the arm may use, and what to do for which reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from il_control.reasons import Behaviour, behaviour_table
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_quat_xyzw

UNSTATED = math.nan  # no YAML can write it: the loader refuses what is not finite


_POSITIVE = (
    "contact_force_max_n",
    "max_target_age_ms",
    "first_target_max_m",
    "first_target_max_rad",
    "clock_jump_ms",
    "tool_speed_max_m_s",
    "tool_speed_max_rad_s",
    "stop_distance_m",
    "approach_speed_max_m_s",
    "barrier_time_s",
)


class ObstacleKind(str, Enum):
    """Shape of an obstacle."""

    HALF_SPACE = "half_space"  # everything below a plane, such as a table
    BOX = "box"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something fixed the arm must not touch.

    Attributes:
        name: Name used in diagnostics.
        kind: Its shape.
        p_base_m: A point of the plane, or the centre of the box, in base, (3,) [m].
        normal: Outward normal of the plane in base, (3,); not used by a box.
        size_m: Edge lengths of the box, (3,) [m]; not used by a half space.
        quat_xyzw: Orientation of the box in base, (4,).
        except_links: Links that may touch it, or always are near it.
    """

    name: str
    kind: ObstacleKind
    p_base_m: tuple[float, ...]
    normal: tuple[float, ...] = (0.0, 0.0, 1.0)
    size_m: tuple[float, ...] = ()
    quat_xyzw: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)
    except_links: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Reject shapes that are none."""
        if len(self.p_base_m) != 3 or len(self.normal) != 3:
            raise ValueError(f"obstacle '{self.name}': p_base_m and normal need 3 values")
        if self.kind is ObstacleKind.BOX and (len(self.size_m) != 3 or min(self.size_m) <= 0):
            raise ValueError(f"obstacle '{self.name}': a box needs 3 positive values in size_m")
        if self.kind is ObstacleKind.HALF_SPACE and math.hypot(*self.normal) < 1e-9:
            raise ValueError(f"obstacle '{self.name}': normal must not be zero")
        matrix_from_quat_xyzw(self.quat_xyzw)


@dataclass(frozen=True, slots=True)
class SafetyConfig:
    """Thresholds of the gate; joint limits are the robot's.

    Attributes:
        contact_force_max_n: External force at the tool that stops the arm [N]; null: not monitored.
            Has no default on purpose: a mode that needs it refuses to start without it.
        max_target_age_ms: Oldest streamed target acted on [ms].
        first_target_max_m: Farthest a first target may be from the tool [m].
        first_target_max_rad: The same for its rotation, and for each joint [rad].
        clock_jump_ms: Silence, or step of the clock, after which nothing before it counts [ms].
        tool_speed_max_m_s: Speed limit of the tool point [m/s]; null: none.
        tool_speed_max_rad_s: The same for its rotation [rad/s]; null: none.
        workspace_min_m: Lowest x, y, z of the tool point in base, (3,) [m]; null: no box.
        workspace_max_m: Highest, (3,) [m]; null: no box.
        slow_distance_m: Distance from box, obstacles and itself at which the arm slows down [m].
        stop_distance_m: Distance at which it approaches no further [m]; zero for the workspace box.
        approach_speed_max_m_s: Fastest approach where slowing down begins [m/s].
        barrier_time_s: How fast a speed that is too high is braked [s].
        check_collisions: Whether self-collision and obstacles are monitored.
        obstacles: What stands around the arm.
        behaviours: Reasons and what to do instead of the default, only ever stronger.
    """

    contact_force_max_n: float | None = UNSTATED
    max_target_age_ms: float = 50.0
    first_target_max_m: float = 0.25
    first_target_max_rad: float = 1.0
    clock_jump_ms: float = 1000.0
    tool_speed_max_m_s: float | None = None
    tool_speed_max_rad_s: float | None = None
    workspace_min_m: tuple[float, ...] | None = None
    workspace_max_m: tuple[float, ...] | None = None
    slow_distance_m: float = 0.03
    stop_distance_m: float = 0.01
    approach_speed_max_m_s: float = 0.2
    barrier_time_s: float = 0.02
    check_collisions: bool = False
    obstacles: tuple[Obstacle, ...] = ()
    behaviours: dict[str, Behaviour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject settings that cannot be safe."""
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive, got {value}")
        width = self.slow_distance_m - self.stop_distance_m
        if width <= 0:
            raise ValueError("slow_distance_m must exceed stop_distance_m: the arm needs room to slow down")
        # Two poles of s² + s/T + speed/(width T): real ones, or the arm swings at the border.
        if 4 * self.approach_speed_max_m_s * self.barrier_time_s > width:
            raise ValueError(
                f"approach_speed_max_m_s {self.approach_speed_max_m_s} is too fast for {width:.3g} m between "
                f"slow_distance_m and stop_distance_m; at most {width / (4 * self.barrier_time_s):.3g}"
            )
        self._check_box()
        if self.obstacles and not self.check_collisions:
            raise ValueError("obstacles are listed but check_collisions is false")
        behaviour_table(self.behaviours)

    def _check_box(self) -> None:
        low, high = self.workspace_min_m, self.workspace_max_m
        if (low is None) != (high is None):
            raise ValueError("give both of workspace_min_m and workspace_max_m, or none")
        if low is None or high is None:
            return
        is_box = len(low) == len(high) == 3 and all(a < b for a, b in zip(low, high, strict=True))
        if not is_box:
            raise ValueError("workspace_min_m and workspace_max_m need 3 values each, min below max")

    @property
    def is_contact_force_stated(self) -> bool:
        """Whether somebody wrote the contact force limit down, null included."""
        return self.contact_force_max_n is None or not math.isnan(self.contact_force_max_n)

    @property
    def contact_force_limit_n(self) -> float | None:
        """The contact force limit [N], or None where it is not monitored."""
        return self.contact_force_max_n if self.is_contact_force_stated else None

    def demand_contact_force(self, mode: str) -> None:
        """Refuse a mode in which people are near, unless the contact force limit was written down.

        Raises:
            ConfigError: ``safety.contact_force_max_n`` is missing.
        """
        if not self.is_contact_force_stated:
            raise ConfigError(
                "config/control/<task or robot>.yaml",
                f"'safety.contact_force_max_n' is missing and '{mode}' demands it; write the force [N] above which "
                "the arm must stop, from the risk assessment of your cell, or null to say that it is not monitored",
            )
