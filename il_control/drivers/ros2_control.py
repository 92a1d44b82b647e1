"""What ros2_control's controllers take: the right quantity, in the controller's own joint order.

Controllers of ros2_control get bare numbers (``forward_command_controller``) or named ones
(``joint_trajectory_controller``). Bare numbers are in the order of the controller's parameter
``joints``, which is seldom the robot's; so the order is a parameter here too, checked by name once.

A ``forward_command_controller`` repeats its last command for ever when we fall silent: torques and
velocities need a timeout in the hardware component, or a controller that has one.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from il_core.errors import ConfigError, DeviceError
from il_core.spec import Interface, RobotSpec
from il_core.types import Setpoint, Vector
from il_core.wire import JointMap


class Output(str, Enum):
    """Where setpoints go."""

    EFFORT_SETPOINT = "effort_setpoint"  # our own topic: JointState with efforts, stamped
    FORWARD = "forward"  # forward_command_controller: Float64MultiArray
    TRAJECTORY = "trajectory"  # joint_trajectory_controller: JointTrajectory


TOPICS = {  # as the controllers are named in ros2_control's examples
    (Output.FORWARD, Interface.EFFORT): "forward_effort_controller/commands",
    (Output.FORWARD, Interface.POSITION): "forward_position_controller/commands",
    (Output.FORWARD, Interface.VELOCITY): "forward_velocity_controller/commands",
    (Output.TRAJECTORY, Interface.POSITION): "joint_trajectory_controller/joint_trajectory",
}


def default_topic(output: Output, interface: Interface) -> str:
    """Topic of a controller, if it has the name of the examples.

    Raises:
        ConfigError: that controller does not take that quantity.
    """
    if (output, interface) not in TOPICS:
        takes = sorted(i.value for o, i in TOPICS if o is output)
        raise ConfigError(
            f"output '{output.value}'", f"takes {' or '.join(takes)}, the robot's interface is '{interface.value}'"
        )
    return TOPICS[output, interface]


class CommandMap:
    """Setpoints into a controller's numbers.

    Attributes:
        names: The controller's joints, in its order.
    """

    def __init__(self, robot: RobotSpec, controller_joints: tuple[str, ...] = ()) -> None:
        """Match the controller's joints with the robot's by name.

        Args:
            robot: The arm.
            controller_joints: Parameter ``joints`` of the controller; empty: the robot's own order.

        Raises:
            JointSetError: the controller has other joints.
        """
        joints = JointMap(robot)
        self.names = list(controller_joints) or joints.names
        # Both directions by name: a double or missing joint is an error, never a shift by one.
        joints.indices(self.names, joints.names, "parameter output_joints")
        self._order = np.array(joints.indices(joints.names, self.names, "parameter output_joints"))
        self._interface = robot.interface

    def values(self, setpoint: Setpoint) -> Vector:
        """The numbers to send, in the controller's order: [N·m], [rad] or [rad/s] by the robot's interface.

        Raises:
            DeviceError: the setpoint has another quantity than the robot takes.
        """
        chosen = quantity(setpoint, self._interface)
        return np.asarray(chosen[self._order])


def quantity(setpoint: Setpoint, interface: Interface) -> Vector:
    """What a setpoint says for an interface, (nq,).

    Raises:
        DeviceError: it says something else.
    """
    values = {Interface.EFFORT: setpoint.tau, Interface.POSITION: setpoint.q_des, Interface.VELOCITY: setpoint.v_des}
    chosen = values[interface]
    if chosen is None:
        has = next(i.value for i, v in values.items() if v is not None)
        raise DeviceError(f"the arm takes {interface.value}, the setpoint has {has}; check 'interface' in config/robot")
    return chosen
