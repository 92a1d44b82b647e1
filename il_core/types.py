"""The nouns that travel between packages. Immutable, validated once, ROS-free.

All stamps are integer nanoseconds on one clock: the robot's ROS clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import DeviceError, PlanRangeError, ShapeError
from il_core.frozen import Vector, frozen, frozen_pose
from il_core.geometry import interpolate_pose

__all__ = [
    "ActionChunk",
    "ArmCommand",
    "ArmState",
    "CameraFrame",
    "EePose",
    "Episode",
    "Intrinsics",
    "Observation",
    "Outcome",
    "Setpoint",
    "Vector",
    "frozen",
    "frozen_pose",
]


@dataclass(frozen=True, slots=True, eq=False)
class ArmState:
    """What the arm measured at one instant, joints in ``RobotSpec.joint_names`` order.

    Attributes:
        stamp_ns: Instant of the measurement [ns].
        q: Joint positions, (nq,) [rad].
        v: Joint velocities, (nq,) [rad/s].
        tau: Joint torques, (nq,) [N·m].
        gripper: Opening in [0, 1], 0 closed, 1 open.
    """

    stamp_ns: int
    q: Vector
    v: Vector
    tau: Vector
    gripper: float

    def __post_init__(self) -> None:
        """Freeze the arrays and check that they are of one length."""
        for name in ("q", "v", "tau"):
            object.__setattr__(self, name, frozen(f"ArmState.{name}", getattr(self, name), ndim=1))
        if not len(self.q) == len(self.v) == len(self.tau):
            raise ShapeError("ArmState.v, tau", expected=f"({len(self.q)},)", got=self.v.shape)
        if not -0.05 <= self.gripper <= 1.05:  # 5 %: sensor play, not a unit error
            raise ValueError(f"ArmState.gripper must be in [0, 1], got {self.gripper}")


@dataclass(frozen=True, slots=True, eq=False)
class EePose:
    """Pose of the end effector at one instant.

    Attributes:
        stamp_ns: Instant [ns].
        T_base_ee: Pose of the tool centre point in the robot base, (4, 4) [m].
    """

    stamp_ns: int
    T_base_ee: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Freeze and check the pose."""
        object.__setattr__(self, "T_base_ee", frozen_pose("EePose.T_base_ee", self.T_base_ee))


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera: u = fx x / z + cx, v = fy y / z + cy. What the lens adds is kept, and nowhere taken out.

    Attributes:
        width: Image width [px].
        height: Image height [px].
        fx: Focal length along u [px].
        fy: Focal length along v [px].
        cx: Principal point u [px], pixel centres at integers.
        cy: Principal point v [px].
        distortion_model: Name ROS has for the lens's distortion, such as ``plumb_bob``; empty without any.
        distortion: Its coefficients, in that model's order (``plumb_bob``: k1, k2, p1, p2, k3); empty without any.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = ""
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CameraFrame:
    """One colour image with the depth of the same instant, aligned to it.

    Attributes:
        stamp_ns: Instant the picture shows [ns].
        camera: Name of the camera.
        rgb: Colour, (H, W, 3) uint8.
        depth_m: Distance along the optical axis, (H, W) float32 [m]; 0 = no measurement.
        intrinsics: Pinhole parameters of the colour image (depth is aligned to it).
    """

    stamp_ns: int
    camera: str
    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    intrinsics: Intrinsics

    def __post_init__(self) -> None:
        """Check shapes and types against the intrinsics, and forbid writes."""
        size = (self.intrinsics.height, self.intrinsics.width)
        if self.rgb.shape != (*size, 3) or self.rgb.dtype != np.uint8:
            raise ShapeError(f"{self.camera}.rgb", expected=f"{(*size, 3)} uint8", got=self.rgb.shape)
        if self.depth_m.shape != size or self.depth_m.dtype != np.float32:
            raise ShapeError(f"{self.camera}.depth_m", expected=f"{size} float32", got=self.depth_m.shape)
        self.rgb.setflags(write=False)
        self.depth_m.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class ArmCommand:
    """Where a person (or a script in a person's place) wants the tool.

    Attributes:
        stamp_ns: Instant of the wish [ns].
        T_base_ee_des: Wanted tool pose in base, (4, 4) [m].
        gripper_des: Wanted opening in [0, 1].
    """

    stamp_ns: int
    T_base_ee_des: NDArray[np.float64]
    gripper_des: float

    def __post_init__(self) -> None:
        """Freeze and check."""
        T = frozen_pose("ArmCommand.T_base_ee_des", self.T_base_ee_des)
        object.__setattr__(self, "T_base_ee_des", T)
        _check_opening("ArmCommand.gripper_des", self.gripper_des)


