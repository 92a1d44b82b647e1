"""Files that are written for Gazebo, and how torques reach the arm in it.

Launch files import this: it needs the standard library only.
"""

from __future__ import annotations

from enum import Enum

WORLD, BRIDGE, CONTROLLERS, DESCRIPTION = "world.sdf", "bridge.yaml", "controllers.yaml", "robot.urdf"
CONTROLLER = "forward_effort_controller"
"""The one controller of ros2_control that runs in Gazebo; it passes torques on."""


class Drive(str, Enum):
    """How torques reach the arm's joints."""

    JOINTS = "joints"  # a topic per joint, applied by gz-sim's ApplyJointForce
    ROS2_CONTROL = "ros2_control"  # gz_ros2_control's controller manager
