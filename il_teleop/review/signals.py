"""What a recording says in numbers, read in one pass: stamps, tool path, joints, warnings; pictures on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core import topics
from il_core.errors import DeviceError, JointSetError, RecordingError, ShapeError
from il_core.store.recording import Recording
from il_teleop.review.sync import StampLog

Floats = NDArray[np.float64]
_POINT, _POSE = "geometry_msgs/msg/PointStamped", "geometry_msgs/msg/PoseStamped"
_JOINTS, _DIAGNOSTICS = "sensor_msgs/msg/JointState", "diagnostic_msgs/msg/DiagnosticArray"
LEVELS = {1: "WARN", 2: "ERROR", 3: "STALE"}


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning that a node published while recording.

    Attributes:
        stamp_ns: When [ns].
        level: WARN, ERROR or STALE.
        node: Who.
        reason: Its words.
    """

    stamp_ns: int
    level: str
    node: str
    reason: str


@dataclass(slots=True)
class Signals:
    """Numbers of one recording; arrays are in order of their stamps, empty where nothing was recorded.

    Attributes:
        stamps: Header stamp and receive time of every message, by topic.
        pose_ns: Stamps of the measured tool pose, (N,) [ns].
        p_base: Measured tool positions, (N, 3) [m] in base.
        target_ns: Stamps of the wanted tool pose, (K,) [ns].
        p_base_des: Wanted tool positions, (K, 3) [m] in base.
        arm_ns: Stamps of the joint states, (M,) [ns].
        joint_names: Names of the joints of the next three, gripper included, in the messages' order.
        q: Positions, (M, J) [rad; gripper m].
        v: Velocities, (M, J) [rad/s].
        tau: Torques, (M, J) [N·m].
        warned: Warnings of the nodes, in order of arrival.
        start_ns: Earliest stamp of all [ns]; zero of the page's time axis.
        end_ns: Latest stamp of all [ns].
    """

    stamps: dict[str, StampLog] = field(default_factory=dict)
    pose_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    p_base: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    target_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    p_base_des: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    arm_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    joint_names: tuple[str, ...] = ()
    q: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    v: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    tau: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    warned: tuple[Warned, ...] = ()
    start_ns: int = 0
    end_ns: int = 0

    @property
    def seconds(self) -> float:
        """From the earliest to the latest stamp [s]."""
        return (self.end_ns - self.start_ns) / 1e9

    def within(self, start_ns: int, end_ns: int) -> Signals:
        """The part between two instants [ns], both included; what a trimmed recording will be judged by."""
        pose, target, arm = ((t >= start_ns) & (t <= end_ns) for t in (self.pose_ns, self.target_ns, self.arm_ns))
        return Signals(
            stamps={topic: _between(log, start_ns, end_ns) for topic, log in self.stamps.items()},
            pose_ns=self.pose_ns[pose],
            p_base=self.p_base[pose],
            target_ns=self.target_ns[target],
            p_base_des=self.p_base_des[target],
            arm_ns=self.arm_ns[arm],
            joint_names=self.joint_names,
            q=self.q[arm],
            v=self.v[arm],
            tau=self.tau[arm],
            warned=tuple(w for w in self.warned if start_ns <= w.stamp_ns <= end_ns),
            start_ns=max(self.start_ns, start_ns),
            end_ns=min(self.end_ns, end_ns),
        )


def _between(log: StampLog, start_ns: int, end_ns: int) -> StampLog:
    part = StampLog()
    for stamp_ns, log_ns in zip(log.stamp_ns, log.log_ns, strict=True):
        if start_ns <= stamp_ns <= end_ns:
            part.append(stamp_ns, log_ns)
    return part


Pictures = Callable[[str, int, Callable[[], Any]], None]  # topic, stamp [ns], decodes the message when called


def read_signals(recording: Recording, on_picture: Pictures | None = None) -> Signals:
    """Read a recording once.

    Args:
        recording: The recording.
        on_picture: Told of every picture; decodes only those it wants.

    Raises:
        RecordingError: the data are damaged, or a message does not fit its topic.
    """
    kinds = recording.topics
    hand_guided = topics.EE_POSE not in recording.counts or not recording.counts[topics.EE_POSE]
    measured = topics.HAND_POSITION if hand_guided else topics.EE_POSE
    out = Signals(stamps={topic: StampLog() for topic in kinds})
    poses: list[tuple[int, tuple[float, float, float]]] = []
    targets: list[tuple[int, tuple[float, float, float]]] = []
    rows, warned = JointRows(), []
    for topic, data, log_ns, stamp_ns in recording.raw_messages():
        out.stamps[topic].append(stamp_ns, log_ns)
        kind = kinds[topic]
        try:
            if topic == measured and kind in (_POSE, _POINT):
                poses.append((stamp_ns, _position(recording.decode(topic, data))))
            elif topic == topics.TARGET_POSE and kind == _POSE:
                targets.append((stamp_ns, _position(recording.decode(topic, data))))
            elif topic == topics.JOINT_STATES and kind == _JOINTS:
                rows.append(stamp_ns, data, lambda t=topic, d=data: recording.decode(t, d))  # type: ignore[misc]
            elif kind == _DIAGNOSTICS:
                warned += _warned(recording.decode(topic, data), log_ns)
            elif kind == "sensor_msgs/msg/Image" and on_picture is not None:
                on_picture(topic, stamp_ns, lambda t=topic, d=data: recording.decode(t, d))  # type: ignore[misc]
        except (DeviceError, JointSetError, ShapeError, AttributeError) as error:
            raise RecordingError(recording.path, f"a message of '{topic}' does not fit ({error})") from error
    out.pose_ns, out.p_base = _sorted(poses)
    out.target_ns, out.p_base_des = _sorted(targets)
    out.arm_ns, out.joint_names, (out.q, out.v, out.tau) = rows.arrays()
    out.warned = tuple(warned)
    stamps = [t for log in out.stamps.values() if len(log) for t in (min(log.stamp_ns), max(log.stamp_ns)) if t > 0]
    out.start_ns, out.end_ns = min(stamps, default=0), max(stamps, default=0)
    return out


