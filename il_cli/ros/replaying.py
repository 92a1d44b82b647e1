"""Drives the arm along a recorded demonstration, through the controller's replay source."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from il_cli.ros.session import Session
from il_core import topics
from il_core.config import Setup
from il_core.errors import GraphError
from il_core.geometry import Array, inverse, rotvec_from_matrix
from il_core.ros import convert, qos
from il_teleop.replay import Likeness, ReplayPath, likeness, rows_of, windows

GO_TO_S, MATCH_S, ANEW_S = 30.0, 10.0, 1.0
AT_START_M, AT_START_RAD = 0.01, 0.05
BEFORE_S = 0.5  # from the claim to the first row


class Replayer:
    """One session's hands on the replay source and on the recorder's texts."""

    def __init__(self, session: Session, setup: Setup) -> None:
        """Prepare the publishers."""
        self._session, self._setup, node = session, setup, session.node
        self._go_to_pose = _Order(node, PoseStamped, topics.GO_TO_POSE)
        self._go_to_posture = _Order(node, JointState, topics.GO_TO_POSTURE)
        self._chunks = _Order(node, MultiDOFJointTrajectory, topics.REPLAY_CHUNK)
        self._notes = _Order(node, String, topics.RECORDER_NOTE)

    def note(self, notes: dict[str, str]) -> None:
        """Have the recorder keep notes with its takes; an empty text ends that.

        Raises:
            GraphError: the recorder does not show them.
        """
        self._notes.match(self._session, "recorder")
        for key, text in notes.items():
            self._until(partial(self._say, key, text), partial(self._is_told, key, text), MATCH_S, "the note")

    def _say(self, key: str, text: str) -> None:
        self._notes.send(String(data=f"{key}: {text}"))

    def _is_told(self, key: str, text: str) -> bool:
        return self._session.diagnostics.get("recorder", {}).get(f"note:{key}", "") == text

    def go_to_start(self, path: ReplayPath) -> None:
        """Bring the arm to where the demonstration began: its posture first, then its exact pose.

        Raises:
            GraphError: it does not arrive within 30 s; says how far it is.
        """
        now_ns, T = self._session.now_ns(), path.T_base_ee[0]
        if path.q_start is not None and not self._is_at(T):
            names = list(self._setup.robot.joint_names)
            posture = JointState(name=names, position=[float(q) for q in path.q_start])
            self._go_to_posture.match(self._session, "controller")
            self._until(lambda: self._go_to_posture.send(posture), lambda: self._is_at(T, 5.0), GO_TO_S, "", once=True)
        target = convert.pose_stamped_msg(now_ns, T)
        self._go_to_pose.match(self._session, "controller")
        what = "the arm at the start of the demonstration"
        self._until(lambda: self._go_to_pose.send(target), lambda: self._is_at(T), GO_TO_S, what, once=True)

    def drive(self, path: ReplayPath, speed: float = 1.0) -> tuple[int, Likeness]:
        """Follow a path from its start; the arm must be there.

        Args:
            path: The demonstration.
            speed: Share of its own speed.

        Returns:
            Instant of the first row [ns], and how alike the two ways are.

        Raises:
            GraphError: the claim was refused, or somebody else took the arm.
        """
        session, rows = self._session, rows_of(path, speed)
        self._chunks.match(session, "controller")
        session.set_bool(topics.claim("replay"), True)
        try:
            start_ns = session.now_ns() + int(BEFORE_S * 1e9)
            for send_ns, chunk in windows(rows, start_ns):
                _sleep_until(send_ns, session)
                self._chunks.send(convert.pose_chunk_msg(chunk))
                self._check_driving(send_ns > start_ns + int(1e9))
            _sleep_until(start_ns + int(rows.seconds * 1e9), session)
        finally:
            session.set_bool(topics.claim("replay"), False)
        driven = [p for p in list(session.path) if p.stamp_ns >= start_ns]
        if len(driven) < 2:
            raise GraphError(f"'{topics.EE_POSE}' fell silent during the replay; see the controller's log")
        stamps = np.array([p.stamp_ns - start_ns for p in driven])
        return start_ns, likeness(path, stamps, np.array([p.T_base_ee for p in driven]), speed)

    def _check_driving(self, is_due: bool) -> None:
        source = self._session.diagnostics.get("controller", {}).get("source", "")
        if is_due and source not in ("replay", ""):
            raise GraphError(f"the replay no longer drives, '{source}' does; the arm was left where it is")

    def _is_at(self, T: Array, slack: float = 1.0) -> bool:
        if not self._session.path:
            return False
        T_error = inverse(T) @ self._session.path[-1].T_base_ee
        turned = float(np.linalg.norm(rotvec_from_matrix(T_error[:3, :3])))
        return float(np.linalg.norm(T_error[:3, 3])) < slack * AT_START_M and turned < slack * AT_START_RAD

    def _until(
        self, act: Callable[[], None], is_done: Callable[[], bool], limit_s: float, what: str, *, once: bool = False
    ) -> None:
        """Act until it is done: once and again after half of the limit, or every second."""
        next_s = time.monotonic()

        def goes_on() -> bool:
            nonlocal next_s
            if time.monotonic() >= next_s:
                act()
                next_s += limit_s / 2 if once else ANEW_S
            return is_done()

        self._session.wait(goes_on, limit_s, what or "the arm near the start of the demonstration")


class _Order:
    """A publisher that knows whether anybody listens."""

    def __init__(self, node: Node, kind: type, topic: str) -> None:
        profile = qos.STREAM if kind is String else qos.COMMAND  # texts all count, of targets the newest
        self._topic, self._publisher = topic, node.create_publisher(kind, topic, profile)

    def match(self, session: Session, listener: str) -> None:
        what = f"node '{listener}' listening to '{self._topic}'"
        session.wait(lambda: self._publisher.get_subscription_count() > 0, MATCH_S, what)

    def send(self, msg: object) -> None:
        self._publisher.publish(msg)


def _sleep_until(t_ns: int, session: Session) -> None:
    while (left_ns := t_ns - session.now_ns()) > 0:
        time.sleep(min(left_ns / 1e9, 0.05))
