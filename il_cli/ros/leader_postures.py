"""Reads leader and arm at the same moment, for the calibration of a leader arm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState

from il_cli.ros.session import Session
from il_core import topics
from il_core.config import Setup
from il_core.errors import DeviceError
from il_core.geometry import Array
from il_core.ros import qos
from il_core.wire import JointMap, arm_state_from

FIRST_S, TAKE_S, FRESH_S = 10.0, 0.5, 0.5


class Postures:
    """The newest joint positions of both, averaged over half a second when asked."""

    def __init__(self, session: Session, setup: Setup, leader: str, names: list[str], trigger: str) -> None:
        """Listen to both, and wait for the first messages.

        Args:
            session: The running graph.
            setup: The arm.
            leader: Topic of the leader's joint states.
            names: The leader's joints in the arm's order; empty takes them as they come, without the trigger.
            trigger: The leader's joint that works the gripper, or empty.

        Raises:
            GraphError: one of them does not talk.
            DeviceError: the leader has another number of joints than the arm.
        """
        self._joints, self._trigger = JointMap(setup.robot), trigger
        self._leader: JointState | None = None
        self._arm: JointState | None = None
        self._heard_s = {"leader": 0.0, "arm": 0.0}
        node = session.node
        node.create_subscription(JointState, leader, self._keep("leader"), qos.LATEST)
        node.create_subscription(JointState, topics.JOINT_STATES, self._keep("arm"), qos.LATEST)
        session.wait(lambda: self._arm is not None, FIRST_S, f"topic '{topics.JOINT_STATES}' of the arm")
        session.wait(lambda: self._leader is not None, FIRST_S, f"topic '{leader}' of the leader")
        there: list[str] = list(self._leader.name) if self._leader is not None else []
        self.leader_names = names or [name for name in there if name != trigger]
        missing = [name for name in [*self.leader_names, *([trigger] if trigger else [])] if name not in there]
        if missing or len(self.leader_names) != setup.robot.nq:
            raise DeviceError(
                f"the leader has the joints {there}; need {setup.robot.nq} for the arm, missing {missing}: "
                "name them with --joints, in the arm's order"
            )

    def _keep(self, who: str) -> Callable[[Any], None]:
        def keep(msg: JointState) -> None:
            setattr(self, f"_{who}", msg)
            self._heard_s[who] = time.monotonic()

        return keep

    def take(self) -> tuple[Array, Array]:
        """Mean joint positions of leader and arm over half a second, (nq,) each [rad].

        Raises:
            DeviceError: one of them fell silent.
        """
        rows = self._samples(lambda: (self._of_leader(self.leader_names), self._of_arm()))
        q_leader, q_arm = (np.mean([row[k] for row in rows], axis=0) for k in range(2))
        return q_leader, q_arm

    def take_trigger(self) -> float:
        """Mean position of the trigger over half a second."""
        return float(np.mean([row[0] for row in self._samples(lambda: self._of_leader([self._trigger]))]))

    def _samples(self, read: Callable[[], Any]) -> list[Any]:
        end_s, rows = time.monotonic() + TAKE_S, []
        while time.monotonic() < end_s:
            rows.append(read())
            time.sleep(0.02)
        for who, heard_s in self._heard_s.items():
            if time.monotonic() - heard_s > FRESH_S:
                raise DeviceError(f"the {who} fell silent; check its node and take the posture again")
        return rows

    def _of_leader(self, names: list[str]) -> Array:
        at = dict(zip(self._leader.name, self._leader.position, strict=True)) if self._leader is not None else {}
        return np.array([at[name] for name in names])

    def _of_arm(self) -> Array:
        return arm_state_from(self._arm, self._joints).q
