"""A leader arm: a second arm, or a model of one, that a person moves; its joints come as JointState."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from il_core import topics
from il_core.errors import ConfigError, DeviceError
from il_core.geometry import Array
from il_teleop.buttons import Panel
from il_teleop.device import Bench, Device, Input
from il_teleop.kinematics import chain_of
from il_teleop.recorder import Event
from il_teleop.retarget import Feel, Motion
from il_teleop.watch import Watch


@dataclass(frozen=True, slots=True)
class LeaderJoint:
    """How one joint of the leader answers one of the arm.

    Attributes:
        name: The leader's joint.
        sign: 1, or -1 if it turns the other way round.
        offset_rad: The arm's angle where the leader's is zero [rad].
        scale: The arm's turn per turn of the leader's joint, positive.
    """

    name: str
    sign: float = 1.0
    offset_rad: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Reject what cannot be undone."""
        if self.sign not in (1.0, -1.0) or self.scale <= 0:
            raise ConfigError(f"leader joint '{self.name}'", "need sign 1 or -1 and scale > 0")


@dataclass(frozen=True, slots=True)
class LeaderGripper:
    """The leader's trigger.

    Attributes:
        name: Its joint; empty without one.
        closed: Its position when squeezed.
        open: Its position when let go.
    """

    name: str = ""
    closed: float = 0.0
    open: float = 1.0

    def __post_init__(self) -> None:
        """Reject a trigger without a way."""
        if self.closed == self.open:
            raise ConfigError("leader gripper", "closed and open must differ; run `il teleop calibrate-leader`")


@dataclass(frozen=True, slots=True)
class LeaderLayout:
    """See config/teleop/leader.yaml; ``il teleop calibrate-leader`` writes it.

    Attributes:
        joints: The leader's joint for each of the arm's, by the arm's name.
        gripper: The leader's trigger.
        timeout_ms: Silence after which it counts as gone.
        rate_min_hz: Rate below which it is not to be trusted.
        feel: Whether it is followed absolutely, and how softly that begins.
    """

    joints: dict[str, LeaderJoint] = field(default_factory=dict)
    gripper: LeaderGripper = LeaderGripper()
    timeout_ms: float = 200.0
    rate_min_hz: float = 20.0
    feel: Feel = Feel()


class LeaderMap:
    """Joint positions of the leader into those of the arm, and back."""

    def __init__(self, layout: LeaderLayout, joint_names: Sequence[str]) -> None:
        """Put the joints into the arm's order.

        Raises:
            ConfigError: a joint of the arm has none of the leader's, or the other way round.
        """
        missing, extra = set(joint_names) - set(layout.joints), set(layout.joints) - set(joint_names)
        if missing or extra:
            raise ConfigError(
                "leader",
                f"'joints' lacks {sorted(missing)} and has unknown {sorted(extra)}; "
                "run `il teleop calibrate-leader` for this arm",
            )
        joints = [layout.joints[name] for name in joint_names]
        self.names = tuple(j.name for j in joints)
        self._gain = np.array([j.sign * j.scale for j in joints])
        self._offset = np.array([j.offset_rad for j in joints])
        self._gripper = layout.gripper

    def arm_from_leader(self, q_leader: Array) -> Array:
        """The arm's joint positions, (nq,) [rad]."""
        return self._gain * q_leader + self._offset

    def leader_from_arm(self, q: Array) -> Array:
        """The leader's joint positions, (nq,) [rad]: the inverse of :meth:`arm_from_leader`."""
        return (q - self._offset) / self._gain

    def read(self, names: Sequence[str], positions: Sequence[float]) -> tuple[Array, float | None]:
        """One JointState, joints in any order, into the arm's q (nq,) [rad] and opening in [0, 1] or None.

        Raises:
            DeviceError: a joint is missing, or a position is no number.
        """
        if len(positions) != len(names):
            raise DeviceError(f"leader sent {len(positions)} positions for {len(names)} joints; see its node")
        at = dict(zip(names, positions, strict=True))
        trigger = self._gripper.name
        wanted = [*self.names, *([trigger] if trigger else [])]
        missing = [name for name in wanted if name not in at]
        if missing:
            raise DeviceError(f"leader sent no joint {missing}, it has {sorted(at)}; adapt config/teleop/leader.yaml")
        values = np.array([at[name] for name in wanted], dtype=np.float64)
        if not np.isfinite(values).all():
            raise DeviceError("leader sent a position that is no number; check its cables")
        if not trigger:
            return self.arm_from_leader(values), None
        way = self._gripper.open - self._gripper.closed
        return self.arm_from_leader(values[:-1]), float(np.clip((values[-1] - self._gripper.closed) / way, 0.0, 1.0))


class LeaderDevice(Device):
    """The tool goes where the leader's would be."""

    inputs: tuple[Input, ...] = (
        Input(topics.LEADER_STATES, "sensor_msgs/msg/JointState", "leader"),
        Input(topics.JOY, "sensor_msgs/msg/Joy", "joy"),
    )
    help: ClassVar[str] = "leader arm: the clutch is a pedal, a gamepad's button or space in this terminal"

    def __init__(
        self,
        layout: LeaderLayout,
        joint_names: Sequence[str],
        pose_of: Callable[[Array], Array],
        meanings: Mapping[str, str],
    ) -> None:
        """Start with the clutch open.

        Args:
            layout: Joints, trigger, limits.
            joint_names: The arm's joints.
            pose_of: Tool pose in base (4, 4) of joint positions (nq,): the arm's forward kinematics.
            meanings: Meaning of a gamepad's buttons, by number.
        """
        self.feel = layout.feel
        self._map, self._pose_of, self._panel = LeaderMap(layout, joint_names), pose_of, Panel(meanings)
        hint = f"does the leader's node publish '{topics.LEADER_STATES}'?"
        self._watch = Watch("leader message", layout.timeout_ms, layout.rate_min_hz, hint)
        self._T: Array | None = None
        self._opening: float | None = None

    @classmethod
    def make(cls, bench: Bench) -> LeaderDevice:
        """Read the layout and the arm's description."""
        layout = bench.load("leader", LeaderLayout)
        meanings = {name: m for name, m in bench.buttons.joy.items() if m != "close"}
        return cls(layout, bench.setup.robot.joint_names, chain_of(bench.setup).pose, meanings)

    def hear(self, key: str, msg: Any, now_ns: int) -> None:  # noqa: ANN401 - message-shaped
        """Take joint positions, or a gamepad's buttons."""
        if key == "joy":
            self._panel.hold(str(k) for k, is_down in enumerate(msg.buttons) if is_down)
        else:
            self.receive(list(msg.name), list(msg.position), now_ns)

    def receive(self, names: Sequence[str], positions: Sequence[float], now_ns: int) -> None:
        """Take one message of the leader's joints; see :meth:`LeaderMap.read`."""
        q, self._opening = self._map.read(names, positions)
        self._T = self._pose_of(q)
        self._watch.beat(now_ns)

    def motion(self, now_ns: int) -> Motion:
        """Where the leader is."""
        fault = self._watch.fault(now_ns)
        if fault:
            self._panel.open_clutch()
        gripper = self._opening if self._opening is not None else self._panel.gripper_des
        return Motion(is_engaged=self._panel.is_engaged, gripper_des=gripper, fault=fault, T_base_device=self._T)

    def take_events(self) -> list[Event]:
        """Recorder buttons pressed since the last call."""
        return self._panel.take_events()


DEVICE = LeaderDevice