@dataclass(frozen=True, slots=True, eq=False)
class ActionChunk:
    r"""Targets on a uniform time grid: joint postures or tool poses, and gripper openings.

    Row :math:`k` is wanted at :math:`t_k = t_0 + k\,\Delta t`, :math:`k = 0, \dots, H-1`.
    Exactly one of ``q_des`` and ``T_base_ee_des`` is given.

    Attributes:
        start_ns: Instant of row 0 [ns].
        dt_ns: Grid period [ns], positive.
        obs_ns: Stamp of the observation behind this plan [ns].
        q_des: Joint targets, (H, nq) [rad], or None.
        T_base_ee_des: Tool poses in base, (H, 4, 4) [m], or None.
        gripper_des: Openings, (H,) in [0, 1], or None to leave the gripper alone.
        k_p_des: Tool stiffness along and about the axes of base, (H, 6) [N/m, N·m/rad], with poses only; None
            for the controller's own.
    """

    start_ns: int
    dt_ns: int
    obs_ns: int
    q_des: NDArray[np.float64] | None = None
    T_base_ee_des: NDArray[np.float64] | None = None
    gripper_des: NDArray[np.float64] | None = None
    k_p_des: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Freeze the arrays and check that the rows agree."""
        if (self.q_des is None) == (self.T_base_ee_des is None):
            raise ValueError("ActionChunk: give exactly one of q_des and T_base_ee_des")
        if self.dt_ns <= 0:
            raise ValueError(f"ActionChunk.dt_ns must be positive, got {self.dt_ns}")
        if self.q_des is not None:
            object.__setattr__(self, "q_des", frozen("ActionChunk.q_des", self.q_des, ndim=2))
        if self.T_base_ee_des is not None:
            T = frozen_pose("ActionChunk.T_base_ee_des", self.T_base_ee_des)
            if T.ndim != 3:
                raise ShapeError("ActionChunk.T_base_ee_des", expected="(H, 4, 4)", got=T.shape)
            object.__setattr__(self, "T_base_ee_des", T)
        if self.gripper_des is not None:
            g = frozen("ActionChunk.gripper_des", self.gripper_des, ndim=1)
            if g.shape != (self.horizon,):
                raise ShapeError("ActionChunk.gripper_des", expected=f"({self.horizon},)", got=g.shape)
            object.__setattr__(self, "gripper_des", np.clip(g, 0.0, 1.0))
        if self.k_p_des is not None:
            k_p = frozen("ActionChunk.k_p_des", self.k_p_des, ndim=2)
            if k_p.shape != (self.horizon, 6):
                raise ShapeError("ActionChunk.k_p_des", expected=f"({self.horizon}, 6)", got=k_p.shape)
            if self.T_base_ee_des is None or float(k_p.min()) < 0.0:
                raise ValueError("ActionChunk.k_p_des must not be negative, and goes with T_base_ee_des, not q_des")
            object.__setattr__(self, "k_p_des", k_p)

    @property
    def rows(self) -> NDArray[np.float64]:
        """The targets, whichever kind they are, (H, ...)."""
        rows = self.q_des if self.q_des is not None else self.T_base_ee_des
        assert rows is not None  # checked in __post_init__
        return rows

    @property
    def horizon(self) -> int:
        """Number of rows H."""
        return len(self.rows)

    @property
    def end_ns(self) -> int:
        """Instant of the last row [ns]."""
        return self.start_ns + (self.horizon - 1) * self.dt_ns

    def at(self, t_ns: int) -> NDArray[np.float64]:
        r"""Target at one instant: linear between rows, geodesic for rotations.

        .. math:: x(t) = (1 - \alpha)\,x_k + \alpha\,x_{k+1}, \qquad
                  \alpha = \frac{t - t_k}{\Delta t} \in [0, 1)

        Returns:
            Joint target (nq,) [rad] or tool pose (4, 4).

        Raises:
            PlanRangeError: ``t_ns`` is not in ``[start_ns, end_ns]``.
        """
        k, alpha = self._locate(t_ns)
        rows = self.rows
        if alpha == 0.0:
            return np.asarray(rows[k])
        if self.q_des is None:
            return interpolate_pose(rows[k], rows[k + 1], alpha)
        return np.asarray((1.0 - alpha) * rows[k] + alpha * rows[k + 1])

    def gripper_at(self, t_ns: int) -> float | None:
        """Opening wanted at one instant, linear between rows; None if the chunk has none."""
        return None if self.gripper_des is None else float(self._between(self.gripper_des, t_ns))

    def k_p_at(self, t_ns: int) -> NDArray[np.float64] | None:
        """Tool stiffness wanted at one instant, (6,), linear between rows; None if the chunk has none."""
        return None if self.k_p_des is None else np.asarray(self._between(self.k_p_des, t_ns))

    def _between(self, rows: NDArray[np.float64], t_ns: int) -> Any:  # noqa: ANN401 - a row, or a number
        k, alpha = self._locate(t_ns)
        return rows[k] if alpha == 0.0 else (1.0 - alpha) * rows[k] + alpha * rows[k + 1]

    def _locate(self, t_ns: int) -> tuple[int, float]:
        """Row before ``t_ns`` and unitless fraction of the way to the next."""
        if not self.start_ns <= t_ns <= self.end_ns:
            raise PlanRangeError(t_ns, start_ns=self.start_ns, end_ns=self.end_ns)
        k, rest_ns = divmod(t_ns - self.start_ns, self.dt_ns)
        return k, rest_ns / self.dt_ns


@dataclass(frozen=True, slots=True, eq=False)
class Setpoint:
    """What is sent to the arm; holding one proves that the safety gate checked it.

    Only ``il_control/safety.py`` constructs it. Exactly one of ``tau``, ``q_des`` and ``v_des`` is
    given: the one that ``RobotSpec.interface`` says the arm takes.

    Attributes:
        stamp_ns: Stamp of the measured state it answers [ns].
        tau: Joint torques including gravity compensation, (nq,) [N·m], or None.
        gripper: Opening to drive to, in [0, 1].
        q_des: Joint positions, (nq,) [rad], or None.
        v_des: Joint velocities, (nq,) [rad/s], or None.
    """

    stamp_ns: int
    tau: Vector | None
    gripper: float
    q_des: Vector | None = None
    v_des: Vector | None = None

    def __post_init__(self) -> None:
        """Check that it asks for one thing; the values themselves are the gate's business."""
        if (self.tau is None) + (self.q_des is None) + (self.v_des is None) != 2:
            raise ValueError("Setpoint: give exactly one of tau, q_des and v_des")

    @property
    def torque(self) -> Vector:
        """The joint torques, for a driver that takes nothing else, (nq,) [N·m].

        Raises:
            DeviceError: the setpoint asks for positions or velocities.
        """
        if self.tau is None:
            kind = "positions" if self.q_des is not None else "velocities"
            raise DeviceError(
                f"this arm takes torques, the setpoint has joint {kind}; check 'interface' in config/robot/<arm>.yaml"
            )
        return self.tau


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Everything a policy may know at one tick, each part fresh enough.

    Attributes:
        tick_ns: Instant the observation stands for [ns].
        T_base_ee: Measured tool pose in base, (4, 4) [m].
        arm: Joint state, or None where the recording has none (hand-guided imports).
        images: Newest camera frames by name.
        age_ns: Age of the sample used, per stream [ns], never negative.
        wrench: Force and torque on the tool about its own point, along the axes of base, (6,) [N, N·m], or None
            where nothing measures it.
    """

    tick_ns: int
    T_base_ee: NDArray[np.float64]
    arm: ArmState | None
    images: Mapping[str, CameraFrame]
    age_ns: Mapping[str, int]
    wrench: Vector | None = None


class Outcome(str, Enum):
    """How a demonstration ended, as judged by the operator."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNLABELLED = "unlabelled"
    WRITE_FAILED = "write_failed"


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One demonstration aligned to ticks: N observations and the N actions that followed.

    ``T_base_ee_des[k]`` and ``gripper_des[k]`` are what was last asked of the arm in
    ``(tick_k, tick_{k+1}]`` (label ``setpoint``), or where it was measured at tick k+1
    (label ``next_measured``); the TaskSpec says which.

    Attributes:
        name: Name of the recording it comes from.
        observations: N aligned observations.
        T_base_ee_des: Actions, (N, 4, 4) [m].
        gripper_des: Gripper actions, (N,) in [0, 1].
        outcome: The operator's judgement.
        rate_hz: Tick rate [Hz].
        notes: Free text by key.
        intervention: Whether a person corrected a running policy at each tick, (N,); None where nobody noted it.
        k_p_des: Tool stiffness in force with each action, along and about the axes of base, (N, 6)
            [N/m, N·m/rad]; None where nobody recorded it.
    """

    name: str
    observations: tuple[Observation, ...]
    T_base_ee_des: NDArray[np.float64]
    gripper_des: Vector
    outcome: Outcome
    rate_hz: int
    notes: Mapping[str, str] = field(default_factory=dict)
    intervention: NDArray[np.bool_] | None = None
    k_p_des: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Freeze and check that there is one action per observation."""
        n = len(self.observations)
        T = frozen_pose("Episode.T_base_ee_des", self.T_base_ee_des)
        g = frozen("Episode.gripper_des", self.gripper_des, ndim=1)
        if T.shape != (n, 4, 4) or g.shape != (n,):
            raise ShapeError(f"Episode {self.name} actions", expected=f"{n} rows", got=T.shape)
        object.__setattr__(self, "T_base_ee_des", T)
        object.__setattr__(self, "gripper_des", g)
        if self.intervention is not None:
            mark = np.array(self.intervention, dtype=np.bool_)
            if mark.shape != (n,):
                raise ShapeError(f"Episode {self.name} intervention", expected=f"({n},)", got=mark.shape)
            mark.setflags(write=False)
            object.__setattr__(self, "intervention", mark)
        if self.k_p_des is not None:
            k_p = frozen("Episode.k_p_des", self.k_p_des, ndim=2)
            if k_p.shape != (n, 6) or float(k_p.min()) < 0.0:
                raise ShapeError(f"Episode {self.name} k_p_des", expected=f"({n}, 6), none negative", got=k_p.shape)
            object.__setattr__(self, "k_p_des", k_p)


def _check_opening(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
