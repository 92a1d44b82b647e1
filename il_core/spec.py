"""What must match between robot, data and checkpoint: RobotSpec and TaskSpec, and their digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import Enum

from il_core.camera_spec import CameraSpec, Mount
from il_core.errors import ConfigError, nearest
from il_core.geometry import matrix_from_quat_xyzw
from il_core.wrench import WrenchSensor

__all__ = ["CameraSpec", "Mount", "WrenchSensor"]  # part of this module, though written next door


class ActionLabel(str, Enum):
    """What an action row of an episode is."""

    SETPOINT = "setpoint"  # last target asked of the arm in (tick k, tick k+1]
    NEXT_MEASURED = "next_measured"  # where the arm was measured at tick k+1 (hand guiding)


class Interface(str, Enum):
    """What an arm takes as command."""

    EFFORT = "effort"  # joint torques
    POSITION = "position"  # joint positions
    VELOCITY = "velocity"  # joint velocities


@dataclass(frozen=True, slots=True)
class RobotSpec:
    """The arm: names, order, limits and cameras. Values come from config/robot/<name>.yaml.

    Attributes:
        name: Name of the arm.
        urdf: URDF file, relative to the robot's YAML.
        srdf: SRDF file with the disabled collision pairs.
        joint_names: The arm's joints in the order of every array.
        gripper_joint: Joint whose position tells the opening of the gripper; empty without one.
        gripper_open_m: That joint's position when fully open [m, or rad if it turns].
        ee_frame: URDF link of the tool centre point.
        q_home_rad: Resting posture, (nq,) [rad].
        armature_kg_m2: Reflected rotor inertia, (nq,); URDF cannot say it.
        q_min_rad: Lower joint limits the safety gate keeps to, (nq,).
        q_max_rad: Upper joint limits, (nq,).
        v_max_rad_s: Joint speed limits, (nq,).
        tau_max_nm: Joint torque limits, (nq,).
        tau_rate_max_nm_s: Joint torque rate limits, (nq,).
        cameras: The robot's cameras.
        interface: What the arm takes as command.
        gripper_closed_m: The gripper joint's position when closed [m, or rad if it turns].
        a_max_rad_s2: Joint acceleration limits, (nq,), or empty where none are stated.
        wrench_sensor: The force sensor at the wrist; null: there is none.
    """

    name: str
    urdf: str
    srdf: str
    joint_names: tuple[str, ...]
    gripper_joint: str
    gripper_open_m: float
    ee_frame: str
    q_home_rad: tuple[float, ...]
    armature_kg_m2: tuple[float, ...]
    q_min_rad: tuple[float, ...]
    q_max_rad: tuple[float, ...]
    v_max_rad_s: tuple[float, ...]
    tau_max_nm: tuple[float, ...]
    tau_rate_max_nm_s: tuple[float, ...]
    cameras: tuple[CameraSpec, ...]
    interface: Interface = Interface.EFFORT
    gripper_closed_m: float = 0.0
    a_max_rad_s2: tuple[float, ...] = ()
    wrench_sensor: WrenchSensor | None = None

    def __post_init__(self) -> None:
        """Check that every per-joint list has one value per joint, and that limits are ordered."""
        nq = len(self.joint_names)
        per_joint = ("q_home_rad", "armature_kg_m2", "q_min_rad", "q_max_rad")
        for key in (*per_joint, "v_max_rad_s", "tau_max_nm", "tau_rate_max_nm_s"):
            if len(getattr(self, key)) != nq:
                problem = f"'{key}' has {len(getattr(self, key))} values for {nq} joints"
                raise ConfigError(f"robot '{self.name}'", problem)
        if len(self.a_max_rad_s2) not in (0, nq):
            problem = f"'a_max_rad_s2' has {len(self.a_max_rad_s2)} values for {nq} joints"
            raise ConfigError(f"robot '{self.name}'", problem)
        ordered = zip(self.q_min_rad, self.q_home_rad, self.q_max_rad, strict=True)
        if not all(lo < home < hi for lo, home, hi in ordered):
            raise ConfigError(f"robot '{self.name}'", "need q_min_rad < q_home_rad < q_max_rad")
        limits = (*self.v_max_rad_s, *self.tau_max_nm, *self.tau_rate_max_nm_s, *self.a_max_rad_s2)
        if min(limits) <= 0:
            raise ConfigError(f"robot '{self.name}'", "speed, torque and acceleration limits must be positive")
        if self.gripper_open_m == self.gripper_closed_m:
            raise ConfigError(f"robot '{self.name}'", "gripper_open_m and gripper_closed_m must differ")

    @property
    def nq(self) -> int:
        """Number of arm joints."""
        return len(self.joint_names)

    def camera(self, name: str) -> CameraSpec:
        """Look a camera up by name.

        Raises:
            ConfigError: no such camera; the message lists those there are.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        names = [c.name for c in self.cameras]
        raise ConfigError(f"robot '{self.name}'", f"no camera '{name}'; {nearest(name, names)}")

    def force_sensor(self) -> WrenchSensor:
        """The force sensor at the wrist.

        Raises:
            ConfigError: the robot's file names none.
        """
        if self.wrench_sensor is None:
            problem = "the task observes the wrench, but 'wrench_sensor' is not set; write its frame and pose"
            raise ConfigError(f"robot '{self.name}'", problem)
        return self.wrench_sensor


