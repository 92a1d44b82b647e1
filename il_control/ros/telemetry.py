"""What the controller publishes: torques every cycle, the rest less often, buffers reused."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState

from il_control.cycle import CycleReport
from il_control.model import ArmModel
from il_control.ros.arm_output import ArmOutput, ArmOutputParams
from il_core import topics
from il_core.ros import convert, qos
from il_core.types import Setpoint
from il_core.wire import JointMap

TELEMETRY_EVERY = 10  # cycles: 100 Hz at 1 kHz
GRIPPER_EVERY = 20  # cycles: 50 Hz, and at once on a change


class Telemetry:
    """Publishers of one controller."""

    def __init__(self, node: Node, joints: JointMap, model: ArmModel, output: ArmOutputParams) -> None:
        """Create the publishers; ``model`` is used for the pose of joint targets only, ``output`` says who is driven.

        Raises:
            ConfigError: the output named in the parameters does not fit the arm.
        """
        self._joints, self._model = joints, model
        self._arm = ArmOutput(node, joints.robot, output)
        self._has_gripper = bool(joints.robot.gripper_joint)
        self._gripper = node.create_publisher(JointState, topics.GRIPPER_SETPOINT, qos.STREAM)
        self._ee_pose = node.create_publisher(PoseStamped, topics.EE_POSE, qos.STREAM)
        self._target_pose = node.create_publisher(PoseStamped, topics.TARGET_POSE, qos.STREAM)
        self._target_gripper = node.create_publisher(JointState, topics.TARGET_GRIPPER, qos.STREAM)
        self._opening: float | None = None
        self._cycles = 0

    def command(self, setpoint: Setpoint) -> None:
        """Send the arm what one cycle decided."""
        self._arm.publish(setpoint)

    def report(self, report: CycleReport) -> None:
        """Send the rest of what one cycle did, when its turn comes."""
        self._cycles += 1
        stamp_ns, opening = report.setpoint.stamp_ns, report.setpoint.gripper
        if self._has_gripper and (opening != self._opening or self._cycles % GRIPPER_EVERY == 0):
            self._opening = opening
            self._gripper.publish(convert.opening_msg(stamp_ns, opening, self._joints))
        if self._cycles % TELEMETRY_EVERY == 0:
            target = report.T_base_ee_des
            if target is None and report.q_des is not None:
                self._model.update(report.q_des, np.zeros(len(report.q_des)))
                target = self._model.T_base_ee
            self._ee_pose.publish(convert.pose_stamped_msg(stamp_ns, report.T_base_ee))
            if target is not None:
                self._target_pose.publish(convert.pose_stamped_msg(stamp_ns, target))
            if self._has_gripper:
                self._target_gripper.publish(convert.opening_msg(stamp_ns, opening, self._joints))
