"""Sends the arm of a running graph home, and says when it is there."""

from __future__ import annotations

import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from il_cli.ros.session import Session
from il_core import topics, wire
from il_core.errors import GraphError
from il_core.ros import qos
from il_core.spec import RobotSpec

MATCH_S, HOME_S = 10.0, 30.0
AT_HOME_RAD = 0.03


class Homing:
    """One session's order to go home, with the eyes to see it done."""

    def __init__(self, session: Session, robot: RobotSpec) -> None:
        """Prepare; ``robot.q_home_rad`` is where home is."""
        self._session, self._robot, self._joints = session, robot, wire.JointMap(robot)
        self._newest = b""  # decoded when asked for: there are a thousand a second
        self._order = session.node.create_publisher(JointState, topics.GO_TO_POSTURE, qos.COMMAND)
        session.node.create_subscription(JointState, topics.JOINT_STATES, self._remember, qos.LATEST, raw=True)

    def _remember(self, data: bytes) -> None:
        self._newest = data

    @property
    def distance_rad(self) -> float:
        """How far the farthest joint is from home [rad]; infinite before the arm was seen."""
        if not self._newest:
            return float("inf")
        state = wire.arm_state_from(deserialize_message(self._newest, JointState), self._joints)
        return float(np.abs(state.q - np.array(self._robot.q_home_rad)).max())

    def go(self) -> None:
        """Go home on a slow, straight way in joint space; returns when the arm is there.

        Raises:
            GraphError: nobody listens, or it does not arrive within 30 s.
        """
        session, order = self._session, self._order
        what = f"nobody listens on '{topics.GO_TO_POSTURE}', node 'controller' should"
        session.wait(lambda: order.get_subscription_count() > 0, MATCH_S, what)
        home = JointState(name=list(self._robot.joint_names), position=[float(q) for q in self._robot.q_home_rad])
        home.header.stamp = session.node.get_clock().now().to_msg()
        order.publish(home)
        try:
            session.wait(lambda: self.distance_rad < AT_HOME_RAD, HOME_S, "the arm at home")
        except GraphError as error:
            source = session.diagnostics.get("controller", {}).get("source", "nobody")
            raise GraphError(f"{error}; it is {self.distance_rad:.2f} rad away and {source} is in charge") from error