@dataclass(frozen=True, slots=True)
class ColourObject:
    """An object told apart by its colour, located by the depth camera.

    Attributes:
        name: Name of the object.
        hue_min_deg: Start of its hue range on the colour circle [deg]; may exceed hue_max_deg.
        hue_max_deg: End of its hue range [deg].
        saturation_min: Least saturation in [0, 1].
        value_min: Least brightness in [0, 1].
    """

    name: str
    hue_min_deg: float
    hue_max_deg: float
    saturation_min: float
    value_min: float


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """The meaning of an action row: tool pose (and gripper) wanted one tick after the observation.

    Attributes:
        label: Where the rows of an episode come from.
        rotation: Whether the rotation is learned; if not, the tool keeps ``quat_xyzw_tool``.
        gripper: Whether the gripper is part of the action.
        version: Raised whenever this meaning changes.
        stiffness: Whether the tool's stiffness, as the controller kept it, is part of the action.
    """

    label: ActionLabel
    rotation: bool
    gripper: bool
    version: int = 1
    stiffness: bool = False


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task: what is observed, at what rate, and what an action means.

    Attributes:
        name: Name of the task.
        robot: Name of the robot it is for.
        instruction: The task in words.
        rate_hz: Tick rate of observations and actions [Hz].
        n_obs: Observations a policy sees at once.
        horizon: Rows of an action chunk.
        n_execute: Rows executed before the next inference is due.
        state: Proprioception used, of STATE_KEYS.
        cameras: Cameras used.
        objects: Objects located in the depth images of those cameras.
        action: Meaning of the action.
        quat_xyzw_tool: Orientation of the tool where it is not part of the data.
        max_age_ms: Oldest sample a tick may use, per stream [ms]; keys ``arm``, ``ee_pose``,
            ``target``, ``wrench``, and ``camera`` (all cameras).
        press_m: Virtual penetration: a policy's targets are moved this far along the tool's z, so
            that stiffness times it is the force pressed with [m].
        wrench: Whether force and torque on the tool are observed; needs the robot's ``wrench_sensor``.
    """

    name: str
    robot: str
    instruction: str
    rate_hz: int
    n_obs: int
    horizon: int
    n_execute: int
    state: tuple[str, ...]
    cameras: tuple[str, ...]
    action: ActionSpec
    quat_xyzw_tool: tuple[float, ...]
    max_age_ms: dict[str, float]
    objects: tuple[ColourObject, ...] = field(default=())
    press_m: float = 0.0
    wrench: bool = False

    def __post_init__(self) -> None:
        """Reject impossible tasks."""
        where = f"task '{self.name}'"
        if min(self.rate_hz, self.n_obs, self.horizon, self.n_execute) <= 0:
            raise ConfigError(where, "rate_hz, n_obs, horizon and n_execute must be positive")
        if self.n_execute > self.horizon:
            raise ConfigError(where, f"n_execute {self.n_execute} exceeds horizon {self.horizon}")
        for key in self.state:
            if key not in STATE_KEYS:
                raise ConfigError(where, f"unknown state '{key}'; {nearest(key, list(STATE_KEYS))}")
        for key in self.max_age_ms:
            if key not in STREAMS:
                raise ConfigError(where, f"unknown stream '{key}'; {nearest(key, list(STREAMS))}")
        matrix_from_quat_xyzw(self.quat_xyzw_tool)

    @property
    def dt_ns(self) -> int:
        """Tick period, rounded down [ns]."""
        return 1_000_000_000 // self.rate_hz

    def max_age_ns(self, stream: str) -> int:
        """Oldest sample of a stream that a tick may use [ns].

        Raises:
            ConfigError: the task file gives no limit for that stream.
        """
        if stream not in self.max_age_ms:
            raise ConfigError(f"task '{self.name}'", f"max_age_ms has no entry '{stream}'")
        return int(self.max_age_ms[stream] * 1e6)


STATE_KEYS = {"ee_position": 3, "ee_rotation_6d": 6, "gripper": 1, "q": None}
STREAMS = ("arm", "ee_pose", "target", "camera", "wrench")


_LATER = {"interface": Interface.EFFORT, "gripper_closed_m": 0.0, "a_max_rad_s2": (), "wrench_sensor": None}
_LATER_OF_TASK = {"wrench": False}


def digest(robot: RobotSpec, task: TaskSpec, urdf_text: str) -> str:
    """SHA-256 of all that data, checkpoint and robot must share, hex.

    The canonical JSON of both specs and the text of the URDF: another arm, camera pose, rate or
    action meaning gives another digest. What only bounds motion (limits) is part of it too: data
    recorded under other limits shows other motion.
    """
    # Fields younger than the first data count only where they say something: at their default they
    # are left out, so that data, checkpoints and robots of before keep the digest they were made with.
    robot_values = {k: v for k, v in asdict(robot).items() if k not in _LATER or v != _LATER[k]}
    for camera in robot_values["cameras"]:
        del camera["calibration"]  # how well a pose is known changes nothing; the pose itself counts
    task_values = {k: v for k, v in asdict(task).items() if k not in _LATER_OF_TASK or v != _LATER_OF_TASK[k]}
    if not task.action.stiffness:
        del task_values["action"]["stiffness"]
    content = {"robot": robot_values, "task": task_values, "urdf": urdf_text}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
