"""Setpoints onto the topic the arm listens to: our own, or one of ros2_control's controllers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from il_control.drivers.ros2_control import CommandMap, Output, default_topic
from il_core import topics
from il_core.errors import ConfigError
from il_core.parameters import check_ranges, setting
from il_core.ros import convert, qos
from il_core.spec import Interface, RobotSpec
from il_core.types import Setpoint


@dataclass(frozen=True, slots=True)
class ArmOutputParams:
    """ROS parameters: who moves the arm.

    Attributes:
        output: ``effort_setpoint`` (our topic), ``forward`` (forward_command_controller) or
            ``trajectory`` (joint_trajectory_controller).
        output_topic: Topic of the controller; empty: as in ros2_control's examples, such as
            ``forward_effort_controller/commands``.
        output_joints: Parameter ``joints`` of the controller; empty: the robot's own order.
        output_horizon_ms: When a trajectory's single point is to be reached; two to five control
            periods of the hardware are smooth without lagging [ms].
    """

    output: Output = Output.EFFORT_SETPOINT
    output_topic: str = ""
    output_joints: tuple[str, ...] = ()
    output_horizon_ms: float = setting(20.0, 1.0, 1000.0)

    def __post_init__(self) -> None:
        """Reject a horizon that no controller can follow."""
        check_ranges(self, "output")


class ArmOutput:
    """Publisher of one arm's commands; buffers are made once and filled every cycle.

    Attributes:
        topic: Where the commands go.
    """

    def __init__(self, node: Node, robot: RobotSpec, params: ArmOutputParams) -> None:
        """Create the publisher.

        Raises:
            ConfigError: the controller cannot take what the robot's ``interface`` says.
            JointSetError: ``output_joints`` are not the robot's joints.
        """
        self._kind = params.output
        if params.output is Output.EFFORT_SETPOINT:
            if robot.interface is not Interface.EFFORT:
                hint = "set the parameter output to 'forward' or 'trajectory'"
                raise ConfigError(
                    "output 'effort_setpoint'", f"robot '{robot.name}' takes {robot.interface.value}; {hint}"
                )
            self.topic = params.output_topic or topics.EFFORT_SETPOINT
        else:
            self.topic = params.output_topic or default_topic(params.output, robot.interface)
        self._map = CommandMap(robot, params.output_joints)
        names = self._map.names
        zeros = array("d", [0.0] * len(names))
        self._state = JointState(name=names, effort=zeros)
        self._numbers = Float64MultiArray(data=zeros)
        self._trajectory = JointTrajectory(joint_names=names)
        horizon_ns = round(params.output_horizon_ms * 1e6)
        after = Duration(sec=horizon_ns // 1_000_000_000, nanosec=horizon_ns % 1_000_000_000)
        self._trajectory.points = [JointTrajectoryPoint(positions=zeros, time_from_start=after)]
        # Views into the messages: filling them costs a microsecond.
        fields = {
            Output.EFFORT_SETPOINT: (self._state, self._state.effort),
            Output.FORWARD: (self._numbers, self._numbers.data),
            Output.TRAJECTORY: (self._trajectory, self._trajectory.points[0].positions),
        }
        self._message, buffer = fields[params.output]
        self._values = np.frombuffer(buffer)
        self._publisher = node.create_publisher(type(self._message), self.topic, qos.STREAM)

    def publish(self, setpoint: Setpoint) -> None:
        """Send one checked setpoint.

        A trajectory's stamp stays zero: ros2_control reads that as "starting now".

        Raises:
            DeviceError: the setpoint has another quantity than the robot takes.
        """
        self._values[:] = self._map.values(setpoint)
        if self._kind is Output.EFFORT_SETPOINT:
            self._state.header.stamp = convert.time_msg(setpoint.stamp_ns)
        self._publisher.publish(self._message)