def _position(message: Any) -> tuple[float, float, float]:  # noqa: ANN401 - message-shaped
    p = message.point if hasattr(message, "point") else message.pose.position
    if not (isfinite(p.x) and isfinite(p.y) and isfinite(p.z)):
        raise DeviceError(f"position ({p.x}, {p.y}, {p.z}) is not finite")
    return (p.x, p.y, p.z)


def _sorted(entries: list[tuple[int, tuple[float, float, float]]]) -> tuple[NDArray[np.int64], Floats]:
    """Stamps and positions in order of their stamps."""
    entries.sort(key=lambda entry: entry[0])
    stamps = np.array([t for t, _ in entries], dtype=np.int64)
    return stamps, np.array([p for _, p in entries], dtype=np.float64).reshape(-1, 3)


def _warned(message: Any, log_ns: int) -> list[Warned]:  # noqa: ANN401 - message-shaped
    """Statuses above OK; the level is a byte, which decoders give as bytes or int."""
    found = []
    for status in message.status:
        level = status.level[0] if isinstance(status.level, bytes | bytearray) else int(status.level)
        if level:
            found.append(Warned(log_ns, LEVELS.get(level, str(level)), str(status.name), str(status.message)))
    return found


class JointRows:
    r"""Collects JointState messages; those laid out as the first one are read without a decoder.

    In CDR the three arrays of n doubles end the message, each after a 4-byte length and 4 bytes of
    padding, so they start at fixed distances from its end. What lies between the stamp and them (frame
    and names) must equal the first message's, byte for byte; else the message is decoded.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.names: tuple[str, ...] = ()
        self._stamps: list[int] = []
        self._rows: list[Floats] = []
        self._prefix, self._length, self._start = b"", 0, 0

    def append(self, stamp_ns: int, data: bytes, decode: Callable[[], Any]) -> None:
        """Take one message.

        Raises:
            JointSetError: other joints than in the first message.
            ShapeError: position, velocity and effort are not one value per joint.
        """
        row = self._known(data)
        if row is None:
            row = self._decoded(decode(), data)
        self._stamps.append(stamp_ns)
        self._rows.append(row)

    def _known(self, data: bytes) -> Floats | None:
        """Values of a message laid out as the first one, (3, J); None if it is not."""
        n, start = len(self.names), self._start
        if not start or len(data) != self._length or data[1] != 1 or data[12:start] != self._prefix:
            return None
        size = 8 * n
        if any(data[at : at + 4] != n.to_bytes(4, "little") for at in (start + size, start + 2 * size + 8)):
            return None
        doubles = np.frombuffer(data, dtype="<f8", offset=start)
        return np.stack([doubles[:n], doubles[n + 1 : 2 * n + 1], doubles[2 * n + 2 :]])

    def _decoded(self, message: Any, data: bytes) -> Floats:  # noqa: ANN401 - message-shaped
        names = tuple(message.name)
        if self.names and names != self.names:
            missing, extra = sorted(set(self.names) - set(names)), sorted(set(names) - set(self.names))
            raise JointSetError("JointState", missing=missing, extra=extra)
        n = len(names)
        for part in ("position", "velocity", "effort"):
            if len(getattr(message, part)) != n:
                raise ShapeError(f"JointState.{part}", expected=f"({n},)", got=(len(getattr(message, part)),))
        row = np.array([message.position, message.velocity, message.effort], dtype=np.float64)
        if not self.names and n and len(data) >= 3 * 8 * n + 2 * 8:
            self.names, self._length, self._start = names, len(data), len(data) - 3 * 8 * n - 2 * 8
            self._prefix = data[12 : self._start]
            known = self._known(data)
            if known is None or not np.array_equal(known, row, equal_nan=True):
                self._start = 0  # another encoding: decode all
        self.names = names
        return row

    def arrays(self) -> tuple[NDArray[np.int64], tuple[str, ...], tuple[Floats, Floats, Floats]]:
        """Stamps (M,) [ns], names, and positions, velocities and efforts, (M, J) each, by stamp."""
        order = np.argsort(np.array(self._stamps, dtype=np.int64), kind="stable")
        values = np.array(self._rows, dtype=np.float64).reshape(len(order), 3, len(self.names))[order]
        stamps = np.array(self._stamps, dtype=np.int64)[order]
        return stamps, self.names, (values[:, 0], values[:, 1], values[:, 2])
