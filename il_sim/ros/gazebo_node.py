"""gazebo_node: torques onto the topics of Gazebo's joints, Gazebo's joint states onto ours."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray, String

from il_core import topics, wire
from il_core.clock import SteadyClock
from il_core.config import load_setup
from il_core.errors import IlError
from il_core.ros import convert, qos
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import CONTROL_PRIORITY, run, spin
from il_core.ros.params import declare
from il_core.types import Vector
from il_sim.gazebo.arm_side import ArmSide, Phase
from il_sim.gazebo.config import load_gazebo_config
from il_sim.gazebo.names import CONTROLLER, Drive
from il_sim.gazebo.ros2_control import urdf_with_control

DIAGNOSTICS_S = 0.5
SILENCE_NS = 500_000_000  # without joint states for so long the operator is told
LEAVING_NS, QUIET_NS = 1_000_000_000, 50_000_000  # longest wait for the controller's last word; what tells it


@dataclass(frozen=True, slots=True)
class GazeboParams:
    """ROS parameters.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        drive: How torques reach the arm: joints, or ros2_control.
    """

    task: str = "pick_place"
    robot: str = ""
    drive: Drive = Drive.JOINTS


class GazeboNode(Node):
    """Owns one ArmSide; each message is turned into a call of it, and its answer into messages."""

    def __init__(self) -> None:
        """Load the robot and listen to both sides."""
        super().__init__("gazebo")
        params = declare(self, GazeboParams)
        setup = load_setup(params.task, params.robot or None)
        self._joints = wire.JointMap(setup.robot)
        self._side = ArmSide(setup, load_gazebo_config(), params.drive)
        self._steady_ns = SteadyClock().now_ns
        self._heard_ns = self._commanded_ns = 0
        self._refused = Counter[str]()
        names = self._joints.names if params.drive is Drive.JOINTS else []
        self._arm_out = [self.create_publisher(Float64, topics.gazebo_force(n), qos.COMMAND) for n in names]
        self._finger_out = [
            self.create_publisher(Float64, topics.gazebo_force(n), qos.COMMAND) for n in self._side.fingers
        ]
        self._states = self.create_publisher(JointState, topics.JOINT_STATES, qos.STREAM)
        self._number = Float64()
        self._diagnostics = Diagnostics(self, "gazebo")
        self.create_subscription(JointState, topics.GAZEBO_JOINT_STATES, self._on_state, qos.LATEST)
        self.create_subscription(JointState, topics.GRIPPER_SETPOINT, self._on_gripper, qos.COMMAND)
        if params.drive is Drive.JOINTS:
            self.create_subscription(JointState, topics.EFFORT_SETPOINT, self._on_effort, qos.LATEST)
        else:
            self.create_subscription(Float64MultiArray, f"{CONTROLLER}/commands", self._on_numbers, qos.LATEST)
            self._description = self.create_publisher(String, topics.GAZEBO_DESCRIPTION, qos.LATCHED)
            self._description.publish(String(data=urdf_with_control(setup)))
        # On the steady clock: a paused Gazebo must not silence the node.
        self.create_timer(DIAGNOSTICS_S, self._on_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_state(self, msg: JointState) -> None:
        """Join: Gazebo's joints into our state, and forces of this side back."""
        self._heard_ns = self._steady_ns()
        try:
            answer = self._side.take(wire.stamp_ns(msg.header.stamp), msg.name, msg.position, msg.velocity)
        except (IlError, ValueError) as error:
            self._refuse(topics.GAZEBO_JOINT_STATES, error)
            return
        if answer is None:
            return
        if answer.state is not None:
            self._states.publish(convert.joint_state_msg(answer.state, self._joints))
        if answer.tau is not None:
            self._send(self._arm_out, answer.tau)
        self._send(self._finger_out, answer.finger_n)

    def _on_effort(self, msg: JointState) -> None:
        """Split: one array of torques onto a topic per joint."""
        self._commanded_ns = self._steady_ns()
        try:
            tau = self._side.command(*wire.effort_from(msg, self._joints))
        except (IlError, ValueError) as error:
            self._refuse(topics.EFFORT_SETPOINT, error)
            return
        if tau is not None:
            self._send(self._arm_out, tau)

    def _on_numbers(self, msg: Float64MultiArray) -> None:
        """With ros2_control: note what its controller is told."""
        self._side.note(np.asarray(msg.data))

    def _on_gripper(self, msg: JointState) -> None:
        try:
            self._side.grip(wire.opening_from(msg, self._joints)[1])
        except (IlError, ValueError) as error:
            self._refuse(topics.GRIPPER_SETPOINT, error)

    def _send(self, publishers: list[Any], values: Vector) -> None:
        for publisher, value in zip(publishers, values.tolist(), strict=True):
            self._number.data = value
            publisher.publish(self._number)

    def _refuse(self, topic: str, error: Exception) -> None:
        self._refused[topic] += 1
        text = f"'{topic}' refused ({self._refused[topic]} so far): {error}"
        self.get_logger().warning(text, throttle_duration_sec=1.0)

    def _on_diagnostics(self) -> None:
        side = self._side
        values: dict[str, object] = {"phase": side.phase.value, "command_timeouts": side.timeouts}
        values |= {"resets": side.resets, **{f"refused_{t}": n for t, n in self._refused.items()}}
        if self._steady_ns() - self._heard_ns > SILENCE_NS:
            text = f"no message on '{topics.GAZEBO_JOINT_STATES}'; are Gazebo (not paused) and ros_gz_bridge up?"
            self._diagnostics.publish(Level.ERROR, text, values)
            return
        level = Level.OK if side.phase is Phase.READY else Level.WARN
        self._diagnostics.publish(level, side.phase.value, values)

    def on_shutdown_safe(self) -> None:
        """Outlive the controller, as an arm does, then leave gravity compensation behind: Gazebo keeps it."""
        end_ns = self._steady_ns() + LEAVING_NS
        spin(self, lambda: self._steady_ns() > min(end_ns, self._commanded_ns + QUIET_NS))
        if self._side.phase is not Phase.WAITING:
            self._send(self._arm_out, self._side.rest()[: len(self._arm_out)])


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(GazeboNode, priority=CONTROL_PRIORITY))


if __name__ == "__main__":
    main()
